//! The components of the cluster can be taken away and brought back.

use std::time::Duration;

use portcullis_tests::Client;
use portcullis_tests::cluster::{Echo, Install, Load, Namespace, Strays, ctl, kubectl, measured, tried};

#[test]
fn backends_serve_on_while_the_api_server_is_away() {
    let namespace = Namespace::new("away");
    Echo::new("wear").start(&namespace);
    let load = Load::new(namespace.pod_address("app=wear", 8080), "wear.example", "/").start();
    let asked = ["get", "nodes", "--request-timeout=2s"];

    for (take, give) in [("kill", "start"), ("pause", "resume")] {
        ctl(take, "apiserver");
        assert!(tried("kubectl", &asked, "").is_err(), "{take}: the API server answers");
        load.wait(Duration::from_secs(1));
        ctl(give, "apiserver");
        ctl("ready", "apiserver");
        kubectl(&asked);
    }
    load.finish().none_failed_of(200);
    // Components that watch have come back to it.
    namespace.restart("wear");
}

#[test]
fn portcullis_serves_on_while_the_api_server_is_away_and_catches_up() {
    let namespace = Namespace::new("outage");
    let portcullis = Install::new().start(&namespace);
    Echo::new("wear").start(&namespace);
    let class = format!("--class={}", portcullis.class);
    let create = |name: &str| {
        namespace.kubectl(&["create", "ingress", name, &class, &format!("--rule={name}.example/*=wear:80")]);
    };
    let served = |name: &str| {
        let answer = Client::new("GET", &format!("{name}.example"), "/").send(portcullis.http);
        answer.is_ok_and(|answer| answer.status == 200)
    };
    create("first");
    namespace.wait_until("the Ingress is served", || served("first"));
    let load = Load::new(namespace.pod_address(&portcullis.label(), 80), "first.example", "/").start();
    let readiness = Load::new(namespace.pod_address(&portcullis.label(), 10254), "portcullis", "/readyz");
    let readiness = readiness.rate(50).threads(1).start();
    let strays = Strays::of(&[portcullis.http]);
    let by_node = Load::new(portcullis.http, "first.example", "/").rate(50).threads(2).start();

    for (number, (take, give)) in [("kill", "start"), ("pause", "resume")].into_iter().enumerate() {
        ctl(take, "apiserver");
        load.wait(Duration::from_secs(5));
        ctl(give, "apiserver");
        ctl("ready", "apiserver");
        let name = format!("after-{number}");
        create(&name);
        let took = namespace.wait_until("an Ingress of after the outage is served", || served(&name));
        measured(&format!("API server back after {take}: a new Ingress served {took:.1?} later"));
    }
    let report = load.finish();
    measured(&format!("API server away twice: {}", report.summary()));
    report.none_failed_of(500);
    readiness.finish().none_failed_of(200);
    let report = by_node.finish();
    measured(&format!("through the node: {}, {} strayed", report.summary(), strays.count()));
    report.only_failed(strays.count(), 200);
}
