//! `run` beside a double of the API server: what is served follows its objects, whatever the server does.

use std::time::Duration;

use portcullis_tests::{ApiServer, Asked, Fault, Instance, Origin, Start, wait_until};
use serde_json::{Value, json};

fn ingress(name: &str, host: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": { "name": name, "namespace": "shop" },
        "spec": { "ingressClassName": "nginx", "rules": [{ "host": host, "http": { "paths": [{
            "path": "/", "pathType": "Prefix", "backend": { "service": { "name": "wear", "port": { "number": 80 } } },
        }] } }] },
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "wear", "namespace": "shop" },
        "spec": { "ports": [{ "port": 80 }] },
    })
}

/// A server with a Service and an Ingress for `a.example`, and what sends its requests to an origin.
fn site() -> (ApiServer, Start) {
    let origin = Origin::start("wear");
    let server = ApiServer::start();
    server.put(service());
    server.put(ingress("a", "a.example"));
    (server, Start::default().flag(&format!("--endpoint=shop/wear={}", origin.address())))
}

fn serves(instance: &Instance, host: &str) -> bool {
    instance.get(host, "/").status == 200
}

fn findings(instance: &Instance) -> String {
    instance.ask("/debug/findings").body
}

#[test]
fn objects_that_come_change_and_go_are_followed() {
    let (server, start) = site();
    let instance = start.run(&server).ready();
    assert!(serves(&instance, "a.example") && !serves(&instance, "b.example"));
    server.put(ingress("b", "b.example"));
    wait_until("the new Ingress", || serves(&instance, "b.example"));
    server.put(ingress("b", "c.example"));
    wait_until("the changed Ingress", || serves(&instance, "c.example") && !serves(&instance, "b.example"));
    server.delete("ingresses", "shop", "b");
    wait_until("the end of the Ingress", || !serves(&instance, "c.example"));
    assert_eq!(server.asked("ingresses"), Asked { lists: 1, watches: 1 });
    assert!(instance.ask("/metrics").body.contains("portcullis_api_server_silence_seconds "));
    instance.end();
}

#[test]
fn long_lists_come_in_pages() {
    let (server, start) = site();
    for number in 0..1_200 {
        server.put(ingress(&format!("i{number}"), &format!("i{number}.example")));
    }
    let instance = start.run(&server).ready();
    for host in ["i0.example", "i499.example", "i500.example", "i1199.example"] {
        assert!(serves(&instance, host), "{host}");
    }
    assert_eq!(server.asked("ingresses").lists, 1);
    instance.end();
}

#[test]
fn a_watch_that_ends_goes_on_where_it_was_without_a_list() {
    let (server, start) = site();
    let instance = start.run(&server).ready();
    server.cut("ingresses");
    server.put(ingress("b", "b.example"));
    wait_until("what came meanwhile", || serves(&instance, "b.example"));
    assert_eq!(server.asked("ingresses"), Asked { lists: 1, watches: 2 });
    instance.end();
}

#[test]
fn watches_that_end_at_once_are_not_asked_for_without_pause() {
    let (server, start) = site();
    server.fail_watches("ingresses", &vec![Fault::End; 100]);
    let instance = start.run(&server).ready();
    std::thread::sleep(Duration::from_secs(2));
    let asked = server.asked("ingresses");
    assert!(asked.lists <= 3 && (2..=5).contains(&asked.watches), "{asked:?}");
    assert!(serves(&instance, "a.example"));
    instance.end();
}

#[test]
fn what_is_too_old_to_be_watched_is_listed_once_and_only_its_kind() {
    let (server, start) = site();
    let instance = start.run(&server).ready();
    server.compact("ingresses");
    server.put(ingress("b", "b.example"));
    server.delete("ingresses", "shop", "a");
    wait_until("the new state", || serves(&instance, "b.example") && !serves(&instance, "a.example"));
    assert_eq!(server.asked("ingresses").lists, 2);
    assert_eq!(server.asked("services").lists, 1);
    instance.end();
}

#[test]
fn a_server_with_too_much_to_do_is_asked_as_late_as_it_says() {
    let (server, start) = site();
    let instance = start.run(&server).ready();
    server.fail_lists("ingresses", &[Fault::Status(429, Some(3))]);
    server.compact("ingresses");
    wait_until("the next list", || server.asked("ingresses").lists >= 3);
    let between = server.between_lists("ingresses").unwrap();
    assert!(between >= Duration::from_secs(3), "{between:?}");
    assert!(serves(&instance, "a.example"));
    instance.end();
}

#[test]
fn while_the_server_is_away_all_is_served_on_and_caught_up_with_afterwards() {
    let (server, start) = site();
    let instance = start.run(&server).ready();
    server.set_away(true);
    std::thread::sleep(Duration::from_secs(3));
    assert!(serves(&instance, "a.example"));
    assert_eq!(instance.ask("/readyz").status, 200);
    server.put(ingress("b", "b.example"));
    server.set_away(false);
    wait_until("what came meanwhile", || serves(&instance, "b.example"));
    assert!(server.asked("ingresses").lists <= 2, "{:?}", server.asked("ingresses"));
    wait_until("no finding about the server", || !findings(&instance).contains("not-watched"));
    instance.end();
}

#[test]
fn before_the_first_lists_it_is_alive_and_not_ready() {
    let (server, start) = site();
    server.set_away(true);
    let starting = start.run(&server);
    assert_eq!(starting.ask("/livez").status, 200);
    assert_eq!(starting.ask("/healthz").status, 500);
    assert_eq!(starting.ask("/readyz").status, 503);
    server.set_away(false);
    let instance = starting.ready();
    assert_eq!(instance.ask("/readyz").status, 200);
    assert!(serves(&instance, "a.example"));
    instance.end();
}

#[test]
fn a_signal_ends_the_wait_for_the_first_lists() {
    let (server, start) = site();
    server.fail_lists("secrets", &[Fault::Silence]);
    let starting = start.run(&server);
    assert_eq!(starting.ask("/readyz").status, 503);
    let instance = starting.unready();
    instance.signal("TERM");
    assert_eq!(instance.wait().code, Some(0));
}

#[test]
fn classes_that_may_not_be_read_hold_nothing_up() {
    let (server, start) = site();
    let mut ingress = ingress("a", "a.example");
    ingress["spec"]["ingressClassName"] = Value::Null;
    ingress["metadata"]["annotations"] = json!({ "kubernetes.io/ingress.class": "nginx" });
    server.put(ingress);
    server.fail_lists("ingressclasses", &vec![Fault::Status(403, None); 10]);
    let instance = start.run(&server).ready();
    assert!(serves(&instance, "a.example"));
    assert!(findings(&instance).contains("not-watched"));
    instance.end();
}

#[test]
fn kinds_that_may_not_be_read_are_never_empty() {
    let (server, start) = site();
    let instance = start.run(&server).ready();
    server.fail_lists("ingresses", &vec![Fault::Status(403, None); 100]);
    server.compact("ingresses");
    wait_until("a finding", || findings(&instance).contains("not-watched"));
    assert!(serves(&instance, "a.example"));
    instance.end();
}

#[test]
fn a_list_without_objects_is_believed_when_it_comes_twice() {
    let (server, start) = site();
    for number in 0..20 {
        server.put(ingress(&format!("i{number}"), &format!("i{number}.example")));
    }
    let instance = start.run(&server).ready();
    server.fail_lists("ingresses", &[Fault::Empty]);
    server.compact("ingresses");
    wait_until("the second list", || server.asked("ingresses").lists >= 2);
    assert!(serves(&instance, "i7.example"));
    wait_until("the third list", || server.asked("ingresses").lists >= 3);
    assert!(server.between_lists("ingresses").unwrap() >= Duration::from_secs(4));
    server.put(ingress("b", "b.example"));
    wait_until("what comes next", || serves(&instance, "b.example"));
    assert!(serves(&instance, "i7.example"));
    instance.end();
}

#[test]
fn an_object_of_a_wrong_type_harms_itself_only() {
    let (server, start) = site();
    let mut broken = ingress("broken", "broken.example");
    broken["spec"]["rules"][0]["http"]["paths"] = json!("none");
    server.put(broken);
    let instance = start.run(&server).ready();
    assert!(serves(&instance, "a.example"));
    assert!(findings(&instance).contains("spec.rules[0].http.paths"), "{}", findings(&instance));
    let mut broken = ingress("a", "a.example");
    broken["spec"]["rules"] = json!(7);
    server.put(broken);
    server.put(ingress("b", "b.example"));
    wait_until("the one after it", || serves(&instance, "b.example"));
    assert!(serves(&instance, "a.example"), "its last good form is served on");
    instance.end();
}

#[test]
fn events_that_come_again_change_nothing() {
    let (server, start) = site();
    let instance = start.run(&server).ready();
    let builds = |instance: &Instance| {
        let metrics = instance.ask("/metrics").body;
        metrics.lines().find(|line| line.starts_with("nginx_ingress_controller_success")).map(str::to_owned)
    };
    let before = builds(&instance);
    for _ in 0..5 {
        server.repeat("ingresses");
        server.repeat("services");
    }
    server.put(ingress("a", "a.example"));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(builds(&instance), before);
    instance.end();
}
