//! Backends come and go while Portcullis serves: no request fails where a good endpoint exists.

use std::time::Duration;

use portcullis_tests::Client;
use portcullis_tests::cluster::{Echo, Install, Load, Namespace, Portcullis, measured};

#[test]
fn a_rolling_update_of_a_backend_fails_no_request() {
    let (namespace, portcullis) = shop(3);
    let load = Load::new(portcullis.http, "wear.example", "/?delay=20").threads(8);
    let (fresh, kept) = (load.clone().start(), load.keep_alive().start());
    namespace.restart("wear");
    fresh.wait(Duration::from_secs(4));
    for (name, load) in [("on connections kept", kept), ("on new connections", fresh)] {
        let report = load.finish();
        measured(&format!("rolling update of a backend, {name}: {}", report.summary()));
        report.none_failed_of(200);
    }
}

#[test]
fn a_backend_scaled_to_nothing_and_back_is_served_again() {
    let (namespace, portcullis) = shop(2);
    let status = || Client::new("GET", "wear.example", "/").send(portcullis.http).expect("an answer").status;
    for (replicas, wanted) in [("0", 503), ("2", 200)] {
        namespace.kubectl(&["scale", "deployment/wear", &format!("--replicas={replicas}")]);
        let took = namespace.wait_until("the new number is served", || status() == wanted);
        assert!(took < Duration::from_secs(30), "{took:?}");
    }
}

/// An Ingress for so many Pods.
fn shop(replicas: usize) -> (Namespace, Portcullis) {
    let namespace = Namespace::new("endpoints");
    let portcullis = Install::new().start(&namespace);
    Echo::new("wear").replicas(replicas).start(&namespace);
    let class = format!("--class={}", portcullis.class);
    namespace.kubectl(&["create", "ingress", "wear", &class, "--rule=wear.example/*=wear:80"]);
    namespace.wait_until("the Ingress is served", || {
        Client::new("GET", "wear.example", "/").send(portcullis.http).is_ok_and(|answer| answer.status == 200)
    });
    (namespace, portcullis)
}
