//! Snapshots for tests, written short: `("a.example", &["Prefix /foo", "Exact /foo"])`.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_model::{
    Alias, Backend, Certificate, CertificateChoice, CertificateSet, ClusterId, HostAction, HostMatch, PathMatch,
    PathMode, PathType, Pattern, PatternSyntax, Route, RoutePolicy, RouteSource, SecretName, Settings, Snapshot,
    VirtualHost,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A self-signed certificate for these names, which may be wildcards.
pub(super) fn certificate(names: &[&str]) -> Arc<Certificate> {
    let made =
        rcgen::generate_simple_self_signed(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let names = names.iter().map(|name| name.parse().unwrap()).collect();
    Arc::new(Certificate::new(vec![made.cert.der().clone()], &key, names, 0, None).unwrap())
}

/// The same with an RSA key, of Secret `demo/rsa`.
pub(super) fn rsa_certificate(names: &[&str]) -> Arc<Certificate> {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let listed = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let made = rcgen::CertificateParams::new(listed).unwrap().self_signed(&pair).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    let names = names.iter().map(|name| name.parse().unwrap()).collect();
    let source = SecretName { namespace: "demo".into(), name: "rsa".into() };
    Arc::new(Certificate::new(vec![made.der().clone()], &key, names, 0, Some(source)).unwrap())
}

/// A snapshot of these hosts (`""` for none) in plain mode, with a default certificate only.
pub(crate) fn snapshot(hosts: &[(&str, &[&str])]) -> Snapshot {
    let hosts = hosts.iter().map(|(name, paths)| virtual_host(name, PathMode::Plain, paths));
    Snapshot {
        hosts: hosts.map(|host| (host.host.clone(), Arc::new(host))).collect(),
        streams: BTreeMap::new(),
        clusters: BTreeMap::new(),
        certificates: Arc::new(CertificateSet { default: certificate(&["default.example"]), by_host: BTreeMap::new() }),
        default_backend: None,
        health_path: "/healthz".into(),
        settings: Arc::new(Settings::default()),
    }
}

/// A snapshot with these certificates; `None` pins the default one.
pub(super) fn with_certificates(entries: &[(&str, Option<&Arc<Certificate>>)]) -> Snapshot {
    let choice = |own: &Option<&Arc<Certificate>>| {
        own.map_or(CertificateChoice::Default, |own| CertificateChoice::Own(Arc::clone(own)))
    };
    let by_host = entries.iter().map(|(name, own)| (name.parse().unwrap(), choice(own))).collect();
    let certificates = Arc::new(CertificateSet { default: certificate(&["default.example"]), by_host });
    Snapshot { certificates, ..snapshot(&[]) }
}

/// A virtual host; paths as `Prefix /p`, `Exact /p`, or an expression with nothing before it.
pub(super) fn virtual_host(name: &str, mode: PathMode, paths: &[&str]) -> VirtualHost {
    let routes = paths.iter().map(|path| Arc::new(route(name, path))).collect();
    let action = HostAction::Serve { mode, routes, app_root: None };
    VirtualHost { host: name.parse::<HostMatch>().unwrap(), aliases: Vec::new(), tls: false, handshake: None, action }
}

/// The same with further names, none of them with a certificate.
pub(super) fn with_aliases(host: VirtualHost, aliases: &[&str]) -> Arc<VirtualHost> {
    let aliases = aliases.iter().map(|name| Alias { name: name.parse().unwrap(), tls: false }).collect();
    Arc::new(VirtualHost { aliases, ..host })
}

/// A route to Service `NAME` of namespace `shop`, where `NAME` is the path as given to [`virtual_host`].
pub(super) fn route(host: &str, path: &str) -> Route {
    let (path_match, path_type, text) = match path.split_once(' ') {
        Some(("Exact", text)) => (PathMatch::Exact(text.into()), PathType::Exact, text),
        Some(("Prefix", text)) => (PathMatch::Prefix(text.into()), PathType::Prefix, text),
        _ => {
            (PathMatch::Pattern(Arc::new(Pattern::new(path, PatternSyntax::LOCATION).unwrap())), PathType::Prefix, path)
        }
    };
    Route {
        path: path_match,
        source: RouteSource {
            namespace: "shop".into(),
            ingress: "web".into(),
            host: host.into(),
            path: text.into(),
            path_type,
            implicit: false,
        },
        backend: Backend::Cluster(cluster(path)),
        policy: RoutePolicy::default().into(),
    }
}

pub(crate) fn cluster(service: &str) -> ClusterId {
    ClusterId { namespace: "shop".into(), service: service.into(), port: "80".into() }
}
