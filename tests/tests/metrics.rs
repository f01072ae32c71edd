//! Metrics by Ingress, under the names and labels that dashboards of ingress-nginx ask for.

use std::collections::BTreeMap;

use portcullis_tests::manifests::{ingress, joined, service};
use portcullis_tests::{Instance, Origin, Start, wait_until};

/// A name with the labels that follow it, sorted, and its value.
type Series = (String, BTreeMap<String, String>, f64);

fn start(origin: &Origin, flags: &[&str]) -> Instance {
    let documents = [
        service("a", &[origin.address()]),
        ingress("shop", "a.example", "/cart", "a"),
        ingress("wild", "'*.w.example'", "/", "a"),
        ingress("gone", "gone.example", "/", "a"),
    ];
    flags.iter().fold(Start::new().file("m.yaml", &joined(&documents)), |start, flag| start.flag(flag)).serve()
}

fn series(instance: &Instance) -> Vec<Series> {
    let body = instance.ask("/metrics").body;
    let line = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.trim_end_matches('}').split("\",").filter_map(|label| {
            let (name, value) = label.split_once("=\"")?;
            Some((name.to_owned(), value.trim_end_matches('"').to_owned()))
        });
        Some((name.to_owned(), labels.collect(), value.parse().ok()?))
    };
    body.lines().filter_map(line).collect()
}

/// Values of the metric whose labels have these values.
fn values(all: &[Series], name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
    let name = format!("nginx_ingress_controller_{name}");
    let fits = |found: &BTreeMap<String, String>| {
        labels.iter().all(|(label, value)| found.get(*label).is_some_and(|found| found == value))
    };
    all.iter().filter(|(found, labels, _)| *found == name && fits(labels)).map(|(.., value)| *value).collect()
}

#[test]
fn requests_are_counted_by_ingress_path_host_method_and_status() {
    let instance = start(&Origin::start("a"), &["--controller-class=k8s.io/ingress-nginx"]);
    for _ in 0..3 {
        assert_eq!(instance.get("a.example", "/cart/1").status, 200);
    }
    assert_eq!(instance.get("a.example", "/nothing").status, 404);
    assert_eq!(instance.get("x.w.example", "/").status, 200);
    assert_eq!(instance.get("unknown.example", "/").status, 404);
    let shop = [
        ("namespace", "demo"),
        ("ingress", "shop"),
        ("service", "a"),
        ("path", "/cart"),
        ("host", "a.example"),
        ("method", "GET"),
        ("status", "200"),
        ("canary", ""),
        ("controller_class", "k8s.io/ingress-nginx"),
    ];
    wait_until("the counts", || values(&series(&instance), "requests", &shop) == [3.0]);
    let all = series(&instance);
    for name in ["request_duration_seconds", "response_duration_seconds", "header_duration_seconds", "request_size"] {
        assert_eq!(values(&all, &format!("{name}_count"), &shop), [3.0], "{name}");
    }
    assert_eq!(values(&all, "request_duration_seconds_bucket", &[("le", "+Inf"), ("ingress", "shop")]).len(), 2);
    let sent = values(&all, "response_size_sum", &shop);
    assert!(sent[0] > 100.0 && sent == values(&all, "bytes_sent_sum", &shop), "{sent:?}");
    assert_eq!(values(&all, "requests", &[("status", "404"), ("host", "a.example")]), [1.0], "the `/` of the host");
    assert_eq!(values(&all, "requests", &[("ingress", "wild")]), [0.0; 0], "no rule names its host literally");
    assert_eq!(values(&all, "requests", &[("host", "unknown.example")]), [0.0; 0]);
}

#[test]
fn flags_choose_what_is_told() {
    let flags = [
        "--metrics-per-undefined-host",
        "--report-status-classes",
        "--exclude-socket-metrics=nginx_ingress_controller_request_size,connect_duration_seconds",
        "--time-buckets=0.5,20",
    ];
    let instance = start(&Origin::start("a"), &flags);
    assert_eq!(instance.get("x.w.example", "/").status, 200);
    assert_eq!(instance.get("unknown.example", "/").status, 404);
    let wild = [("host", "x.w.example"), ("status", "2xx")];
    wait_until("the counts", || values(&series(&instance), "requests", &wild) == [1.0]);
    let all = series(&instance);
    assert_eq!(values(&all, "requests", &[("host", "unknown.example"), ("status", "4xx")]), [1.0]);
    assert_eq!(values(&all, "request_duration_seconds_bucket", &wild).len(), 3);
    for name in ["request_size_count", "connect_duration_seconds_count"] {
        assert_eq!(values(&all, name, &[]), [0.0; 0], "{name}");
    }
    let off = start(&Origin::start("a"), &["--enable-metrics=false"]);
    assert_eq!(off.get("a.example", "/cart").status, 200);
    assert_eq!(values(&series(&off), "requests", &[]), [0.0; 0]);
}

#[test]
fn counts_of_an_ingress_go_with_it() {
    let origin = Origin::start("a");
    let instance = start(&origin, &[]);
    assert_eq!(instance.get("gone.example", "/").status, 200);
    wait_until("the count", || values(&series(&instance), "requests", &[("ingress", "gone")]) == [1.0]);
    instance.put("m.yaml", &joined(&[service("a", &[origin.address()]), ingress("shop", "a.example", "/", "a")]));
    wait_until("its end", || values(&series(&instance), "requests", &[("ingress", "gone")]).is_empty());
}

#[test]
fn requests_of_all_workers_are_all_requests() {
    let instance = start(&Origin::start("a"), &[]);
    for _ in 0..5 {
        assert_eq!(instance.get("a.example", "/cart/1").status, 200);
    }
    wait_until("the counts", || {
        let all = series(&instance);
        let by_worker = all.iter().filter(|(name, ..)| name == "portcullis_worker_requests_total");
        let sum: f64 = by_worker.clone().map(|(.., value)| value).sum();
        by_worker.clone().count() > 0
            && by_worker.clone().all(|(_, labels, _)| labels.contains_key("worker"))
            && sum >= 5.0
    });
    instance.end();
}
