//! Metrics of the controller by the names of ingress-nginx.

use portcullis_tests::manifests::{ingress, joined, service, with_tls};
use portcullis_tests::{HostCertificate, Instance, Origin, Start, wait_until};

/// The value of the first series of a metric with all of these labels.
fn value(instance: &Instance, name: &str, labels: &[&str]) -> Option<f64> {
    let text = instance.ask("/metrics").body;
    let start = format!("{name}{{");
    let mut series = text.lines().filter(|line| line.starts_with(&start));
    let line = series.find(|line| labels.iter().all(|label| line.contains(label)))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[test]
fn certificates_are_told_with_their_end_and_their_issuer() {
    let (origin, pair) = (Origin::start("a"), HostCertificate::new("a.example"));
    let documents =
        [service("a", &[origin.address()]), with_tls(&ingress("rule", "a.example", "/", "a"), "a.example", "pair")];
    let instance = Start::new().file("m.yaml", &joined(&documents)).file("s.yaml", &pair.secret("pair")).serve();
    let labels = [
        "namespace=\"demo\"",
        "class=\"k8s.io/ingress-nginx\"",
        "host=\"a.example\"",
        "secret_name=\"pair\"",
        "identifier=\"-",
    ];
    let ends = value(&instance, "nginx_ingress_controller_ssl_expire_time_seconds", &labels).expect("its end");
    assert!(ends > 1_700_000_000.0, "{ends}");
    let issuer = ["issuer_common_name=\"a.example\"", "public_key_algorithm=\"ECDSA\"", "serial_number=\""];
    let about = [&labels[..], &issuer[..]].concat();
    assert_eq!(value(&instance, "nginx_ingress_controller_ssl_certificate_info", &about), Some(1.0));
    instance.end();
}

#[test]
fn an_ingress_without_service_or_endpoints_is_an_orphan_until_they_are_there() {
    let origin = Origin::start("a");
    let documents = [
        service("a", &[origin.address()]),
        service("empty", &[]),
        ingress("good", "good.example", "/", "a"),
        ingress("lost", "lost.example", "/", "missing"),
        ingress("hollow", "hollow.example", "/", "empty"),
    ];
    let instance = Start::new().file("m.yaml", &joined(&documents)).serve();
    let orphan = |ingress: &str, kind: &str| {
        let labels = [format!("ingress=\"{ingress}\""), format!("type=\"{kind}\""), "namespace=\"demo\"".to_owned()];
        value(&instance, "nginx_ingress_controller_orphan_ingress", &labels.each_ref().map(String::as_str))
    };
    for (ingress, service, endpoint) in [("good", 0.0, 0.0), ("lost", 1.0, 0.0), ("hollow", 0.0, 1.0)] {
        assert_eq!(orphan(ingress, "no-service"), Some(service), "{ingress}");
        assert_eq!(orphan(ingress, "no-endpoint"), Some(endpoint), "{ingress}");
    }
    instance.put("missing.yaml", &service("missing", &[origin.address()]));
    wait_until("the Service is there", || orphan("lost", "no-service") == Some(0.0));
    instance.end();
}

#[test]
fn replicas_with_the_same_rules_have_the_same_hash() {
    let (one, other) = (Origin::start("one"), Origin::start("other"));
    let start = |origin: &Origin, path: &str| {
        let documents = [service("a", &[origin.address()]), ingress("rule", "a.example", path, "a")];
        Start::new().file("m.yaml", &joined(&documents)).serve()
    };
    let instances = [start(&one, "/"), start(&other, "/"), start(&one, "/other")];
    let hash = |instance: &Instance| value(instance, "nginx_ingress_controller_config_hash", &[]).expect("a hash");
    let [first, same, different] = instances.each_ref().map(hash);
    assert!(first > 0.0);
    assert_eq!(first.to_bits(), same.to_bits(), "endpoints and the made-up certificate do not count");
    assert_ne!(first.to_bits(), different.to_bits());
    for instance in instances {
        instance.end();
    }
}
