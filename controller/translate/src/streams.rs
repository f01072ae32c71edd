//! TCP and UDP services: the ConfigMaps that list ports and the Services behind them.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use portcullis_model::{Cluster, ClusterId, ClusterPolicy, Endpoints, L4Protocol, StreamPort, StreamService};

use crate::backend::{self, NoEndpoints};
use crate::{Finding, Object, ObjectKey, ObjectRef, Options, Resources, quoted};

/// What is listened for and where it goes.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pub(crate) services: BTreeMap<StreamPort, Arc<StreamService>>,
    /// Under names that no Ingress gives.
    pub(crate) clusters: BTreeMap<ClusterId, Arc<Cluster>>,
}

impl Streams {
    /// Reads both ConfigMaps. An entry that cannot be served is a finding, and harms itself only.
    pub(crate) fn read(resources: &Resources, options: &Options, findings: &mut Vec<Finding>) -> Self {
        let mut streams = Self::default();
        for (protocol, flag, key) in [
            (L4Protocol::Tcp, "--tcp-services-configmap", &options.tcp_services),
            (L4Protocol::Udp, "--udp-services-configmap", &options.udp_services),
        ] {
            let Some(key) = key else { continue };
            let object = ObjectRef::new("ConfigMap", key);
            match resources.config_maps.get(key) {
                Some(config_map) => {
                    let mut reader = Reader { protocol, object, resources, options, streams, findings };
                    reader.read(config_map);
                    streams = reader.streams;
                }
                None => {
                    let message = format!(
                        "the ConfigMap named by {flag} does not exist, so no {} port is opened",
                        protocol.as_str()
                    );
                    findings.push(Finding::warning(&object, "", "no-config-map", message, "create it"));
                }
            }
        }
        streams
    }
}

/// One ConfigMap.
struct Reader<'a> {
    protocol: L4Protocol,
    object: ObjectRef,
    resources: &'a Resources,
    options: &'a Options,
    streams: Streams,
    findings: &'a mut Vec<Finding>,
}

impl Reader<'_> {
    fn read(&mut self, config_map: &Object<ConfigMap>) {
        for (key, value) in config_map.value.data.iter().flatten() {
            let Some((port, entry)) = self.port(key).zip(self.entry(key, value)) else { continue };
            let Some(endpoints) = self.endpoints(key, &entry) else { continue };
            self.add(port, &entry, endpoints);
        }
    }

    /// The port that is to be listened on.
    fn port(&mut self, key: &str) -> Option<StreamPort> {
        let number = key.parse::<u16>().ok().filter(|number| *number != 0 && !key.starts_with('+'));
        let Some(number) = number else {
            let message = format!("{} is not a port, so nothing is opened for it", quoted(key));
            return self.refuse(key, "invalid-stream-port", message, "expected: a number from 1 to 65535");
        };
        if let Some(user) = self.options.reserved_ports.get(&number) {
            let message = format!("port {number} belongs to {user}, so it is not opened for this Service");
            return self.refuse(key, "reserved-port", message, "choose another port");
        }
        let port = StreamPort { protocol: self.protocol, port: number };
        if self.streams.services.contains_key(&port) {
            let message = format!("port {number} is listed twice, and the other entry is served");
            return self.refuse(key, "duplicate-port", message, "remove one of the two");
        }
        Some(port)
    }

    /// `namespace/service:port[:PROXY][:PROXY]`.
    fn entry(&mut self, key: &str, value: &str) -> Option<Entry> {
        let mut parts = value.split(':');
        let service = parts.next().and_then(ObjectKey::parse);
        let port = parts.next().filter(|port| !port.is_empty());
        let Some((service, port)) = service.zip(port) else {
            let message = format!("{} names no port of a Service, so nothing is opened for it", quoted(value));
            let help = match self.protocol {
                L4Protocol::Tcp => "expected: namespace/service:port, then :PROXY or ::PROXY for the PROXY protocol",
                L4Protocol::Udp => "expected: namespace/service:port",
            };
            return self.refuse(key, "invalid-stream-service", message, help);
        };
        let words: Vec<&str> = parts.collect();
        let is_proxy = |word: Option<&&str>| word.is_some_and(|word| word.eq_ignore_ascii_case("PROXY"));
        let (accept_proxy, send_proxy) = match self.protocol {
            L4Protocol::Tcp => (is_proxy(words.first()), words.len() == 2 && is_proxy(words.get(1))),
            L4Protocol::Udp => (false, false),
        };
        let understood = words.iter().all(|word| word.is_empty() || is_proxy(Some(word))) && words.len() <= 2;
        if !understood || (self.protocol == L4Protocol::Udp && !words.is_empty()) {
            let message = match self.protocol {
                L4Protocol::Tcp => {
                    format!("{} has more after the port than PROXY twice, which has no effect", quoted(value))
                }
                L4Protocol::Udp => {
                    format!("{} asks for the PROXY protocol, which has no effect: it is for TCP only", quoted(value))
                }
            };
            self.findings.push(Finding::warning(&self.object, key, "invalid-stream-service", message, "remove it"));
        }
        Some(Entry { service, port: port.into(), accept_proxy, send_proxy })
    }

    /// Where the endpoints are; none where there are none, since nothing else could answer.
    fn endpoints(&mut self, key: &str, entry: &Entry) -> Option<Endpoints> {
        let Entry { service, port, .. } = entry;
        let id = entry.id(Arc::clone(port));
        let found = backend::stream_endpoints(&id, self.protocol, self.resources, self.options, self.findings);
        let protocol = self.protocol.as_str();
        let (code, what, help) = match found {
            Ok(endpoints) => return Some(endpoints),
            Err(NoEndpoints::NoService) => {
                ("service-not-found", format!("the Service {service} does not exist"), "create the Service".to_owned())
            }
            Err(NoEndpoints::NoPort(known)) => {
                let what = format!("the Service {service} has no port {} over {protocol}", quoted(port));
                ("unknown-service-port", what, format!("ports of the Service over {protocol}: {known}"))
            }
            Err(NoEndpoints::ExternalName(reason)) => {
                ("external-name-refused", format!("the Service {service} {reason}"), String::new())
            }
            Err(NoEndpoints::None) => {
                let what = format!("the Service {service} has no ready endpoint for port {}", quoted(port));
                ("no-endpoints", what, String::new())
            }
        };
        let message = format!("{what}, so the port is not opened");
        self.findings.push(Finding::warning(&self.object, key, code, message, &help));
        None
    }

    fn add(&mut self, port: StreamPort, entry: &Entry, endpoints: Endpoints) {
        let Entry { service, port: service_port, accept_proxy, send_proxy } = entry;
        let lower = self.protocol.as_lower_str();
        let id = entry.id(format!("{lower}/{service_port}").into());
        let stream = StreamService {
            name: format!("{lower}-{}-{}-{service_port}", service.namespace, service.name).into(),
            cluster: id.clone(),
            accept_proxy: *accept_proxy,
            send_proxy: *send_proxy,
        };
        let cluster = Cluster { id: id.clone(), endpoints, policy: Arc::new(ClusterPolicy::default()) };
        self.streams.services.insert(port, Arc::new(stream));
        self.streams.clusters.insert(id, Arc::new(cluster));
    }

    fn refuse<T>(&mut self, key: &str, code: &'static str, message: String, help: &str) -> Option<T> {
        self.findings.push(Finding::error(&self.object, key, code, message, help));
        None
    }
}

/// What a value says.
struct Entry {
    service: ObjectKey,
    port: Arc<str>,
    accept_proxy: bool,
    send_proxy: bool,
}

impl Entry {
    fn id(&self, port: Arc<str>) -> ClusterId {
        ClusterId { namespace: Arc::clone(&self.service.namespace), service: Arc::clone(&self.service.name), port }
    }
}
