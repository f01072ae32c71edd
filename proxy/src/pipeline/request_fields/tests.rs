//! What upstreams receive of requests, field by field.

use portcullis_model::Protocol;
use portcullis_model::policy::SetHeader;

use super::*;
use crate::pipeline::rewrite::Target;
use crate::pipeline::testing::{PLAIN, TLS, parts};
use crate::pipeline::variables::ConnectionVariables;

fn forward() -> Forward {
    Forward {
        to: Destination::Primary,
        protocol: Protocol::Http,
        target: Target::AsReceived,
        host: None,
        forwarded_prefix: None,
    }
}

fn made(head: &RequestHead<'_>, forward: &Forward, settings: &Settings, facts: &ConnectionFacts) -> RequestFields {
    let reading = head.read().unwrap();
    let connection = ConnectionVariables::default();
    let variables = Variables { head, reading: Some(&reading), route: None, connection };
    let (texts, random, clock) = (ConnectionTexts::new(facts), Random::new(), WallClock::new());
    let material = Material { texts: &texts, random: &random, clock: &clock, request_id: None };
    RequestFields::new(&variables, &reading, forward, settings, material).unwrap()
}

fn applied(lines: &str, facts: ConnectionFacts, settings: &Settings, forward: &Forward) -> HeaderMap {
    let mut parts = parts(lines);
    let fields = {
        let head = RequestHead::new(&parts, facts, settings);
        made(&head, forward, settings, &facts)
    };
    fields.apply(&mut parts.headers, Framing::AsReceived, false, None);
    parts.headers
}

/// The lines of a field, joined by ` | `.
fn field(headers: &HeaderMap, name: &str) -> String {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join(" | ")
}

#[test]
fn forwarded_fields_are_ours_by_default() {
    let lines = "GET /a HTTP/1.1\nHost: A.example:8080\nX-Forwarded-For: 1.2.3.4\nX-Forwarded-For: 5.6.7.8\n\
                 X-Forwarded-Host: myhost\nX-Forwarded-Proto: myproto\nX-Forwarded-Port: 1234\nX-Real-IP: 9.9.9.9\n\
                 X-Scheme: x\nX-Forwarded-Scheme: x\nX-Original-Forwarded-For: spoof\nX-Forwarded-Prefix: /p\nX-Other: kept";
    let headers = applied(lines, PLAIN, &Settings::default(), &forward());
    for (name, want) in [
        ("host", "A.example:8080"),
        ("x-forwarded-host", "A.example:8080"),
        ("x-forwarded-for", "127.0.0.9"),
        ("x-real-ip", "127.0.0.9"),
        ("x-forwarded-port", "8080"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-scheme", "http"),
        ("x-scheme", "http"),
        ("x-original-forwarded-for", ""),
        ("x-original-forwarded-host", ""),
        ("x-original-uri", ""),
        ("x-forwarded-prefix", "/p"),
        ("x-other", "kept"),
        ("connection", ""),
    ] {
        assert_eq!(field(&headers, name), want, "{name}");
    }
    let headers =
        applied("GET / HTTP/1.1\nHost: a\nX-Original-Forwarded-For: spoof", TLS, &Settings::default(), &forward());
    for (name, want) in [("x-forwarded-port", "443"), ("x-scheme", "https"), ("x-original-forwarded-for", "")] {
        assert_eq!(field(&headers, name), want, "{name}");
    }
}

#[test]
fn forwarded_fields_of_trusted_peers_are_kept() {
    let mut settings = Settings::default();
    settings.forwarded.fields = true;
    settings.forwarded.client_address = true;
    settings.forwarded.append = true;
    settings.original_uri = true;
    let lines = "GET /a%20b?c HTTP/1.1\nHost: a.example\nX-Forwarded-For: 1.2.3.4\nX-Forwarded-Host: b.example, c\n\
                 X-Forwarded-Proto: https\nX-Forwarded-Port: 8443\nX-HTTP-Method-Override: PUT";
    let trusted = applied(lines, PLAIN, &settings, &forward());
    settings.forwarded.peers.clear();
    let untrusted = applied(lines, PLAIN, &settings, &forward());
    for (name, if_trusted, if_not) in [
        ("host", "b.example", "a.example"),
        ("x-forwarded-host", "b.example", "a.example"),
        ("x-forwarded-for", "1.2.3.4, 127.0.0.9", "127.0.0.9"),
        ("x-original-forwarded-for", "1.2.3.4", ""),
        ("x-original-forwarded-host", "b.example, c", ""),
        ("x-real-ip", "1.2.3.4", "127.0.0.9"),
        ("x-forwarded-proto", "https", "http"),
        ("x-forwarded-port", "8443", "8080"),
        ("x-http-method-override", "PUT", ""),
        ("x-original-uri", "/a%20b?c", "/a%20b?c"),
    ] {
        assert_eq!((field(&trusted, name).as_str(), field(&untrusted, name).as_str()), (if_trusted, if_not), "{name}");
    }
}

#[test]
fn a_believed_address_is_passed_on_as_received_and_nothing_else() {
    let mut settings = Settings::default();
    settings.forwarded.client_address = true;
    let lines = "GET / HTTP/1.1\nHost: a\nX-Forwarded-For: 1.2.3.4\nX-Forwarded-For: 5.6.7.8\nX-Forwarded-Host: b";
    for (peers, want) in [("0.0.0.0/0", "1.2.3.4, 5.6.7.8"), ("10.0.0.0/8", "")] {
        settings.forwarded.peers = vec![peers.parse().unwrap()];
        let headers = applied(lines, PLAIN, &settings, &forward());
        assert_eq!(field(&headers, "x-original-forwarded-for"), want);
        assert_eq!(field(&headers, "x-original-forwarded-host"), "");
    }
}

#[test]
fn configured_fields_take_the_place_of_those_received_and_of_ours() {
    let set = |name, value| SetHeader::new(name, value).unwrap();
    let mut settings = Settings::default();
    settings.header_names.underscores = true;
    settings.proxy_set_headers = vec![
        set("X-Team", "shop"),
        set("X-Forwarded-Proto", "https"),
        set("X-Drop", ""),
        set("X-Forwarded-Port", ""),
        set("X-Query", "$args"),
        set("Host", "$http_x_none"),
    ];
    let lines = "GET /?q=1 HTTP/1.1\nHost: a.example\nX-Team: x\nX-Team: y\nX_Team: z\nX-Drop: d\nX_Other: 1";
    let headers = applied(lines, PLAIN, &settings, &forward());
    for (name, want) in [
        ("x-team", "shop"),
        ("x_team", ""),
        ("x_other", "1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-scheme", "http"),
        ("x-forwarded-port", ""),
        ("x-drop", ""),
        ("x-query", "q=1"),
        ("host", "a.example"),
    ] {
        assert_eq!(field(&headers, name), want, "{name}");
    }
}

#[test]
fn connection_is_ours_unless_a_route_names_it() {
    for (policy, websocket, want) in [
        (None, false, ""),
        (None, true, "upgrade"),
        (Some(ConnectionHeader::Close), false, "close"),
        (Some(ConnectionHeader::KeepAlive), true, "keep-alive"),
    ] {
        let mut parts = parts("GET / HTTP/1.1\nHost: a\nConnection: X-Secret\nX-Secret: 1");
        let settings = Settings::default();
        let fields = made(&RequestHead::new(&parts, PLAIN, &settings), &forward(), &settings, &PLAIN);
        fields.apply(&mut parts.headers, Framing::AsReceived, websocket, policy);
        assert_eq!(
            (field(&parts.headers, "connection").as_str(), parts.headers.contains_key("x-secret")),
            (want, false)
        );
    }
}

#[test]
fn policies_set_host_and_prefix() {
    let forward = Forward { host: Some("up.example".into()), forwarded_prefix: Some("/pre".into()), ..forward() };
    let headers =
        applied("GET / HTTP/1.1\nHost: a.example\nX-Forwarded-Prefix: /own", PLAIN, &Settings::default(), &forward);
    for (name, want) in [("host", "up.example"), ("x-forwarded-host", "a.example"), ("x-forwarded-prefix", "/pre")] {
        assert_eq!(field(&headers, name), want, "{name}");
    }
}

#[test]
fn request_ids_are_kept_if_harmless() {
    let mut settings = Settings::default();
    let id = |text: &str, settings: &Settings| {
        let lines = format!("GET / HTTP/1.1\nHost: a{text}");
        field(&applied(&lines, PLAIN, settings, &forward()), "x-request-id")
    };
    assert_eq!(id("\nX-Request-ID: my-id_1.a", &settings), "my-id_1.a");
    let long = format!("\nX-Request-ID: {}", "x".repeat(129));
    for made in ["", "\nX-Request-ID: a b", "\nX-Request-ID: a\"b", &long] {
        let got = id(made, &settings);
        assert!(got.len() == 32 && got.bytes().all(|octet| octet.is_ascii_hexdigit()), "{got}");
    }
    settings.request_id = false;
    assert_eq!((id("", &settings).as_str(), id("\nX-Request-ID: q", &settings).as_str()), ("", "q"));
}

#[test]
fn fields_that_are_not_the_clients_to_send_are_dropped() {
    let lines = "GET / HTTP/1.1\nHost: a\nConnection: X-Secret, upgrade\nX-Secret: 1\nUpgrade: h2c\nHTTP2-Settings: x\n\
                 Keep-Alive: 5\nProxy-Connection: x\nTE: trailers\nTrailer: X\nExpect: 100-continue\nProxy: http://x\n\
                 Proxy-Authorization: x\nForwarded: for=x\nSSL-Client-Verify: SUCCESS\nX-Forwarded-Client-Cert: x\n\
                 X-Original-URL: /x\nX-Rewrite-URL: /x\nX-Original-Method: x\nX-HTTP-Method-Override: x\nX_Under: 1\nX.Dot: 1\n\
                 traceparent: x\ntracestate: a=b\nX-Kept: 1\nAuthorization: b\nCookie: c";
    let headers = applied(lines, PLAIN, &Settings::default(), &forward());
    let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    let ours = [
        "authorization",
        "cookie",
        "host",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-forwarded-scheme",
        "x-kept",
        "x-real-ip",
        "x-request-id",
        "x-scheme",
    ];
    assert_eq!(left, ours);
}

#[test]
fn underscores_may_be_allowed_but_not_to_stand_for_our_fields() {
    let mut settings = Settings::default();
    settings.header_names.underscores = true;
    let headers =
        applied("GET / HTTP/1.1\nHost: a\nX_Under: 1\nX_Forwarded_For: 1.2.3.4", PLAIN, &settings, &forward());
    assert_eq!((field(&headers, "x_under").as_str(), field(&headers, "x_forwarded_for").as_str()), ("1", ""));
}

#[test]
fn crumbs_become_one_cookie_and_equal_lengths_one_line() {
    let lines = "POST https://a/ HTTP/2\nCookie: a=1\nCookie: b=2\nContent-Length: 5\nContent-Length: 5";
    let headers = applied(lines, TLS, &Settings::default(), &forward());
    assert_eq!((field(&headers, "cookie").as_str(), field(&headers, "content-length").as_str()), ("a=1; b=2", "5"));
    let headers = applied("GET / HTTP/1.1\nHost: a\nCookie: a=1\nCookie: b=2", PLAIN, &Settings::default(), &forward());
    assert_eq!(field(&headers, "cookie"), "a=1 | b=2");
}

#[test]
fn trace_parents_are_kept_if_well_formed() {
    for (text, want) in [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true),
        ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", true),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", false),
        ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false),
        ("00-0af7-b7ad6b7169203331-01", false),
        ("", false),
    ] {
        assert_eq!(is_traceparent(text.as_bytes()), want, "{text}");
    }
}

#[test]
fn framing_is_our_own() {
    let mut parts = parts("GET / HTTP/1.1\nHost: a\nContent-Length: 5\nTransfer-Encoding: chunked");
    let settings = Settings::default();
    let fields = {
        let head = RequestHead::new(&parts, PLAIN, &settings);
        made(&head, &forward(), &settings, &PLAIN)
    };
    fields.apply(&mut parts.headers, Framing::Chunked, true, None);
    for (name, want) in
        [("content-length", ""), ("transfer-encoding", "chunked"), ("connection", "upgrade"), ("upgrade", "websocket")]
    {
        assert_eq!(field(&parts.headers, name), want, "{name}");
    }
}

#[test]
fn what_has_a_shape_goes_out_over_http2_as_it_would_without() {
    let mut trusting = Settings::default();
    trusting.forwarded.fields = true;
    trusting.header_names.underscores = true;
    let plain = Settings { request_id: false, ..Settings::default() };
    for (lines, facts, has_shape) in [
        (
            "POST https://a.example/ HTTP/2\nContent-Type: application/grpc\nTE: trailers\nUser-Agent: x\nGrpc-Timeout: 1S",
            TLS,
            true,
        ),
        (
            "GET https://a.example/ HTTP/2\nX-Real-IP: 9.9.9.9\nX-Scheme: x\nCookie: a=1\nX-Request-ID: q\nX-Other: 1",
            TLS,
            true,
        ),
        (
            "GET / HTTP/1.1\nHost: A.example:8080\nContent-Length: 5\nX-Forwarded-Host: b\nX-Forwarded-For: 1.2.3.4",
            PLAIN,
            true,
        ),
        (
            "GET / HTTP/1.1\nHost: a\nConnection: keep-alive, upgrade\nUpgrade: h2c\nKeep-Alive: 5\nProxy: x\nExpect: y",
            PLAIN,
            false,
        ),
        (
            "GET / HTTP/1.1\nHost: a\nConnection: Keep-Alive\nKeep-Alive: 5\nProxy: x\nTrailer: y\nX_Under: 1\nX_Scheme: 2\na.b: 3",
            PLAIN,
            true,
        ),
        (
            "GET / HTTP/1.1\nHost: a\nForwarded: x\nSSL-Client-Verify: x\nX-Original-URL: /x\nX-HTTP-Method-Override: PUT",
            PLAIN,
            true,
        ),
        (
            "GET / HTTP/1.1\nHost: a\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\ntracestate: a",
            PLAIN,
            true,
        ),
        ("GET / HTTP/1.1\nHost: a\ntraceparent: x\ntracestate: a", PLAIN, false),
        ("GET https://a/ HTTP/2\nCookie: a=1\nCookie: b=2", TLS, false),
        ("GET / HTTP/1.0", PLAIN, true),
    ] {
        for settings in [&Settings::default(), &trusting, &plain] {
            let mut parts = parts(lines);
            let (fields, same) = {
                let head = RequestHead::new(&parts, facts, settings);
                let mut fields = made(&head, &forward(), settings, &facts);
                let same = made(&head, &forward(), settings, &facts);
                fields.request_id.clone_from(&same.request_id);
                (fields, same)
            };
            let shapes = Shapes::default();
            assert!(fields.shaped(&parts.headers, &shapes).is_none(), "nothing is known yet");
            let shaped = fields.shaped(&parts.headers, &shapes);
            assert!(shaped.is_some() == has_shape || fields.further.is_some(), "{lines}");
            let Some(shaped) = shaped else { continue };
            let sent = shaped.fields(&mut parts.headers.clone(), true, false).0;
            same.apply(&mut parts.headers, Framing::AsReceived, false, None);
            assert_eq!(parts.headers.remove(header::HOST).as_ref(), Some(shaped.host()), "{lines}");
            parts.headers.insert(header::TE, HeaderValue::from_static("trailers"));
            assert_eq!(sent, parts.headers, "{lines}");
        }
    }
}
