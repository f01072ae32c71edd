//! An Ingress that is not among the objects: as the API server shows it before it is stored.

use k8s_openapi::api::networking::v1::Ingress;
use portcullis_translate::ObjectKey;
use serde_json::Value;

use super::object::{AnyObject, Identity, Kind};
use super::typed;

/// Reads it as those are read that are stored; `namespace` and `name` count where it has none of its own.
///
/// # Errors
///
/// Why it is no Ingress, in one sentence.
pub(crate) fn ingress_of(object: Value, namespace: &str, name: &str) -> Result<(ObjectKey, Ingress), String> {
    let Value::Object(mut object) = object else { return Err("there is no object to review".to_owned()) };
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        for (field, value) in [("namespace", namespace), ("name", name)] {
            metadata.entry(field).or_insert_with(|| value.into());
        }
    }
    let identity = typed::identity(Kind::Ingress, &object)?;
    typed::settle(&identity, &mut object);
    let read = typed::read(Kind::Ingress, &Value::Object(object), 0);
    let read = read.map_err(|error| format!("{}: {}", error.path, error.message))?;
    let Identity { key, .. } = identity;
    match read {
        AnyObject::Ingress(ingress) => Ok((key, std::sync::Arc::unwrap_or_clone(ingress.value))),
        _ => Err("this is no Ingress".to_owned()),
    }
}
