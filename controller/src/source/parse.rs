//! From the text of a file to objects and findings.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use portcullis_translate::{Finding, ObjectRef, Severity};
use serde_json::{Map, Value};

use super::documents::{self, Document};
use super::object::{AnyObject, Identity, Kind, service_of};
use super::typed::{self, TypeError};
use super::{legacy, locate, yaml};

/// Code of the finding about an object with a value of a wrong type.
pub(super) const REFUSED: &str = "invalid-object";

/// How deep a List may lie in a List.
const MAX_LIST_DEPTH: usize = 4;

/// Longest text of a converted object that is shown in a finding.
const MAX_SHOWN: usize = 4096;

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// The objects, in the order of the file.
    pub(super) objects: Vec<Loaded>,
    /// Objects that are in the file and have a value of a wrong type.
    pub(super) refused: Vec<Identity>,
    /// Whether a document cannot be read at all, so that nobody knows which objects are missing.
    pub(super) broken: bool,
    /// What to know about it.
    pub(super) findings: Vec<Finding>,
}

/// One object and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) identity: Identity,
    pub(super) object: AnyObject,
    /// The line on which its document begins, from 1.
    pub(super) line: usize,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    Yaml,
    Json,
}

/// Reads the objects of a file; `name` is what findings call it.
pub(super) fn parse(name: &str, text: &str, format: Format) -> Parsed {
    let mut parser = FileParser { name, parsed: Parsed::default() };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match format {
        Format::Yaml => documents::split(text).into_iter().for_each(|document| parser.yaml(document)),
        Format::Json => parser.json(text),
    }
    parser.parsed
}

struct FileParser<'f> {
    name: &'f str,
    parsed: Parsed,
}

/// Where an object stands.
#[derive(Clone, Copy)]
struct Place<'t> {
    /// Its document; none for JSON, whose values carry no lines.
    document: Option<Document<'t>>,
    line: usize,
    /// Lists around it.
    depth: usize,
}

impl FileParser<'_> {
    fn yaml(&mut self, document: Document<'_>) {
        match yaml::value(document) {
            Ok(Value::Null) => {}
            Ok(value) => {
                let place = Place { document: Some(document), line: document.line, depth: 0 };
                self.value(value, hash_of(document.text), place);
            }
            Err(error) => self.broken(error.line, "invalid-yaml", error.reason),
        }
    }

    fn json(&mut self, text: &str) {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        loop {
            let begin = values.byte_offset();
            let line = 1 + text.get(..begin).map_or(0, |before| before.matches('\n').count());
            match values.next() {
                None => return,
                Some(Ok(value)) => {
                    let own = text.get(begin..values.byte_offset()).unwrap_or_default();
                    self.value(value, hash_of(own.trim()), Place { document: None, line, depth: 0 });
                }
                Some(Err(error)) => {
                    let text = error.to_string();
                    let reason = text.split(" at line ").next().unwrap_or(&text).to_owned();
                    return self.broken(error.line(), "invalid-json", reason);
                }
            }
        }
    }

    fn broken(&mut self, line: usize, code: &'static str, message: String) {
        self.parsed.broken = true;
        let help = "correct the document";
        self.parsed.findings.push(file_finding(self.name, Some(line), Severity::Error, code, message, help));
    }

    fn value(&mut self, value: Value, hash: u64, place: Place<'_>) {
        let Value::Object(object) = value else {
            return self.broken(
                place.line,
                "not-an-object",
                "this is not an object; expected apiVersion, kind and metadata".to_owned(),
            );
        };
        let text = |field| object.get(field).and_then(Value::as_str).map(str::to_owned);
        let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) else {
            return self.broken(place.line, "not-an-object", "`apiVersion` or `kind` is missing".to_owned());
        };
        if kind.ends_with("List") && object.get("items").is_some_and(|items| items.is_array() || items.is_null()) {
            return self.list(object, &api_version, &kind, place);
        }
        match Kind::parse(&kind) {
            Some(known) => self.object(known, &api_version, object, hash, place),
            None => self.unknown(&api_version, &kind, place),
        }
    }

    /// The items of a `List` name their kind; those of an `IngressList` need not.
    fn list(&mut self, mut list: Map<String, Value>, api_version: &str, kind: &str, place: Place<'_>) {
        if place.depth >= MAX_LIST_DEPTH {
            return self.broken(place.line, "not-an-object", "lists lie too deep in lists".to_owned());
        }
        let Some(Value::Array(items)) = list.remove("items") else { return };
        let of_kind = kind.strip_suffix("List").filter(|kind| !kind.is_empty());
        for mut item in items {
            if let (Value::Object(object), Some(kind)) = (&mut item, of_kind) {
                object.entry("apiVersion").or_insert_with(|| api_version.into());
                object.entry("kind").or_insert_with(|| kind.into());
            }
            let hash = hash_of(&item.to_string());
            self.value(item, hash, Place { depth: place.depth + 1, ..place });
        }
    }

    fn object(&mut self, kind: Kind, api_version: &str, mut object: Map<String, Value>, hash: u64, place: Place<'_>) {
        let convertible = legacy::is_convertible(kind, api_version);
        if api_version != kind.api_version() && !convertible {
            return self.unknown(api_version, kind.name(), place);
        }
        let identity = match typed::identity(kind, &object) {
            Ok(identity) => identity,
            Err(message) => {
                return self.broken(
                    place.line,
                    "not-an-object",
                    format!("{} without a usable name: {message}", kind.name()),
                );
            }
        };
        if kind == Kind::Secret && object.get("type").and_then(Value::as_str) == Some("helm.sh/release.v1") {
            return;
        }
        if convertible {
            legacy::convert(kind, &mut object);
            let shown = shown(&object);
            self.converted(&identity, api_version, &shown, place);
        }
        typed::settle(&identity, &mut object);
        match typed::read(kind, &Value::Object(object), hash) {
            Ok(object) => self.loaded(identity, object, place),
            Err(error) => self.refused(identity, &error, place),
        }
    }

    fn loaded(&mut self, identity: Identity, object: AnyObject, place: Place<'_>) {
        if let AnyObject::EndpointSlice(slice) = &object
            && service_of(&slice.value).is_none()
        {
            self.parsed.findings.push(Finding {
                object: identity.to_ref(),
                field: "metadata.labels".to_owned(),
                severity: Severity::Warning,
                code: "unlabelled-endpoint-slice",
                message: format!(
                    "the label kubernetes.io/service-name is missing, so no Service has these endpoints ({}:{})",
                    self.name, place.line
                ),
                help: "add the label with the name of the Service".to_owned(),
            });
        }
        self.parsed.objects.push(Loaded { identity, object, line: place.line });
    }

    fn refused(&mut self, identity: Identity, error: &TypeError, place: Place<'_>) {
        let inside = place
            .document
            .filter(|_| place.depth == 0)
            .and_then(|document| locate::line_of(document.text, &error.path));
        let line = inside.map_or(place.line, |inside| place.line + inside - 1);
        self.parsed.findings.push(Finding {
            object: identity.to_ref(),
            field: error.path.to_string(),
            severity: Severity::Error,
            code: REFUSED,
            message: format!("{} ({}:{line})", error.message, self.name),
            help: "give the field a value of the expected type".to_owned(),
        });
        self.parsed.refused.push(identity);
    }

    fn converted(&mut self, identity: &Identity, api_version: &str, shown: &str, place: Place<'_>) {
        self.parsed.findings.push(Finding {
            object: identity.to_ref(),
            field: "apiVersion".to_owned(),
            severity: Severity::Warning,
            code: "old-api-version",
            message: format!(
                "`{api_version}` is not served by Kubernetes any more; read as {} ({}:{})",
                identity.kind.api_version(),
                self.name,
                place.line
            ),
            help: format!("write\n{shown}"),
        });
    }

    fn unknown(&mut self, api_version: &str, kind: &str, place: Place<'_>) {
        let (severity, help) = match (Kind::parse(kind), kind) {
            (None, "Endpoints") => (Severity::Warning, "write EndpointSlices of discovery.k8s.io/v1".to_owned()),
            (None, _) => (Severity::Info, String::new()),
            (Some(known), _) => (Severity::Warning, format!("write apiVersion: {}", known.api_version())),
        };
        let message = format!("{kind} of {api_version} is passed over: it has no effect here");
        self.parsed.findings.push(file_finding(self.name, Some(place.line), severity, "unknown-kind", message, &help));
    }
}

/// A finding about a file as such.
pub(super) fn file_finding(
    name: &str,
    line: Option<usize>,
    severity: Severity,
    code: &'static str,
    message: String,
    help: &str,
) -> Finding {
    Finding {
        object: ObjectRef { kind: "File", namespace: Arc::from(""), name: Arc::from(name) },
        field: line.map(|line| format!("line {line}")).unwrap_or_default(),
        severity,
        code,
        message,
        help: help.to_owned(),
    }
}

/// An object as YAML, cut where it is long.
fn shown(object: &Map<String, Value>) -> String {
    let mut text = serde_saphyr::to_string(object).unwrap_or_default();
    if text.len() > MAX_SHOWN {
        let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= MAX_SHOWN).last().unwrap_or(0);
        text.truncate(end);
        text.push_str("...\n");
    }
    text
}

/// The same text gives the same number in every process: the keys of this hasher are fixed.
pub(super) fn hash_of(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
