//! One address of an Ingress' status, and what Services and nodes have of them.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Node, Service};
use serde_json::{Map, Value, json};

/// Longest name (RFC 1123 subdomain, as the API server checks it).
const MAX_NAME: usize = 253;

/// An entry of `status.loadBalancer.ingress`: an IP address, a host name, or both, each empty where there is none.
/// Sorted as ingress-nginx sorts them, by host name and then by IP address. Ports are never set.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Address {
    hostname: String,
    ip: String,
}

impl Address {
    /// An IP address or a host name; none where the API server would take it for neither.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        match text.parse::<IpAddr>() {
            Ok(_) => Some(Self { hostname: String::new(), ip: text.to_owned() }),
            Err(_) => is_name(text).then(|| Self { hostname: text.to_owned(), ip: String::new() }),
        }
    }

    /// What stands in the `status` of an Ingress, sorted.
    #[must_use]
    pub fn of_status(status: &Value) -> Vec<Self> {
        let entries = status.pointer("/loadBalancer/ingress").and_then(Value::as_array).into_iter().flatten();
        let text = |entry: &Value, field| entry.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut addresses: Vec<Self> =
            entries.map(|entry| Self { hostname: text(entry, "hostname"), ip: text(entry, "ip") }).collect();
        addresses.sort();
        addresses
    }

    /// As it stands there.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut entry = Map::new();
        for (field, text) in [("ip", &self.ip), ("hostname", &self.hostname)] {
            if !text.is_empty() {
                entry.insert(field.to_owned(), json!(text));
            }
        }
        Value::Object(entry)
    }

    fn is_ip(&self, ip: &str) -> bool {
        self.ip == ip || self.hostname == ip
    }
}

fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-')
    };
    text.len() <= MAX_NAME && text.split('.').all(is_label)
}

/// Sorted and without duplicates.
pub(super) fn in_order(addresses: impl IntoIterator<Item = Address>) -> Vec<Address> {
    let mut addresses: Vec<Address> = addresses.into_iter().collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

/// The value of `--publish-status-address`, and what of it is no address.
#[must_use]
pub fn fixed(text: &str) -> (Vec<Address>, Vec<&str>) {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let (mut addresses, mut refused) = (Vec::new(), Vec::new());
    for part in parts {
        match Address::from_text(part) {
            Some(address) => addresses.push(address),
            None => refused.push(part),
        }
    }
    (in_order(addresses), refused)
}

/// The addresses of a Service by its type: those of its load balancer and its external IPs; for a NodePort its external
/// IPs, else its cluster IP; its cluster IP; its external name.
pub(super) fn of_service(service: &Service) -> Vec<Address> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let text = |text: &Option<String>| text.as_deref().and_then(Address::from_text);
    let external = || spec.external_ips.iter().flatten().filter_map(|ip| Address::from_text(ip));
    match spec.type_.as_deref() {
        Some("ExternalName") => in_order(text(&spec.external_name)),
        Some("LoadBalancer") => {
            let mut addresses = of_load_balancer(service);
            let external: Vec<Address> =
                external().filter(|one| !addresses.iter().any(|other| other.is_ip(&one.ip))).collect();
            addresses.extend(external);
            in_order(addresses)
        }
        Some("NodePort") if external().next().is_some() => in_order(external()),
        // A headless Service has the cluster IP `None`, which is no address.
        _ => in_order(text(&spec.cluster_ip)),
    }
}

fn of_load_balancer(service: &Service) -> Vec<Address> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let entries = balancer.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
    let address = |entry: &k8s_openapi::api::core::v1::LoadBalancerIngress| Address {
        hostname: entry.hostname.clone().unwrap_or_default(),
        ip: entry.ip.clone().unwrap_or_default(),
    };
    entries.map(address).filter(|address| *address != Address::default()).collect()
}

/// The external IP addresses of a node; the internal ones where there are none, or with `internal`.
pub(super) fn of_node(node: &Node, internal: bool) -> Vec<Address> {
    let of_type = |wanted: &str| -> Vec<Address> {
        let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
        let wanted = addresses.filter(|address| address.type_ == wanted);
        wanted.filter_map(|address| Address::from_text(&address.address)).collect()
    };
    let external = of_type("ExternalIP");
    if internal || external.is_empty() { of_type("InternalIP") } else { external }
}

#[cfg(test)]
mod tests {
    use serde_json::from_value;

    use super::*;

    fn shown(addresses: &[Address]) -> Value {
        addresses.iter().map(Address::to_value).collect()
    }

    #[test]
    fn fixed_addresses_are_ips_and_names_in_order() {
        for (text, want, refused) in [
            ("1.1.0.0, lb.example", json!([{ "ip": "1.1.0.0" }, { "hostname": "lb.example" }]), vec![]),
            ("lb.example,1.1.0.0", json!([{ "ip": "1.1.0.0" }, { "hostname": "lb.example" }]), vec![]),
            ("localhost", json!([{ "hostname": "localhost" }]), vec![]),
            ("2001:db8::1,192.0.2.1,192.0.2.1,", json!([{ "ip": "192.0.2.1" }, { "ip": "2001:db8::1" }]), vec![]),
            ("LB.example, a_b, -a, 10.0.0.1", json!([{ "ip": "10.0.0.1" }]), vec!["LB.example", "a_b", "-a"]),
            (" , ", json!([]), vec![]),
        ] {
            let (addresses, rest) = fixed(text);
            assert_eq!((shown(&addresses), rest), (want, refused), "{text}");
        }
    }

    #[test]
    fn a_service_has_the_addresses_of_its_type() {
        for (service, want) in [
            (json!({ "spec": { "type": "ClusterIP", "clusterIP": "10.96.0.77" } }), json!([{ "ip": "10.96.0.77" }])),
            (json!({ "spec": { "clusterIP": "10.96.0.77" } }), json!([{ "ip": "10.96.0.77" }])),
            (json!({ "spec": { "type": "ClusterIP", "clusterIP": "None" } }), json!([])),
            (
                json!({ "spec": { "type": "ClusterIP", "clusterIP": "10.96.0.77", "externalIPs": ["192.0.2.7"] } }),
                json!([{ "ip": "10.96.0.77" }]),
            ),
            (json!({ "spec": { "type": "NodePort", "clusterIP": "10.96.0.77" } }), json!([{ "ip": "10.96.0.77" }])),
            (
                json!({ "spec": {
                    "type": "NodePort", "clusterIP": "10.96.0.77", "externalIPs": ["192.0.2.8", "192.0.2.7"],
                } }),
                json!([{ "ip": "192.0.2.7" }, { "ip": "192.0.2.8" }]),
            ),
            (
                json!({ "spec": { "type": "ExternalName", "externalName": "lb.example" } }),
                json!([{ "hostname": "lb.example" }]),
            ),
            (json!({ "spec": { "type": "LoadBalancer", "clusterIP": "10.96.0.77" } }), json!([])),
            (
                json!({
                    "spec": { "type": "LoadBalancer", "clusterIP": "10.96.0.77", "externalIPs": ["192.0.2.7", "192.0.2.9"] },
                    "status": { "loadBalancer": { "ingress": [
                        { "hostname": "b.example" },
                        { "ip": "192.0.2.9", "ports": [{ "port": 80, "protocol": "TCP" }] },
                        { "ip": "192.0.2.1", "hostname": "a.example" },
                        {},
                    ] } },
                }),
                json!([
                    { "ip": "192.0.2.7" },
                    { "ip": "192.0.2.9" },
                    { "ip": "192.0.2.1", "hostname": "a.example" },
                    { "hostname": "b.example" },
                ]),
            ),
        ] {
            assert_eq!(shown(&of_service(&from_value(service.clone()).unwrap())), want, "{service}");
        }
    }

    #[test]
    fn a_node_has_external_addresses_before_internal_ones() {
        let node = |types: &[(&str, &str)]| -> Node {
            let addresses: Vec<Value> =
                types.iter().map(|(kind, address)| json!({ "type": kind, "address": address })).collect();
            from_value(json!({ "status": { "addresses": addresses } })).unwrap()
        };
        let (inside, outside, name) = (("InternalIP", "10.0.0.1"), ("ExternalIP", "192.0.2.1"), ("Hostname", "node-1"));
        for (types, internal, want) in [
            (vec![inside, outside, name], false, json!([{ "ip": "192.0.2.1" }])),
            (vec![inside, outside, name], true, json!([{ "ip": "10.0.0.1" }])),
            (vec![inside, name], false, json!([{ "ip": "10.0.0.1" }])),
            (vec![outside], true, json!([])),
            (vec![name], false, json!([])),
        ] {
            assert_eq!(shown(&of_node(&node(&types), internal)), want, "{types:?} {internal}");
        }
    }

    #[test]
    fn a_status_is_compared_without_its_order_and_ports() {
        let status = json!({ "loadBalancer": { "ingress": [
            { "hostname": "lb.example" },
            { "ip": "1.1.0.0", "ports": [{ "port": 80, "protocol": "TCP" }] },
        ] } });
        assert_eq!(Address::of_status(&status), fixed("lb.example,1.1.0.0").0);
        for nothing in
            [json!(null), json!({}), json!({ "loadBalancer": {} }), json!({ "loadBalancer": { "ingress": [] } })]
        {
            assert_eq!(Address::of_status(&nothing), []);
        }
    }
}
