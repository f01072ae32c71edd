//! Sessions by cookie, hashed and timed balancing, and canaries with sessions, over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their helpers with them"
)]

mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use md5::{Digest, Md5};
use portcullis_model::policy::{Canary, CanaryHeader, CanaryHeaderName};
use portcullis_model::{
    Affinity, AffinityMode, Balance, Cluster, ClusterPolicy, Endpoints, RoutePolicy, SessionCookie, Template,
};
use support::client::{Client, Response};
use support::origin::{Origin, refused};
use support::{Plan, Site, cluster, host, route};

const NAMES: [&str; 6] = ["one", "two", "three", "four", "five", "six"];

fn origins(count: usize) -> Vec<Origin> {
    NAMES.into_iter().take(count).map(Origin::saying).collect()
}

fn addresses(origins: &[Origin]) -> Vec<SocketAddr> {
    origins.iter().map(|origin| origin.address).collect()
}

fn affinity(mode: AffinityMode, change_on_failure: bool) -> ClusterPolicy {
    let affinity = Affinity { mode, cookie: SessionCookie::default(), change_on_failure };
    ClusterPolicy { balance: Balance::RoundRobin, affinity: Some(affinity) }
}

fn by(balance: Balance) -> ClusterPolicy {
    ClusterPolicy { balance, affinity: None }
}

/// Everything to `web`, whose endpoints share requests by `policy`.
fn plan(endpoints: &[SocketAddr], policy: ClusterPolicy) -> Plan {
    let session = policy.affinity.is_some();
    let mut plan = Plan::with_policy(endpoints, RoutePolicy { session, ..RoutePolicy::default() });
    plan.clusters = vec![balanced("web", policy)];
    plan
}

fn balanced(service: &str, policy: ClusterPolicy) -> Cluster {
    Cluster { id: cluster(service), endpoints: Endpoints::none(), policy: Arc::new(policy) }
}

fn get(site: &Site, target: &str, fields: &str) -> Response {
    Client::connect(site.http).request(&format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n"))
}

/// `NAME=VALUE` of the cookie that a response sets.
fn cookie(response: &Response) -> Option<&str> {
    response.field("set-cookie").and_then(|cookie| cookie.split(';').next())
}

fn with(cookie: &str) -> String {
    format!("Cookie: other=1; {cookie}\r\n")
}

#[test]
fn a_session_stays_on_its_endpoint_and_gets_no_second_cookie() {
    let origins = origins(5);
    for mode in [AffinityMode::Balanced, AffinityMode::Persistent] {
        let site = plan(&addresses(&origins), affinity(mode, false)).start();
        let mut seen = BTreeSet::new();
        // Sessions are drawn, and endpoints have shares of different sizes: forty would miss one now and then.
        for _ in 0..400 {
            if seen.len() == origins.len() {
                break;
            }
            let first = get(&site, "/", "");
            seen.insert(first.text());
            let cookie = cookie(&first).unwrap_or_else(|| panic!("{mode:?}: no cookie"));
            let again = get(&site, "/", &with(cookie));
            assert_eq!((again.text(), again.field("set-cookie")), (first.text(), None), "{mode:?}");
        }
        assert_eq!(seen.len(), 5, "{mode:?}");
    }
}

#[test]
fn the_cookie_names_endpoint_and_upstream() {
    let origin = Origin::saying("one");
    let site = plan(&[origin.address], affinity(AffinityMode::Persistent, false)).start();
    let response = get(&site, "/x", "");
    // md5(md5("shop-web-80") "shop-web-80")
    let want = "|ad0f3520c2b4ae4ad7cae6da8d3345ed; Path=/; HttpOnly";
    let cookie = response.field("set-cookie").unwrap();
    assert!(cookie.starts_with("INGRESSCOOKIE=") && cookie.ends_with(want), "{cookie}");
}

#[test]
fn cookies_of_the_upstream_stay_beside_ours() {
    let own = Origin::answering(|_| "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n".to_owned());
    let site = plan(&[own.address], affinity(AffinityMode::Balanced, false)).start();
    let response = get(&site, "/", "");
    let lines: Vec<&str> =
        response.fields.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value.as_str()).collect();
    assert_eq!((lines.len(), lines[0]), (2, "a=1"), "{lines:?}");
}

#[test]
fn a_session_is_followed_where_no_cookie_is_set() {
    let origins = origins(5);
    let mut plan = plan(&addresses(&origins), affinity(AffinityMode::Balanced, false));
    let with_session = RoutePolicy { session: true, ..RoutePolicy::default() };
    let routes = vec![route("/", "web", RoutePolicy::default()), route("/login", "web", with_session)];
    plan.hosts = vec![host("a.example", routes)];
    let site = plan.start();
    assert_eq!(get(&site, "/", "").field("set-cookie"), None);
    let login = get(&site, "/login", "");
    assert!(login.field("set-cookie").unwrap().contains("; Path=/login; "));
    for _ in 0..10 {
        assert_eq!(get(&site, "/", &with(cookie(&login).unwrap())).text(), login.text());
    }
}

#[test]
fn a_session_moves_on_failure_only_if_asked() {
    for (change, status) in [(true, 200), (false, 502)] {
        let (origins, dead) = (origins(2), refused());
        let endpoints = [&addresses(&origins)[..], &[dead]].concat();
        let site = plan(&endpoints, affinity(AffinityMode::Persistent, change)).start();
        let key = key_of("shop-web-80", dead);
        let response = get(&site, "/", &with(&format!("INGRESSCOOKIE={key}|x")));
        assert_eq!(response.status, status, "{change}");
        assert_eq!(cookie(&response).is_some_and(|cookie| !cookie.contains(&key)), change);
    }
}

#[test]
fn a_persistent_session_survives_new_endpoints_and_not_the_end_of_its_own() {
    let origins = origins(6);
    let all = addresses(&origins);
    let mut plan = plan(&all[..3], affinity(AffinityMode::Persistent, false));
    let mut site = plan.clone().start();
    let first = get(&site, "/", "");
    let held = with(cookie(&first).unwrap());
    for count in 4..=6 {
        plan.endpoints = vec![("web", all[..count].to_vec())];
        site.publish(&plan);
        assert_eq!(get(&site, "/", &held).text(), first.text());
    }
    plan.endpoints = vec![("web", Vec::new())];
    site.publish(&plan);
    assert_eq!(get(&site, "/", &held).status, 503);
    let gone = NAMES.iter().position(|name| *name == first.text()).unwrap();
    let rest = all.iter().enumerate().filter(|(place, _)| *place != gone).map(|(_, address)| *address);
    plan.endpoints = vec![("web", rest.collect())];
    site.publish(&plan);
    let moved = get(&site, "/", &held);
    assert!(moved.text() != first.text() && cookie(&moved).is_some());
}

#[test]
fn a_new_name_of_the_cookie_takes_effect_with_the_table() {
    let origin = Origin::saying("one");
    let mut plan = plan(&[origin.address], affinity(AffinityMode::Balanced, false));
    let mut site = plan.clone().start();
    assert!(cookie(&get(&site, "/", "")).unwrap().starts_with("INGRESSCOOKIE="));
    let mut policy = affinity(AffinityMode::Balanced, false);
    policy.affinity.as_mut().unwrap().cookie.name = "other".into();
    plan.clusters = vec![balanced("web", policy)];
    site.publish(&plan);
    assert!(cookie(&get(&site, "/", "")).unwrap().starts_with("other="));
}

#[test]
fn one_key_is_one_endpoint_and_many_keys_spread() {
    let origins = origins(6);
    let key = Template::parse("$arg_k").unwrap();
    let site = plan(&addresses(&origins), by(Balance::Hash { key, subset: None })).start();
    let mut seen = BTreeSet::new();
    for key in 0..40 {
        let first = get(&site, &format!("/?k={key}"), "").text();
        assert_eq!(get(&site, &format!("/other?x=1&k={key}"), "").text(), first);
        seen.insert(first);
    }
    assert!(seen.len() >= 5, "{seen:?}");
}

#[test]
fn a_hash_goes_on_when_its_endpoint_is_dead() {
    let origins = origins(2);
    let endpoints = [&addresses(&origins)[..], &[refused()]].concat();
    let key = Template::parse("${arg_k}-$host").unwrap();
    let site = plan(&endpoints, by(Balance::Hash { key, subset: None })).start();
    for key in 0..20 {
        let target = format!("/?k={key}");
        let first = get(&site, &target, "");
        assert_eq!(first.status, 200);
        assert_eq!(get(&site, &target, "").text(), first.text(), "the next on the circle, not chance");
    }
}

#[test]
fn slow_endpoints_get_fewer_requests() {
    let slow = Origin::answering(|_| {
        std::thread::sleep(Duration::from_millis(60));
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow".to_owned()
    });
    let fast = Origin::saying("fast");
    let site = plan(&[slow.address, fast.address], by(Balance::Ewma)).start();
    let mut client = Client::connect(site.http);
    let texts: Vec<String> = (0..40).map(|_| client.get("/").text()).collect();
    let count = texts.iter().filter(|text| *text == "slow").count();
    assert!(count <= 6, "{count} of 40");
}

#[test]
fn clients_stay_on_the_canary_or_the_primary_they_met_first() {
    let (main, new) = (Origin::saying("main"), Origin::saying("new"));
    let canary = |weight| Canary {
        cluster: cluster("new"),
        header: Some((CanaryHeaderName("x-canary".parse().unwrap()), CanaryHeader::AlwaysOrNever)),
        cookie: None,
        weight,
        total: 100,
    };
    for (weight, forced, sticky) in [(0, "always", true), (100, "never", true), (0, "always", false)] {
        let policy = RoutePolicy { session: true, canary: Some(canary(weight)), ..RoutePolicy::default() };
        let mut plan = Plan::with_policy(&[main.address], policy);
        plan.endpoints.push(("new", vec![new.address]));
        let session = affinity(AffinityMode::Balanced, false);
        let follower = if sticky { session.clone() } else { ClusterPolicy::default() };
        plan.clusters = vec![balanced("web", session), balanced("new", follower)];
        let mut site = plan.clone().start();
        let first = get(&site, "/", &format!("X-Canary: {forced}\r\n"));
        if !sticky {
            assert_eq!((first.text().as_str(), first.field("set-cookie")), ("new", None), "legacy");
            continue;
        }
        let held = with(cookie(&first).unwrap());
        for fields in
            [held.clone(), format!("{held}X-Canary: {}\r\n", if forced == "never" { "always" } else { "never" })]
        {
            let again = get(&site, "/", &fields);
            assert_eq!((again.text(), again.field("set-cookie")), (first.text(), None), "{weight} {forced}");
        }
        if first.text() == "new" {
            plan.endpoints = vec![("web", vec![main.address]), ("new", Vec::new())];
            site.publish(&plan);
            assert_eq!(get(&site, "/", &held).text(), "main", "a canary without endpoints is left out");
        }
    }
}

/// How a persistent session names an endpoint: the MD5 of the names of the upstream and the endpoint.
fn key_of(upstream: &str, address: SocketAddr) -> String {
    let digest = Md5::digest(format!("{upstream}{address}"));
    digest.iter().map(|octet| format!("{octet:02x}")).collect()
}
