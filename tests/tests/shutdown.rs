//! The end: signals, the grace period, and requests that are still running.

use std::time::{Duration, Instant};

use portcullis_tests::manifests::{ingress, joined, service};
use portcullis_tests::{ApiServer, Client, Origin, Start, get, wait_until};
use serde_json::{Value, json};

fn documents(origin: &Origin) -> String {
    joined(&[service("a", &[origin.address()]), ingress("a", "a.example", "/", "a")])
}

#[test]
fn both_signals_end_it_with_0() {
    for signal in ["TERM", "INT"] {
        let instance = Start::new().file("m.yaml", &documents(&Origin::start("a"))).serve();
        assert_eq!(instance.get("a.example", "/").status, 200);
        instance.signal(signal);
        let ended = instance.wait();
        assert_eq!(ended.code, Some(0), "{signal}: {}", ended.log);
    }
}

#[test]
fn a_running_request_gets_its_answer() {
    let origin = Origin::slow("slow", Duration::from_millis(800));
    let instance = Start::new().file("m.yaml", &documents(&origin)).serve();
    let http = instance.http;
    let request = std::thread::spawn(move || get(http, "a.example", "/"));
    wait_until("the request", || origin.requests() > 0);
    instance.signal("TERM");
    let answer = request.join().expect("a thread").expect("an answer");
    assert_eq!((answer.status, answer.body.as_str()), (200, "slow GET / a.example\n"));
    assert_eq!(instance.wait().code, Some(0));
}

#[test]
fn during_the_grace_period_it_serves_on_and_is_not_ready() {
    let instance =
        Start::new().file("m.yaml", &documents(&Origin::start("a"))).flag("--shutdown-grace-period=1").serve();
    let begin = Instant::now();
    instance.signal("TERM");
    wait_until("not ready", || instance.ask("/readyz").status == 503);
    assert_eq!(instance.ask("/healthz").status, 500);
    assert_eq!(instance.ask("/livez").status, 200);
    assert_eq!(instance.get("a.example", "/").status, 200);
    assert_eq!(instance.wait().code, Some(0));
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

fn pod(name: &str, ready: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "gate", "labels": { "app": "gate" } },
        "spec": { "nodeName": "n", "terminationGracePeriodSeconds": 300 },
        "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": ready }] },
    })
}

#[test]
fn where_it_is_the_only_replica_that_is_ready_it_stays_so_until_another_one_is() {
    let server = ApiServer::start();
    server.put(pod("old", "True"));
    server.put(pod("new", "False"));
    let start = Start::default().variable("POD_NAME", "old").variable("POD_NAMESPACE", "gate");
    let instance = start.flag("--shutdown-grace-period=1").run(&server).ready();
    instance.signal("TERM");
    wait_until("not ready", || instance.ask("/readyz").status == 503);
    wait_until("ready again", || instance.ask("/readyz").status == 200);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!((instance.ask("/readyz").status, instance.ask("/healthz").status), (200, 200));
    server.put(pod("new", "True"));
    assert_eq!(instance.wait().code, Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let origin = Origin::slow("slow", Duration::from_secs(8));
    let instance = Start::new().file("m.yaml", &documents(&origin)).serve();
    let http = instance.http;
    let request = std::thread::spawn(move || Client::new("GET", "a.example", "/").send(http));
    wait_until("the request", || origin.requests() > 0);
    let begin = Instant::now();
    instance.signal("TERM");
    std::thread::sleep(Duration::from_millis(300));
    instance.signal("TERM");
    let ended = instance.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert!(request.join().expect("a thread").is_err(), "the request was cut");
}

/// A ConfigMap `demo/config` with these lines of data.
fn config_map(data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: config, namespace: demo}}\ndata:\n{data}")
}

#[test]
fn worker_shutdown_timeout_is_the_deadline_also_when_it_was_changed() {
    let origin = Origin::slow("slow", Duration::from_secs(8));
    let start = Start::new().file("m.yaml", &documents(&origin)).flag("--configmap=demo/config");
    let instance = start.file("config.yaml", &config_map("  worker-shutdown-timeout: 200s\n")).serve();
    instance.put("config.yaml", &config_map("  worker-shutdown-timeout: 1s\n  worker-processes: \"3\"\n"));
    wait_until("the finding", || instance.ask("/debug/findings").body.contains("needs-restart"));
    let http = instance.http;
    let request = std::thread::spawn(move || get(http, "a.example", "/"));
    wait_until("the request", || origin.requests() > 0);
    let begin = Instant::now();
    instance.signal("TERM");
    assert_eq!(instance.wait().code, Some(0));
    assert!((1.0..4.0).contains(&begin.elapsed().as_secs_f64()), "{:?}", begin.elapsed());
    assert!(request.join().expect("a thread").is_err(), "the request was cut");
}

#[test]
fn worker_processes_is_the_number_of_threads() {
    let start = Start::new().file("m.yaml", &documents(&Origin::start("a"))).flag("--configmap=demo/config");
    let instance = start.file("config.yaml", &config_map("  worker-processes: \"3\"\n")).serve();
    let names = std::fs::read_dir(format!("/proc/{}/task", instance.pid())).expect("its threads");
    let names = names.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    assert_eq!(names.filter(|name| name.starts_with("worker-")).count(), 3);
}
