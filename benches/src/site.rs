//! A site of many hosts with two paths each, as a snapshot, and requests to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_model::{
    Backend, Certificate, CertificateSet, ClusterId, HostAction, HostMatch, PathMatch, PathMode, PathType, Pattern,
    PatternSyntax, Route, RoutePolicy, RouteSource, Settings, Snapshot, VirtualHost,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::{Regex, host_name};

/// A snapshot of `hosts` hosts with two paths and the `/` that every host has.
#[must_use]
pub fn snapshot(hosts: usize, regex: Regex) -> Snapshot {
    let hosts = (0..hosts).map(|host| virtual_host(host, regex.applies(host)));
    Snapshot {
        hosts: hosts.map(|host| (host.host.clone(), Arc::new(host))).collect(),
        streams: BTreeMap::new(),
        clusters: BTreeMap::new(),
        certificates: Arc::new(CertificateSet { default: certificate(), by_host: BTreeMap::new() }),
        default_backend: None,
        health_path: "/healthz".into(),
        settings: Arc::new(Settings::default()),
    }
}

/// A self-signed certificate.
#[must_use]
pub fn certificate() -> Arc<Certificate> {
    let made = rcgen::generate_simple_self_signed(["ingress.local".to_owned()]).expect("a self-signed certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    Arc::new(Certificate::new(vec![made.cert.der().clone()], &key, Vec::new(), 0, None).expect("a matching pair"))
}

fn virtual_host(host: usize, regex: bool) -> VirtualHost {
    let paths = if regex {
        [format!("/svc{host}/something(/|$)(.*)"), format!("/other{host}(/|$)(.*)"), "/".to_owned()]
    } else {
        [format!("/svc{host}"), "/static/assets".to_owned(), "/".to_owned()]
    };
    let routes = paths.iter().enumerate().map(|(place, path)| Arc::new(route(host, place, path, regex))).collect();
    let mode = if regex { PathMode::Regex } else { PathMode::Plain };
    let name = host_name(host).parse().expect("a host name");
    let action = HostAction::Serve { mode, routes, app_root: None };
    VirtualHost { host: HostMatch::Exact(name), aliases: Vec::new(), tls: false, handshake: None, action }
}

fn route(host: usize, place: usize, path: &str, regex: bool) -> Route {
    let matched = if regex {
        PathMatch::Pattern(Arc::new(Pattern::new(path, PatternSyntax::LOCATION).expect("a pattern")))
    } else {
        PathMatch::Prefix(path.into())
    };
    let service = format!("svc-{host}-{place}").into();
    Route {
        path: matched,
        source: RouteSource {
            namespace: "tenant".into(),
            ingress: format!("shop-{host}").into(),
            host: host_name(host).into(),
            path: path.into(),
            path_type: PathType::Prefix,
            implicit: place == 2,
        },
        backend: match place {
            2 => Backend::Default,
            _ => Backend::Cluster(ClusterId { namespace: "tenant".into(), service, port: "80".into() }),
        },
        policy: RoutePolicy::default().into(),
    }
}

/// Canonical host and path of a request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Host.
    pub host: String,
    /// Path.
    pub path: String,
}

/// One request for each host, to its paths in turn, in an order without locality.
#[must_use]
pub fn requests(hosts: usize, regex: Regex) -> Vec<Request> {
    // Any odd multiplier without common factors visits every host once.
    let scattered = (0..hosts).map(|number| (number * 7919) % hosts);
    scattered
        .enumerate()
        .map(|(number, host)| {
            let path = match (number % 4, regex.applies(host)) {
                (0, true) => format!("/svc{host}/something/new/item-17"),
                (0, false) => format!("/svc{host}/new/item-17"),
                (1, true) => format!("/other{host}/x"),
                (1, false) => "/static/assets/app.3f2a.js".to_owned(),
                (2, _) => "/index.html".to_owned(),
                _ => "/".to_owned(),
            };
            Request { host: host_name(host), path }
        })
        .collect()
}
