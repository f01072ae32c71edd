//! Values of a real installation, from `tests/cluster/values`, in a running cluster: what the API server has then is
//! what they say, key by key, and it works.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use portcullis_tests::HostCertificate;
use portcullis_tests::cluster::{CHART, Echo, Namespace, at_node, helm, helm_with, kubectl, kubectl_with};
use serde_json::Value;

/// Pods on each node, ports of the node behind a load balancer that speaks PROXY protocol, a default certificate and a
/// class of its own: what does not depend on a cloud can all be tried.
const VALUES: &str = include_str!("../../values/mojaloop.yaml");

#[test]
fn what_the_values_of_a_real_installation_say_is_what_is_installed() {
    let installation: Value = serde_saphyr::from_str(VALUES).expect("a values file with what to expect");
    let text = |key: &str| installation[key].as_str().expect("text").to_owned();
    let (release, namespace) = (text("release"), Namespace::named(&text("namespace")));
    let pair = HostCertificate::new("default.example");
    kubectl_with(&["apply", "-f", "-"], &pair.secret_in("default", "wildcard"));
    let place = ["--namespace", namespace.name(), "--values", "-", "--wait", "--timeout=60s"];
    helm_with(&[&["install", &release, CHART][..], &place].concat(), &installation["values"].to_string());

    let expected = &installation["expect"];
    let get = |kind: &str, name: &str| -> Value {
        serde_json::from_str(&namespace.kubectl(&["get", kind, name, "-o", "json"])).expect("JSON")
    };
    for (name, service) in expected["services"].as_object().expect("Services") {
        contains(&get("service", name)["spec"], &service["spec"], name);
    }
    let workload = expected["workload"]["kind"].as_str().expect("a kind");
    let name = format!("{release}-portcullis-controller");
    let workload = get(workload, &name);
    let arguments = &workload["spec"]["template"]["spec"]["containers"][0]["args"];
    assert_eq!(&flags(arguments), &expected["flags"]);
    assert_eq!(get("configmap", &name)["data"], expected["config"]);
    let webhook = get("validatingwebhookconfiguration", &format!("{release}-portcullis-admission"));
    contains(&webhook["webhooks"][0], &expected["webhook"], "the webhook");

    it_works(&namespace, expected, &name);
    helm(&["uninstall", &release, "--namespace", namespace.name()]);
    kubectl(&["--namespace=default", "delete", "secret", "wildcard"]);
}

fn it_works(namespace: &Namespace, expected: &Value, service: &str) {
    let (http, https) = (port(expected, service, 0), port(expected, service, 1));
    namespace.reachable(http);
    namespace.reachable(https);
    Echo::new("wear").start(namespace);
    let class = format!("--class={}", expected["flags"]["ingress-class"].as_str().expect("a class"));
    namespace.kubectl(&["create", "ingress", "wear", &class, "--rule=wear.example/*=wear:80"]);
    let mut answer = String::new();
    namespace.wait_until("the Ingress is served to the load balancer", || {
        answer = behind_load_balancer(http, "192.0.2.7");
        answer.starts_with("HTTP/1.1 200 ")
    });
    assert!(
        answer.contains("\"x-forwarded-for\":\"192.0.2.7\""),
        "the client is the one that the load balancer names: {answer}"
    );
    namespace.wait_until("the status has the address that is given", || {
        let address = namespace.field("ingress/wear", "{.status.loadBalancer.ingress[*].hostname}");
        expected["flags"]["publish-status-address"] == *address
    });
}

/// What a client gets whose load balancer announces it by PROXY protocol.
fn behind_load_balancer(address: SocketAddr, client: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address) else { return String::new() };
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a bound for waiting");
    let proxy = format!("PROXY TCP4 {client} {} 40000 {}\r\n", address.ip(), address.port());
    let request = format!("{proxy}GET / HTTP/1.1\r\nHost: wear.example\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    // Whatever came before an error is looked at.
    let _whole = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
    answer
}

fn port(expected: &Value, service: &str, number: usize) -> SocketAddr {
    let port = &expected["services"][service]["spec"]["ports"][number]["nodePort"];
    at_node(port.as_u64().and_then(|port| u16::try_from(port).ok()).expect("a NodePort"))
}

/// `--name=value` by name.
fn flags(arguments: &Value) -> Value {
    let words = arguments.as_array().expect("arguments").iter().map(|word| word.as_str().expect("a word"));
    let flags: BTreeMap<&str, &str> = words
        .map(|word| word.strip_prefix("--").and_then(|word| word.split_once('=')).expect("--name=value"))
        .collect();
    serde_json::to_value(flags).expect("JSON")
}

/// Checks everything that is expected; the API server may have more, such as defaults.
fn contains(found: &Value, expected: &Value, at: &str) {
    match expected {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| contains(&found[key], value, &format!("{at}.{key}")))
        }
        Value::Array(items) => {
            assert_eq!(found.as_array().map(Vec::len), Some(items.len()), "{at}: {found}");
            items.iter().enumerate().for_each(|(index, item)| contains(&found[index], item, &format!("{at}[{index}]")));
        }
        _ => assert_eq!(found, expected, "{at}"),
    }
}
