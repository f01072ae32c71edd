//! `serve`: what is answered, and how changes on disk are followed.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portcullis_tests::manifests::{annotated_ingress, ingress, joined, service};
use portcullis_tests::{Client, Instance, Origin, Start, get, wait_until};

/// A change on disk is served within this time.
const AT_ONCE: Duration = Duration::from_millis(100);

/// One Service `a` behind `a.example`.
fn start(origin: &Origin) -> Instance {
    Start::new()
        .file("service.yaml", &service("a", &[origin.address()]))
        .file("ingress.yaml", &ingress("a", "a.example", "/", "a"))
        .serve()
}

#[test]
fn the_first_line_of_stdout_says_where_it_listens() {
    let origin = Origin::start("a");
    let instance = start(&origin);
    assert_eq!(instance.get("a.example", "/x?y").body, "a GET /x?y a.example\n");
    assert_eq!(instance.get("b.example", "/").status, 404);
    assert_eq!(instance.get("b.example", "/healthz").status, 200);
    let ended = instance.end();
    let events = ended.output.lines().filter(|line| line.contains("\"event\"")).count();
    assert_eq!(events, 1, "{}", ended.output);
    assert!(ended.output.lines().count() >= 2, "the access log is on stdout: {}", ended.output);
}

#[test]
fn on_every_address_clients_of_both_protocols_are_what_they_are() {
    let origin = Origin::start("a");
    let start = Start::new().file("service.yaml", &service("a", &[origin.address()]));
    let start = start.file("ingress.yaml", &ingress("a", "a.example", "/", "a"));
    let instance = start.flag("--bind-address=::").serve();
    for client in ["127.0.0.1", "::1"] {
        let address = SocketAddr::new(client.parse().unwrap(), instance.http.port());
        assert_eq!(get(address, "a.example", "/").unwrap().status, 200, "{client}");
        let begin = format!("{client} - ");
        wait_until("the line of the log", || instance.output().lines().any(|line| line.starts_with(&begin)));
    }
    instance.end();
}

/// Makes changes until one of them is served at once: a busy machine may be late, but not every time. `change` makes the
/// change of a round and returns how long it took to be served.
fn at_once(what: &str, mut change: impl FnMut(usize) -> Duration) {
    let took: Vec<Duration> = (0..5).map(&mut change).take_while(|took| *took >= AT_ONCE).collect();
    assert!(took.len() < 5, "{what} took {took:?}");
}

#[test]
fn a_changed_file_is_served_at_once() {
    let origin = Origin::start("a");
    let instance = start(&origin);
    let served = |host: &str| wait_until(host, || instance.get(host, "/").status == 200);
    let manifest = |host: &str| ingress("a", host, "/", "a");
    at_once("a file written in place", |round| {
        let host = format!("written-{round}.example");
        fs::write(instance.manifests().join("ingress.yaml"), manifest(&host)).unwrap();
        served(&host)
    });
    at_once("a file renamed into place", |round| {
        let host = format!("renamed-{round}.example");
        instance.put("ingress.yaml", &manifest(&host));
        served(&host)
    });
    assert_eq!(instance.get("written-0.example", "/").status, 404);
    at_once("a new file and its removal", |round| {
        let (host, name) = (format!("new-{round}.example"), format!("new-{round}.yaml"));
        instance.put(&name, &ingress(&format!("new-{round}"), &host, "/", "a"));
        let came = served(&host);
        fs::remove_file(instance.manifests().join(name)).unwrap();
        came.max(wait_until("the removal", || instance.get(&host, "/").status == 404))
    });
    instance.end();
}

#[test]
fn the_swap_of_a_config_map_volume_is_served_at_once() {
    let origin = Origin::start("a");
    let version = |number: usize| ingress("a", &format!("v{number}.example"), "/", "a");
    let instance = (1..6)
        .fold(Start::new(), |start, number| start.file(&format!("volume/..v{number}/ingress.yaml"), &version(number)))
        .file("service.yaml", &service("a", &[origin.address()]))
        .serve();
    let volume = instance.manifests().join("volume");
    symlink("..v1", volume.join("..data")).unwrap();
    symlink("..data/ingress.yaml", volume.join("ingress.yaml")).unwrap();
    wait_until("the volume", || instance.get("v1.example", "/").status == 200);
    let mut last = 1;
    at_once("a swapped link", |round| {
        last = 2 + round % 4;
        symlink(format!("..v{last}"), volume.join("..data_tmp")).unwrap();
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
        wait_until("the swap", || instance.get(&format!("v{last}.example"), "/").status == 200)
    });
    assert_eq!(instance.get("v1.example", "/").status, 404);
    instance.end();
}

#[test]
fn a_broken_file_keeps_the_last_good_state_and_says_so() {
    let origin = Origin::start("a");
    let instance = start(&origin);
    let before = instance.generation();
    instance.put("ingress.yaml", "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a\n");
    wait_until("the reread", || instance.generation() > before);
    assert_eq!(instance.get("a.example", "/").status, 200);
    let findings = instance.ask("/debug/findings").body;
    assert!(findings.contains("ingress.yaml") && findings.contains("\"line "), "{findings}");
    wait_until("the log", || instance.log().contains("invalid-yaml"));
    // A new file beside it is served, and the good version again.
    instance.put("other.yaml", &ingress("other", "other.example", "/", "a"));
    wait_until("the other file", || instance.get("other.example", "/").status == 200);
    instance.put("ingress.yaml", &ingress("a", "c.example", "/", "a"));
    wait_until("the corrected file", || instance.get("c.example", "/").status == 200);
    assert_eq!(instance.ask("/debug/findings").body.trim(), "[]");
    let log = instance.end().log;
    assert_eq!(log.matches("invalid-yaml").count(), 1, "a finding is logged once: {log}");
}

#[test]
fn bad_objects_harm_themselves_only() {
    let origin = Origin::start("a");
    let long = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: long, namespace: demo}}\ndata:\n  x: {}\n",
        "x".repeat(1 << 20)
    );
    let instance = Start::new()
        .file("service.yaml", &service("a", &[origin.address()]))
        .file("good.yaml", &ingress("good", "good.example", "/", "a"))
        .file("syntax.yaml", "kind: [\n")
        .file("types.yaml", &ingress("types", "[a, b]", "/", "a"))
        .file("kind.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n")
        .file("regex.yaml", &annotated_ingress("regex", "regex.example", "/a(", "a", &[("use-regex", "true")]))
        .file("long.yaml", &long)
        .file("secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {tls.crt: '%%%'}\n")
        .file("twice.yaml", &ingress("good", "twice.example", "/", "a"))
        .serve();
    assert_eq!(instance.get("good.example", "/").status, 200);
    assert_eq!(instance.get("twice.example", "/").status, 404);
    let findings = instance.ask("/debug/findings").body;
    for code in ["invalid-yaml", "invalid-object", "unknown-kind", "duplicate-object", "invalid-pattern"] {
        assert!(findings.contains(code), "{code} in {findings}");
    }
    instance.end();
}

#[test]
fn endpoints_change_without_a_failed_request() {
    let (one, two) = (Origin::start("one"), Origin::start("two"));
    let instance = start(&one);
    let stop = Arc::new(AtomicBool::new(false));
    let load = std::thread::spawn({
        let (stop, http) = (stop.clone(), instance.http);
        move || {
            let mut failures = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                match Client::new("GET", "a.example", "/").send(http) {
                    Ok(answer) if answer.status == 200 => {}
                    other => failures.push(format!("{other:?}")),
                }
            }
            failures
        }
    });
    for round in 0..10 {
        let (origin, name) = if round % 2 == 0 { (&two, "two") } else { (&one, "one") };
        instance.put("service.yaml", &service("a", &[origin.address()]));
        wait_until("the new endpoint", || instance.get("a.example", "/").body.starts_with(name));
        // The rules change as well.
        let path = if round % 2 == 0 { "/" } else { "/other" };
        instance.put("more.yaml", &ingress("more", "more.example", path, "a"));
    }
    stop.store(true, Ordering::Relaxed);
    assert_eq!(load.join().unwrap(), Vec::<String>::new());
    instance.end();
}

#[test]
fn an_endpoint_flag_takes_the_place_of_endpoint_slices() {
    let origin = Origin::start("flag");
    let text = joined(&[service("a", &[]), ingress("a", "a.example", "/", "a")]);
    let without = Start::new().file("m.yaml", &text).serve();
    assert_eq!(without.get("a.example", "/").status, 503);
    without.end();
    let with = Start::new().file("m.yaml", &text).flag(&format!("--endpoint=demo/a={}", origin.address())).serve();
    assert_eq!(with.get("a.example", "/").body, "flag GET / a.example\n");
    with.end();
}

#[test]
fn flags_without_effect_are_said_to_have_none() {
    let instance = Start::new()
        .flag("--enable-ssl-passthrough")
        .flag("--update-status=false")
        .flag("--v=2")
        .flag("--sync-period")
        .flag("10m")
        .serve();
    let findings = instance.ask("/debug/findings").body;
    assert!(findings.contains("--enable-ssl-passthrough") && findings.contains("--sync-period"), "{findings}");
    assert!(!findings.contains("\"--v\""), "{findings}");
    wait_until("the log", || instance.log().contains("flag-without-effect"));
    instance.end();
}
