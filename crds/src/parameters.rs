//! An object of either kind as what the ConfigMap would say.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::ControllerSettings;

/// What an object says: texts as they would stand in the ConfigMap, by field of `spec`.
///
/// Fields that are not known are among them, for whoever has to say so: the API server drops them, a file keeps them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ClassParameters {
    /// Texts by field.
    pub fields: BTreeMap<String, String>,
}

/// An object of either kind as far as its types matter: what cannot be read as one is malformed.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Manifest {
    /// The settings.
    #[serde(default)]
    pub spec: Option<ControllerSettings>,
}

impl ClassParameters {
    /// Reads `spec` of an object.
    #[must_use]
    pub fn of(spec: Option<&Value>) -> Self {
        let fields = spec.and_then(Value::as_object).into_iter().flatten();
        Self { fields: fields.filter_map(|(name, value)| Some((name.clone(), text(name, value)?))).collect() }
    }
}

/// The field for a key of the ConfigMap: `ssl-redirect` is `sslRedirect`.
#[must_use]
pub fn field_name(key: &str) -> String {
    let mut words = key.split('-');
    let mut field = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        field.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        field.push_str(letters.as_str());
    }
    field
}

/// The text that the ConfigMap has for a value; none for one that says nothing.
fn text(field: &str, value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(on) if SWITCHES.contains(&field) => if *on { "on" } else { "off" }.to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(entries) => {
            let entries: Vec<String> = entries.iter().filter_map(|entry| text(field, entry)).collect();
            entries.join(divider(field))
        }
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    })
}

/// Fields whose keys are `on` or `off` in the ConfigMap, as nginx has it. As words they would not survive YAML, which reads
/// `on` as true.
const SWITCHES: [&str; 2] = ["proxyBuffering", "proxyRequestBuffering"];

/// What stands between the entries of a list in the ConfigMap.
fn divider(field: &str) -> &'static str {
    match field {
        "proxyNextUpstream" | "sslProtocols" => " ",
        "sslCiphers" | "sslEcdhCurve" => ":",
        _ => ",",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_the_texts_of_the_config_map() {
        let spec = json!({
            "sslRedirect": false, "hstsMaxAge": 60, "proxyBodySize": "8m", "hideHeaders": ["X-A", "X-B"],
            "proxyNextUpstream": ["error", "http_502"], "sslProtocols": ["TLSv1.3"], "sslEcdhCurve": ["X25519", "P-256"],
            "sslCiphers": [], "proxyBuffering": true, "proxyRequestBuffering": false, "workerProcesses": 4,
            "serverTokens": null, "notKnown": { "a": 1 },
        });
        let ClassParameters { fields } = ClassParameters::of(Some(&spec));
        let want = [
            ("hideHeaders", "X-A,X-B"),
            ("hstsMaxAge", "60"),
            ("notKnown", "{\"a\":1}"),
            ("proxyBodySize", "8m"),
            ("proxyBuffering", "on"),
            ("proxyNextUpstream", "error http_502"),
            ("proxyRequestBuffering", "off"),
            ("sslCiphers", ""),
            ("sslEcdhCurve", "X25519:P-256"),
            ("sslProtocols", "TLSv1.3"),
            ("sslRedirect", "false"),
            ("workerProcesses", "4"),
        ];
        assert_eq!(fields.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect::<Vec<_>>(), want);
        for nothing in [None, Some(json!(null)), Some(json!({}))] {
            assert_eq!(ClassParameters::of(nothing.as_ref()), ClassParameters::default());
        }
    }

    #[test]
    fn fields_are_keys_in_camel_case() {
        for (key, field) in [
            ("hsts", "hsts"),
            ("ssl-redirect", "sslRedirect"),
            ("http2-max-concurrent-streams", "http2MaxConcurrentStreams"),
            ("grpc-buffer-size-kb", "grpcBufferSizeKb"),
            ("", ""),
        ] {
            assert_eq!(field_name(key), field);
        }
    }
}
