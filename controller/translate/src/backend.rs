//! Services and EndpointSlices to clusters.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use portcullis_model::{Cluster, ClusterId, ClusterPolicy, DnsTarget, Endpoint, Endpoints, L4Protocol};

use crate::{Finding, ObjectKey, ObjectRef, Options, Resources, quoted};

/// Resolves the addresses of a Service port. Whatever is missing gives no addresses, which answers 503.
pub(crate) fn cluster(
    id: &ClusterId,
    service_upstream: bool,
    policy: Arc<ClusterPolicy>,
    resources: &Resources,
    options: &Options,
    findings: &mut Vec<Finding>,
) -> Cluster {
    let endpoints = endpoints(id, service_upstream, resources, options, findings);
    Cluster { id: id.clone(), endpoints, policy }
}

fn endpoints(
    id: &ClusterId,
    service_upstream: bool,
    resources: &Resources,
    options: &Options,
    findings: &mut Vec<Finding>,
) -> Endpoints {
    let key = service_key(id);
    if let Some(overridden) = overrides(id, &key, options) {
        return overridden;
    }
    let Some(service) = resources.services.get(&key) else { return Endpoints::none() };
    let service = service.value.as_ref();
    let object = ObjectRef::new("Service", &key);
    if is_external(service) {
        return external(id, service, options, &object, findings);
    }
    let Some(port) = service_port(id, service) else {
        findings.push(no_such_port(id, service, &object));
        return Endpoints::none();
    };
    if service_upstream && let Some(address) = cluster_ip(service, id, port) {
        return Endpoints::Known(Arc::from([Endpoint { address }]));
    }
    Collector::collect(&key, port, resources, options, findings)
}

/// Why a TCP or UDP service has nowhere to go.
pub(crate) enum NoEndpoints {
    NoService,
    /// The ports there are, for people.
    NoPort(String),
    /// What is the matter with the name, as the end of a sentence about the Service.
    ExternalName(&'static str),
    None,
}

/// Resolves the addresses of a Service port for a TCP or UDP service: its number or name, never its target port.
pub(crate) fn stream_endpoints(
    id: &ClusterId,
    protocol: L4Protocol,
    resources: &Resources,
    options: &Options,
    findings: &mut Vec<Finding>,
) -> Result<Endpoints, NoEndpoints> {
    let key = service_key(id);
    if let Some(overridden) = overrides(id, &key, options) {
        return Ok(overridden);
    }
    let service = resources.services.get(&key).ok_or(NoEndpoints::NoService)?.value.as_ref();
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let ports = || ports.iter().filter(|port| protocol_of(port.protocol.as_deref()) == protocol.as_str());
    let number = id.port.parse::<i32>().ok();
    let named = |port: &&ServicePort| match number {
        Some(number) => port.port == number,
        None => port.name.as_deref() == Some(&*id.port),
    };
    let port = ports().find(named).ok_or_else(|| NoEndpoints::NoPort(listed(ports())))?;
    if is_external(service) {
        return external_stream(service, port, options);
    }
    match Collector::collect(&key, port, resources, options, findings) {
        Endpoints::Known(none) if none.is_empty() => Err(NoEndpoints::None),
        endpoints => Ok(endpoints),
    }
}

fn external_stream(service: &Service, port: &ServicePort, options: &Options) -> Result<Endpoints, NoEndpoints> {
    if options.disable_external_name {
        return Err(NoEndpoints::ExternalName(
            "is of type ExternalName, which --disable-svc-external-name switches off",
        ));
    }
    let name = external_name(service);
    if !is_resolvable(name) {
        return Err(NoEndpoints::ExternalName("has an externalName that may not be resolved"));
    }
    let number = u16::try_from(target_number(port)).ok().filter(|number| *number != 0).ok_or(NoEndpoints::None)?;
    Ok(Endpoints::Dns(DnsTarget { name: name.into(), port: number }))
}

/// The Service a cluster belongs to.
pub(crate) fn service_key(id: &ClusterId) -> ObjectKey {
    ObjectKey { namespace: id.namespace.clone(), name: id.service.clone() }
}

/// The first port of a Service, as default backends use it; an override needs no Service.
pub(crate) fn first_port(key: &ObjectKey, resources: &Resources, options: &Options) -> Option<ClusterId> {
    let declared = || {
        let service = resources.services.get(key)?;
        Some(service.value.spec.as_ref()?.ports.as_ref()?.first()?.port.to_string())
    };
    let overridden = || {
        let entry = options.endpoint_overrides.iter().find(|entry| entry.service == *key)?;
        Some(entry.port.clone().unwrap_or_else(|| "80".to_owned()))
    };
    let port = declared().or_else(overridden)?;
    Some(ClusterId { namespace: key.namespace.clone(), service: key.name.clone(), port: port.into() })
}

fn overrides(id: &ClusterId, key: &ObjectKey, options: &Options) -> Option<Endpoints> {
    let matching = options
        .endpoint_overrides
        .iter()
        .filter(|entry| entry.service == *key && entry.port.as_deref().is_none_or(|port| port == &*id.port));
    let addresses: BTreeSet<Endpoint> = matching.map(|entry| Endpoint { address: entry.address }).collect();
    (!addresses.is_empty()).then(|| Endpoints::Known(addresses.into_iter().collect()))
}

/// The Service port whose number, target port or name is what the Ingress writes; TCP only.
fn service_port<'s>(id: &ClusterId, service: &'s Service) -> Option<&'s ServicePort> {
    let ports = service.spec.as_ref()?.ports.as_ref()?;
    let wanted = &*id.port;
    ports.iter().filter(|port| protocol_of(port.protocol.as_deref()) == "TCP").find(|port| {
        port.port.to_string() == wanted
            || port.name.as_deref() == Some(wanted)
            || port.target_port.as_ref().is_some_and(|target| text(target) == wanted)
    })
}

fn protocol_of(protocol: Option<&str>) -> &str {
    protocol.filter(|protocol| !protocol.is_empty()).unwrap_or("TCP")
}

/// Ports for people.
fn listed<'p>(ports: impl Iterator<Item = &'p ServicePort>) -> String {
    let shown = |port: &ServicePort| match &port.name {
        Some(name) => format!("{} ({name})", port.port),
        None => port.port.to_string(),
    };
    let known: Vec<String> = ports.map(shown).collect();
    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
}

fn text(port: &IntOrString) -> String {
    match port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => name.clone(),
    }
}

fn no_such_port(id: &ClusterId, service: &Service, object: &ObjectRef) -> Finding {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    Finding::error(
        object,
        "spec.ports",
        "unknown-service-port",
        format!(
            "an Ingress names port {}, which the Service does not have over TCP; such requests answer 503",
            quoted(&id.port)
        ),
        &format!("ports of the Service: {}", listed(ports.iter())),
    )
}

/// `service-upstream`: the virtual address of the Service. Headless Services have none.
fn cluster_ip(service: &Service, id: &ClusterId, port: &ServicePort) -> Option<SocketAddr> {
    let address: IpAddr = service.spec.as_ref()?.cluster_ip.as_deref()?.parse().ok()?;
    let number = id.port.parse().ok().or_else(|| u16::try_from(port.port).ok())?;
    Some(SocketAddr::new(address, number))
}

fn is_external(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("ExternalName")
}

/// A name outside the cluster, which the proxy resolves while running.
fn external(
    id: &ClusterId,
    service: &Service,
    options: &Options,
    object: &ObjectRef,
    findings: &mut Vec<Finding>,
) -> Endpoints {
    let name = external_name(service);
    let mut refuse = |message: String, help: &str| {
        findings.push(Finding::error(object, "spec.externalName", "external-name-refused", message, help));
        Endpoints::none()
    };
    if options.disable_external_name {
        return refuse(
            "Services of type ExternalName are switched off, so requests to this one answer 503".to_owned(),
            "remove --disable-svc-external-name to allow them",
        );
    }
    if !is_resolvable(name) {
        return refuse(
            format!("{} is not a name that may be resolved, so requests to this Service answer 503", quoted(name)),
            "name a host other than localhost; for an address, use a Service without selector and an EndpointSlice",
        );
    }
    match external_port(id, service) {
        Some(port) => Endpoints::Dns(DnsTarget { name: name.into(), port }),
        None => refuse(
            format!(
                "an Ingress names port {}, which has no number here, so such requests answer 503",
                quoted(&id.port)
            ),
            "give the Service a port of that name, or name a port number in the Ingress",
        ),
    }
}

fn external_name(service: &Service) -> &str {
    service.spec.as_ref().and_then(|spec| spec.external_name.as_deref()).unwrap_or_default()
}

/// A DNS name (RFC 1123) that is neither an address nor this host.
fn is_resolvable(name: &str) -> bool {
    let bare = name.strip_suffix('.').unwrap_or(name);
    let lower = bare.to_ascii_lowercase();
    let is_local = lower == "localhost" || lower.ends_with(".localhost");
    let label = |label: &str| {
        let inner = label.bytes().all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-');
        (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    !is_local && bare.parse::<IpAddr>().is_err() && bare.len() <= 253 && bare.split('.').all(label)
}

/// The target port of the Service port with that number or name, else the number the Ingress writes.
fn external_port(id: &ClusterId, service: &Service) -> Option<u16> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let declared =
        ports.iter().find(|port| port.port.to_string() == *id.port || port.name.as_deref() == Some(&*id.port));
    let number = declared.map(target_number).or_else(|| id.port.parse().ok());
    number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number != 0)
}

/// The target port where it is a number, else the port itself.
fn target_number(port: &ServicePort) -> i32 {
    match &port.target_port {
        Some(IntOrString::Int(target)) if *target != 0 => *target,
        _ => port.port,
    }
}

/// Gathers the endpoints of all slices of a Service.
struct Collector<'a> {
    options: &'a Options,
    object: &'a ObjectRef,
    findings: &'a mut Vec<Finding>,
    ready: BTreeSet<Endpoint>,
    terminating: BTreeSet<Endpoint>,
}

impl Collector<'_> {
    fn collect(
        key: &ObjectKey,
        port: &ServicePort,
        resources: &Resources,
        options: &Options,
        findings: &mut Vec<Finding>,
    ) -> Endpoints {
        let object = ObjectRef::new("Service", key);
        let (ready, terminating) = (BTreeSet::new(), BTreeSet::new());
        let mut collector = Collector { options, object: &object, findings, ready, terminating };
        let slices = resources.endpoint_slices.get(key);
        for slice in slices.into_iter().flat_map(|slices| slices.values()) {
            collector.add(&slice.value, port);
        }
        collector.finish()
    }

    fn add(&mut self, slice: &EndpointSlice, port: &ServicePort) {
        for number in slice_ports(slice, port) {
            for endpoint in &slice.endpoints {
                let conditions = endpoint.conditions.as_ref();
                let ready = conditions.and_then(|conditions| conditions.ready).unwrap_or(true);
                let going = conditions.is_some_and(|conditions| {
                    conditions.terminating.unwrap_or(false) && conditions.serving.unwrap_or(false)
                });
                for address in &endpoint.addresses {
                    match self.usable(address) {
                        Some(address) if ready => {
                            self.ready.insert(Endpoint { address: SocketAddr::new(address, number) })
                        }
                        Some(address) if going => {
                            self.terminating.insert(Endpoint { address: SocketAddr::new(address, number) })
                        }
                        _ => false,
                    };
                }
            }
        }
    }

    /// An address that may be connected to: no name, and not one of this host or of the link.
    fn usable(&mut self, text: &str) -> Option<IpAddr> {
        let address = text.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        let allowed = address.filter(|address| is_allowed(*address, self.options.loopback_endpoints));
        if allowed.is_none() {
            self.findings.push(Finding::warning(
                self.object,
                "",
                "endpoint-refused",
                format!(
                    "the endpoint address {} is not used: it is no address, or one of this host or link",
                    quoted(text)
                ),
                "endpoints need a unicast address other than loopback and link-local",
            ));
        }
        allowed
    }

    /// Ready endpoints; where there are none, those that end but still serve.
    fn finish(self) -> Endpoints {
        let chosen = if self.ready.is_empty() { self.terminating } else { self.ready };
        Endpoints::Known(chosen.into_iter().collect())
    }
}

fn is_allowed(address: IpAddr, loopback: bool) -> bool {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !address.is_unspecified() && !address.is_multicast() && !link_local && (loopback || !address.is_loopback())
}

/// Port numbers of a slice that belong to a Service port: by name, else the numeric target port.
fn slice_ports(slice: &EndpointSlice, port: &ServicePort) -> Vec<u16> {
    let target = match &port.target_port {
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(_)) => None,
        None => Some(port.port),
    };
    let name = port.name.as_deref().unwrap_or_default();
    let ports = slice.ports.as_deref().unwrap_or_default();
    let numbers: Vec<i32> = if ports.is_empty() {
        target.into_iter().collect()
    } else {
        let wanted = protocol_of(port.protocol.as_deref());
        let ours = ports.iter().filter(|entry| protocol_of(entry.protocol.as_deref()) == wanted);
        let of_slice = ours.filter_map(|entry| {
            let named = name.is_empty() || entry.name.as_deref().unwrap_or_default() == name;
            entry.port.filter(|_| named).or(target)
        });
        of_slice.collect()
    };
    numbers.into_iter().filter_map(|number| u16::try_from(number).ok()).filter(|number| *number != 0).collect()
}
