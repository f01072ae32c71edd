//! Canary Ingresses.

use super::*;

const CANARY: &str = "nginx.ingress.kubernetes.io/canary: 'true', nginx.ingress.kubernetes.io/canary-weight: '30'";

/// The canary of each route of a host.
fn canaries(translation: &Translation, host: &str) -> Vec<Option<String>> {
    let HostAction::Serve { routes, .. } = &translation.snapshot.hosts[&host.parse().unwrap()].action else { panic!() };
    routes.iter().map(|route| route.policy.canary.as_ref().map(|canary| canary.cluster.service.to_string())).collect()
}

#[test]
fn a_canary_hangs_on_the_backend_of_the_same_host_path_and_type() {
    for (rule, want) in [
        ("a.example / Prefix canary", Some("canary")),
        ("a.example / Exact canary", None),
        ("a.example /x Prefix canary", None),
        ("b.example / Prefix canary", None),
        ("a.example / Prefix main", None),
    ] {
        let text =
            [ingress("a", 1, "", &["a.example / Prefix main"]), ingress("c", 2, CANARY, &[rule])].join("\n---\n");
        let translation = translated(&text);
        assert_eq!(canaries(&translation, "a.example"), [want.map(ToOwned::to_owned)], "{rule}");
        assert_eq!(codes(&translation).contains(&"canary-without-primary"), want.is_none(), "{rule}");
    }
}

#[test]
fn a_canary_shows_through_every_route_to_its_primary() {
    let text = [
        ingress("a", 1, "", &["a.example / Prefix main", "b.example /b Prefix main"]),
        ingress("c", 2, CANARY, &["a.example / Prefix canary"]),
    ]
    .join("\n---\n");
    assert_eq!(canaries(&translated(&text), "b.example"), [Some("canary".to_owned()), None]);
}

#[test]
fn a_canary_alone_creates_nothing() {
    let translation = translated(&ingress("c", 1, CANARY, &["a.example / Prefix canary"]));
    assert!(!translation.snapshot.hosts.contains_key(&"a.example".parse().unwrap()));
}

#[test]
fn the_oldest_canary_of_a_primary_wins() {
    let text = [
        ingress("a", 1, "", &["a.example / Prefix main"]),
        ingress("c2", 3, CANARY, &["a.example / Prefix second"]),
        ingress("c1", 2, CANARY, &["a.example / Prefix first"]),
    ]
    .join("\n---\n");
    assert_eq!(canaries(&translated(&text), "a.example"), [Some("first".to_owned())]);
}
