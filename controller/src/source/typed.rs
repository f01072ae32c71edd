//! From a value of any shape to an object of its type, as the API server would store it.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use portcullis_crds::ClassParameters;
use portcullis_translate::{Object, ObjectKey};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::object::{AnyObject, Identity, Kind};

/// A value that does not have its type.
#[derive(Debug)]
pub(super) struct TypeError {
    /// Where in the object.
    pub(super) path: serde_path_to_error::Path,
    /// What was read and what was expected.
    pub(super) message: String,
}

/// Namespace where none is written.
const DEFAULT_NAMESPACE: &str = "default";

/// Longest name of an object (RFC 1123 subdomain).
const MAX_NAME: usize = 253;

/// Namespace and name. The error says what is wrong with them.
pub(super) fn identity(kind: Kind, object: &Map<String, Value>) -> Result<Identity, &'static str> {
    let metadata = object.get("metadata");
    let text = |field| match metadata.and_then(|metadata| metadata.get(field)) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) if is_name(text) => Ok(text.as_str()),
        Some(_) => Err("`metadata.name` and `metadata.namespace` are texts of letters, digits, `-` and `.`"),
    };
    let (name, namespace) = (text("name")?, text("namespace")?);
    if name.is_empty() {
        return Err("`metadata.name` is missing");
    }
    let namespace = match namespace {
        _ if !kind.is_namespaced() => "",
        "" => DEFAULT_NAMESPACE,
        namespace => namespace,
    };
    Ok(Identity { kind, key: ObjectKey::new(namespace, name) })
}

fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_'))
}

/// Brings an object into the form in which the API server hands it out: with its namespace, without `null` where a text
/// belongs, without bookkeeping that nobody here reads.
pub(super) fn settle(identity: &Identity, object: &mut Map<String, Value>) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.remove("managedFields");
        metadata.insert("namespace".to_owned(), (&*identity.key.namespace).into());
        empty_for_null(metadata.get_mut("annotations"));
        empty_for_null(metadata.get_mut("labels"));
    }
    match identity.kind {
        Kind::ConfigMap => empty_for_null(object.get_mut("data")),
        Kind::Secret => {
            empty_for_null(object.get_mut("data"));
            empty_for_null(object.get_mut("stringData"));
            unfold_base64(object.get_mut("data"));
        }
        Kind::Ingress
        | Kind::IngressClass
        | Kind::Service
        | Kind::EndpointSlice
        | Kind::Namespace
        | Kind::IngressClassParameters
        | Kind::ClusterIngressClassParameters => {}
    }
}

fn empty_for_null(texts: Option<&mut Value>) {
    for value in
        texts.and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut).filter(|value| value.is_null())
    {
        *value = "".into();
    }
}

/// Base64 may be folded into lines (Go's decoder passes over line breaks).
fn unfold_base64(texts: Option<&mut Value>) {
    for value in texts.and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        if let Value::String(text) = value
            && text.contains(['\r', '\n'])
        {
            text.retain(|letter| letter != '\r' && letter != '\n');
        }
    }
}

/// Reads an object of `kind`; `hash` is the hash of its content.
pub(super) fn read(kind: Kind, value: &Value, hash: u64) -> Result<AnyObject, TypeError> {
    Ok(match kind {
        Kind::Ingress => AnyObject::Ingress(Object::new(typed(value)?, hash)),
        Kind::IngressClass => AnyObject::IngressClass(Object::new(typed(value)?, hash)),
        Kind::Service => AnyObject::Service(Object::new(typed(value)?, hash)),
        Kind::EndpointSlice => AnyObject::EndpointSlice(Object::new(typed(value)?, hash)),
        Kind::Secret => AnyObject::Secret(Object::new(with_string_data(typed(value).map_err(without_value)?), hash)),
        Kind::ConfigMap => AnyObject::ConfigMap(Object::new(typed(value)?, hash)),
        Kind::Namespace => AnyObject::Namespace(Object::new(typed(value)?, hash)),
        Kind::IngressClassParameters | Kind::ClusterIngressClassParameters => {
            AnyObject::ClassParameters(Object::new(class_parameters(value)?, hash))
        }
    })
}

/// Fields that are not known are kept, which is why what is read is not what the types leave of it.
fn class_parameters(value: &Value) -> Result<ClassParameters, TypeError> {
    let _of_its_type: portcullis_crds::Manifest = typed(value)?;
    Ok(ClassParameters::of(value.get("spec")))
}

/// What a Secret holds is in no message.
fn without_value(error: TypeError) -> TypeError {
    TypeError { message: "the value does not have the expected type".to_owned(), ..error }
}

fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, TypeError> {
    // Following the path costs time, so it is done only for the message.
    T::deserialize(value).or_else(|_| {
        serde_path_to_error::deserialize(value)
            .map_err(|error| TypeError { path: error.path().clone(), message: error.into_inner().to_string() })
    })
}

/// `stringData` goes into `data` and wins over it, as the API server does.
fn with_string_data(mut secret: Secret) -> Secret {
    for (key, text) in secret.string_data.take().into_iter().flatten() {
        secret.data.get_or_insert_default().insert(key, ByteString(text.into_bytes()));
    }
    secret
}
