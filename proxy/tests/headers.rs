//! Header fields that the configuration sets and changes, over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their helpers with them"
)]

mod support;

use portcullis_model::RoutePolicy;
use portcullis_model::policy::{ConnectionHeader, CookieDomain, PrefixChange, ResponseRewrite, SetHeader};
use support::Plan;
use support::client::{Client, Response};
use support::origin::{Origin, refused};

fn set(pairs: &[(&str, &str)]) -> Vec<SetHeader> {
    pairs.iter().map(|(name, value)| SetHeader::new(name, value).unwrap()).collect()
}

/// The lines of a field, joined by ` | `.
fn lines(response: &Response, name: &str) -> String {
    let lines = response.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
    lines.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" | ")
}

/// Answers with these fields.
fn saying(fields: &'static str) -> Origin {
    Origin::answering(move |_| format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}\r\nok"))
}

#[test]
fn added_fields_are_on_every_response_in_place_of_those_of_the_upstream() {
    let origin = saying("X-Frame-Options: ALLOW\r\nX-Frame-Options: TWICE\r\nX-Gone: 1\r\nX-Kept: 1\r\n");
    let mut policy = RoutePolicy::default();
    policy.headers.response = Some(vec![SetHeader::literal("X-Team", "$shop").unwrap()].into());
    let mut plan = Plan::with_policy(&[origin.address], policy);
    plan.settings.add_headers = set(&[
        ("X-Frame-Options", "DENY"),
        ("X-Gone", ""),
        ("X-Team", "all"),
        ("X-Host", "$host"),
        ("X-Id", "$req_id"),
    ]);
    let site = plan.start();
    let mut client = Client::connect(site.http);
    let relayed = client.request("GET / HTTP/1.1\r\nHost: A.example\r\nX-Request-ID: id-7\r\n\r\n");
    let unmatched = client.request("GET / HTTP/1.1\r\nHost: other.example\r\n\r\n");
    let refused = Client::connect(site.http).request("GET /../x HTTP/1.1\r\nHost: a.example\r\n\r\n");
    for (response, status, want) in [
        (&relayed, 200, ["DENY", "", "$shop", "a.example", "1"]),
        (&unmatched, 404, ["DENY", "", "all", "other.example", ""]),
        (&refused, 400, ["DENY", "", "all", "", ""]),
    ] {
        let got = ["x-frame-options", "x-gone", "x-team", "x-host", "x-kept"].map(|name| lines(response, name));
        assert_eq!((response.status, got), (status, want.map(str::to_owned)));
    }
    assert_eq!((lines(&relayed, "x-id").as_str(), origin.seen()[0].field("x-request-id").as_str()), ("id-7", "id-7"));
    assert_eq!(lines(&refused, "x-id").len(), 32);
    assert_eq!(relayed.text(), "ok");
}

#[test]
fn custom_fields_are_on_failures_too() {
    let mut policy = RoutePolicy::default();
    policy.headers.response = Some(vec![SetHeader::literal("X-Team", "shop").unwrap()].into());
    let site = Plan::with_policy(&[refused()], policy).start();
    let response = Client::connect(site.http).get("/");
    assert_eq!((response.status, lines(&response, "x-team").as_str()), (502, "shop"));
}

#[test]
fn upstreams_receive_the_configured_fields_and_no_others_of_their_name() {
    let origin = saying("");
    let mut plan = Plan::new(&[origin.address]);
    plan.settings.proxy_set_headers =
        set(&[("X-Key", "k"), ("X-Target", "$request_method $uri"), ("Accept-Encoding", ""), ("X-Id", "$req_id")]);
    let site = plan.start();
    let mut client = Client::connect(site.http);
    client.request(
        "GET /a?b HTTP/1.1\r\nHost: a.example\r\nX-Key: x\r\nx-key: y\r\nAccept-Encoding: br\r\nX-Target: z\r\n\r\n",
    );
    let seen = &origin.seen()[0];
    for (name, want) in [("x-key", "k"), ("x-target", "GET /a"), ("accept-encoding", "")] {
        assert_eq!(seen.field(name), want, "{name}");
    }
    assert_eq!((seen.field("x-id").len(), seen.field("x-id")), (32, seen.field("x-request-id")));
}

#[test]
fn connection_to_the_upstream_is_what_the_route_says() {
    for (header, connections) in [(ConnectionHeader::KeepAlive, 1), (ConnectionHeader::Close, 3)] {
        let origin = saying("");
        let mut policy = RoutePolicy::default();
        policy.headers.connection = Some(header);
        let site = Plan::with_policy(&[origin.address], policy).start();
        let mut client = Client::connect(site.http);
        for _ in 0..3 {
            let response = client.get("/");
            assert_eq!((response.status, response.field("connection")), (200, None));
        }
        let seen = origin.seen();
        assert!(seen.iter().all(|request| request.field("connection") == header.as_str()));
        assert_eq!(site.totals().upstream_connections, connections, "{header:?}");
    }
}

#[test]
fn cookies_and_redirects_of_upstreams_are_rewritten() {
    let origin = saying(
        "Set-Cookie: a=1; Domain=Localhost; Path=/one/x; Secure\r\nSet-Cookie: b=2; Path=/two\r\n\
         Location: http://web.internal/in?x=1\r\nRefresh: 5; url=http://web.internal/z\r\n",
    );
    let policy = RoutePolicy {
        response: Some(Box::new(ResponseRewrite {
            cookie_domain: CookieDomain::new("localhost", "example.org"),
            cookie_path: PrefixChange::new("/one/", "/"),
            location: PrefixChange::new("http://web.internal/", "https://a.example/app/"),
        })),
        ..RoutePolicy::default()
    };
    let rewritten = Client::connect(Plan::with_policy(&[origin.address], policy).start().http).get("/");
    let plain = Client::connect(Plan::new(&[origin.address]).start().http).get("/");
    for (name, if_rewritten, if_not) in [
        (
            "set-cookie",
            "a=1; Domain=example.org; Path=/x; Secure | b=2; Path=/two",
            "a=1; Domain=Localhost; Path=/one/x; Secure | b=2; Path=/two",
        ),
        ("location", "https://a.example/app/in?x=1", "http://web.internal/in?x=1"),
        ("refresh", "5; url=https://a.example/app/z", "5; url=http://web.internal/z"),
    ] {
        assert_eq!((lines(&rewritten, name).as_str(), lines(&plain, name).as_str()), (if_rewritten, if_not), "{name}");
    }
}

#[test]
fn forwarded_fields_of_a_client_nobody_believes_reach_no_upstream_under_any_name() {
    let origin = saying("");
    let site = Plan::new(&[origin.address]).start();
    Client::connect(site.http).request(
        "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: X-Forwarded-For\r\nX-Forwarded-For: 203.0.113.9\r\n\
         x-forwarded-for: 203.0.113.10\r\nX-Forwarded-Host: evil.test\r\nX-Original-Forwarded-For: 203.0.113.11\r\n\r\n",
    );
    let seen = origin.seen();
    assert_eq!(seen[0].field("x-forwarded-for"), "127.0.0.1");
    assert!(seen[0].fields.iter().all(|(_, value)| !value.contains("203.0.113") && !value.contains("evil")));
}
