//! A server with tables made on the spot, origins made by hand, and clients that send bytes.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod client;
pub(crate) mod http2;
pub(crate) mod origin;
pub(crate) mod visitor;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_model::{
    Backend, Certificate, CertificateChoice, CertificateSet, Cluster, ClusterId, Endpoint, HostAction, HostMatch,
    PathMatch, PathMode, PathType, Protocol, Route, RoutePolicy, RouteSource, Settings, Snapshot, StreamPort,
    StreamService, VirtualHost,
};
use portcullis_proxy::access_log::Writer;
use portcullis_proxy::metrics::Totals;
use portcullis_proxy::server::{RunningServer, ServerConfig, bind};
use portcullis_proxy::table::{RoutingTable, TableWriter, channel};
use portcullis_proxy::upstream::UpstreamRegistry;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A running server with its table.
pub(crate) struct Site {
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) registry: UpstreamRegistry,
    pub(crate) server: RunningServer,
    table: TableWriter,
    log: Log,
}

/// What a site serves.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) hosts: Vec<VirtualHost>,
    pub(crate) endpoints: Vec<(&'static str, Vec<SocketAddr>)>,
    /// Those that do not simply let endpoints take turns.
    pub(crate) clusters: Vec<Cluster>,
    pub(crate) certificates: Vec<(&'static str, Arc<Certificate>)>,
    pub(crate) settings: Settings,
    pub(crate) default_backend: Option<&'static str>,
    /// TCP and UDP services.
    pub(crate) streams: BTreeMap<StreamPort, StreamService>,
    pub(crate) config: ServerConfig,
}

impl Plan {
    /// Host `a.example` with everything sent to Service `web`.
    pub(crate) fn new(endpoints: &[SocketAddr]) -> Self {
        Self::with_policy(endpoints, RoutePolicy::default())
    }

    pub(crate) fn with_policy(endpoints: &[SocketAddr], policy: RoutePolicy) -> Self {
        let any = vec!["127.0.0.1:0".parse().unwrap()];
        Self {
            hosts: vec![host("a.example", vec![route("/", "web", policy)])],
            endpoints: vec![("web", endpoints.to_vec())],
            clusters: Vec::new(),
            certificates: Vec::new(),
            settings: Settings::default(),
            default_backend: None,
            streams: BTreeMap::new(),
            config: ServerConfig::new(any.clone(), any, NonZeroUsize::new(2).unwrap()),
        }
    }

    pub(crate) fn start(self) -> Site {
        let registry = UpstreamRegistry::default();
        let (table, reader) = channel(self.compile(&registry));
        self.set_endpoints(&registry);
        let server = bind(self.config).unwrap();
        let (http, https) = (server.http_addresses()[0], server.https_addresses()[0]);
        let log = Log::default();
        let server = server.start(reader, Writer::to(log.clone()).unwrap());
        Site { http, https, registry, server, table, log }
    }

    fn compile(&self, registry: &UpstreamRegistry) -> RoutingTable {
        let hosts = self.hosts.iter().map(|host| (host.host.clone(), Arc::new(host.clone()))).collect();
        // A name with several certificates has them all.
        let of = |name: &'static str| {
            self.certificates.iter().filter(move |(other, _)| *other == name).map(|(_, own)| own.clone())
        };
        let names = self.certificates.iter().map(|(name, _)| *name);
        let by_host = names.map(|name| (name.parse().unwrap(), CertificateChoice::of(of(name)))).collect();
        let snapshot = Snapshot {
            hosts,
            streams: self.streams.iter().map(|(port, service)| (*port, Arc::new(service.clone()))).collect(),
            clusters: self.clusters.iter().map(|one| (one.id.clone(), Arc::new(one.clone()))).collect(),
            certificates: Arc::new(CertificateSet { default: certificate(&["default.example"]), by_host }),
            default_backend: self.default_backend.map(cluster),
            health_path: "/healthz".into(),
            settings: Arc::new(self.settings.clone()),
        };
        RoutingTable::compile(&snapshot, registry, None)
    }

    fn set_endpoints(&self, registry: &UpstreamRegistry) {
        for (service, addresses) in &self.endpoints {
            let endpoints: Vec<Endpoint> = addresses.iter().map(|address| Endpoint { address: *address }).collect();
            registry.set_endpoints(&cluster(service), &endpoints);
        }
    }
}

impl Site {
    /// Serves this instead. Addresses stay.
    pub(crate) fn publish(&mut self, plan: &Plan) {
        let table = plan.compile(&self.registry);
        plan.set_endpoints(&self.registry);
        self.table.publish(table);
    }

    pub(crate) fn totals(&self) -> Totals {
        self.server.metrics()
    }

    /// The log lines so far; waits until there are `count`.
    pub(crate) fn log(&self, count: usize) -> Vec<String> {
        let lines = || -> Vec<String> {
            String::from_utf8_lossy(&self.log.0.lock().unwrap()).lines().map(str::to_owned).collect()
        };
        eventually(|| lines().len() >= count);
        lines()
    }

    pub(crate) fn shut_down(&self, deadline: Duration) {
        runtime().block_on(self.server.shutdown(deadline));
    }
}

/// No test may leave a panic behind that nobody saw.
impl Drop for Site {
    fn drop(&mut self) {
        let panics = self.totals().panics;
        self.shut_down(Duration::ZERO);
        if !std::thread::panicking() {
            assert_eq!(panics, 0, "a task ended in a panic");
        }
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Waits for something that takes a moment.
pub(crate) fn eventually(is_true: impl Fn() -> bool) {
    for _ in 0..200 {
        if is_true() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("did not come true in two seconds");
}

pub(crate) fn cluster(service: &str) -> ClusterId {
    ClusterId { namespace: "shop".into(), service: service.into(), port: "80".into() }
}

pub(crate) fn host(name: &str, routes: Vec<Route>) -> VirtualHost {
    let routes = routes.into_iter().map(Arc::new).collect();
    let action = HostAction::Serve { mode: PathMode::Plain, routes, app_root: None };
    VirtualHost { host: name.parse::<HostMatch>().unwrap(), aliases: Vec::new(), tls: false, handshake: None, action }
}

pub(crate) fn route(prefix: &str, service: &str, policy: RoutePolicy) -> Route {
    Route {
        path: PathMatch::Prefix(prefix.into()),
        source: RouteSource {
            namespace: "shop".into(),
            ingress: "web".into(),
            host: "a.example".into(),
            path: prefix.into(),
            path_type: PathType::Prefix,
            implicit: false,
        },
        backend: Backend::Cluster(cluster(service)),
        policy: Arc::new(policy),
    }
}

pub(crate) fn over_tls() -> RoutePolicy {
    let mut policy = RoutePolicy::default();
    policy.upstream.protocol = Protocol::Https;
    policy
}

/// Bodies of any size, passed on as they come.
pub(crate) fn streaming() -> RoutePolicy {
    let mut policy = RoutePolicy::default();
    (policy.body.largest, policy.body.buffer_request) = (None, false);
    policy
}

/// With this `proxy-read-timeout`.
pub(crate) fn reading_within(read: Duration) -> RoutePolicy {
    let mut policy = RoutePolicy::default();
    policy.timeouts.read = read.into();
    policy
}

/// A self-signed certificate for these names.
pub(crate) fn certificate(names: &[&str]) -> Arc<Certificate> {
    let (chain, key) = self_signed(names);
    let names = names.iter().map(|name| name.parse().unwrap()).collect();
    Arc::new(Certificate::new(chain, &key, names, 0, None).unwrap())
}

/// The same with an RSA key.
pub(crate) fn rsa_certificate(names: &[&str]) -> Arc<Certificate> {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let listed = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let made = rcgen::CertificateParams::new(listed).unwrap().self_signed(&pair).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    let names = names.iter().map(|name| name.parse().unwrap()).collect();
    Arc::new(Certificate::new(vec![made.der().clone()], &key, names, 0, None).unwrap())
}

pub(crate) fn self_signed(names: &[&str]) -> (Vec<rustls_pki_types::CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let made = rcgen::generate_simple_self_signed(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    let made = made.unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    (vec![made.cert.der().clone()], key)
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
