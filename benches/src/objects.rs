//! The same kind of site as Kubernetes objects.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use portcullis_translate::{Object, ObjectKey, Options, Resources};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{Regex, certificate, host_name};

/// `ingresses` Ingresses of one host with two paths each, and a Service for each path.
#[must_use]
pub fn resources(ingresses: usize, regex: Regex) -> Resources {
    let mut resources = Resources::default();
    resources.classes.insert(ObjectKey::new("", "nginx"), object::<IngressClass>(&class()));
    for number in 0..ingresses {
        let key = ObjectKey::new(&namespace(number), &format!("shop-{number}"));
        resources.ingresses.insert(key, object(&ingress(number, regex.applies(number), "v1")));
        for service in ["web", "static"] {
            let name = format!("{service}-{number}");
            resources.services.insert(ObjectKey::new(&namespace(number), &name), object(&self::service(number, &name)));
        }
    }
    resources
}

/// Options of a controller that reads files.
#[must_use]
pub fn options() -> Options {
    Options::new(certificate())
}

/// Replaces one Ingress by one that sends requests elsewhere.
pub fn change(resources: &mut Resources, number: usize, regex: Regex, version: &str) {
    let key = ObjectKey::new(&namespace(number), &format!("shop-{number}"));
    resources.ingresses.insert(key, object::<Ingress>(&ingress(number, regex.applies(number), version)));
}

fn namespace(number: usize) -> String {
    format!("tenant-{:03}", number % 500)
}

fn class() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": {"name": "nginx"},
        "spec": {"controller": "k8s.io/ingress-nginx"},
    })
}

fn ingress(number: usize, regex: bool, version: &str) -> Value {
    let (web, assets, annotations) = if regex {
        let web = format!("/svc{number}/{version}/something(/|$)(.*)");
        (web, format!("/other{number}(/|$)(.*)"), json!({"nginx.ingress.kubernetes.io/rewrite-target": "/$2"}))
    } else {
        (format!("/svc{number}/{version}"), "/static/assets".to_owned(), json!({}))
    };
    let path = |path: &str, service: &str| {
        json!({
            "path": path, "pathType": "ImplementationSpecific",
            "backend": {"service": {"name": format!("{service}-{number}"), "port": {"number": 80}}},
        })
    };
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {
            "name": format!("shop-{number}"), "namespace": namespace(number), "annotations": annotations,
            "creationTimestamp": "2026-01-02T03:04:05Z",
        },
        "spec": {
            "ingressClassName": "nginx",
            "rules": [{"host": host_name(number), "http": {"paths": [path(&web, "web"), path(&assets, "static")]}}],
        },
    })
}

fn service(number: usize, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": namespace(number)},
        "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]},
    })
}

fn object<T: DeserializeOwned>(json: &Value) -> Object<T> {
    let mut hasher = DefaultHasher::new();
    json.to_string().hash(&mut hasher);
    Object::new(serde_json::from_value(json.clone()).expect("a well-formed object"), hasher.finish())
}
