//! `run` beside a double of the API server: what is read of a cluster, and what of it is kept.

use std::time::Duration;

use portcullis_tests::{ApiServer, Client, HostCertificate, Instance, Origin, Start, run, wait_until};
use serde_json::{Value, json};

fn ingress(namespace: &str, host: &str, secret: Option<&str>) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": { "name": host.split('.').next(), "namespace": namespace },
        "spec": {
            "ingressClassName": "nginx",
            "tls": secret.map(|secret| json!([{ "secretName": secret, "hosts": [host] }])),
            "rules": [{ "host": host, "http": { "paths": [{
                "path": "/", "pathType": "Prefix", "backend": { "service": { "name": "wear", "port": { "number": 80 } } },
            }] } }],
        },
    })
}

fn namespace(name: &str, labels: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } })
}

fn config_map(namespace: &str, name: &str, data: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": namespace }, "data": data,
    })
}

fn secret(certificate: &HostCertificate, name: &str) -> Value {
    serde_json::from_str(&certificate.secret_in("shop", name)).unwrap()
}

/// A server, and what sends requests for the Service `wear` of two namespaces to an origin.
fn site() -> (ApiServer, Start) {
    let origin = Origin::start("wear").address();
    let start = Start::default().flag(&format!("--endpoint=shop/wear={origin}"));
    (ApiServer::start(), start.flag(&format!("--endpoint=other/wear={origin}")))
}

fn serves(instance: &Instance, host: &str) -> bool {
    instance.get(host, "/").status == 200
}

fn serves_tls(instance: &Instance, host: &str, certificate: &HostCertificate) -> bool {
    let answer = Client::new("GET", host, "/").send_tls(instance.https, certificate.client(&[]));
    answer.is_ok_and(|answer| answer.status == 200)
}

fn findings(instance: &Instance) -> String {
    instance.ask("/debug/findings").body
}

#[test]
fn namespaces_are_chosen_by_labels_that_may_change() {
    let (server, start) = site();
    server.put(ingress("shop", "a.example", None));
    server.put(ingress("other", "b.example", None));
    server.put(namespace("shop", &json!({ "edge": "yes", "tier": "web" })));
    server.put(namespace("other", &json!({ "edge": "no" })));
    let instance = start.flag("--watch-namespace-selector=edge in (yes, maybe), tier").run(&server).ready();
    assert!(serves(&instance, "a.example") && !serves(&instance, "b.example"));
    server.put(namespace("other", &json!({ "edge": "maybe", "tier": "" })));
    wait_until("the other namespace", || serves(&instance, "b.example"));
    server.put(namespace("shop", &Value::Null));
    wait_until("the end of the first", || !serves(&instance, "a.example"));
    assert!(serves(&instance, "b.example"));
    server.delete("namespaces", "", "other");
    wait_until("the end of the other", || !serves(&instance, "b.example"));
    assert!(findings(&instance).contains("unknown-namespace"));
    assert_eq!((server.asked("namespaces").lists, server.asked("ingresses").lists), (1, 1));
    instance.end();
}

#[test]
fn namespaces_are_read_only_where_their_labels_matter() {
    let (server, start) = site();
    server.forbid("namespaces", "");
    start.run(&server).ready().end();
    assert_eq!(server.asked("namespaces").lists, 0);
    let (server, start) = site();
    server.forbid("namespaces", "");
    let starting = start.flag("--watch-namespace-selector=edge=yes").run(&server);
    assert_eq!(starting.ask("/readyz").status, 503);
    let instance = starting.unready();
    wait_until("a word about it", || instance.log().contains("serving does not begin before it can"));
    assert_eq!(instance.ask("/readyz").status, 503);
    instance.end();
}

#[test]
fn a_selector_that_cannot_be_read_ends_the_start() {
    for command in [&["run"][..], &["serve", "."], &["lint", "."]] {
        for (selector, reason) in [("a in b", "was expected"), ("-a", "cannot be the name of a label")] {
            let flag = format!("--watch-namespace-selector={selector}");
            let ended = run(&[command, &[flag.as_str()]].concat());
            assert_ne!(ended.code, Some(0), "{command:?} {selector}");
            assert!(ended.log.contains(reason), "{command:?} {selector}: {}", ended.log);
        }
    }
}

#[test]
fn secrets_are_kept_only_while_they_are_named() {
    let (server, start) = site();
    let (first, second, other) =
        (HostCertificate::new("a.example"), HostCertificate::new("a.example"), HostCertificate::new("b.example"));
    server.put(secret(&first, "a"));
    server.put(secret(&other, "b"));
    server.put(ingress("shop", "b.example", Some("b")));
    let instance = start.run(&server).ready();
    assert!(serves_tls(&instance, "b.example", &other), "named from the start");
    assert_eq!(server.asked_by_name("secrets"), 1);
    server.put(ingress("shop", "a.example", Some("a")));
    wait_until("the Ingress", || serves(&instance, "a.example") || instance.get("a.example", "/").status == 308);
    assert!(serves_tls(&instance, "a.example", &first), "it comes with its Secret");
    assert_eq!(server.asked_by_name("secrets"), 2);
    server.put(secret(&second, "a"));
    wait_until("the next certificate", || serves_tls(&instance, "a.example", &second));
    server.put(ingress("shop", "a.example", None));
    wait_until("the end of TLS", || !serves_tls(&instance, "a.example", &second));
    server.put(secret(&first, "a"));
    server.put(ingress("shop", "a.example", Some("a")));
    wait_until("TLS again", || serves_tls(&instance, "a.example", &first));
    assert_eq!((server.asked_by_name("secrets"), server.asked("secrets").lists), (4, 1), "and once when it changed");
    server.delete("secrets", "shop", "a");
    wait_until("the end of the Secret", || !serves_tls(&instance, "a.example", &first));
    server.put(secret(&second, "a"));
    wait_until("the Secret again", || serves_tls(&instance, "a.example", &second));
    instance.end();
}

#[test]
fn config_maps_of_flags_are_followed_outside_of_the_watched_namespace() {
    let (server, start) = site();
    server.put(ingress("shop", "a.example", None));
    server.put(ingress("other", "b.example", None));
    server.put(config_map("edge", "config", &json!({ "server-tokens": "true" })));
    server.forbid("configmaps", "");
    let start = start.flag("--watch-namespace=shop").flag("--configmap=edge/config");
    let instance = start.run(&server).ready();
    let tokens = |instance: &Instance| instance.get("a.example", "/").headers.contains_key("server");
    assert!(serves(&instance, "a.example") && !serves(&instance, "b.example"));
    assert!(tokens(&instance));
    server.put(config_map("edge", "config", &json!({ "server-tokens": "false" })));
    wait_until("the change", || !tokens(&instance));
    server.compact("configmaps");
    server.put(config_map("shop", "other", &json!({})));
    server.put(config_map("edge", "config", &json!({ "server-tokens": "true" })));
    wait_until("the next change", || tokens(&instance));
    server.delete("configmaps", "edge", "config");
    wait_until("a finding", || findings(&instance).contains("no-config-map"));
    instance.end();
}

#[test]
fn a_config_map_that_may_not_be_read_is_told_and_holds_nothing_up() {
    let (server, start) = site();
    server.put(ingress("shop", "a.example", None));
    server.put(config_map("edge", "config", &json!({ "server-tokens": "true" })));
    server.forbid("configmaps", "edge");
    let instance = start.flag("--watch-namespace=shop").flag("--configmap=edge/config").run(&server).ready();
    assert!(serves(&instance, "a.example"));
    let findings = findings(&instance);
    assert!(findings.contains("not-watched") && findings.contains("edge"), "{findings}");
    instance.end();
}

#[test]
fn a_secret_that_may_not_be_read_is_told_and_does_not_hold_up_the_others() {
    let (server, start) = site();
    let (own, other) = (HostCertificate::new("a.example"), HostCertificate::new("b.example"));
    server.put(secret(&own, "a"));
    server.put(serde_json::from_str(&other.secret_in("other", "b")).unwrap());
    server.put(ingress("shop", "a.example", Some("a")));
    server.put(ingress("other", "b.example", Some("b")));
    server.forbid("secrets", "shop");
    let starting = start.run(&server);
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(starting.ask("/readyz").status, 503, "it may be a fault that passes");
    std::thread::sleep(Duration::from_secs(6));
    let instance = starting.ready();
    assert!(serves_tls(&instance, "b.example", &other));
    assert!(findings(&instance).contains("not-read"), "{}", findings(&instance));
    let own = Client::new("GET", "a.example", "/").send_tls(instance.https, own.client(&[]));
    assert!(own.is_err(), "the default certificate");
    server.put(ingress("shop", "c.example", None));
    wait_until("a change", || serves(&instance, "c.example"));
    instance.end();
}
