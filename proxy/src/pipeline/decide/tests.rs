//! The order of decisions and what each of them says.

use std::sync::Arc;

use portcullis_model::policy::{Canary, Closed, Location, Rewrite};
use portcullis_model::{HostAction, PathMatch, Pattern, PatternSyntax, RedirectCode, Settings, Template, VirtualHost};

use super::super::head::ConnectionFacts;
use super::super::testing::{PLAIN, TLS, cluster, parts, route, serving, table};
use super::*;

fn prefix(path: &str) -> PathMatch {
    PathMatch::Prefix(path.into())
}

fn host(policy: RoutePolicy) -> VirtualHost {
    serving("a.example", vec![route(prefix("/"), "web", policy)])
}

/// What is decided, in short: `308 https-redirect https://…`, or `web /target`.
fn decided(table: &RoutingTable, lines: &str, facts: ConnectionFacts) -> String {
    drawn(table, lines, facts, 100)
}

fn drawn(table: &RoutingTable, lines: &str, facts: ConnectionFacts, drawn: u32) -> String {
    let parts = parts(lines);
    let head = RequestHead::new(&parts, facts, table.settings());
    let reading = head.read().unwrap();
    let (patterns, draw) = (&mut PatternCache::default(), &mut |_| drawn);
    let decision = Decider { head: &head, reading: &reading, patterns, draw }.decide(table);
    match decision.outcome {
        Outcome::Answer(Answer { status, reason, location }) => {
            let location = location.map_or_else(String::new, |location| format!(" {}", location.to_str().unwrap()));
            format!("{} {reason}{location}", status.as_u16())
        }
        Outcome::Forward(forward) => {
            let target = match &forward.target {
                Target::AsReceived => head.target().to_owned(),
                Target::Other(target) => target.clone(),
            };
            let upstream = match forward.to {
                Destination::Primary => decision.route.unwrap().upstream.as_ref(),
                Destination::Canary => decision.route.unwrap().canary.as_ref(),
                Destination::Fallback => decision.route.unwrap().fallback.as_ref(),
                Destination::DefaultBackend => table.default_backend(),
            };
            let host = forward.host.map_or_else(String::new, |host| format!(" host {host}"));
            format!("{} {target}{host}", upstream.unwrap().id().service)
        }
    }
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\nHost: a.example")
}

#[test]
fn hosts_and_paths_lead_to_upstreams() {
    let routes = || {
        vec![route(prefix("/a"), "web", RoutePolicy::default()), route(prefix("/dir/"), "web", RoutePolicy::default())]
    };
    let hosts = || {
        vec![serving("a.example", routes()), serving("", vec![route(prefix("/any"), "any", RoutePolicy::default())])]
    };
    let without = table(hosts(), &["web", "any"], Settings::default(), None);
    let with = table(hosts(), &["web", "any", "spare"], Settings::default(), Some("spare"));
    let dead = table(hosts(), &["web"], Settings::default(), Some("spare"));
    for (lines, want, want_with_default) in [
        ("GET /a/x?q HTTP/1.1\nHost: A.example:80", "web /a/x?q", "web /a/x?q"),
        ("GET /b HTTP/1.1\nHost: a.example", "404 no-path", "spare /b"),
        ("GET /b HTTP/1.1\nHost: other", "404 no-host", "spare /b"),
        ("GET /any HTTP/1.1\nHost: other", "any /any", "any /any"),
        ("GET /any HTTP/1.0", "any /any", "any /any"),
        ("GET /healthz HTTP/1.1\nHost: other", "200 health", "200 health"),
        ("GET /healthz/x HTTP/1.0", "200 health", "200 health"),
        ("GET /healthz HTTP/1.1\nHost: a.example", "404 no-path", "spare /healthz"),
        (
            "GET /dir?x HTTP/1.1\nHost: a.example:80",
            "301 trailing-slash http://a.example/dir/?x",
            "301 trailing-slash http://a.example/dir/?x",
        ),
        ("GET /x/../a//b HTTP/1.1\nHost: a.example", "web /a//b", "web /a//b"),
    ] {
        assert_eq!(decided(&without, lines, PLAIN), want, "{lines}");
        assert_eq!(decided(&with, lines, PLAIN), want_with_default, "{lines}");
    }
    assert_eq!(decided(&dead, "GET /b HTTP/1.1\nHost: other", PLAIN), "404 no-host");
}

#[test]
fn a_path_with_two_readings_must_select_one_route() {
    let routes = vec![
        route(prefix("/"), "web", RoutePolicy::default()),
        route(prefix("/admin"), "admin", RoutePolicy::default()),
    ];
    let table = table(vec![serving("a.example", routes)], &["web", "admin"], Settings::default(), None);
    for (target, want) in [
        ("/group%2Fproject", "web /group%2Fproject"),
        ("/x%2f..%2fadmin", "400 ambiguous-path"),
        ("/x/..;/admin", "400 ambiguous-path"),
        ("/..%2fx", "400 ambiguous-path"),
        ("/admin%2Fx", "400 ambiguous-path"),
        ("/admin/a%2Fx", "admin /admin/a%2Fx"),
    ] {
        assert_eq!(decided(&table, &get(target), PLAIN), want, "{target}");
    }
}

#[test]
fn answers_of_a_host_come_first() {
    let mut with_root = host(RoutePolicy { closed: Some(Closed { key: "x".into() }), ..RoutePolicy::default() });
    if let HostAction::Serve { app_root, .. } = &mut with_root.action {
        *app_root = Some("/app".into());
    }
    let www = VirtualHost {
        action: HostAction::RedirectTo("a.example".parse().unwrap()),
        ..serving("www.a.example", vec![])
    };
    let table = table(vec![with_root, www], &["web"], Settings::default(), None);
    for (lines, want) in [
        (get("/"), "302 app-root http://a.example/app"),
        (get("/."), "302 app-root http://a.example/app"),
        (get("/x"), "503 route-closed"),
        ("GET /x/ HTTP/1.1\nHost: www.a.example".to_owned(), "308 www-redirect http://a.example:8080/x"),
    ] {
        assert_eq!(decided(&table, &lines, PLAIN), want, "{lines}");
    }
}

#[test]
fn policies_of_a_route_apply_in_the_order_of_nginx() {
    let location = |text| Location::new(text).unwrap();
    let elsewhere = |text| Some(Redirect { code: RedirectCode::FOUND, location: location(text) });
    let always = HttpsRedirect { mode: HttpsRedirectMode::Always, ..HttpsRedirect::default() };
    let closed = Some(Closed { key: "auth-url".into() });
    let default = RoutePolicy::default;
    for (policy, want, want_tls) in [
        (default(), "web /x/y?q", "web /x/y?q"),
        (
            RoutePolicy { closed, redirect: elsewhere("https://b.example"), https_redirect: always, ..default() },
            "503 route-closed",
            "503 route-closed",
        ),
        (
            RoutePolicy { redirect: elsewhere("https://b.example/z"), https_redirect: always, ..default() },
            "302 redirect https://b.example/z",
            "302 redirect https://b.example/z",
        ),
        (
            RoutePolicy { redirect: elsewhere("/new"), ..default() },
            "302 redirect http://a.example/new",
            "302 redirect https://a.example/new",
        ),
        (
            RoutePolicy { redirect: elsewhere("/new"), relative_redirects: true, ..default() },
            "302 redirect /new",
            "302 redirect /new",
        ),
        (
            RoutePolicy { https_redirect: always, ..default() },
            "308 https-redirect https://a.example/x/y?q",
            "web /x/y?q",
        ),
        (
            RoutePolicy { https_redirect: HttpsRedirect { with_port: true, ..always }, ..default() },
            "308 https-redirect https://a.example:8443/x/y?q",
            "web /x/y?q",
        ),
    ] {
        let table = table(vec![host(policy)], &["web"], Settings::default(), None);
        assert_eq!(decided(&table, &get("/x/y?q"), PLAIN), want);
        assert_eq!(decided(&table, &get("/x/y?q"), TLS), want_tls);
    }
}

#[test]
fn hosts_with_a_certificate_are_redirected_unless_told_otherwise() {
    for (mode, certificate, want) in [
        (HttpsRedirectMode::WithCertificate, true, "308 https-redirect https://a.example/x"),
        (HttpsRedirectMode::WithCertificate, false, "web /x"),
        (HttpsRedirectMode::Never, true, "web /x"),
    ] {
        let https_redirect = HttpsRedirect { mode, ..HttpsRedirect::default() };
        let host = VirtualHost { tls: certificate, ..host(RoutePolicy { https_redirect, ..RoutePolicy::default() }) };
        let table = table(vec![host], &["web"], Settings::default(), None);
        assert_eq!(decided(&table, &get("/x"), PLAIN), want, "{mode:?}");
    }
    let mut settings = Settings::default();
    settings.forwarded.fields = true;
    let host = VirtualHost { tls: true, ..host(RoutePolicy::default()) };
    let table = table(vec![host], &["web"], settings, None);
    assert_eq!(decided(&table, &format!("{}\nX-Forwarded-Proto: https", get("/x")), PLAIN), "web /x");
}

#[test]
fn a_forced_redirect_without_a_host_to_name_is_no_way_in() {
    let always = HttpsRedirect { mode: HttpsRedirectMode::Always, ..HttpsRedirect::default() };
    let policy = RoutePolicy { https_redirect: always, ..RoutePolicy::default() };
    let table = table(vec![serving("", vec![route(prefix("/"), "web", policy)])], &["web"], Settings::default(), None);
    assert_eq!(decided(&table, "GET / HTTP/1.0", PLAIN), "400 bad-host");
}

#[test]
fn upstreams_without_endpoints_have_stand_ins() {
    let fallback = || RoutePolicy { fallback: Some(cluster("spare")), ..RoutePolicy::default() };
    let rewrite = Rewrite {
        search: Arc::new(Pattern::new("/", PatternSyntax::REWRITE).unwrap()),
        target: Template::parse("/new").unwrap(),
        forwarded_prefix: None,
    };
    for (policy, live, want) in [
        (RoutePolicy::default(), &[][..], "503 no-endpoints"),
        (fallback(), &[], "503 no-endpoints"),
        (fallback(), &["spare"], "spare /x?q"),
        (fallback(), &["spare", "web"], "web /x?q"),
        (RoutePolicy { rewrite: Some(rewrite.clone()), ..fallback() }, &["spare"], "spare /x?q"),
        (RoutePolicy { rewrite: Some(rewrite), ..fallback() }, &["web"], "web /new?q"),
    ] {
        let table = table(vec![host(policy)], live, Settings::default(), None);
        assert_eq!(decided(&table, &get("/x?q"), PLAIN), want, "{live:?}");
    }
}

#[test]
fn canaries_get_their_share_while_both_are_alive() {
    let canary = Canary { cluster: cluster("new"), header: None, cookie: None, weight: 30, total: 100 };
    let policy = || RoutePolicy { canary: Some(canary.clone()), ..RoutePolicy::default() };
    for (live, number, want) in [
        (&["web", "new"][..], 30, "new /x"),
        (&["web", "new"], 31, "web /x"),
        (&["web"], 1, "web /x"),
        (&["new"], 1, "503 no-endpoints"),
    ] {
        let table = table(vec![host(policy())], live, Settings::default(), None);
        assert_eq!(drawn(&table, &get("/x"), PLAIN, number), want, "{live:?} {number}");
    }
}

#[test]
fn upstream_hosts_are_filled_in() {
    let template = Template::parse("$service_name.$namespace.svc").unwrap();
    let policy = RoutePolicy {
        upstream: UpstreamPolicy { protocol: Protocol::Https, host: Some(template), ..UpstreamPolicy::default() },
        ..RoutePolicy::default()
    };
    let table = table(vec![host(policy)], &["web"], Settings::default(), None);
    assert_eq!(decided(&table, &get("/"), PLAIN), "web / host web.shop.svc");
}

#[test]
fn the_implicit_root_is_under_the_policies_of_its_ingress() {
    let always = HttpsRedirect { mode: HttpsRedirectMode::Always, ..HttpsRedirect::default() };
    let policy = RoutePolicy { https_redirect: always, ..RoutePolicy::default() };
    let hosts = vec![serving("a.example", vec![route(prefix("/"), "", policy)])];
    let table = table(hosts, &[], Settings::default(), None);
    assert_eq!(decided(&table, &get("/x"), PLAIN), "308 https-redirect https://a.example/x");
    assert_eq!(decided(&table, &get("/x"), TLS), "404 no-path");
}

#[test]
fn bodies_that_are_said_to_be_too_large_are_refused_before_anything_else_of_a_path() {
    let closed = Some(Closed { key: "auth-url".into() });
    let elsewhere = Redirect { code: RedirectCode::FOUND, location: Location::new("https://b.example").unwrap() };
    let mut policy = RoutePolicy { closed, redirect: Some(elsewhere), ..RoutePolicy::default() };
    policy.body.largest = Some(10);
    let routes = vec![route(prefix("/a/"), "web", policy)];
    let mut with_root = serving("root.example", Vec::new());
    if let HostAction::Serve { app_root, .. } = &mut with_root.action {
        *app_root = Some("/a".into());
    }
    let mut settings = Settings::default();
    settings.body.largest = Some(20);
    let table = table(vec![serving("a.example", routes), with_root], &["web"], settings, None);
    for (host, target, framing, want) in [
        ("a.example", "/a/b", "Content-Length: 10", "503 route-closed"),
        ("a.example", "/a/b", "Content-Length: 11", "413 body-too-large"),
        ("a.example", "/a/b", "Transfer-Encoding: chunked", "503 route-closed"),
        ("a.example", "/a", "Content-Length: 11", "301 trailing-slash http://a.example/a/"),
        ("a.example", "/b", "Content-Length: 20", "404 no-path"),
        ("a.example", "/b", "Content-Length: 21", "413 body-too-large"),
        ("root.example", "/", "Content-Length: 99", "302 app-root http://root.example/a"),
    ] {
        let lines = format!("POST {target} HTTP/1.1\nHost: {host}\n{framing}");
        assert_eq!(decided(&table, &lines, PLAIN), want, "{lines}");
    }
}
