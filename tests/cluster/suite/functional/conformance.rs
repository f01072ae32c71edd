//! The scenarios of the conformance suite for Ingress controllers
//! (`kubernetes-sigs/ingress-controller-conformance`, its five features), restated.

use std::collections::BTreeMap;

use portcullis_tests::cluster::{Echo, Install, Namespace, Portcullis};
use portcullis_tests::{Answer, Client, HostCertificate};
use serde_json::{Value, json};

#[test]
fn paths_match_exactly_or_by_their_elements_and_the_longest_wins() {
    let scene = Scene::new("paths", Install::new());
    let names = ["foo", "foo-exact", "foo-slash-exact", "aaa", "aaa-bbb", "aaa-bbb-slash"];
    scene.backends(&names);
    let rule = |host: &str, paths: &[(&str, &str, &str)]| {
        let paths = paths.iter().map(|(path, kind, name)| json!({"path": path, "pathType": kind, "backend": to(name)}));
        json!({"host": host, "http": {"paths": paths.collect::<Value>()}})
    };
    scene.create(
        "path-rules",
        json!({"rules": [
            rule("exact", &[("/foo", "Exact", "foo-exact")]),
            rule("prefix", &[("/foo", "Prefix", "foo"), ("/aaa/bbb", "Prefix", "aaa-bbb"), ("/aaa", "Prefix", "aaa")]),
            rule("mixed", &[("/foo", "Prefix", "foo"), ("/foo", "Exact", "foo-exact")]),
            rule("slash", &[("/aaa/bbb/", "Prefix", "aaa-bbb-slash"), ("/foo/", "Exact", "foo-slash-exact")]),
        ]}),
    );
    scene.published("path-rules");

    for (host, path, wanted) in [
        ("exact", "/foo", Some("foo-exact")),
        ("exact", "/foo/", None),
        ("exact", "/FOO", None),
        ("exact", "/bar", None),
        ("prefix", "/foo", Some("foo")),
        ("prefix", "/foo/", Some("foo")),
        ("prefix", "/FOO", None),
        ("prefix", "/aaa/bbb", Some("aaa-bbb")),
        ("prefix", "/aaa/bbb/ccc", Some("aaa-bbb")),
        ("prefix", "/aaa/ccc", Some("aaa")),
        ("prefix", "/aaaccc", None),
        ("mixed", "/foo", Some("foo-exact")),
        ("mixed", "/foo/", Some("foo")),
        ("slash", "/aaa/bbb/", Some("aaa-bbb-slash")),
        ("slash", "/foo", None),
        ("slash", "/foo/", Some("foo-slash-exact")),
    ] {
        scene.leads("GET", host, path, wanted);
    }
    // The client of the suite follows where it is led.
    let led = Client::new("GET", "slash", "/aaa/bbb").send(scene.portcullis.http).expect("an answer");
    assert_eq!((led.status, led.headers["location"].as_str()), (301, "http://slash/aaa/bbb/"));
}

#[test]
fn hosts_match_exactly_or_by_one_label_with_tls_and_without() {
    // The suite asks for the same host without TLS, too, which is led to HTTPS otherwise.
    let scene = Scene::new("hosts", Install::new().config("ssl-redirect", "false"));
    scene.backends(&["foo-bar-com", "wildcard-foo-com"]);
    let pair = HostCertificate::new("foo.bar.com");
    scene.namespace.apply(&pair.secret_in(scene.namespace.name(), "conformance-tls"));
    let rule = |host: &str, backend: Value| json!({"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}});
    let by_name = json!({"service": {"name": "foo-bar-com", "port": {"name": "http"}}});
    scene.create(
        "host-rules",
        json!({
            "tls": [{"hosts": ["foo.bar.com"], "secretName": "conformance-tls"}],
            "rules": [rule("*.foo.com", to("wildcard-foo-com")), rule("foo.bar.com", by_name)],
        }),
    );
    scene.published("host-rules");

    for (host, wanted) in [
        ("foo.bar.com", Some("foo-bar-com")),
        ("subdomain.bar.com", None),
        ("bar.foo.com", Some("wildcard-foo-com")),
        ("baz.bar.foo.com", None),
        ("foo.com", None),
    ] {
        let answer = scene.leads("GET", host, "/", wanted);
        if wanted.is_some() {
            assert_eq!(said(&answer)["host"], host);
        }
    }
    let request = Client::new("GET", "foo.bar.com", "/");
    let answer = request.send_tls(scene.portcullis.https, pair.client(&[b"http/1.1"])).expect("the host's certificate");
    assert_eq!((answer.status, &said(&answer)["name"]), (200, &json!("foo-bar-com")));
}

#[test]
fn an_ingress_without_rules_gets_every_request() {
    let scene = Scene::new("default", Install::new());
    scene.backends(&["echo-service"]);
    scene.create("default-backend", json!({"defaultBackend": to("echo-service")}));
    scene.published("default-backend");

    for (method, host, path) in [
        ("GET", "my-host", "/"),
        ("GET", "my-host", "/sub-path"),
        ("POST", "some-host", "/"),
        ("PUT", "", "/resource"),
        ("DELETE", "some-host", "/resource"),
        ("PATCH", "my-host", "/resource"),
    ] {
        // A client without a name for the server sends its address.
        let address = scene.portcullis.http.to_string();
        let answer = scene.leads(method, if host.is_empty() { &address } else { host }, path, Some("echo-service"));
        for field in ["content-length", "content-type", "date"] {
            assert!(answer.headers.contains_key(field), "{method} {host}{path}: no {field} in {:?}", answer.headers);
        }
        let said = said(&answer);
        assert_eq!((&said["method"], &said["target"]), (&json!(method), &json!(path)));
        assert_eq!(said["headers"]["user-agent"], "conformance");
    }
}

#[test]
fn an_ingress_of_a_class_that_does_not_exist_is_left_alone() {
    let scene = Scene::new("class", Install::new());
    scene.backends(&["echo-service"]);
    let spec = |class: &str, host: &str| {
        let paths = json!([{"path": "/", "pathType": "Prefix", "backend": to("echo-service")}]);
        json!({"ingressClassName": class, "rules": [{"host": host, "http": {"paths": paths}}]})
    };
    scene.create("of-no-class", spec("some-invalid-class-name", "ingress-class"));
    // What comes later is done later.
    scene.create("of-ours", spec(&scene.portcullis.class, "ours"));
    scene.published("of-ours");
    scene.leads("GET", "ours", "/", Some("echo-service"));

    scene.leads("GET", "ingress-class", "/", None);
    assert_eq!(scene.namespace.field("ingress/of-no-class", "{.status.loadBalancer.ingress}"), "");
}

#[test]
fn ten_endpoints_of_a_service_share_the_requests() {
    let scene = Scene::new("balance", Install::new());
    scene.backends(&["echo-service"]);
    scene.create("load-balancing", json!({"defaultBackend": to("echo-service")}));
    scene.published("load-balancing");
    scene.namespace.kubectl(&["scale", "deployment/echo-service", "--replicas=10"]);
    scene.namespace.rolled_out("echo-service");

    let hundred = || {
        let mut by_pod: BTreeMap<String, usize> = BTreeMap::new();
        for _ in 0..100 {
            let answer = scene.leads("GET", "load-balancing", "/", Some("echo-service"));
            *by_pod.entry(said(&answer)["pod"].as_str().expect("a Pod's name").to_owned()).or_default() += 1;
        }
        by_pod
    };
    let mut by_pod = BTreeMap::new();
    scene.namespace.wait_until("all ten are known", || {
        by_pod = hundred();
        by_pod.len() == 10
    });
    assert_eq!(by_pod.keys().cloned().collect::<Vec<_>>(), scene.namespace.pods("app=echo-service"));
    let by_pod = hundred();
    assert!(by_pod.len() == 10 && by_pod.values().all(|count| (5..=15).contains(count)), "{by_pod:?}");
}

/// Portcullis and what it serves, in one namespace.
struct Scene {
    namespace: Namespace,
    portcullis: Portcullis,
}

impl Scene {
    fn new(name: &str, install: Install) -> Self {
        let namespace = Namespace::new(name);
        let portcullis = install.start(&namespace);
        Self { namespace, portcullis }
    }

    fn backends(&self, names: &[&str]) {
        let backends: Vec<Echo> = names.iter().map(|name| Echo::new(name)).collect();
        Echo::start_all(&backends, &self.namespace);
    }

    /// Creates an Ingress, of our class where its spec names none.
    fn create(&self, name: &str, spec: Value) {
        let mut object = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name},
            "spec": {"ingressClassName": self.portcullis.class},
        });
        for (key, value) in spec.as_object().expect("a spec") {
            object["spec"][key] = value.clone();
        }
        self.namespace.apply(&object.to_string());
    }

    /// Waits until the Ingress says where it is exposed.
    fn published(&self, ingress: &str) {
        self.namespace.wait_until(&format!("{ingress} has an address"), || {
            let path = "{.status.loadBalancer.ingress[*]['ip','hostname']}";
            !self.namespace.field(&format!("ingress/{ingress}"), path).is_empty()
        });
    }

    /// Checks which backend answers, if any.
    fn leads(&self, method: &str, host: &str, path: &str, wanted: Option<&str>) -> Answer {
        let request = Client::new(method, host, path).header("User-Agent", "conformance");
        let answer =
            request.send(self.portcullis.http).unwrap_or_else(|error| panic!("{method} {host}{path}: {error}"));
        match wanted {
            Some(name) => {
                assert_eq!(answer.status, 200, "{method} {host}{path}");
                assert_eq!(said(&answer)["name"], name, "{method} {host}{path}");
            }
            None => assert_eq!(answer.status, 404, "{method} {host}{path}: {}", answer.body),
        }
        answer
    }
}

fn to(service: &str) -> Value {
    json!({"service": {"name": service, "port": {"number": 80}}})
}

fn said(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("no echo: {:?}", answer.body))
}
