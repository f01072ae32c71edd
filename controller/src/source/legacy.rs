//! Old API versions: `extensions/v1beta1` and `networking.k8s.io/v1beta1`, brought into the form of v1.

use serde_json::{Map, Value, json};

use super::object::Kind;

/// API versions of a kind that are converted to [`Kind::api_version`].
pub(super) fn is_convertible(kind: Kind, api_version: &str) -> bool {
    match kind {
        Kind::Ingress => matches!(api_version, "extensions/v1beta1" | "networking.k8s.io/v1beta1"),
        Kind::IngressClass => api_version == "networking.k8s.io/v1beta1",
        Kind::EndpointSlice => api_version == "discovery.k8s.io/v1beta1",
        Kind::Service
        | Kind::Secret
        | Kind::ConfigMap
        | Kind::Namespace
        | Kind::IngressClassParameters
        | Kind::ClusterIngressClassParameters => false,
    }
}

/// Rewrites an object in place. What does not have the old shape is left as it is, for the types of v1 to judge.
pub(super) fn convert(kind: Kind, object: &mut Map<String, Value>) {
    object.insert("apiVersion".to_owned(), kind.api_version().into());
    let Some(Value::Object(spec)) = object.get_mut("spec") else { return };
    if kind == Kind::Ingress {
        ingress_spec(spec);
    }
}

fn ingress_spec(spec: &mut Map<String, Value>) {
    if let Some(mut backend) = spec.remove("backend") {
        convert_backend(&mut backend);
        spec.insert("defaultBackend".to_owned(), backend);
    }
    for rule in items(spec.get_mut("rules")) {
        for path in items(rule.pointer_mut("/http/paths")) {
            if let Some(backend) = path.get_mut("backend") {
                convert_backend(backend);
            }
            if let Value::Object(path) = path {
                path.entry("pathType").or_insert_with(|| "ImplementationSpecific".into());
            }
        }
    }
}

fn items(list: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    list.and_then(Value::as_array_mut).into_iter().flatten()
}

/// `serviceName` and `servicePort` become `service.name` and `service.port.number` or `.name`.
fn convert_backend(backend: &mut Value) {
    let Value::Object(fields) = backend else { return };
    let Some(name) = fields.remove("serviceName") else { return };
    let port = match fields.remove("servicePort") {
        None | Some(Value::Null) => json!({}),
        Some(Value::String(name)) => json!({ "name": name }),
        Some(number) => json!({ "number": number }),
    };
    fields.insert("service".to_owned(), json!({ "name": name, "port": port }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ingresses_take_the_form_of_v1() {
        let mut old = json!({
            "apiVersion": "extensions/v1beta1", "kind": "Ingress",
            "spec": {
                "backend": { "serviceName": "rest", "servicePort": "http" },
                "rules": [{ "http": { "paths": [
                    { "path": "/a", "backend": { "serviceName": "a", "servicePort": 80 } },
                    { "path": "/b", "pathType": "Exact", "backend": { "resource": { "kind": "Bucket", "name": "b" } } },
                ] } }, { "host": "only" }],
            },
        });
        convert(Kind::Ingress, old.as_object_mut().unwrap());
        let new = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "spec": {
                "rules": [{ "http": { "paths": [
                    { "path": "/a", "pathType": "ImplementationSpecific",
                      "backend": { "service": { "name": "a", "port": { "number": 80 } } } },
                    { "path": "/b", "pathType": "Exact", "backend": { "resource": { "kind": "Bucket", "name": "b" } } },
                ] } }, { "host": "only" }],
                "defaultBackend": { "service": { "name": "rest", "port": { "name": "http" } } },
            },
        });
        assert_eq!(old, new);
    }

    #[test]
    fn odd_shapes_are_left_alone() {
        for spec in
            [json!(null), json!([]), json!({ "rules": { "a": 1 }, "backend": 7 }), json!({ "rules": [null, 3] })]
        {
            let mut old = json!({ "spec": spec });
            convert(Kind::Ingress, old.as_object_mut().unwrap());
            assert_eq!(old["apiVersion"], "networking.k8s.io/v1");
        }
    }
}
