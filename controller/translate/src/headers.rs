//! Header fields that ConfigMaps list: `add-headers`, `proxy-set-headers` and `custom-headers`.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use portcullis_model::Settings;
use portcullis_model::policy::SetHeader;

use crate::config::is_header_name;
use crate::{Config, Finding, Object, ObjectKey, ObjectRef, Options, Resources, quoted};

/// The settings of the proxy, with the fields of the ConfigMaps that they name.
pub(crate) fn settings(
    config: &Config,
    resources: &Resources,
    options: &Options,
    findings: &mut Vec<Finding>,
) -> Settings {
    let mut listed = |key: &'static str, named: Option<&ObjectKey>| {
        let Some(named) = named else { return Vec::new() };
        match resources.config_maps.get(named) {
            Some(object) => headers_of(named, &object.value, findings),
            None => {
                findings.extend(options.config_map.as_ref().map(|config_map| missing(config_map, key, named)));
                Vec::new()
            }
        }
    };
    Settings {
        add_headers: listed("add-headers", config.add_headers.as_ref()),
        proxy_set_headers: listed("proxy-set-headers", config.proxy_set_headers.as_ref()),
        ..config.settings.clone()
    }
}

fn missing(config_map: &ObjectKey, key: &str, named: &ObjectKey) -> Finding {
    let message = format!("the ConfigMap {} does not exist, so no header is set", quoted(&named.to_string()));
    Finding::warning(&ObjectRef::new("ConfigMap", config_map), key, "config-map-not-found", message, "create it")
}

/// Every entry that is a header; what is wrong with the others is said.
fn headers_of(key: &ObjectKey, config_map: &ConfigMap, findings: &mut Vec<Finding>) -> Vec<SetHeader> {
    let mut headers = Vec::new();
    for (name, value) in config_map.data.iter().flatten() {
        match SetHeader::new(name, value) {
            Ok(header) => headers.push(header),
            Err(error) => {
                let message = format!("{} is not set: {error}", quoted(name));
                let help = "a header has a name of letters, digits and `-`, and a value of printable characters";
                findings.push(Finding::error(
                    &ObjectRef::new("ConfigMap", key),
                    "data",
                    "invalid-header",
                    message,
                    help,
                ));
            }
        }
    }
    headers
}

/// The fields of a `custom-headers` annotation, or why the paths of its Ingress are closed.
pub(crate) type Custom = Result<Arc<[SetHeader]>, String>;

/// Those of ConfigMaps as they were last read; they depend on [`Config::allowed_response_headers`] as well.
#[derive(Debug, Default)]
pub(crate) struct CustomHeaders(BTreeMap<ObjectKey, (u64, Custom)>);

impl CustomHeaders {
    /// The fields of the ConfigMap that an Ingress of `namespace` names.
    pub(crate) fn named(&mut self, text: &str, namespace: &str, config: &Config, resources: &Resources) -> Custom {
        let key = ObjectKey::parse(text).ok_or_else(|| format!("{} is not `namespace/name`", quoted(text)))?;
        if *key.namespace != *namespace && !config.allow_cross_namespace {
            return Err(format!("the ConfigMap {} is in another namespace", quoted(text)));
        }
        let object = resources.config_maps.get(&key);
        let object = object.ok_or_else(|| format!("the ConfigMap {} does not exist", quoted(text)))?;
        self.read(key, object, config)
    }

    fn read(&mut self, key: ObjectKey, object: &Object<ConfigMap>, config: &Config) -> Custom {
        match self.0.get(&key) {
            Some((hash, known)) if *hash == object.hash => known.clone(),
            _ => {
                let custom = custom_of(&object.value, config);
                self.0.insert(key, (object.hash, custom.clone()));
                custom
            }
        }
    }

    /// Forgets everything, since other names may be allowed now.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Forgets ConfigMaps that are not there any more.
    pub(crate) fn forget(&mut self, resources: &Resources) {
        self.0.retain(|key, _| resources.config_maps.contains_key(key));
    }
}

/// One entry that is refused refuses all of them.
fn custom_of(config_map: &ConfigMap, config: &Config) -> Custom {
    let header = |(name, value): (&String, &String)| {
        if !is_header_name(name) {
            return Err(format!("{} of the ConfigMap is not the name of a header", quoted(name)));
        }
        if !config.allowed_response_headers.contains(name) {
            return Err(format!("{} is not listed in global-allowed-response-headers", quoted(name)));
        }
        if value.is_empty() || !value.bytes().all(|octet| (0x20..=0x7e).contains(&octet)) {
            return Err(format!("the value of {} is empty or has other than printable characters", quoted(name)));
        }
        SetHeader::literal(name, value).map_err(|error| format!("{} cannot be set: {error}", quoted(name)))
    };
    config_map.data.iter().flatten().map(header).collect()
}
