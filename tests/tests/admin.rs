//! The admin address, and `explain` against it.

use portcullis_tests::manifests::{ingress, joined, service};
use portcullis_tests::{Client, Instance, Origin, Start, get, run, wait_until};
use serde_json::Value;

fn start(origin: &Origin) -> Instance {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: hush, namespace: demo}\nstringData: {tls.key: top-secret-value}\n";
    let documents = [service("a", &[origin.address()]), ingress("rule", "a.example", "/x", "a"), secret.to_owned()];
    Start::new().file("m.yaml", &joined(&documents)).serve()
}

#[test]
fn health_pages_say_that_it_serves() {
    let instance = start(&Origin::start("a"));
    for path in ["/healthz", "/healthz/ping", "/healthz/nginx-ingress-controller", "/livez", "/readyz"] {
        let answer = instance.ask(path);
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"), "{path}");
    }
    assert_eq!(instance.ask("/no-such-page").status, 404);
    instance.end();
}

#[test]
fn the_generation_grows_with_every_change_and_every_reread() {
    let instance = start(&Origin::start("a"));
    let mut before = instance.generation();
    assert!(before >= 1);
    let mut grows = |what: &str| {
        wait_until(what, || instance.generation() > before);
        before = instance.generation();
    };
    instance.put("new.yaml", &ingress("new", "new.example", "/", "a"));
    grows("a new rule");
    instance.put("new.yaml", &ingress("new", "new.example", "/", "a"));
    grows("the same again");
    instance.put("more.yaml", &service("more", &["127.0.0.1:9".parse().unwrap()]));
    grows("an object that nothing names");
    std::fs::remove_file(instance.manifests().join("new.yaml")).unwrap();
    grows("a removal");
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(instance.generation(), before, "it stands still when nothing happens");
    instance.end();
}

#[test]
fn the_table_shows_no_secret() {
    let instance = start(&Origin::start("a"));
    let answer = instance.ask("/debug/table");
    assert_eq!(answer.headers["content-type"], "application/json");
    let table: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert!(table["snapshot"]["hosts"]["a.example"].is_object(), "{table:#}");
    for path in ["/debug/table", "/debug/findings", "/metrics"] {
        let body = instance.ask(path).body;
        assert!(!body.contains("top-secret-value") && !body.contains("PRIVATE KEY"), "{path}");
    }
    let log = instance.end();
    assert!(!(log.log + &log.output).contains("top-secret-value"));
}

#[test]
fn explain_agrees_with_what_is_served() {
    let origin = Origin::start("a");
    let instance = start(&origin);
    for (url, ingress) in
        [("http://a.example/x/y", Some("rule")), ("http://a.example/other", None), ("http://b.example/x", None)]
    {
        let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("a URL");
        let served = instance.get(host, &format!("/{path}"));
        let page = instance.ask(&format!("/debug/explain?url={}", url.replace(':', "%3A")));
        let from_page: Value = serde_json::from_str(&page.body).expect("JSON");
        let (admin, manifests) = (instance.admin.to_string(), instance.manifests());
        let running = run(&["explain", url, "--admin", &admin, "--output", "json"]);
        let files = run(&["explain", url, "--manifests", manifests.to_str().expect("a path"), "--output", "json"]);
        for text in [&running.output, &files.output] {
            let explanation: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(explanation["rule"], from_page["rule"], "{url}");
            assert_eq!(explanation["answer"], from_page["answer"], "{url}");
        }
        match ingress {
            Some(name) => {
                assert_eq!((served.status, &from_page["rule"]["ingress"]), (200, &Value::from(name)), "{from_page:#}");
                assert!(page.body.contains(&origin.address().to_string()), "{from_page:#}");
            }
            None => assert_eq!(served.status, 404, "{from_page:#}"),
        }
    }
    let text = run(&[
        "explain",
        "http://a.example/x",
        "--admin",
        &instance.admin.to_string(),
        "-H",
        "X-A: b",
        "--method",
        "POST",
    ]);
    assert_eq!(text.code, Some(0), "{}", text.log);
    assert!(text.output.contains("demo/rule"), "{}", text.output);
    instance.end();
}

#[test]
fn explain_refuses_what_it_does_not_understand() {
    let instance = start(&Origin::start("a"));
    for query in
        ["", "?url=", "?url=ftp://a/", "?url=http://a/?x=1&y=2", "?url=http://a/&header=x", "?url=http://a/&client=x"]
    {
        assert_eq!(instance.ask(&format!("/debug/explain{query}")).status, 400, "{query:?}");
    }
    instance.end();
}

#[test]
fn only_reading_is_possible_and_only_by_local_names() {
    let instance = start(&Origin::start("a"));
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer =
            Client::new(method, "localhost", "/debug/table").body(b"x").send(instance.admin).expect("an answer");
        assert_eq!((answer.status, answer.headers["allow"].as_str()), (405, "GET, HEAD"), "{method}");
    }
    assert_eq!(get(instance.admin, "localhost", "/debug/table").expect("an answer").status, 200);
    assert_eq!(get(instance.admin, "rebind.example", "/debug/table").expect("an answer").status, 421);
    let head = Client::new("HEAD", "localhost", "/healthz").send(instance.admin).expect("an answer");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    instance.end();
}

#[test]
fn metrics_have_the_names_of_ingress_nginx() {
    let instance = start(&Origin::start("a"));
    let answer = instance.ask("/metrics");
    assert!(answer.headers["content-type"].starts_with("application/openmetrics-text"));
    for name in [
        "nginx_ingress_controller_config_last_reload_successful{",
        "nginx_ingress_controller_success{",
        "nginx_ingress_controller_build_info{",
        "process_resident_memory_bytes ",
        "portcullis_generation ",
    ] {
        assert!(answer.body.lines().any(|line| line.starts_with(name)), "{name} in {}", answer.body);
    }
    instance.end();
}
