//! The admission webhook of the running program: its verdicts follow the objects, its certificate follows its files.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use portcullis_tests::manifests::ingress;
use portcullis_tests::{ApiServer, HostCertificate, Instance, Start, run, wait_until};
use rustls::{ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tempfile::TempDir;

const HOST: &str = "webhook.example";

fn write_pair(folder: &Path, pair: &HostCertificate) {
    fs::write(folder.join("cert"), pair.certificate()).expect("a certificate can be written");
    fs::write(folder.join("key"), pair.key()).expect("a key can be written");
}

/// Flags of a webhook whose certificate lies in a folder.
fn with_webhook(start: Start, folder: &TempDir) -> Start {
    let file = |name: &str| folder.path().join(name).display().to_string();
    start
        .flag("--validating-webhook=127.0.0.1:0")
        .flag(&format!("--validating-webhook-certificate={}", file("cert")))
        .flag(&format!("--validating-webhook-key={}", file("key")))
}

/// Where the webhook of a program answers.
fn address(instance: &Instance) -> SocketAddr {
    let line: Value = serde_json::from_str(instance.output().lines().next().expect("a line")).expect("JSON");
    line["webhook"].as_str().and_then(|address| address.parse().ok()).expect("an address")
}

/// A review of an Ingress of one path; none where there is no connection, or no answer.
fn review(address: SocketAddr, trusted: &HostCertificate, namespace: &str, name: &str, host: &str) -> Option<Value> {
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": { "name": name, "namespace": namespace, "uid": "0f8fad5b-d9cb-469f-a165-70867728950e" },
        "spec": { "ingressClassName": "nginx", "rules": [{ "host": host, "http": { "paths": [{
            "path": "/", "pathType": "Prefix", "backend": { "service": { "name": "a", "port": { "number": 80 } } },
        }] } }] },
    });
    let body = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "name": name, "namespace": namespace, "operation": "CREATE", "object": object,
            "kind": { "group": "networking.k8s.io", "version": "v1", "kind": "Ingress" },
        },
    })
    .to_string();
    let name = ServerName::try_from(HOST).expect("a name");
    let tls = ClientConnection::new(trusted.client(&[]), name).expect("a TLS client");
    let mut stream = StreamOwned::new(tls, TcpStream::connect(address).ok()?);
    let head = format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    Some(serde_json::from_str::<Value>(body).expect("JSON")["response"].clone())
}

#[test]
fn verdicts_follow_the_manifests() {
    let (folder, pair) = (tempfile::tempdir().expect("a folder"), HostCertificate::new(HOST));
    write_pair(folder.path(), &pair);
    let instance = with_webhook(Start::new(), &folder).serve();
    let reviewed = |name| review(address(&instance), &pair, "demo", name, "a.example").expect("an answer");
    assert_eq!(reviewed("second")["allowed"], json!(true));
    instance.put("first.yaml", &ingress("first", "a.example", "/", "a"));
    wait_until("the first Ingress", || reviewed("second")["allowed"] == json!(false));
    let message = "host \"a.example\" and path \"/\" is already defined in ingress demo/first";
    assert_eq!(reviewed("second")["status"]["message"], json!(message));
    assert_eq!(reviewed("first")["allowed"], json!(true), "it does not meet itself");

    let metrics = instance.ask("/metrics").body;
    for start in ["check_success{", "check_errors{", "admission_tested_ingresses{", "admission_roundtrip_duration{"] {
        let start = format!("nginx_ingress_controller_{start}");
        assert!(metrics.lines().any(|line| line.starts_with(&start)), "{start}");
    }
    let before = instance.generation();
    reviewed("second");
    assert_eq!(instance.generation(), before, "a review changes nothing");
    instance.end();
}

#[test]
fn verdicts_follow_the_cluster() {
    let (folder, pair) = (tempfile::tempdir().expect("a folder"), HostCertificate::new(HOST));
    write_pair(folder.path(), &pair);
    let server = ApiServer::start();
    let instance = with_webhook(Start::default(), &folder).run(&server).ready();
    let allowed =
        || review(address(&instance), &pair, "shop", "second", "a.example").expect("an answer")["allowed"].clone();
    assert_eq!(allowed(), json!(true));
    server.put(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": "first", "namespace": "shop" },
        "spec": { "ingressClassName": "nginx", "rules": [{ "host": "a.example", "http": { "paths": [{
            "path": "/", "pathType": "Prefix", "backend": { "service": { "name": "a", "port": { "number": 80 } } },
        }] } }] },
    }));
    wait_until("the first Ingress", || allowed() == json!(false));
    instance.end();
}

#[test]
fn a_new_certificate_is_used_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let instance = with_webhook(Start::new(), &folder).serve();
    let (first, second) = (HostCertificate::new(HOST), HostCertificate::new(HOST));
    let answers = |pair: &Arc<HostCertificate>| review(address(&instance), pair, "demo", "a", "a.example").is_some();
    let (first, second) = (Arc::new(first), Arc::new(second));
    assert!(!answers(&first), "there is no certificate yet");
    write_pair(folder.path(), &first);
    wait_until("the first certificate", || answers(&first));
    fs::write(folder.path().join("key"), second.key()).expect("a key can be written");
    wait_until("a word about the broken pair", || instance.log().contains("the old one stays"));
    assert!(answers(&first));
    write_pair(folder.path(), &second);
    wait_until("the second certificate", || answers(&second));
    assert!(!answers(&first));
    assert!(!instance.end().log.contains("PRIVATE KEY"));
}

#[test]
fn a_webhook_needs_an_address_and_a_certificate() {
    for (flags, told) in [
        (&["--validating-webhook=:8443"][..], "--validating-webhook needs --validating-webhook-certificate"),
        (
            &["--validating-webhook=:8443", "--validating-webhook-certificate=c"],
            "--validating-webhook needs --validating-webhook-key",
        ),
        (&["--validating-webhook=localhost:8443"], "expected :PORT or IP:PORT"),
    ] {
        let ended = run(&[&["serve", "."], flags].concat());
        assert_eq!(ended.code, Some(2), "{flags:?}");
        assert!(ended.log.contains(told), "{told}: {}", ended.log);
    }
}
