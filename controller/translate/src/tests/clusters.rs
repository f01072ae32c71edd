//! How the endpoints of Service ports share requests, out of all Ingresses that use them.

use portcullis_model::{AffinityMode, Balance, ClusterPolicy};

use super::*;

const COOKIE: &str = "nginx.ingress.kubernetes.io/affinity: cookie";

/// The policy of the cluster of port 80 of this Service.
fn policy(translation: &Translation, service: &str) -> ClusterPolicy {
    let found = translation.snapshot.clusters.values().find(|cluster| &*cluster.id.service == service);
    (*found.unwrap().policy).clone()
}

fn cookie_name(translation: &Translation, service: &str) -> Option<String> {
    policy(translation, service).affinity.map(|affinity| affinity.cookie.name.to_string())
}

/// Whether each route of a host gives cookies to clients.
fn sessions(translation: &Translation, host: &str) -> Vec<bool> {
    let HostAction::Serve { routes, .. } = &translation.snapshot.hosts[&host.parse().unwrap()].action else { panic!() };
    routes.iter().map(|route| route.policy.session).collect()
}

fn all(texts: &[String]) -> Translation {
    translated(&texts.join("\n---\n"))
}

#[test]
fn the_oldest_ingress_of_a_service_port_decides_the_balance() {
    let hash = "nginx.ingress.kubernetes.io/upstream-hash-by: $request_uri";
    let ewma = "nginx.ingress.kubernetes.io/load-balance: ewma";
    for (older, younger, want) in [(hash, ewma, "hash"), (ewma, hash, "ewma"), ("", hash, "turns"), (hash, "", "hash")]
    {
        let translation = all(&[
            ingress("b", 2, younger, &["b.example / Prefix s"]),
            ingress("a", 1, older, &["a.example / Prefix s"]),
        ]);
        let got = match policy(&translation, "s").balance {
            Balance::RoundRobin => "turns",
            Balance::Ewma => "ewma",
            Balance::Hash { .. } => "hash",
        };
        assert_eq!(got, want, "{older} {younger}");
    }
}

#[test]
fn the_config_map_gives_the_balance_of_clusters_without_one() {
    let mut objects = resources(&ingress("a", 1, "", &["a.example / Prefix s"]));
    add(&mut objects, "kind: ConfigMap\nmetadata: {name: c, namespace: n}\ndata: {load-balance: ewma}");
    let options = Options { config_map: Some(ObjectKey::new("n", "c")), ..options() };
    let mut memo = Memo::default();
    assert_eq!(policy(&translate(&objects, &options, &mut memo), "s").balance, Balance::Ewma);
    add(&mut objects, "kind: ConfigMap\nmetadata: {name: c, namespace: n}\ndata: {load-balance: nonsense}");
    let translation = translate(&objects, &options, &mut memo);
    assert_eq!(policy(&translation, "s").balance, Balance::RoundRobin);
    assert_eq!(codes(&translation), ["invalid-config-value"]);
}

#[test]
fn cookies_are_given_by_ingresses_with_affinity_and_followed_by_all() {
    let translation = all(&[
        ingress("a", 1, COOKIE, &["a.example /bar Prefix s"]),
        ingress("b", 2, "", &["a.example /foo Prefix s", "a.example /x Prefix other"]),
    ]);
    assert_eq!(cookie_name(&translation, "s").as_deref(), Some("INGRESSCOOKIE"));
    assert_eq!(cookie_name(&translation, "other"), None);
    let given = routes(&translation, "a.example").into_iter().zip(sessions(&translation, "a.example"));
    let given: Vec<_> = given.filter(|(_, given)| *given).map(|(route, _)| route).collect();
    assert_eq!(given, ["Prefix /bar -> s (a)", "Prefix / -> default (a)"]);
}

#[test]
fn the_mode_is_that_of_the_oldest_and_the_cookie_that_of_the_youngest() {
    let mode = |mode: &str| format!("nginx.ingress.kubernetes.io/affinity-mode: {mode}");
    let name = |name: &str| format!("{COOKIE}, nginx.ingress.kubernetes.io/session-cookie-name: {name}");
    let translation = all(&[
        ingress("a", 1, &mode("persistent"), &["a.example / Prefix s"]),
        ingress("b", 2, &format!("{}, {}", name("old"), mode("balanced")), &["b.example / Prefix s"]),
        ingress("c", 3, &name("new"), &["c.example / Prefix s"]),
        ingress("d", 4, "", &["d.example / Prefix s"]),
    ]);
    let affinity = policy(&translation, "s").affinity.unwrap();
    assert_eq!((affinity.mode, &*affinity.cookie.name), (AffinityMode::Persistent, "new"));
    let alone = all(&[ingress("a", 1, &mode("persistent"), &["a.example / Prefix s"])]);
    assert_eq!(policy(&alone, "s").affinity, None);
}

#[test]
fn a_canary_has_the_sessions_of_its_primary_unless_it_is_legacy() {
    for (behavior, want) in [("", Some("INGRESSCOOKIE")), ("sticky", Some("INGRESSCOOKIE")), ("legacy", None)] {
        let behavior = match behavior {
            "" => String::new(),
            behavior => format!(", nginx.ingress.kubernetes.io/affinity-canary-behavior: {behavior}"),
        };
        let canary = format!("nginx.ingress.kubernetes.io/canary: 'true'{behavior}");
        let translation = all(&[
            ingress("c", 1, &canary, &["a.example / Prefix new"]),
            ingress("a", 2, COOKIE, &["a.example / Prefix main"]),
        ]);
        assert_eq!(cookie_name(&translation, "new").as_deref(), want, "{behavior}");
        assert_eq!(cookie_name(&translation, "main").as_deref(), Some("INGRESSCOOKIE"));
    }
}

#[test]
fn sessions_of_a_primary_do_not_take_the_place_of_those_a_service_has_itself() {
    let translation = all(&[
        ingress("a", 1, COOKIE, &["a.example / Prefix main"]),
        ingress(
            "own",
            2,
            &format!("{COOKIE}, nginx.ingress.kubernetes.io/session-cookie-name: own"),
            &["b.example / Prefix new"],
        ),
        ingress("c", 3, "nginx.ingress.kubernetes.io/canary: 'true'", &["a.example / Prefix new"]),
    ]);
    assert_eq!(cookie_name(&translation, "new").as_deref(), Some("own"));
}

#[test]
fn a_canary_balances_its_own_endpoints() {
    let canary = "nginx.ingress.kubernetes.io/canary: 'true', nginx.ingress.kubernetes.io/load-balance: ewma";
    let translation =
        all(&[ingress("a", 1, "", &["a.example / Prefix main"]), ingress("c", 2, canary, &["a.example / Prefix new"])]);
    assert_eq!(policy(&translation, "new").balance, Balance::Ewma);
    assert_eq!(policy(&translation, "main").balance, Balance::RoundRobin);
}

#[test]
fn the_memo_notices_that_only_the_policy_changed() {
    let mut memo = Memo::default();
    let balance = |annotations: &str, memo: &mut Memo| {
        let objects = resources(&ingress("a", 1, annotations, &["a.example / Prefix s"]));
        policy(&translate(&objects, &options(), memo), "s")
    };
    assert!(balance("", &mut memo).is_default());
    assert!(balance(COOKIE, &mut memo).affinity.is_some());
    assert_eq!(balance("nginx.ingress.kubernetes.io/load-balance: ewma", &mut memo).balance, Balance::Ewma);
    assert!(balance("", &mut memo).is_default());
}
