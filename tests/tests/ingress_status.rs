//! The status of Ingresses and the election of who writes it: `run` beside a double of the API server.

use std::thread::sleep;
use std::time::Duration;

use portcullis_tests::{ApiServer, Fault, Instance, Origin, Start, wait_until};
use serde_json::{Value, json};

fn ingress(name: &str, class: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": { "name": name, "namespace": "demo" },
        "spec": { "ingressClassName": class, "rules": [{ "host": format!("{name}.example"), "http": { "paths": [{
            "path": "/", "pathType": "Prefix", "backend": { "service": { "name": "echo", "port": { "number": 80 } } },
        }] } }] },
    })
}

fn service(name: &str, spec: &Value, status: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": "demo" },
        "spec": spec, "status": status,
    })
}

/// A server with an Ingress `a` whose requests go to an origin.
fn site() -> (ApiServer, Origin) {
    let server = ApiServer::start();
    server.put(service("echo", &json!({ "ports": [{ "port": 80 }] }), &json!({})));
    server.put(ingress("a", "nginx"));
    (server, Origin::start("echo"))
}

fn start(server: &ApiServer, origin: &Origin, flags: &[&str]) -> Instance {
    let start = Start::default().flag(&format!("--endpoint=demo/echo={}", origin.address()));
    flags.iter().fold(start, |start, flag| start.flag(flag)).run(server).ready()
}

fn addresses(server: &ApiServer, name: &str) -> Value {
    let ingress = server.get("ingresses", "demo", name).expect("an Ingress");
    ingress["status"]["loadBalancer"].get("ingress").cloned().unwrap_or(json!([]))
}

fn holder(server: &ApiServer) -> String {
    let lease = server.get("leases", "default", "ingress-controller-leader");
    lease.and_then(|lease| lease["spec"]["holderIdentity"].as_str().map(str::to_owned)).unwrap_or_default()
}

fn leads(instance: &Instance) -> bool {
    let metrics = instance.ask("/metrics").body;
    let line = metrics.lines().find(|line| line.starts_with("nginx_ingress_controller_leader_election_status{"));
    line.expect("a line about the election").ends_with(" 1.0")
}

const FIXED: &str = "--publish-status-address=1.1.0.0, lb.example";

fn fixed() -> Value {
    json!([{ "ip": "1.1.0.0" }, { "hostname": "lb.example" }])
}

#[test]
fn every_source_of_addresses_leads_to_its_addresses() {
    let front = |spec: Value| service("front", &spec, &json!({}));
    let ports = json!([{ "name": "http", "port": 80 }]);
    let of_service = "--publish-service=demo/front";
    let balancer = json!({ "loadBalancer": { "ingress": [{ "hostname": "lb.example" }, { "ip": "198.51.100.7" }] } });
    for (flag, front, want) in [
        (FIXED, None, fixed()),
        (
            of_service,
            Some(front(json!({ "type": "ClusterIP", "clusterIP": "10.96.0.77", "ports": ports }))),
            json!([{ "ip": "10.96.0.77" }]),
        ),
        (
            of_service,
            Some(front(json!({ "type": "NodePort", "clusterIP": "10.96.0.77", "ports": ports }))),
            json!([{ "ip": "10.96.0.77" }]),
        ),
        (
            of_service,
            Some(front(json!({
                "type": "NodePort", "clusterIP": "10.96.0.77", "ports": ports,
                "externalIPs": ["192.0.2.7", "192.0.2.8"],
            }))),
            json!([{ "ip": "192.0.2.7" }, { "ip": "192.0.2.8" }]),
        ),
        (
            of_service,
            Some(front(json!({ "type": "ExternalName", "externalName": "lb.example", "ports": ports }))),
            json!([{ "hostname": "lb.example" }]),
        ),
        (
            of_service,
            Some(service(
                "front",
                &json!({
                    "type": "LoadBalancer", "clusterIP": "10.96.0.77", "externalIPs": ["192.0.2.7"], "ports": ports,
                }),
                &balancer,
            )),
            json!([{ "ip": "192.0.2.7" }, { "ip": "198.51.100.7" }, { "hostname": "lb.example" }]),
        ),
    ] {
        let (server, origin) = site();
        server.put(ingress("other", "other"));
        front.iter().for_each(|front| server.put(front.clone()));
        let instance = start(&server, &origin, &[flag]);
        wait_until("the status", || addresses(&server, "a") == want);
        assert_eq!(instance.get("a.example", "/").status, 200);
        assert_eq!(addresses(&server, "other"), json!([]), "an Ingress of another class keeps its status");
        assert_eq!(server.writes("ingresses"), 1, "{flag}");
        instance.end();
    }
}

#[test]
fn changes_of_the_service_and_new_ingresses_are_written_at_once() {
    let (server, origin) = site();
    let front = |ip: &str| service("front", &json!({ "type": "LoadBalancer", "externalIPs": [ip] }), &json!({}));
    let instance = start(&server, &origin, &["--publish-service=demo/front"]);
    sleep(Duration::from_millis(300));
    assert_eq!(addresses(&server, "a"), json!([]), "there is no such Service yet, and all is served nevertheless");
    assert_eq!(instance.get("a.example", "/").status, 200);
    for ip in ["192.0.2.7", "192.0.2.8"] {
        server.put(front(ip));
        wait_until("the address", || addresses(&server, "a") == json!([{ "ip": ip }]));
    }
    server.put(ingress("b", "nginx"));
    let took = wait_until("the new one", || addresses(&server, "b") == json!([{ "ip": "192.0.2.8" }]));
    assert!(took < Duration::from_secs(2), "{took:?}");
    let writes = server.writes("ingresses");
    sleep(Duration::from_millis(500));
    assert_eq!(server.writes("ingresses"), writes, "nothing is written without a reason");
    instance.end();
}

fn pod(name: &str, node: &str, ready: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "gate", "labels": { "app": "gate", "pod-template-hash": name } },
        "spec": { "nodeName": node },
        "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": ready }] },
    })
}

fn node(name: &str, internal: &str, external: &str) -> Value {
    let addresses = [("Hostname", name), ("InternalIP", internal), ("ExternalIP", external)];
    let addresses: Vec<Value> = addresses
        .iter()
        .filter(|(_, address)| !address.is_empty())
        .map(|(kind, address)| json!({ "type": kind, "address": address }))
        .collect();
    json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name }, "status": { "addresses": addresses } })
}

#[test]
fn without_a_flag_the_addresses_are_those_of_the_nodes_with_replicas() {
    for (flag, first, both, clears) in [
        ("--v=0", json!([{ "ip": "192.0.2.1" }]), json!([{ "ip": "10.0.0.2" }, { "ip": "192.0.2.1" }]), true),
        (
            "--report-node-internal-ip-address",
            json!([{ "ip": "10.0.0.1" }]),
            json!([{ "ip": "10.0.0.1" }, { "ip": "10.0.0.2" }]),
            false,
        ),
    ] {
        let (server, origin) = site();
        server.put(node("n1", "10.0.0.1", "192.0.2.1"));
        server.put(node("n2", "10.0.0.2", ""));
        // The own one counts before its probe has seen it ready.
        server.put(pod("one", "n1", "False"));
        server.put(pod("two", "n2", "False"));
        let start = Start::default().variable("POD_NAME", "one").variable("POD_NAMESPACE", "gate").flag(flag);
        let instance = start.flag(&format!("--endpoint=demo/echo={}", origin.address())).run(&server).ready();
        wait_until("the own node", || addresses(&server, "a") == first);
        server.put(pod("two", "n2", "True"));
        wait_until("the other node", || addresses(&server, "a") == both);
        if clears {
            server.delete("pods", "gate", "two");
            wait_until("the end of the other", || addresses(&server, "a") == first);
        }
        instance.end();
        assert_eq!(addresses(&server, "a"), if clears { json!([]) } else { both }, "{flag}");
        let lease = server.get("leases", "gate", "ingress-controller-leader").expect("a Lease");
        assert_eq!(lease["spec"]["holderIdentity"], "");
    }
}

#[test]
fn side_by_side_nothing_is_written() {
    for flags in [[FIXED, "--update-status=false"], [FIXED, "--disable-leader-election"]] {
        let (server, origin) = site();
        let instance = start(&server, &origin, &flags);
        sleep(Duration::from_millis(500));
        assert_eq!(instance.get("a.example", "/").status, 200);
        assert_eq!((addresses(&server, "a"), server.writes("ingresses")), (json!([]), 0), "{flags:?}");
        instance.end();
        assert_eq!(server.writes("ingresses"), 0);
    }
}

#[test]
fn both_serve_one_writes_and_the_other_takes_over_when_it_dies() {
    let (server, origin) = site();
    let flags = ["--publish-status-address=1.1.0.0", "--election-ttl=3s"];
    let one = start(&server, &origin, &flags);
    wait_until("the status", || addresses(&server, "a") == json!([{ "ip": "1.1.0.0" }]));
    let two = start(&server, &origin, &flags);
    for instance in [&one, &two] {
        assert_eq!(instance.get("a.example", "/").status, 200);
    }
    assert!(leads(&one) && !leads(&two));
    let first = holder(&server);
    one.signal("KILL");
    let ended = one.wait();
    assert_eq!(ended.code, None);
    server.put(ingress("b", "nginx"));
    let took = wait_until("another leader", || leads(&two));
    assert!(took < Duration::from_millis(3_700), "{took:?}");
    assert_ne!(holder(&server), first);
    wait_until("what came meanwhile", || addresses(&server, "b") == json!([{ "ip": "1.1.0.0" }]));
    assert_eq!(two.get("b.example", "/").status, 200);
    two.end();
    assert_eq!(
        (addresses(&server, "a"), addresses(&server, "b"), holder(&server)),
        (json!([]), json!([]), String::new())
    );
}

#[test]
fn at_the_end_it_serves_on_then_clears_the_status_and_gives_up_the_lease() {
    let (server, origin) = site();
    let instance = start(&server, &origin, &["--publish-status-address=1.1.0.0", "--shutdown-grace-period=2"]);
    wait_until("the status", || addresses(&server, "a") != json!([]));
    instance.signal("TERM");
    wait_until("the end of readiness", || instance.ask("/readyz").status == 503);
    server.put(ingress("late", "nginx"));
    sleep(Duration::from_millis(1_000));
    assert_eq!(instance.get("a.example", "/").status, 200);
    assert_eq!(addresses(&server, "a"), json!([{ "ip": "1.1.0.0" }]));
    assert_eq!(addresses(&server, "late"), json!([]), "nothing is written any more");
    assert_ne!(holder(&server), "");
    let ended = instance.wait();
    assert_eq!((ended.code, addresses(&server, "a"), holder(&server)), (Some(0), json!([]), String::new()));
}

#[test]
fn at_the_end_the_status_stays_where_it_is_told_to() {
    for flags in [["--publish-status-address=1.1.0.0", "--update-status-on-shutdown=false"], [FIXED, "--v=0"]] {
        let (server, origin) = site();
        let instance = start(&server, &origin, &flags);
        wait_until("the status", || addresses(&server, "a") != json!([]));
        let before = addresses(&server, "a");
        instance.end();
        assert_eq!((addresses(&server, "a"), holder(&server)), (before, String::new()), "{flags:?}");
    }
}

#[test]
fn conflicts_are_read_again_and_refusals_are_tried_later() {
    for faults in [vec![Fault::Status(409, None); 2], vec![Fault::Status(403, None), Fault::Status(500, None)]] {
        let (server, origin) = site();
        server.fail_writes("ingresses", &faults);
        let instance = start(&server, &origin, &[FIXED]);
        wait_until("the status", || addresses(&server, "a") == fixed());
        assert_eq!(server.writes("ingresses"), 3);
        instance.end();
    }
}

#[test]
fn an_election_that_cannot_be_held_harms_nobody() {
    let (server, origin) = site();
    server.fail_writes("leases", &vec![Fault::Status(403, None); 1_000]);
    let instance = start(&server, &origin, &[FIXED, "--election-ttl=3s"]);
    wait_until("a line about it", || instance.log().contains("the Lease cannot be read or written"));
    assert!(!leads(&instance));
    assert_eq!(instance.get("a.example", "/").status, 200);
    assert_eq!(server.writes("ingresses"), 0);
    instance.end();
}

#[test]
fn a_leader_that_the_server_does_not_hear_leads_no_more_and_serves_on() {
    let (server, origin) = site();
    let instance = start(&server, &origin, &[FIXED, "--election-ttl=2s"]);
    wait_until("the status", || addresses(&server, "a") == fixed());
    server.set_away(true);
    wait_until("its end as leader", || !leads(&instance));
    assert_eq!(instance.get("a.example", "/").status, 200);
    assert_eq!(instance.ask("/readyz").status, 200);
    server.put(ingress("b", "nginx"));
    server.set_away(false);
    wait_until("what came meanwhile", || addresses(&server, "b") == fixed());
    assert!(leads(&instance));
    instance.end();
}
