//! Tests of the translation as a whole: small manifests in, snapshot and findings out.

mod backends;
mod canaries;
mod certificates;
mod classes;
mod clusters;
mod headers;
mod hosts;
mod named_objects;
mod properties;
mod streams;
mod upstream_tls;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::serde::de::DeserializeOwned;
use portcullis_model::{Backend, Certificate, HostAction, Route, VirtualHost};

use crate::certificate::tests::pair;
use crate::*;

/// Flags with their defaults. The certificate is made once, since options are compared.
pub(super) fn options() -> Options {
    static CERTIFICATE: std::sync::OnceLock<Arc<Certificate>> = std::sync::OnceLock::new();
    let certificate = CERTIFICATE.get_or_init(|| {
        let (chain, key) = pair(&["ingress.local"]);
        Arc::new(certificate_from_pem(chain.as_bytes(), key.as_bytes(), None).unwrap())
    });
    Options::new(Arc::clone(certificate))
}

/// Objects of the stock class `nginx`, and those of `text`, several documents divided by `---`.
pub(super) fn resources(text: &str) -> Resources {
    let mut resources = Resources::default();
    add(&mut resources, "{kind: IngressClass, metadata: {name: nginx}, spec: {controller: k8s.io/ingress-nginx}}");
    text.split("\n---\n")
        .filter(|document| !document.trim().is_empty())
        .for_each(|document| add(&mut resources, document));
    resources
}

pub(super) fn add(resources: &mut Resources, document: &str) {
    fn read<T: DeserializeOwned + Metadata<Ty = ObjectMeta>>(document: &str) -> (ObjectKey, Object<T>) {
        let value: T = serde_saphyr::from_str(document).unwrap();
        let (namespace, name) = {
            let metadata = value.metadata();
            (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap())
        };
        let mut hasher = DefaultHasher::new();
        document.hash(&mut hasher);
        (ObjectKey::new(&namespace, &name), Object::new(value, hasher.finish()))
    }
    let kind = document.split("kind: ").nth(1).unwrap().split([',', '\n']).next().unwrap().trim();
    match kind {
        "Namespace" => resources.namespaces.extend([read(document)]),
        "IngressClass" => resources.classes.extend([read(document)]),
        "Ingress" => resources.ingresses.extend([read(document)]),
        "Service" => resources.services.extend([read(document)]),
        "Secret" => resources.secrets.extend([read(document)]),
        "ConfigMap" => resources.config_maps.extend([read(document)]),
        "EndpointSlice" => resources.insert_endpoint_slice(read(document).1),
        other => panic!("kind {other}"),
    }
}

/// One Ingress of namespace `demo`: `rules` as lines of `host path type service`.
pub(super) fn ingress(name: &str, minute: u32, annotations: &str, rules: &[&str]) -> String {
    let rules: Vec<String> = rules
        .iter()
        .map(|rule| {
            let words: Vec<&str> = rule.split(' ').collect();
            let [host, path, path_type, service] = words[..] else { panic!("{rule}") };
            let host = if host == "_" { String::new() } else { format!("host: '{host}', ") };
            format!(
                "{{{host}http: {{paths: [{{path: '{path}', pathType: {path_type}, \
                 backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}]}}}}"
            )
        })
        .collect();
    format!(
        "kind: Ingress\nmetadata: {{name: {name}, namespace: demo, creationTimestamp: '2024-01-01T00:{minute:02}:00Z', \
         annotations: {{{annotations}}}}}\nspec: {{ingressClassName: nginx, rules: [{}]}}",
        rules.join(", ")
    )
}

pub(super) fn translated(text: &str) -> Translation {
    translate(&resources(text), &options(), &mut Memo::default())
}

/// The routes of a host as lines of `match -> service (ingress)`, in their order.
pub(super) fn routes(translation: &Translation, host: &str) -> Vec<String> {
    let host: &VirtualHost = &translation.snapshot.hosts[&host.parse().unwrap()];
    match &host.action {
        HostAction::Serve { routes, .. } => routes.iter().map(|route| line(route)).collect(),
        HostAction::RedirectTo(target) => vec![format!("redirect to {target}")],
    }
}

fn line(route: &Route) -> String {
    let backend = match &route.backend {
        Backend::Cluster(id) => id.service.to_string(),
        Backend::Default => "default".to_owned(),
    };
    format!("{} -> {backend} ({})", route.path, route.source.ingress)
}

pub(super) fn codes(translation: &Translation) -> Vec<&'static str> {
    let mut codes: Vec<_> = translation.findings.iter().map(|finding| finding.code).collect();
    codes.retain(|code| *code != "service-not-found");
    codes
}
