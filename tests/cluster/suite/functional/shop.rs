//! The shortest walk: Portcullis in a Pod, two backends, and Ingresses as a beginner makes them.

use portcullis_tests::cluster::{Echo, Install, Namespace};
use portcullis_tests::{Client, HostCertificate};
use serde_json::Value;

#[test]
fn an_ingress_made_by_kubectl_is_served_at_a_port_of_the_node() {
    let namespace = Namespace::new("shop");
    let portcullis = Install::new().start(&namespace);
    Echo::new("wear-service").start(&namespace);
    Echo::new("video-service").start(&namespace);
    let class = format!("--class={}", portcullis.class);
    let rule = "--rule=wear.my-online-store.com/*=wear-service:80";
    namespace.kubectl(&["create", "ingress", "shop", &class, rule]);
    let rule = "--rule=my-online-store.com/watch*=video-service:80";
    namespace.kubectl(&["create", "ingress", "by-path", &class, rule]);

    let asked = |host: &str, path: &str| Client::new("GET", host, path).send(portcullis.http).expect("an answer");
    namespace.wait_until("both Ingresses are served", || {
        asked("wear.my-online-store.com", "/").status == 200 && asked("my-online-store.com", "/watch").status == 200
    });
    for (host, path, backend) in [
        ("wear.my-online-store.com", "/", "wear-service"),
        ("wear.my-online-store.com", "/hats", "wear-service"),
        ("my-online-store.com", "/watch", "video-service"),
        ("my-online-store.com", "/watch/it", "video-service"),
    ] {
        let said: Value = serde_json::from_str(&asked(host, path).body).expect("JSON");
        assert_eq!((said["name"].as_str(), said["target"].as_str()), (Some(backend), Some(path)), "{host}{path}");
    }
    for (host, path) in [("my-online-store.com", "/"), ("my-online-store.com", "/watching"), ("other.example", "/")] {
        assert_eq!(asked(host, path).status, 404, "{host}{path}");
    }

    namespace.kubectl(&["delete", "ingress", "by-path"]);
    namespace
        .wait_until("the deleted Ingress is served no more", || asked("my-online-store.com", "/watch").status == 404);
    assert_eq!(asked("wear.my-online-store.com", "/").status, 200);
}

#[test]
fn a_host_is_served_with_the_certificate_of_its_secret() {
    let namespace = Namespace::new("tls");
    let portcullis = Install::new().start(&namespace);
    Echo::new("wear").start(&namespace);
    let host = "wear.my-online-store.com";
    let [old, new] = [(); 2].map(|()| HostCertificate::new(host));
    let secret = |certificate: &HostCertificate| namespace.apply(&certificate.secret_in(namespace.name(), "wear-tls"));
    let asked = |trusted: &HostCertificate| {
        Client::new("GET", host, "/").send_tls(portcullis.https, trusted.client(&[b"http/1.1"]))
    };

    secret(&old);
    let class = format!("--class={}", portcullis.class);
    namespace.kubectl(&["create", "ingress", "wear", &class, &format!("--rule={host}/*=wear:80,tls=wear-tls")]);
    namespace.wait_until("the certificate is served", || asked(&old).is_ok_and(|answer| answer.status == 200));
    assert!(asked(&new).is_err(), "a certificate that nobody has given");
    let plain = Client::new("GET", host, "/").send(portcullis.http).expect("an answer");
    assert_eq!(plain.status, 308, "HTTP leads to HTTPS");

    secret(&new);
    namespace.wait_until("the renewed certificate is served", || asked(&new).is_ok_and(|answer| answer.status == 200));
    assert!(asked(&old).is_err(), "the old certificate");
}
