//! The harness counts failed requests right: a rolling update loses some of a rude backend, and none of a good one.
//! Nothing but the Service is between them and the load.

use portcullis_tests::cluster::{Echo, Load, Namespace, Report};

#[test]
fn a_rolling_update_of_a_rude_backend_is_seen_to_fail_requests() {
    let report = rolling_update(Echo::new("wear").rude());
    assert!(report.failed > 0, "{}", report.summary());
    assert!(report.failed < report.sent, "{}, {:?}", report.summary(), report.causes);
    assert_eq!(report.causes.values().sum::<usize>(), report.failed);
    assert_eq!(report.times.len() + report.failed, report.sent);
}

#[test]
fn a_rolling_update_of_a_good_backend_fails_no_request() {
    rolling_update(Echo::new("wear")).none_failed_of(30);
}

/// All replicas are replaced while each has several requests under way, which take longer than it takes the node to learn
/// that a Pod is to be ended.
fn rolling_update(backend: Echo) -> Report {
    let namespace = Namespace::new("counting");
    backend.replicas(2).start(&namespace);
    let before = namespace.pods("app=wear");
    let load = Load::new(namespace.service_address("wear"), "wear.example", "/?delay=2000").threads(16).start();
    namespace.restart("wear");
    // The last of the old ones takes its time to end.
    namespace.wait_until("only new Pods are left", || {
        namespace.kubectl(&["get", "pods", "-o", "name"]).lines().count() == 2
    });
    let after = namespace.pods("app=wear");
    assert!(after.len() == 2 && after.iter().all(|pod| !before.contains(pod)), "{before:?} became {after:?}");
    load.finish()
}
