//! Services and endpoints.

use portcullis_model::Endpoints;

use super::*;

/// What the cluster of Service `s` with this port is, as text.
fn endpoints(objects: &str, port: &str, options: &Options) -> String {
    let port = port.parse::<u16>().map_or_else(|_| format!("name: {port}"), |number| format!("number: {number}"));
    let ingress = format!(
        "kind: Ingress\nmetadata: {{name: i, namespace: demo}}\nspec: {{ingressClassName: nginx, rules: [{{http: {{paths: [\
         {{path: /, pathType: Prefix, backend: {{service: {{name: s, port: {{{port}}}}}}}}}]}}}}]}}"
    );
    let translation = translate(&resources(&format!("{ingress}\n---\n{objects}")), options, &mut Memo::default());
    let cluster = translation.snapshot.clusters.values().next().unwrap();
    match &cluster.endpoints {
        Endpoints::Known(known) => {
            known.iter().map(|endpoint| endpoint.address.to_string()).collect::<Vec<_>>().join(" ")
        }
        Endpoints::Dns(target) => format!("{} {}", target.name, target.port),
    }
}

fn slice(name: &str, ports: &str, endpoints: &str) -> String {
    format!(
        "kind: EndpointSlice\nmetadata: {{name: {name}, namespace: demo, labels: {{kubernetes.io/service-name: s}}}}\n\
         addressType: IPv4\nports: {ports}\nendpoints: {endpoints}"
    )
}

const SERVICE: &str = "kind: Service\nmetadata: {name: s, namespace: demo}\nspec: {clusterIP: 10.0.0.9, ports: \
    [{name: http, port: 80, targetPort: web}, {name: admin, port: 81, targetPort: 8081}, {name: dns, port: 53, protocol: UDP}]}";

#[test]
fn ports_are_found_by_number_target_port_or_name() {
    let slices = slice("one", "[{name: http, port: 8080}, {name: admin, port: 8081}]", "[{addresses: [10.1.0.1]}]");
    let objects = format!("{SERVICE}\n---\n{slices}");
    for (port, want) in [
        ("80", "10.1.0.1:8080"),
        ("http", "10.1.0.1:8080"),
        ("web", "10.1.0.1:8080"),
        ("81", "10.1.0.1:8081"),
        ("8081", "10.1.0.1:8081"),
        ("admin", "10.1.0.1:8081"),
        ("82", ""),
        ("53", ""),
        ("nope", ""),
    ] {
        assert_eq!(endpoints(&objects, port, &options()), want, "port {port}");
    }
}

#[test]
fn only_ready_endpoints_are_used_and_terminating_ones_as_a_last_resort() {
    let port = "[{name: http, port: 8080}]";
    for (list, want) in [
        (
            "[{addresses: [10.1.0.2], conditions: {ready: true}}, {addresses: [10.1.0.1]}]",
            "10.1.0.1:8080 10.1.0.2:8080",
        ),
        ("[{addresses: [10.1.0.1], conditions: {ready: false}}, {addresses: [10.1.0.2]}]", "10.1.0.2:8080"),
        ("[{addresses: [10.1.0.1], conditions: {ready: false}}]", ""),
        ("[{addresses: [10.1.0.1], conditions: {ready: false, serving: true, terminating: true}}]", "10.1.0.1:8080"),
        (
            "[{addresses: [10.1.0.1], conditions: {ready: false, serving: true, terminating: true}}, {addresses: [10.1.0.2]}]",
            "10.1.0.2:8080",
        ),
        ("[{addresses: [10.1.0.1, 10.1.0.1]}]", "10.1.0.1:8080"),
        ("[{addresses: ['fd00::1']}]", "[fd00::1]:8080"),
        ("[{addresses: [169.254.169.254, 0.0.0.0, 224.0.0.1, 'fe80::1', host.example]}]", ""),
    ] {
        let objects = format!("{SERVICE}\n---\n{}", slice("one", port, list));
        assert_eq!(endpoints(&objects, "80", &options()), want, "{list}");
    }
}

#[test]
fn loopback_endpoints_are_for_files_only() {
    let objects =
        format!("{SERVICE}\n---\n{}", slice("one", "[{name: http, port: 8080}]", "[{addresses: [127.0.0.1]}]"));
    assert_eq!(endpoints(&objects, "80", &options()), "127.0.0.1:8080");
    let cluster = Options { loopback_endpoints: false, ..options() };
    assert_eq!(endpoints(&objects, "80", &cluster), "");
}

#[test]
fn all_slices_of_a_service_count_once() {
    let port = "[{name: http, port: 8080}]";
    let one = slice("one", port, "[{addresses: [10.1.0.1]}]");
    let two = slice("two", port, "[{addresses: [10.1.0.1]}, {addresses: [10.1.0.2]}]");
    assert_eq!(
        endpoints(&format!("{SERVICE}\n---\n{one}\n---\n{two}"), "80", &options()),
        "10.1.0.1:8080 10.1.0.2:8080"
    );
}

#[test]
fn an_override_takes_the_place_of_endpoints_and_of_the_service() {
    let entry = |port: Option<&str>| EndpointOverride {
        service: ObjectKey::new("demo", "s"),
        port: port.map(ToOwned::to_owned),
        address: "127.0.0.1:9".parse().unwrap(),
    };
    for (port, want) in [(None, "127.0.0.1:9"), (Some("80"), "127.0.0.1:9"), (Some("81"), "")] {
        let options = Options { endpoint_overrides: vec![entry(port)], ..options() };
        assert_eq!(endpoints("", "80", &options), want, "{port:?}");
    }
}

#[test]
fn an_override_is_enough_for_a_default_backend() {
    let entry = EndpointOverride {
        service: ObjectKey::new("demo", "errors"),
        port: None,
        address: "127.0.0.1:9".parse().unwrap(),
    };
    let default_backend_service = Some(ObjectKey::new("demo", "errors"));
    let options = Options { endpoint_overrides: vec![entry], default_backend_service, ..options() };
    let translation = translate(&resources(""), &options, &mut Memo::default());
    let id = translation.snapshot.default_backend.unwrap();
    let Endpoints::Known(known) = &translation.snapshot.clusters[&id].endpoints else { panic!() };
    assert_eq!(known[0].address.to_string(), "127.0.0.1:9");
}

#[test]
fn external_names_are_resolved_later_and_never_lead_here() {
    let service = |name: &str, ports: &str| {
        format!(
            "kind: Service\nmetadata: {{name: s, namespace: demo}}\nspec: {{type: ExternalName, externalName: '{name}'{ports}}}"
        )
    };
    let disabled = Options { disable_external_name: true, ..options() };
    for (name, ports, port, options, want) in [
        ("ext.example", "", "8080", &options(), "ext.example 8080"),
        ("ext.example.", "", "80", &options(), "ext.example. 80"),
        ("ext.example", ", ports: [{name: web, port: 80, targetPort: 8443}]", "80", &options(), "ext.example 8443"),
        ("ext.example", ", ports: [{name: web, port: 80, targetPort: 8443}]", "web", &options(), "ext.example 8443"),
        ("ext.example", ", ports: [{name: web, port: 80}]", "web", &options(), "ext.example 80"),
        ("ext.example", "", "web", &options(), ""),
        ("localhost", "", "80", &options(), ""),
        ("a.LOCALHOST.", "", "80", &options(), ""),
        ("127.0.0.1", "", "80", &options(), ""),
        ("10.0.0.1", "", "80", &options(), ""),
        ("::1", "", "80", &options(), ""),
        ("not a name", "", "80", &options(), ""),
        ("", "", "80", &options(), ""),
        ("ext.example", "", "80", &disabled, ""),
    ] {
        assert_eq!(endpoints(&service(name, ports), port, options), want, "{name} {ports} {port}");
    }
}
