//! Explanations of a small shop.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use portcullis_model::policy::{
    Canary, CanaryHeader, CanaryHeaderName, Closed, ConnectionHeader, CookieDomain, HeaderPolicy, HttpsRedirectMode,
    Limit, Location, Observe, PrefixChange, Redirect, ResponseRewrite, Retry, RetryConditions, Rewrite, SetHeader,
};
use portcullis_model::{
    Affinity, AffinityMode, Backend, Balance, CertificateChoice, CertificateSet, Cluster, ClusterPolicy, Endpoint,
    Endpoints, HostAction, PathMode, Pattern, PatternSyntax, Protocol, Reason, RedirectCode, Route, RoutePolicy,
    Settings, Snapshot, Template, TlsSettings, VirtualHost,
};

use super::*;
use crate::table::testing::{certificate, cluster, route, rsa_certificate, snapshot, virtual_host, with_aliases};
use crate::upstream::UpstreamRegistry;

/// A table of these hosts, where all Services but `down` have an endpoint.
fn table(hosts: Vec<VirtualHost>) -> (RoutingTable, UpstreamRegistry) {
    let registry = UpstreamRegistry::default();
    let hosts = hosts.into_iter().map(|host| (host.host.clone(), Arc::new(host))).collect();
    let table = RoutingTable::compile(&Snapshot { hosts, ..snapshot(&[]) }, &registry, None);
    let endpoint = Endpoint { address: "192.0.2.1:8080".parse().unwrap() };
    for host in table.snapshot().hosts.values() {
        for route in routes_of(host) {
            let canary = route.policy.canary.as_ref().map(|canary| &canary.cluster);
            let primary = match &route.backend {
                Backend::Cluster(id) => Some(id),
                Backend::Default => None,
            };
            for id in primary.into_iter().chain(canary).chain(&route.policy.fallback) {
                if !id.service.contains("down") {
                    registry.set_endpoints(id, &[endpoint]);
                }
            }
        }
    }
    (table, registry)
}

fn routes_of(host: &VirtualHost) -> &[Arc<Route>] {
    match &host.action {
        HostAction::Serve { routes, .. } => routes,
        HostAction::RedirectTo(_) => &[],
    }
}

/// A host of one route `Prefix /`, changed by `change`.
fn host_with(name: &str, change: impl FnOnce(&mut Route)) -> VirtualHost {
    let mut only = route(name, "Prefix /");
    change(&mut only);
    let action = HostAction::Serve { mode: PathMode::Plain, routes: vec![Arc::new(only)], app_root: None };
    VirtualHost { action, ..virtual_host(name, PathMode::Plain, &[]) }
}

/// The policy of a route, to be changed.
fn policy(route: &mut Route) -> &mut RoutePolicy {
    Arc::make_mut(&mut route.policy)
}

fn asked_of(hosts: Vec<VirtualHost>, url: &str) -> Explanation {
    let (table, _registry) = table(hosts);
    explain(&table, &ExplainRequest::get(url).unwrap())
}

fn step<'e>(explanation: &'e Explanation, policy: &str) -> Option<(Effect, &'e str)> {
    let found = explanation.policies.iter().find(|step| step.policy == policy);
    found.map(|step| (step.effect, step.detail.as_str()))
}

#[test]
fn each_path_says_why_it_won_or_lost() {
    let paths = [
        "Prefix /shop/cart",
        "Exact /shop/cart",
        "Prefix /shop",
        "Prefix /sho",
        "Exact /",
        "Prefix /dir/",
        "Prefix //x",
        "Prefix /",
    ];
    let verdicts = |url: &str| -> Vec<String> {
        let host = virtual_host("a.example", PathMode::Plain, &paths);
        let explanation = asked_of(vec![host], url);
        let mark = |won: bool| if won { "> " } else { "" };
        explanation.routes.iter().map(|step| format!("{}{}: {}", mark(step.won), step.matcher, step.why)).collect()
    };
    assert_eq!(
        verdicts("http://a.example/shop/cart"),
        [
            "Prefix /shop/cart: Exact /shop/cart is preferred",
            "> Exact /shop/cart: the path is equal",
            "Prefix /shop: Exact /shop/cart is preferred",
            "Prefix /sho: the path begins with it, but not up to the end of an element",
            "Exact /: the path differs",
            "Prefix /dir/: the path does not begin with it",
            "Prefix //x: no request has this path: paths are compared decoded, without //, . and .. segments",
            "Prefix /: Exact /shop/cart is preferred",
        ]
    );
    let of = |url: &str, matcher: &str| {
        verdicts(url).into_iter().find(|line| line.contains(&format!("{matcher}:"))).unwrap_or_default()
    };
    assert_eq!(of("http://a.example/shop/x", "Prefix /shop"), "> Prefix /shop: the longest prefix that matches");
    assert_eq!(of("http://a.example/shop/x", "Prefix /"), "Prefix /: shorter than /shop");
    assert_eq!(
        of("http://a.example/dir", "Prefix /dir/"),
        "> Prefix /dir/: the path lacks only the slash at the end, and no rule has it without"
    );
    assert_eq!(of("http://a.example/dir", "Prefix /"), "Prefix /: Prefix /dir/ needs only a slash at the end");
}

#[test]
fn patterns_behind_the_first_that_matches_are_not_tried() {
    let host = virtual_host("a.example", PathMode::Regex, &["/v[0-9]+/x", "/v1", "/"]);
    let explanation = asked_of(vec![host], "a.example/v1/y");
    let got: Vec<_> = explanation.routes.iter().map(|step| (step.won, step.why.as_str())).collect();
    assert_eq!(
        got,
        [(false, "no match"), (true, "the first that matches"), (false, "not tried: an earlier pattern matched")]
    );
    assert_eq!(explanation.rule.unwrap().path.as_ref(), "/v1");
}

#[test]
fn hosts_and_certificates_say_which_name_chose_them() {
    let own = certificate(&["*.b.example"]);
    let mut snapshot = snapshot(&[("*.b.example", &["Prefix /"])]);
    let aliased = with_aliases(virtual_host("a.example", PathMode::Plain, &["Prefix /"]), &["www.a.*"]);
    snapshot.hosts.insert(aliased.host.clone(), aliased);
    let by_host = BTreeMap::from([
        ("*.b.example".parse().unwrap(), CertificateChoice::Own(own)),
        ("a.example".parse().unwrap(), CertificateChoice::Default),
    ]);
    snapshot.certificates = Arc::new(CertificateSet { default: certificate(&["default.example"]), by_host });
    let table = RoutingTable::compile(&snapshot, &UpstreamRegistry::default(), None);
    for (url, host, certificate) in [
        (
            "https://A.example:8443/",
            "a.example: the host of a rule",
            "a.example has a TLS section without a usable Secret",
        ),
        (
            "https://www.a.org/",
            "a.example: server-alias www.a.* of a.example",
            "neither www.a.org nor a wildcard above it",
        ),
        ("https://x.b.example/", "*.b.example: no rule names the host", "*.b.example has this certificate"),
        ("https://other.example/", "_: no rule, server-alias or wildcard fits", "neither other.example nor"),
        ("https://[::1]/", "_: no rule, server-alias or wildcard fits", "clients send no server name for an address"),
    ] {
        let explanation = explain(&table, &ExplainRequest::get(url).unwrap());
        let found = explanation.host.unwrap();
        let text = format!("{}: {}", found.virtual_host, found.why);
        assert!(text.starts_with(host), "{url}: {text}");
        let why = explanation.certificate.unwrap().why;
        assert!(why.starts_with(certificate), "{url}: {why}");
    }
    assert!(explain(&table, &ExplainRequest::get("http://a.example/").unwrap()).certificate.is_none());
}

#[test]
fn handshakes_that_are_ended_and_further_certificates_are_told() {
    let mut snapshot = snapshot(&[("a.example", &["Prefix /"])]);
    let kinds = [certificate(&["a.example"]), rsa_certificate(&["a.example"])];
    let by_host = BTreeMap::from([("a.example".parse().unwrap(), CertificateChoice::of(kinds))]);
    snapshot.certificates = Arc::new(CertificateSet { default: certificate(&["default.example"]), by_host });
    let tls = TlsSettings { reject_unknown_names: true, ..TlsSettings::default() };
    snapshot.settings = Arc::new(Settings { tls: Arc::new(tls), ..Settings::default() });
    let table = RoutingTable::compile(&snapshot, &UpstreamRegistry::default(), None);
    for (url, want) in [
        (
            "https://a.example/",
            "a.example has this certificate (clients that cannot check its key get the one of demo/rsa)",
        ),
        ("https://b.example/", "no host has the name, so the handshake is ended"),
        ("https://192.0.2.1/", "no host has the name, so the handshake is ended"),
    ] {
        let why = explain(&table, &ExplainRequest::get(url).unwrap()).certificate.unwrap().why;
        assert!(why.starts_with(want), "{url}: {why}");
    }
}

#[test]
fn refused_requests_say_the_reason_and_nothing_else() {
    let (table, _registry) = table(vec![virtual_host("a.example", PathMode::Plain, &["Prefix /", "Prefix /admin"])]);
    for (url, method, status, reason) in [
        ("http://a.example/../x", "GET", 400, Reason::BadPath),
        ("http://a.example/%zz", "GET", 400, Reason::BadPath),
        ("http://a..example/", "GET", 400, Reason::BadHost),
        ("http://user@a.example/", "GET", 400, Reason::BadHost),
        ("http://a.example/", "TRACE", 405, Reason::MethodNotAllowed),
        ("http://a.example/a b", "GET", 400, Reason::BadRequest),
    ] {
        let mut request = ExplainRequest::get(url).unwrap();
        request.method = method.parse().unwrap();
        let explanation = explain(&table, &request);
        assert_eq!((explanation.answer.status, explanation.answer.reason), (Some(status), Some(reason)), "{url}");
        assert!(explanation.host.is_none() && explanation.routes.is_empty());
    }
    let explanation = explain(&table, &ExplainRequest::get("http://a.example/x%2f..%2fadmin").unwrap());
    assert_eq!(explanation.answer.reason, Some(Reason::AmbiguousPath));
    assert_eq!(step(&explanation, "path"), Some((Effect::Answers, "another server may read the path as /admin")));
}

#[test]
fn each_policy_tells_its_outcome() {
    let redirect = || Redirect { code: RedirectCode::FOUND, location: Location::new("https://b.example/").unwrap() };
    type Change = Box<dyn FnOnce(&mut Route)>;
    /// URL, change to the route, step to look at, its outcome, answer.
    type Case = (&'static str, Change, &'static str, (Effect, &'static str), &'static str);
    let cases: Vec<Case> = vec![
        (
            "http://a.example/",
            Box::new(|route| policy(route).closed = Some(Closed { key: "auth-url".into() })),
            "closed",
            (Effect::Answers, "auth-url cannot be honoured, so the route is closed"),
            "503 route-closed",
        ),
        (
            "http://a.example/",
            Box::new(move |route| policy(route).redirect = Some(redirect())),
            "redirect",
            (Effect::Answers, "302 to https://b.example/"),
            "302 redirect to https://b.example/",
        ),
        (
            "http://a.example/x/",
            Box::new(|route| policy(route).https_redirect.mode = HttpsRedirectMode::Always),
            "ssl-redirect",
            (Effect::Answers, "force-ssl-redirect"),
            "308 https-redirect to https://a.example/x",
        ),
        (
            "https://a.example/x/",
            Box::new(|route| policy(route).https_redirect.mode = HttpsRedirectMode::Always),
            "ssl-redirect",
            (Effect::Passes, "the scheme is https"),
            "proxied to http://shop-Prefix /-80/x/",
        ),
        (
            "http://a.example/x/",
            Box::new(|route| policy(route).upstream.protocol = Protocol::Https),
            "ssl-redirect",
            (Effect::Passes, "no certificate is registered for the host"),
            "proxied to https://shop-Prefix /-80/x/",
        ),
        (
            "http://a.example/x/",
            Box::new(|route| {
                policy(route).upstream.protocol = Protocol::Grpc;
                policy(route).upstream.http10 = true;
            }),
            "upstream",
            (Effect::Applies, "grpc, target /x/, HTTP/1.0 (proxy-http-version)"),
            "proxied to grpc://shop-Prefix /-80/x/",
        ),
        (
            "http://a.example/",
            Box::new(|route| route.backend = Backend::Cluster(cluster("down"))),
            "endpoints",
            (Effect::Answers, "shop-down-80 has none"),
            "503 no-endpoints",
        ),
        (
            "http://a.example/",
            Box::new(|route| {
                route.backend = Backend::Cluster(cluster("down"));
                policy(route).fallback = Some(cluster("spare"));
            }),
            "endpoints",
            (Effect::Applies, "shop-down-80 has none, default-backend shop-spare-80 is used"),
            "proxied to http://shop-spare-80/",
        ),
        (
            "http://a.example/",
            Box::new(|route| {
                route.backend = Backend::Cluster(cluster("down"));
                policy(route).fallback = Some(cluster("down-too"));
            }),
            "endpoints",
            (Effect::Answers, "shop-down-80 has none, nor has default-backend shop-down-too-80"),
            "503 no-endpoints",
        ),
        (
            "http://a.example/",
            Box::new(|route| route.backend = Backend::Default),
            "default backend",
            (Effect::Answers, "there is no --default-backend-service, so the built-in 404 answers"),
            "404 no-path",
        ),
        (
            "http://a.example/a/../b?c",
            Box::new(|route| policy(route).observe = Observe { access_log: false }),
            "enable-access-log",
            (Effect::Applies, "no line is written"),
            "proxied to http://shop-Prefix /-80/b?c",
        ),
    ];
    for (url, change, policy, outcome, answer) in cases {
        let explanation = asked_of(vec![host_with("a.example", change)], url);
        assert_eq!(step(&explanation, policy), Some(outcome), "{policy}");
        assert_eq!(explanation.answer.text, answer, "{policy}");
        let mut after = explanation.policies.iter().skip_while(|step| step.effect != Effect::Answers).skip(1);
        assert!(after.all(|step| step.effect == Effect::NotReached), "{policy}");
    }
}

#[test]
fn a_rewrite_shows_what_the_backend_sees() {
    let rewritten = |path: &str| {
        let search = Arc::new(Pattern::new("/something(/|$)(.*)", PatternSyntax::REWRITE).unwrap());
        let target = Template::parse("/$2").unwrap();
        let forwarded_prefix = Some(Template::parse("/p").unwrap());
        let rewrite = Rewrite { search, target, forwarded_prefix };
        let host = host_with("a.example", |route| {
            policy(route).rewrite = Some(rewrite);
            policy(route).upstream.host = Some(Template::parse("inner.$namespace").unwrap());
        });
        asked_of(vec![host], &format!("http://a.example{path}"))
    };
    let found = rewritten("/something/new?q=1");
    assert_eq!(step(&found, "rewrite-target"), Some((Effect::Applies, "/something(/|$)(.*) becomes /$2")));
    let upstream = "http, target /new?q=1, Host inner.shop (upstream-vhost), X-Forwarded-Prefix /p";
    assert_eq!(step(&found, "upstream"), Some((Effect::Applies, upstream)));
    let other = rewritten("/other");
    let detail = "/something(/|$)(.*) becomes /$2, but is not found in the path";
    assert_eq!(step(&other, "rewrite-target"), Some((Effect::Passes, detail)));
}

#[test]
fn a_canary_is_decided_or_said_to_be_chance() {
    let explained = |service: &str, weight, header: Option<&str>| {
        let canary = Canary {
            cluster: cluster(service),
            header: Some((CanaryHeaderName("x-canary".parse().unwrap()), CanaryHeader::AlwaysOrNever)),
            cookie: None,
            weight,
            total: 100,
        };
        let (table, _registry) = table(vec![host_with("a.example", |route| policy(route).canary = Some(canary))]);
        let mut request = ExplainRequest::get("http://a.example/").unwrap();
        if let Some(value) = header {
            request.headers.insert("x-canary", value.parse().unwrap());
        }
        let explanation = explain(&table, &request);
        let detail = step(&explanation, "canary").unwrap().1.to_owned();
        let chosen: Vec<_> = explanation.backends.iter().map(|backend| (backend.role, backend.chosen)).collect();
        (detail, chosen)
    };
    let both = |primary, canary| vec![(BackendRole::Primary, primary), (BackendRole::Canary, canary)];
    for (service, weight, header, detail, chosen) in [
        ("new", 0, Some("always"), "canary, by header x-canary (always), then weight 0 of 100", both(false, true)),
        (
            "new",
            50,
            Some("never"),
            "not the canary, by header x-canary (never), then weight 50 of 100",
            both(true, false),
        ),
        (
            "new",
            30,
            None,
            "chance: 30 of 100 requests go to the canary (header x-canary (not sent), then weight 30 of 100)",
            both(true, true),
        ),
        ("new", 100, None, "canary, by header x-canary (not sent), then weight 100 of 100", both(false, true)),
        ("down", 100, None, "shop-down-80 has no endpoints, so it is left out", both(true, false)),
    ] {
        assert_eq!(explained(service, weight, header), (detail.to_owned(), chosen), "{service} {weight} {header:?}");
    }
}

#[test]
fn a_whole_host_may_answer() {
    let www = VirtualHost {
        action: HostAction::RedirectTo("www.a.example".parse().unwrap()),
        ..virtual_host("a.example", PathMode::Plain, &[])
    };
    let mut rooted = virtual_host("b.example", PathMode::Plain, &["Prefix /"]);
    if let HostAction::Serve { app_root, .. } = &mut rooted.action {
        *app_root = Some("/app".into());
    }
    let (table, _registry) = table(vec![www, rooted]);
    for (url, policy, answer) in [
        ("http://a.example/x", "from-to-www-redirect", "308 www-redirect to http://www.a.example:80/x"),
        ("http://b.example/", "app-root", "302 app-root to http://b.example/app"),
        ("http://c.example/healthz", "health-check-path", "200 health"),
    ] {
        let explanation = explain(&table, &ExplainRequest::get(url).unwrap());
        assert_eq!(step(&explanation, policy).map(|(effect, _)| effect), Some(Effect::Answers), "{url}");
        assert_eq!(explanation.answer.text, answer, "{url}");
        assert!(explanation.routes.is_empty());
    }
    let explanation = explain(&table, &ExplainRequest::get("http://b.example/x").unwrap());
    assert_eq!(step(&explanation, "app-root"), Some((Effect::Passes, "only / goes to /app")));
    assert_eq!(explanation.routes.len(), 1);
}

#[test]
fn time_limits_and_tries_show_where_they_are_not_the_defaults() {
    let retries =
        |conditions, tries, within: Option<u64>| Retry { conditions, tries, within: within.map(Limit::from_secs) };
    let default = RetryConditions::default();
    for (retry, want) in [
        (Retry::default(), None),
        (retries(RetryConditions::OFF, 1, None), Some("off: 1 try")),
        (retries(default, 0, None), Some("error timeout: as many tries as endpoints, and at least 3")),
        (retries(default, 5, Some(9)), Some("error timeout: 5 tries, none that begins later than 9s")),
    ] {
        let host = host_with("a.example", |route| {
            policy(route).timeouts.read = Limit::from_secs(3600);
            policy(route).retry = retry;
        });
        let explanation = asked_of(vec![host], "http://a.example/");
        let limits = "connect 5s, send 60s, read 3600s";
        assert_eq!(step(&explanation, "proxy timeouts"), Some((Effect::Applies, limits)));
        assert_eq!(step(&explanation, "proxy-next-upstream"), want.map(|want| (Effect::Applies, want)));
    }
    let plain = asked_of(vec![host_with("a.example", |_| {})], "http://a.example/");
    assert_eq!(step(&plain, "proxy timeouts"), None);
}

#[test]
fn the_limit_of_bodies_shows_where_it_matters() {
    let host = |largest| host_with("a.example", |route| policy(route).body.largest = largest);
    let unlimited = asked_of(vec![host(None)], "http://a.example/");
    assert_eq!(step(&unlimited, "proxy-body-size"), Some((Effect::Passes, "any number of octets is allowed")));
    assert_eq!(step(&asked_of(vec![host(Some(1 << 20))], "http://a.example/"), "proxy-body-size"), None);
    let (table, _registry) = table(vec![host(Some(10))]);
    for (length, want) in [("10", Effect::Passes), ("11", Effect::Answers)] {
        let mut request = ExplainRequest::get("http://a.example/").unwrap();
        request.headers.insert("content-length", length.parse().unwrap());
        let detail = format!("{length} octets are declared, 10 octets are allowed");
        let explanation = explain(&table, &request);
        assert_eq!(step(&explanation, "proxy-body-size"), Some((want, detail.as_str())));
    }
}

#[test]
fn the_text_shows_all_steps_and_marks_what_decided() {
    let host = virtual_host("shop.example", PathMode::Plain, &["Prefix /wear", "Prefix /"]);
    let (table, _registry) = table(vec![host]);
    let explanation = explain(&table, &ExplainRequest::get("https://shop.example/wear/x?y=1").unwrap());
    let text = explanation.to_string();
    let want = "\
GET https://shop.example/wear/x?y=1

certificate   made at start, for default.example
              neither shop.example nor a wildcard above it has a certificate: the default one
host          shop.example -> shop.example
              the host of a rule
path          /wear/x
routes      > Prefix /wear  shop/web: the longest prefix that matches
              Prefix /      shop/web: shorter than /wear
rule          Ingress shop/web, shop.example, Prefix /wear
policies      ssl-redirect         passes       the scheme is https
              endpoints            passes       shop-Prefix /wear-80 has 1
              upstream             applies      http, target /wear/x?y=1
backends    > primary    shop/Prefix /wear:80  192.0.2.1:8080
answer        proxied to http://shop-Prefix /wear-80/wear/x?y=1
";
    assert_eq!(text, want);
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["rule"]["ingress"], "web");
    assert_eq!(json["routes"][0]["match"], "Prefix /wear");
    assert_eq!(json["backends"][0]["endpoints"][0], "192.0.2.1:8080");
    assert_eq!(json["host"]["choice"], "exact");
}

#[test]
fn changes_of_fields_are_told_without_the_values_that_upstreams_receive() {
    let host = host_with("a.example", |route| {
        policy(route).headers = HeaderPolicy {
            connection: Some(ConnectionHeader::Close),
            response: Some(vec![SetHeader::literal("X-Team", "shop").unwrap()].into()),
        };
        policy(route).response = Some(Box::new(ResponseRewrite {
            cookie_domain: CookieDomain::new("a", "b"),
            cookie_path: PrefixChange::new("/a", "/b"),
            location: PrefixChange::new("http://a/", "http://b/"),
        }));
    });
    let (mut snapshot, registry) = (snapshot(&[]), UpstreamRegistry::default());
    snapshot.hosts.insert(host.host.clone(), Arc::new(host));
    snapshot.settings = Arc::new(Settings {
        add_headers: vec![SetHeader::new("X-Added", "1").unwrap(), SetHeader::new("X-Gone", "").unwrap()],
        proxy_set_headers: vec![SetHeader::new("X-Api-Key", "s3cret").unwrap()],
        ..Settings::default()
    });
    let table = RoutingTable::compile(&snapshot, &registry, None);
    for live in [false, true] {
        if live {
            let id = table.snapshot().hosts.values().flat_map(|host| routes_of(host)).find_map(|route| {
                match &route.backend {
                    Backend::Cluster(id) => Some(id.clone()),
                    Backend::Default => None,
                }
            });
            registry.set_endpoints(&id.unwrap(), &[Endpoint { address: "192.0.2.1:8080".parse().unwrap() }]);
        }
        let explanation = explain(&table, &ExplainRequest::get("http://a.example/").unwrap());
        for (policy, sent_on, want) in [
            ("add-headers", false, "the response has x-added, no x-gone"),
            ("custom-headers", false, "the response has x-team"),
            ("proxy-set-headers", true, "the upstream receives x-api-key"),
            ("connection-proxy-header", true, "the upstream receives Connection: close"),
            ("proxy-cookie-domain", true, "Domain of cookies: a becomes b"),
            ("proxy-cookie-path", true, "Path of cookies: what begins with /a begins with /b"),
            ("proxy-redirect-from", true, "Location and Refresh: what begins with http://a/ begins with http://b/"),
        ] {
            let want = (live || !sent_on).then_some((Effect::Applies, want));
            assert_eq!(step(&explanation, policy), want, "{policy} {live}");
        }
        assert!(!explanation.to_string().contains("s3cret"));
        assert!(!serde_json::to_string(&snapshot).unwrap().contains("s3cret"));
    }
}

#[test]
fn balancing_is_told_where_requests_do_not_take_turns() {
    let hash =
        |subset| Balance::Hash { key: Template::parse("$host$arg_k").unwrap(), subset: NonZeroUsize::new(subset) };
    let affinity = Affinity { mode: AffinityMode::Persistent, ..Affinity::default() };
    let by = |balance| ClusterPolicy { balance, affinity: None };
    let with_session = ClusterPolicy { balance: Balance::Ewma, affinity: Some(affinity) };
    for (balance, session, name, want) in [
        (by(Balance::RoundRobin), false, "load-balance", None),
        (by(Balance::Ewma), false, "load-balance", Some("ewma")),
        (by(hash(0)), false, "upstream-hash-by", Some("the hash of ${host}${arg_k} selects the endpoint")),
        (
            by(hash(3)),
            false,
            "upstream-hash-by",
            Some("the hash of ${host}${arg_k} selects a set of 3 endpoints, chance one of them"),
        ),
        (with_session.clone(), true, "affinity", Some("persistent sessions by cookie INGRESSCOOKIE")),
        (
            with_session,
            false,
            "affinity",
            Some("persistent sessions by cookie INGRESSCOOKIE; no cookie is set, since the Ingress has no affinity"),
        ),
    ] {
        let host = host_with("a.example", |route| policy(route).session = session);
        let id = cluster("Prefix /");
        let made = Cluster { id: id.clone(), endpoints: Endpoints::none(), policy: Arc::new(balance) };
        let hosts = [(host.host.clone(), Arc::new(host))].into();
        let snapshot = Snapshot { hosts, clusters: [(id, Arc::new(made))].into(), ..snapshot(&[]) };
        let table = RoutingTable::compile(&snapshot, &UpstreamRegistry::default(), None);
        let explanation = explain(&table, &ExplainRequest::get("http://a.example/").unwrap());
        assert_eq!(step(&explanation, name).map(|(_, detail)| detail), want, "{name}");
    }
}

#[test]
fn a_session_decides_before_the_rules_of_a_canary() {
    let canary = Canary { cluster: cluster("new"), header: None, cookie: None, weight: 50, total: 100 };
    let policy_of = || Arc::new(ClusterPolicy { balance: Balance::RoundRobin, affinity: Some(Affinity::default()) });
    let host = host_with("a.example", |route| policy(route).canary = Some(canary));
    let ids = [cluster("Prefix /"), cluster("new")];
    let clusters =
        ids.clone().map(|id| (id.clone(), Arc::new(Cluster { id, endpoints: Endpoints::none(), policy: policy_of() })));
    let hosts = [(host.host.clone(), Arc::new(host))].into();
    let registry = UpstreamRegistry::default();
    let table = RoutingTable::compile(&Snapshot { hosts, clusters: clusters.into(), ..snapshot(&[]) }, &registry, None);
    for id in &ids {
        registry.set_endpoints(id, &[Endpoint { address: "192.0.2.1:8080".parse().unwrap() }]);
    }
    for (id, want) in [
        (Some(&ids[0]), "not the canary, by the cookie of the session"),
        (Some(&ids[1]), "canary, by the cookie of the session"),
        (None, "chance: 50 of 100 requests go to the canary (weight 50 of 100)"),
    ] {
        let mut request = ExplainRequest::get("http://a.example/").unwrap();
        if let Some(id) = id {
            let key = String::from_utf8_lossy(registry.upstream(id).backend_key()).into_owned();
            request.headers.insert("cookie", format!("INGRESSCOOKIE=key|{key}").parse().unwrap());
        }
        assert_eq!(step(&explain(&table, &request), "canary").map(|(_, detail)| detail), Some(want));
    }
}
