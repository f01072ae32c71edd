//! Request heads and tables for tests, written short.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderName, HeaderValue, Version};
use portcullis_model::{
    Backend, Certificate, CertificateSet, ClusterId, Endpoint, HostAction, HostMatch, PathMatch, PathMode, PathType,
    Route, RoutePolicy, RouteSource, Settings, Snapshot, VirtualHost,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::head::ConnectionFacts;
use crate::table::RoutingTable;
use crate::upstream::UpstreamRegistry;

/// A connection in the clear.
pub(super) const PLAIN: ConnectionFacts = ConnectionFacts {
    peer: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 9)), 4000),
    port: 8080,
    tls: false,
    https_port: 8443,
    proxied: None,
};

/// A connection over TLS.
pub(super) const TLS: ConnectionFacts = ConnectionFacts { port: 8443, tls: true, ..PLAIN };

/// A request line and fields, divided by line feeds: `GET /a HTTP/1.1`, `Host: a.example`.
pub(super) fn parts(text: &str) -> Parts {
    let mut lines = text.split('\n').map(str::trim_start);
    let mut line = lines.next().unwrap().split(' ');
    let method = line.next().unwrap();
    let target = line.next().unwrap();
    let version = match line.next().unwrap() {
        "HTTP/1.0" => Version::HTTP_10,
        "HTTP/2" => Version::HTTP_2,
        _ => Version::HTTP_11,
    };
    let mut request = http::Request::builder().method(method).uri(target).version(version).body(()).unwrap();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    request.into_parts().0
}

/// A cluster of namespace `shop`.
pub(super) fn cluster(service: &str) -> ClusterId {
    ClusterId { namespace: "shop".into(), service: service.into(), port: "80".into() }
}

/// A route of Ingress `shop/web` to Service `service`, or to the default backend for `""`.
pub(super) fn route(path: PathMatch, service: &str, policy: RoutePolicy) -> Route {
    let text = match &path {
        PathMatch::Exact(text) | PathMatch::Prefix(text) => Arc::clone(text),
        PathMatch::Pattern(pattern) => pattern.source().into(),
    };
    Route {
        path,
        source: RouteSource {
            namespace: "shop".into(),
            ingress: "web".into(),
            host: "a.example".into(),
            path: text,
            path_type: PathType::Prefix,
            implicit: false,
        },
        backend: if service.is_empty() { Backend::Default } else { Backend::Cluster(cluster(service)) },
        policy: Arc::new(policy),
    }
}

/// A virtual host that serves these routes.
pub(super) fn serving(host: &str, routes: Vec<Route>) -> VirtualHost {
    let routes = routes.into_iter().map(Arc::new).collect();
    let action = HostAction::Serve { mode: PathMode::Plain, routes, app_root: None };
    VirtualHost { host: host.parse::<HostMatch>().unwrap(), aliases: Vec::new(), tls: false, handshake: None, action }
}

/// A table of these hosts, in which these Services have an endpoint.
pub(super) fn table(hosts: Vec<VirtualHost>, live: &[&str], settings: Settings, default: Option<&str>) -> RoutingTable {
    let registry = UpstreamRegistry::default();
    let snapshot = Snapshot {
        hosts: hosts.into_iter().map(|host| (host.host.clone(), Arc::new(host))).collect(),
        streams: BTreeMap::new(),
        clusters: BTreeMap::new(),
        certificates: Arc::new(CertificateSet { default: certificate(), by_host: BTreeMap::new() }),
        default_backend: default.map(cluster),
        health_path: "/healthz".into(),
        settings: Arc::new(settings),
    };
    let table = RoutingTable::compile(&snapshot, &registry, None);
    for service in live {
        registry.set_endpoints(&cluster(service), &[Endpoint { address: "127.0.0.1:1".parse().unwrap() }]);
    }
    table
}

fn certificate() -> Arc<Certificate> {
    let made = rcgen::generate_simple_self_signed(vec!["default.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    Arc::new(Certificate::new(vec![made.cert.der().clone()], &key, Vec::new(), 0, None).unwrap())
}
