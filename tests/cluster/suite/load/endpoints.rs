//! Backends come and go while Portcullis serves: no request fails where a good endpoint exists.

use std::time::Duration;

use portcullis_tests::Client;
use portcullis_tests::cluster::{Echo, Install, Load, Namespace, Pod, Portcullis, Running, measured};

#[test]
fn a_rolling_update_of_a_backend_fails_no_request() {
    let shop = Shop::new(3);
    let load = Load::new(shop.portcullis.http, "wear.example", "/?delay=20").threads(8);
    let (fresh, kept) = (load.clone().start(), load.keep_alive().start());
    shop.namespace.restart("wear");
    fresh.wait(Duration::from_secs(4));
    none_failed("rolling update of a backend, on connections kept", kept, 200);
    none_failed("rolling update of a backend, on new connections", fresh, 200);
}

#[test]
fn a_backend_scaled_to_nothing_and_back_fails_requests_only_while_it_has_no_endpoint() {
    let shop = Shop::new(2);
    let scaled = |replicas: &str, wanted: u16| {
        shop.namespace.kubectl(&["scale", "deployment/wear", &format!("--replicas={replicas}")]);
        let took = shop.namespace.wait_until("the new number is served", || shop.status() == wanted);
        assert!(took < Duration::from_secs(30), "{took:?}");
    };
    let whole = shop.load();
    scaled("0", 503);
    let nothing = shop.load();
    nothing.wait(Duration::from_secs(1));
    let report = nothing.finish();
    assert_eq!(report.causes.keys().collect::<Vec<_>>(), ["status 503"], "{}", report.summary());
    scaled("2", 200);
    let back = shop.load();
    shop.namespace.rolled_out("wear");
    back.wait(Duration::from_secs(2));
    none_failed("scaled from nothing to two", back, 100);
    let report = whole.finish();
    measured(&format!("scaled to nothing and back: {}, {:?}", report.summary(), report.causes));
    // Between the end of the last Pod and the word of it connections to it are refused.
    assert!(report.causes.keys().all(|cause| ["status 502", "status 503"].contains(&&**cause)), "{:?}", report.causes);
}

#[test]
fn pods_that_crash_or_are_taken_away_by_force_fail_no_request() {
    let shop = Shop::new(3);
    let load = shop.load();
    load.wait(Duration::from_secs(1));
    let [first, second, _] = &shop.namespace.pods("app=wear")[..] else { panic!("three Pods") };
    Pod::running(&shop.namespace, first).crash();
    load.wait(Duration::from_secs(3));
    none_failed("one of three backends crashed", load, 300);

    shop.namespace.rolled_out("wear");
    let load = shop.load();
    load.wait(Duration::from_secs(1));
    shop.namespace.kubectl(&["delete", "pod", second, "--grace-period=0", "--force", "--wait=false"]);
    shop.namespace.wait_until("another Pod stands in for it", || !shop.namespace.pods("app=wear").contains(second));
    shop.namespace.rolled_out("wear");
    load.wait(Duration::from_secs(2));
    none_failed("one of three backends taken away by force", load, 300);
}

/// Portcullis, a backend, and an Ingress for it.
struct Shop {
    namespace: Namespace,
    portcullis: Portcullis,
}

impl Shop {
    /// With so many Pods.
    fn new(replicas: usize) -> Self {
        let namespace = Namespace::new("endpoints");
        let portcullis = Install::new().start(&namespace);
        Echo::new("wear").replicas(replicas).start(&namespace);
        let class = format!("--class={}", portcullis.class);
        namespace.kubectl(&["create", "ingress", "wear", &class, "--rule=wear.example/*=wear:80"]);
        let shop = Self { namespace, portcullis };
        shop.namespace.wait_until("the Ingress is served", || shop.status() == 200);
        shop
    }

    fn status(&self) -> u16 {
        Client::new("GET", "wear.example", "/").send(self.portcullis.http).expect("an answer").status
    }

    /// Requests that take a moment, so that some are under way whenever something happens.
    fn load(&self) -> Running {
        Load::new(self.portcullis.http, "wear.example", "/?delay=20").start()
    }
}

fn none_failed(what: &str, load: Running, least: usize) {
    let report = load.finish();
    measured(&format!("{what}: {}", report.summary()));
    report.none_failed_of(least);
}
