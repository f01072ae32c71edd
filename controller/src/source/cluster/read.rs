//! From what the API server sends to an object of its kind.

use kube::api::DynamicObject;
use portcullis_translate::{Finding, Severity};
use serde_json::{Map, Value};

use super::super::object::{AnyObject, Identity, Kind};
use super::super::parse::{REFUSED, hash_of};
use super::super::typed;

/// An object, or what is wrong with it.
pub(super) type Read = Result<AnyObject, Box<Finding>>;

/// Which object it is. None for one without a name, which a server does not send.
pub(super) fn identity(kind: Kind, object: &DynamicObject) -> Option<Identity> {
    let metadata = serde_json::json!({ "metadata": {
        "name": object.metadata.name, "namespace": object.metadata.namespace,
    } });
    typed::identity(kind, metadata.as_object()?).ok()
}

/// Reads it.
pub(super) fn read(identity: &Identity, object: &DynamicObject) -> Read {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(object) else {
        return Err(refused(identity, String::new(), "this is no object".to_owned()));
    };
    typed::settle(identity, &mut fields);
    trim(identity.kind, &mut fields);
    let mut value = Value::Object(fields);
    // Their order means nothing, and is another one after something was left out.
    value.sort_all_objects();
    typed::read(identity.kind, &value, hash_of(&value.to_string()))
        .map_err(|error| refused(identity, error.path.to_string(), error.message))
}

/// Leaves out what changes and means nothing here, so that it is no change: our own writes to the status come back, too.
fn trim(kind: Kind, fields: &mut Map<String, Value>) {
    if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
        for bookkeeping in ["resourceVersion", "generation", "selfLink", "ownerReferences", "finalizers"] {
            metadata.remove(bookkeeping);
        }
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    if matches!(kind, Kind::Ingress | Kind::Namespace) {
        fields.remove("status");
    }
    // Objects of a list come without them, those of a watch with them.
    fields.remove("apiVersion");
    fields.remove("kind");
}

fn refused(identity: &Identity, field: String, message: String) -> Box<Finding> {
    Box::new(Finding {
        object: identity.to_ref(),
        field,
        severity: Severity::Error,
        code: REFUSED,
        message,
        help: "its last good form is served, if there was one".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    fn ingress(change: impl FnOnce(&mut Value)) -> (Identity, Read) {
        let mut value = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": { "name": "a", "namespace": "n", "uid": "1", "resourceVersion": "7", "annotations": { "x": "y" } },
            "spec": { "rules": [{ "host": "a.example" }] },
        });
        change(&mut value);
        let object = object(value);
        let identity = identity(Kind::Ingress, &object).unwrap();
        let read = read(&identity, &object);
        (identity, read)
    }

    #[test]
    fn what_only_the_server_keeps_is_no_change() {
        let hash = |change: fn(&mut Value)| ingress(change).1.unwrap().hash();
        let first = hash(|_| {});
        let same: [fn(&mut Value); 6] = [
            |value| value["metadata"]["resourceVersion"] = json!("8"),
            |value| value["metadata"]["generation"] = json!(2),
            |value| value["metadata"]["managedFields"] = json!([{ "manager": "kubectl" }]),
            |value| value["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = json!("{}"),
            |value| value.as_object_mut().unwrap().retain(|field, _| !["apiVersion", "kind"].contains(&field.as_str())),
            |value| value["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": "10.0.0.1" }] } }),
        ];
        for (number, change) in same.into_iter().enumerate() {
            assert_eq!(hash(change), first, "{number}");
        }
        let different: [fn(&mut Value); 2] = [
            |value| value["metadata"]["annotations"]["x"] = json!("z"),
            |value| value["spec"]["rules"][0]["host"] = json!("b.example"),
        ];
        for (number, change) in different.into_iter().enumerate() {
            assert_ne!(hash(change), first, "{number}");
        }
    }

    #[test]
    fn a_wrong_type_is_said_with_its_field() {
        let (identity, read) = ingress(|value| value["spec"]["rules"][0]["host"] = json!(7));
        assert_eq!(identity.to_string(), "Ingress n/a");
        let finding = read.unwrap_err();
        assert_eq!((finding.field.as_str(), finding.code), ("spec.rules[0].host", REFUSED));
    }

    #[test]
    fn what_a_secret_holds_is_in_no_finding() {
        let object = object(json!({
            "metadata": { "name": "s", "namespace": "n" }, "data": { "tls.key": ["c2VjcmV0"] },
        }));
        let identity = identity(Kind::Secret, &object).unwrap();
        assert!(!format!("{:?}", read(&identity, &object)).contains("c2VjcmV0"));
    }
}
