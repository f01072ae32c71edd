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

/// An Ingress of canary rules for `a.example / Prefix`.
fn canary(name: &str, minute: u32, annotations: &str, service: &str) -> String {
    ingress(
        name,
        minute,
        &format!("nginx.ingress.kubernetes.io/canary: 'true', {annotations}"),
        &[&format!("a.example / Prefix {service}")],
    )
}

#[test]
fn only_the_oldest_canary_of_a_backend_takes_part_and_the_others_are_told() {
    let text = [
        ingress("a", 1, "", &["a.example / Prefix main"]),
        canary("c1", 2, "nginx.ingress.kubernetes.io/canary-weight: '1'", "first"),
        canary("c2", 3, "nginx.ingress.kubernetes.io/canary-weight: '2'", "second"),
    ]
    .join("\n---\n");
    let translation = translated(&text);
    assert_eq!(canaries(&translation, "a.example"), [Some("first".to_owned())]);
    let ignored: Vec<_> = translation.findings.iter().filter(|finding| finding.code == "canary-ignored").collect();
    assert_eq!(ignored.len(), 1);
    assert!(ignored[0].message.contains("demo/c1"), "{}", ignored[0].message);
}

#[test]
fn the_age_of_canary_and_primary_decides_nothing() {
    for (primary, other) in [(1, 2), (2, 1)] {
        let text = [ingress("a", primary, "", &["a.example / Prefix main"]), canary("c", other, "", "canary")];
        let translation = translated(&text.join("\n---\n"));
        assert_eq!(canaries(&translation, "a.example"), [Some("canary".to_owned())]);
    }
}

#[test]
fn rules_belong_to_the_backend_of_the_canary_and_the_oldest_decides_them() {
    let text = [
        ingress("a", 1, "", &["a.example / Prefix main", "b.example / Prefix other"]),
        canary("c1", 2, "nginx.ingress.kubernetes.io/canary-weight: '1'", "new"),
        ingress(
            "c2",
            3,
            "nginx.ingress.kubernetes.io/canary: 'true', nginx.ingress.kubernetes.io/canary-weight: '2'",
            &["b.example / Prefix new"],
        ),
    ]
    .join("\n---\n");
    let translation = translated(&text);
    for host in ["a.example", "b.example"] {
        let HostAction::Serve { routes, .. } = &translation.snapshot.hosts[&host.parse().unwrap()].action else {
            panic!()
        };
        assert_eq!(routes[0].policy.canary.as_ref().unwrap().weight, 1, "{host}");
    }
    assert_eq!(codes(&translation), ["canary-rules-ignored"]);
}

#[test]
fn a_catch_all_canary_needs_a_catch_all() {
    let catch_all = |name: &str, minute: u32, annotations: &str, service: &str| {
        format!(
            "kind: Ingress\nmetadata: {{name: {name}, namespace: demo, creationTimestamp: '2024-01-01T00:{minute:02}:00Z', \
             annotations: {{{annotations}}}}}\nspec: {{ingressClassName: nginx, \
             defaultBackend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}"
        )
    };
    let canary = catch_all("c", 1, CANARY, "canary");
    assert_eq!(codes(&translated(&canary)), ["canary-without-primary"]);
    let both = translated(&[canary, catch_all("a", 2, "", "main")].join("\n---\n"));
    assert_eq!(codes(&both), [""; 0]);
    let any = &both.snapshot.hosts[&portcullis_model::HostMatch::Any];
    let HostAction::Serve { routes, .. } = &any.action else { panic!() };
    assert_eq!(&*routes[0].policy.canary.as_ref().unwrap().cluster.service, "canary");
}
