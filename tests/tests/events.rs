//! Events about objects: `run` beside a double of the API server.

use std::thread::sleep;
use std::time::Duration;

use portcullis_tests::{ApiServer, Fault, Instance, Start, wait_until};
use serde_json::{Value, json};

/// An Ingress with a path `/` of the host `NAME.example`, or of another host.
fn ingress(name: &str, host: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {
            "name": name, "namespace": "demo", "annotations": annotations,
            "creationTimestamp": if name == "old" { "2026-01-01T00:00:00Z" } else { "2026-02-01T00:00:00Z" },
        },
        "spec": { "ingressClassName": "nginx", "rules": [{ "host": host, "http": { "paths": [{
            "path": "/", "pathType": "Prefix", "backend": { "service": { "name": "echo", "port": { "number": 80 } } },
        }] } }] },
    })
}

fn well(name: &str) -> Value {
    ingress(name, &format!("{name}.example"), &json!({}))
}

fn faulty(name: &str, host: &str) -> Value {
    ingress(name, host, &json!({ "nginx.ingress.kubernetes.io/client-body-buffer-size": "lots" }))
}

fn site() -> ApiServer {
    let server = ApiServer::start();
    server.put(json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "echo", "namespace": "demo" },
        "spec": { "ports": [{ "port": 80 }] },
    }));
    server
}

fn start(server: &ApiServer, flags: &[&str]) -> Instance {
    flags.iter().fold(Start::default(), |start, flag| start.flag(flag)).run(server).ready()
}

/// Messages and counts of the Events about an object for a reason.
fn events(server: &ApiServer, name: &str, reason: &str) -> Vec<(String, i64)> {
    let about = |event: &Value| event["involvedObject"]["name"] == name && event["reason"] == reason;
    let said = |event: &Value| {
        (event["message"].as_str().expect("a message").to_owned(), event["count"].as_i64().expect("a count"))
    };
    server.all("events").iter().filter(|event| about(event)).map(said).collect()
}

fn counted(instance: &Instance, outcome: &str) -> u64 {
    let metrics = instance.ask("/metrics").body;
    let name = format!("portcullis_events_total{{outcome=\"{outcome}\"}} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&name)).expect("a line about Events");
    value.parse::<f64>().expect("a number") as u64
}

#[test]
fn an_ingress_that_is_served_is_said_to_be_and_again_when_it_changes() {
    let server = site();
    server.put(well("a"));
    let instance = start(&server, &[]);
    let sync = |count| vec![("Scheduled for sync".to_owned(), count)];
    wait_until("an Event", || events(&server, "a", "Sync") == sync(1));
    server.put(well("b"));
    wait_until("an Event of the new one", || events(&server, "b", "Sync") == sync(1));
    server.put(ingress("b", "other.example", &json!({})));
    wait_until("an Event of the change", || events(&server, "b", "Sync") == sync(2));
    let mut foreign = well("c");
    foreign["spec"]["ingressClassName"] = json!("other");
    server.put(foreign);
    server.put(well("d"));
    wait_until("an Event of the next one", || events(&server, "d", "Sync") == sync(1));
    assert_eq!(events(&server, "c", "Sync"), [], "an Ingress of another class");
    let event = server.all("events").into_iter().find(|event| event["involvedObject"]["name"] == "a").expect("one");
    assert_eq!(event["metadata"]["namespace"], "demo");
    assert_eq!(event["involvedObject"]["uid"], "demo/a");
    assert_eq!(event["involvedObject"]["apiVersion"], "networking.k8s.io/v1");
    assert_eq!((&event["type"], &event["source"]["component"]), (&json!("Normal"), &json!("nginx-ingress-controller")));
    wait_until("the counts", || (counted(&instance, "created"), counted(&instance, "repeated")) == (3, 1));
    instance.end();
}

#[test]
fn what_the_controller_writes_itself_is_no_change() {
    let server = site();
    for name in ["a", "b", "c"] {
        server.put(well(name));
    }
    let instance = start(&server, &["--publish-status-address=192.0.2.1"]);
    wait_until("the status", || server.writes("ingresses") == 3);
    server.put(well("d"));
    wait_until("an Event of the new one", || !events(&server, "d", "Sync").is_empty());
    sleep(Duration::from_millis(500));
    assert_eq!((counted(&instance, "created"), counted(&instance, "repeated")), (4, 0));
    instance.end();
}

#[test]
fn a_bad_annotation_is_said_at_its_ingress_and_counted_up_while_it_is_changed_and_still_bad() {
    let server = site();
    server.put(faulty("a", "a.example"));
    let instance = start(&server, &["--disable-sync-events"]);
    let said = || events(&server, "a", "AnnotationParsingFailed");
    wait_until("an Event", || !said().is_empty());
    for (host, count) in [("b.example", 2), ("c.example", 3)] {
        server.put(faulty("a", host));
        wait_until("a higher count", || said().iter().any(|(_, found)| *found == count));
    }
    let all = said();
    assert_eq!(all.len(), 1, "{all:?}");
    let message = &all[0].0;
    for part in ["Error parsing annotations: ", "client-body-buffer-size", "lots", "not served", "expected"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    server.put(well("a"));
    wait_until("the Ingress", || instance.get("a.example", "/").status == 503);
    sleep(Duration::from_millis(300));
    assert_eq!(said(), all, "what is well is not complained of");
    assert_eq!(events(&server, "a", "Sync"), [], "as the flag says");
    instance.end();
}

#[test]
fn both_ingresses_of_a_conflict_are_told_who_won_and_by_which_rule() {
    let server = site();
    server.put(ingress("young", "shop.example", &json!({})));
    server.put(ingress("old", "shop.example", &json!({})));
    let instance = start(&server, &[]);
    wait_until("both Events", || {
        !events(&server, "young", "PathConflict").is_empty() && !events(&server, "old", "PathConflictWon").is_empty()
    });
    let [lost, won] =
        [("young", "PathConflict"), ("old", "PathConflictWon")].map(|(name, reason)| events(&server, name, reason));
    for (all, parts) in [
        (lost, ["path `/` of host shop.example", "Ingress demo/old", "older"]),
        (won, ["path `/` of host shop.example", "Ingress demo/young", "younger"]),
    ] {
        let [(message, 1)] = all.as_slice() else { panic!("{all:?}") };
        assert!(parts.iter().all(|part| message.contains(part)), "{parts:?} in {message}");
    }
    instance.end();
}

#[test]
fn settings_are_said_to_be_read_at_their_config_map() {
    let server = site();
    let settings = |size: &str| {
        server.put(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings", "namespace": "demo" },
            "data": { "proxy-body-size": size },
        }));
    };
    settings("2m");
    let instance = start(&server, &["--configmap=demo/settings", "--disable-sync-events"]);
    let said = |reason: &str| events(&server, "settings", reason);
    let text = |count| vec![("ConfigMap demo/settings".to_owned(), count)];
    wait_until("an Event", || said("CREATE") == text(1));
    for (size, count) in [("3m", 1), ("4m", 2)] {
        settings(size);
        wait_until("an Event of the change", || said("UPDATE") == text(count));
    }
    assert_eq!(said("CREATE"), text(1));
    instance.end();
}

#[test]
fn without_the_right_to_write_events_that_is_said_once_and_all_is_served() {
    let server = site();
    server.put(faulty("a", "a.example"));
    server.fail_writes("events", &vec![Fault::Status(403, None); 100]);
    let instance = start(&server, &[]);
    wait_until("a line about it", || instance.log().contains("Events may not be written"));
    for name in ["b", "c", "d"] {
        server.put(well(name));
        wait_until("the Ingress", || instance.get(&format!("{name}.example"), "/").status == 503);
    }
    wait_until("what became of them", || counted(&instance, "refused") == 4);
    assert_eq!(instance.log().matches("Events may not be written").count(), 1);
    assert_eq!((server.writes("events"), counted(&instance, "created")), (1, 0), "it is not tried all the time");
    instance.end();
}

#[test]
fn only_the_leader_writes_and_who_takes_over_writes_nothing_twice() {
    let server = site();
    server.put(faulty("bad", "bad.example"));
    server.put(well("a"));
    let one = start(&server, &["--election-ttl=2s"]);
    wait_until("the Events", || server.all("events").len() == 2);
    let two = start(&server, &["--election-ttl=2s"]);
    server.put(well("b"));
    wait_until("an Event of the new one", || server.all("events").len() == 3);
    wait_until("its count", || counted(&one, "created") == 3);
    assert_eq!(counted(&two, "created"), 0);
    let before = server.all("events");
    one.signal("KILL");
    one.wait();
    wait_until("the end of what the other has to say", || counted(&two, "known") == 3);
    assert_eq!(server.all("events"), before);
    server.put(well("c"));
    wait_until("an Event of the next one", || !events(&server, "c", "Sync").is_empty());
    two.end();
}

#[test]
fn without_election_every_replica_writes() {
    let server = site();
    let flags = ["--disable-leader-election"];
    server.put(well("before"));
    let replicas = [start(&server, &flags), start(&server, &flags)];
    let begun = |replica: &Instance| counted(replica, "created") + counted(replica, "known") == 1;
    wait_until("what both say at the start", || replicas.iter().all(begun));
    server.put(well("a"));
    wait_until("both", || events(&server, "a", "Sync").first().is_some_and(|(_, count)| *count == 2));
    assert_eq!(server.all("events").len(), 2);
    replicas.into_iter().for_each(|replica| drop(replica.end()));
}

#[test]
fn an_api_server_that_is_away_is_told_afterwards() {
    let server = site();
    let instance = start(&server, &["--disable-leader-election"]);
    server.fail_writes("events", &[Fault::Status(500, None), Fault::Status(429, Some(1))]);
    server.put(faulty("a", "a.example"));
    wait_until("an Event", || !events(&server, "a", "AnnotationParsingFailed").is_empty());
    assert_eq!((server.writes("events"), counted(&instance, "failed")), (3, 0));
    instance.end();
}
