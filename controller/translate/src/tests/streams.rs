//! TCP and UDP services: what entries of their ConfigMaps open, and what is said of those that open nothing.

use portcullis_model::{Endpoints, L4Protocol, Snapshot, StreamPort};

use super::*;

const OBJECTS: &str = "\
kind: Service
metadata: {name: db, namespace: data}
spec: {ports: [{name: sql, port: 5432, targetPort: 15432}, {name: web, port: 80, targetPort: sql}]}
---
kind: Service
metadata: {name: dns, namespace: data}
spec: {ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]}
---
kind: Service
metadata: {name: empty, namespace: data}
spec: {ports: [{port: 80}]}
---
kind: Service
metadata: {name: away, namespace: data}
spec: {type: ExternalName, externalName: db.example, ports: [{name: sql, port: 5432, targetPort: 15432}]}
---
kind: Service
metadata: {name: local, namespace: data}
spec: {type: ExternalName, externalName: localhost, ports: [{port: 80}]}
---
kind: EndpointSlice
metadata: {name: db-1, namespace: data, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
ports: [{name: sql, port: 15432, protocol: TCP}, {name: web, port: 15432, protocol: TCP}]
endpoints: [{addresses: [10.0.0.1, 10.0.0.2]}]
---
kind: EndpointSlice
metadata: {name: dns-1, namespace: data, labels: {kubernetes.io/service-name: dns}}
addressType: IPv4
ports: [{name: dns, port: 5353, protocol: UDP}, {name: dns-tcp, port: 5354, protocol: TCP}]
endpoints: [{addresses: [10.0.0.3]}]";

fn with(tcp: &str, udp: &str) -> (Resources, Options) {
    let mut resources = resources(OBJECTS);
    for (name, data) in [("tcp", tcp), ("udp", udp)] {
        add(&mut resources, &format!("kind: ConfigMap\nmetadata: {{name: {name}, namespace: gate}}\ndata: {{{data}}}"));
    }
    let options = Options {
        tcp_services: Some(ObjectKey::new("gate", "tcp")),
        udp_services: Some(ObjectKey::new("gate", "udp")),
        reserved_ports: [(80, "--http-port".to_owned()), (10254, "--healthz-port".to_owned())].into(),
        ..options()
    };
    (resources, options)
}

fn translation(tcp: &str, udp: &str) -> Translation {
    let (resources, options) = with(tcp, udp);
    translate(&resources, &options, &mut Memo::default())
}

/// What is opened, as lines of `port -> name endpoints`, and codes of findings with their keys.
fn outcome(translation: &Translation) -> (Vec<String>, Vec<String>) {
    let Snapshot { streams, clusters, .. } = &translation.snapshot;
    let opened = streams.iter().map(|(port, service)| {
        let endpoints = match &clusters[&service.cluster].endpoints {
            Endpoints::Known(known) => known.iter().map(|one| one.address.to_string()).collect::<Vec<_>>().join(" "),
            Endpoints::Dns(target) => format!("{}:{}", target.name, target.port),
        };
        let (accept, send) = (service.accept_proxy, service.send_proxy);
        let proxy = [(accept, " accept"), (send, " send")].map(|(is, text)| if is { text } else { "" }).concat();
        format!("{port} -> {} {endpoints}{proxy}", service.name)
    });
    let findings = translation.findings.iter().map(|finding| format!("{} {}", finding.field, finding.code));
    (opened.collect(), findings.collect())
}

#[test]
fn entries_are_read_as_the_contract_says() {
    const DB: &str = "data-db-5432 10.0.0.1:15432 10.0.0.2:15432";
    for (entry, opened, finding) in [
        ("'9000': data/db:5432", format!("tcp/9000 -> tcp-{DB}"), ""),
        ("'9000': data/db:sql", "tcp/9000 -> tcp-data-db-sql 10.0.0.1:15432 10.0.0.2:15432".to_owned(), ""),
        ("'09000': data/db:5432", format!("tcp/9000 -> tcp-{DB}"), ""),
        ("'9000': 'data/db:5432:PROXY'", format!("tcp/9000 -> tcp-{DB} accept"), ""),
        ("'9000': 'data/db:5432:proxy:Proxy'", format!("tcp/9000 -> tcp-{DB} accept send"), ""),
        ("'9000': 'data/db:5432::PROXY'", format!("tcp/9000 -> tcp-{DB} send"), ""),
        ("'9000': 'data/db:5432:'", format!("tcp/9000 -> tcp-{DB}"), ""),
        ("'9000': 'data/db:5432:TLS'", format!("tcp/9000 -> tcp-{DB}"), "9000 invalid-stream-service"),
        ("'9000': 'data/db:5432:PROXY:PROXY:x'", format!("tcp/9000 -> tcp-{DB} accept"), "9000 invalid-stream-service"),
        ("'9000': data/away:sql", "tcp/9000 -> tcp-data-away-sql db.example:15432".to_owned(), ""),
        ("'9000': data/dns:53", "tcp/9000 -> tcp-data-dns-53 10.0.0.3:5354".to_owned(), ""),
        ("'9000': data/db:15432", String::new(), "9000 unknown-service-port"),
        ("'9000': data/dns:dns", String::new(), "9000 unknown-service-port"),
        ("'9000': data/empty:80", String::new(), "9000 no-endpoints"),
        ("'9000': data/local:80", String::new(), "9000 external-name-refused"),
        ("'9000': data/missing:80", String::new(), "9000 service-not-found"),
        ("'9000': db:5432", String::new(), "9000 invalid-stream-service"),
        ("'9000': a/b/c:5432", String::new(), "9000 invalid-stream-service"),
        ("'9000': data/db", String::new(), "9000 invalid-stream-service"),
        ("'9000': 'data/db:'", String::new(), "9000 invalid-stream-service"),
        ("'9000': ''", String::new(), "9000 invalid-stream-service"),
        ("abc: data/db:5432", String::new(), "abc invalid-stream-port"),
        ("'0': data/db:5432", String::new(), "0 invalid-stream-port"),
        ("'65536': data/db:5432", String::new(), "65536 invalid-stream-port"),
        ("'-1': data/db:5432", String::new(), "-1 invalid-stream-port"),
        ("'+1': data/db:5432", String::new(), "+1 invalid-stream-port"),
        ("'80': data/db:5432", String::new(), "80 reserved-port"),
        ("'10254': data/db:5432", String::new(), "10254 reserved-port"),
    ] {
        let (got, findings) = outcome(&translation(entry, ""));
        assert_eq!((got.concat(), findings.concat()), (opened, finding.to_owned()), "{entry}");
    }
}

#[test]
fn bad_entries_harm_themselves_only() {
    let tcp = "'9000': data/db:5432, '09000': data/db:80, abc: data/db:80, '9001': data/missing:80";
    let (opened, findings) = outcome(&translation(tcp, ""));
    assert_eq!(opened, ["tcp/9000 -> tcp-data-db-80 10.0.0.1:15432 10.0.0.2:15432"]);
    assert_eq!(findings, ["9000 duplicate-port", "9001 service-not-found", "abc invalid-stream-port"]);
}

#[test]
fn udp_has_its_own_ports_of_services_and_no_proxy_protocol() {
    let (opened, findings) = outcome(&translation("'53': data/dns:53", "'53': data/dns:53, '80': data/dns:53"));
    assert_eq!(opened, ["tcp/53 -> tcp-data-dns-53 10.0.0.3:5354", "udp/53 -> udp-data-dns-53 10.0.0.3:5353"]);
    assert_eq!(findings, ["80 reserved-port"]);
    let (opened, findings) = outcome(&translation("", "'53': 'data/dns:dns:PROXY', '54': data/db:5432"));
    assert_eq!(opened, ["udp/53 -> udp-data-dns-dns 10.0.0.3:5353"]);
    assert_eq!(findings, ["53 invalid-stream-service", "54 unknown-service-port"]);
}

#[test]
fn a_port_is_open_as_long_as_there_are_endpoints() {
    let (mut resources, options) = with("'9000': data/db:5432", "");
    let mut memo = Memo::default();
    let port = StreamPort { protocol: L4Protocol::Tcp, port: 9000 };
    let mut is_open = |resources: &Resources| {
        let open = translate(resources, &options, &mut memo).snapshot.streams.contains_key(&port);
        let anew = translate(resources, &options, &mut Memo::default()).snapshot.streams.contains_key(&port);
        assert_eq!(open, anew);
        open
    };
    assert!(is_open(&resources));
    let slices = resources.endpoint_slices.remove(&ObjectKey::new("data", "db")).unwrap();
    assert!(!is_open(&resources));
    resources.endpoint_slices.insert(ObjectKey::new("data", "db"), slices);
    assert!(is_open(&resources));
}

#[test]
fn flags_may_name_endpoints_and_switch_names_off() {
    let (resources, mut options) = with("'9000': data/nowhere:80, '9001': data/away:5432", "");
    let service = ObjectKey::new("data", "nowhere");
    let address = "127.0.0.1:7".parse().unwrap();
    options.endpoint_overrides = vec![EndpointOverride { service, port: Some("80".to_owned()), address }];
    options.disable_external_name = true;
    let (opened, findings) = outcome(&translate(&resources, &options, &mut Memo::default()));
    assert_eq!(opened, ["tcp/9000 -> tcp-data-nowhere-80 127.0.0.1:7"]);
    assert_eq!(findings, ["9001 external-name-refused"]);
}

#[test]
fn a_config_map_that_is_missing_is_told() {
    let (resources, mut options) = with("'9000': data/db:5432", "");
    options.udp_services = Some(ObjectKey::new("gate", "nothing"));
    let (opened, findings) = outcome(&translate(&resources, &options, &mut Memo::default()));
    assert_eq!((opened.len(), findings), (1, vec![" no-config-map".to_owned()]));
    options.tcp_services = None;
    assert!(translate(&resources, &options, &mut Memo::default()).snapshot.streams.is_empty());
}

#[test]
fn ingresses_do_not_share_their_upstreams() {
    let (mut resources, options) = with("'9000': demo/s:80", "");
    for document in [
        "kind: Service\nmetadata: {name: s, namespace: demo}\nspec: {ports: [{port: 80}]}",
        "kind: EndpointSlice\nmetadata: {name: s-1, namespace: demo, labels: {kubernetes.io/service-name: s}}\n\
         ports: [{port: 8080}]\nendpoints: [{addresses: [10.0.0.9]}]",
        &ingress("a", 1, "nginx.ingress.kubernetes.io/load-balance: ewma", &["a.example / Prefix s"]),
    ] {
        add(&mut resources, document);
    }
    let snapshot = translate(&resources, &options, &mut Memo::default()).snapshot;
    let names: Vec<String> = snapshot.clusters.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["demo-s-80", "demo-s-tcp/80"]);
}
