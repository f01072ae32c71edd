//! Manifests for tests.

use std::net::SocketAddr;

/// The IngressClass that all Ingresses here name.
pub const CLASS: &str = "apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: nginx}
spec: {controller: k8s.io/ingress-nginx}
";

/// An Ingress of namespace `demo` with one path of type Prefix.
pub fn ingress(name: &str, host: &str, path: &str, service: &str) -> String {
    annotated_ingress(name, host, path, service, &[])
}

/// The same with annotations, named without their prefix.
pub fn annotated_ingress(name: &str, host: &str, path: &str, service: &str, annotations: &[(&str, &str)]) -> String {
    let annotations: String = annotations
        .iter()
        .map(|(key, value)| format!("    nginx.ingress.kubernetes.io/{key}: \"{value}\"\n"))
        .collect();
    let annotations = if annotations.is_empty() { String::new() } else { format!("  annotations:\n{annotations}") };
    format!(
        "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {name}
  namespace: demo
{annotations}spec:
  ingressClassName: nginx
  rules:
  - host: {host}
    http:
      paths:
      - path: {path}
        pathType: Prefix
        backend: {{service: {{name: {service}, port: {{number: 80}}}}}}
"
    )
}

/// A Service of namespace `demo` on port 80, and its endpoints.
pub fn service(name: &str, endpoints: &[SocketAddr]) -> String {
    let mut text = format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: demo}}
spec:
  ports: [{{name: http, port: 80, targetPort: http}}]
"
    );
    for (number, endpoint) in endpoints.iter().enumerate() {
        text.push_str(&format!(
            "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}-{number}
  namespace: demo
  labels: {{kubernetes.io/service-name: {name}}}
addressType: IPv4
ports: [{{name: http, port: {}}}]
endpoints: [{{addresses: [\"{}\"], conditions: {{ready: true}}}}]
",
            endpoint.port(),
            endpoint.ip()
        ));
    }
    text
}

/// Several documents in one.
pub fn joined(documents: &[String]) -> String {
    documents.join("---\n")
}

/// An Ingress with its section of TLS: `host` is served with the certificate of `secret`.
pub fn with_tls(ingress: &str, host: &str, secret: &str) -> String {
    format!("{ingress}  tls: [{{hosts: [{host}], secretName: {secret}}}]\n")
}
