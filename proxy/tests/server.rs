//! The whole server: forwarded fields as an upstream sees them, tables swapped under load, the log, the end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their helpers with them"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portcullis_model::policy::{Location, Redirect};
use portcullis_model::{LogEscape, Reason, RedirectCode, RoutePolicy, Template};
use support::client::Client;
use support::origin::{Origin, refused};
use support::{Plan, cluster, eventually, host, route};

#[test]
fn an_upstream_sees_our_fields_and_not_those_of_the_connection() {
    let origin = Origin::saying("ok");
    let site = Plan::new(&[origin.address]).start();
    let port = site.http.port();
    let fields = "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\nX-Real-IP: 9.9.9.9\r\n\
                  Forwarded: for=9.9.9.9\r\nConnection: X-Secret, close\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy: x\r\n\
                  X_Under: 1\r\nSSL-Client-Verify: SUCCESS\r\nX-Original-URL: /admin\r\nX-Kept: yes";
    let request = format!("GET /a?b=c HTTP/1.1\r\nHost: a.example:{port}\r\n{fields}\r\n\r\n");
    assert_eq!(Client::connect(site.http).request(&request).status, 200);
    let seen = &origin.seen()[0];
    let port = port.to_string();
    for (name, want) in [
        ("host", format!("a.example:{port}")),
        ("x-forwarded-host", format!("a.example:{port}")),
        ("x-forwarded-for", "127.0.0.1".to_owned()),
        ("x-real-ip", "127.0.0.1".to_owned()),
        ("x-forwarded-port", port),
        ("x-forwarded-proto", "http".to_owned()),
        ("x-forwarded-scheme", "http".to_owned()),
        ("x-scheme", "http".to_owned()),
        // What a client claims whom nobody believes reaches the upstream under no name.
        ("x-original-forwarded-for", String::new()),
        ("x-original-forwarded-host", String::new()),
        ("x-kept", "yes".to_owned()),
    ] {
        assert_eq!(seen.field(name), want, "{name}");
    }
    for name in [
        "connection",
        "x-secret",
        "keep-alive",
        "te",
        "proxy",
        "forwarded",
        "x_under",
        "ssl-client-verify",
        "x-original-url",
    ] {
        assert!(!seen.has(name), "{name}");
    }
    assert_eq!(seen.field("x-request-id").len(), 32);
}

#[test]
fn absolute_targets_choose_host_and_route() {
    let (a, b) = (Origin::saying("a"), Origin::saying("b"));
    let mut plan = Plan::new(&[a.address]);
    plan.hosts.push(host("b.example", vec![route("/", "b", RoutePolicy::default())]));
    plan.endpoints.push(("b", vec![b.address]));
    let site = plan.start();
    let mut client = Client::connect(site.http);
    let response = client.request("GET http://a.example/x/y?z HTTP/1.1\r\nHost: b.example\r\n\r\n");
    assert_eq!(response.text(), "a");
    assert_eq!((a.seen()[0].line.as_str(), a.seen()[0].field("host").as_str()), ("GET /x/y?z HTTP/1.1", "a.example"));
}

#[test]
fn default_backends_stand_in() {
    let (spare, default) = (Origin::saying("spare"), Origin::saying("default"));
    let mut plan = Plan::with_policy(&[], RoutePolicy { fallback: Some(cluster("spare")), ..RoutePolicy::default() });
    plan.endpoints.extend([("spare", vec![spare.address]), ("default", vec![default.address])]);
    plan.default_backend = Some("default");
    let site = plan.start();
    let mut client = Client::connect(site.http);
    let request =
        "GET /alma/armud HTTP/1.1\r\nHost: a.example\r\nAccept: text/x\r\nX-Request-ID: something-unique\r\n\r\n";
    assert_eq!(client.request(request).text(), "spare");
    let seen = &spare.seen()[0];
    assert_eq!(seen.line, "GET /alma/armud HTTP/1.1");
    for (name, want) in [
        ("x-code", "503"),
        ("x-format", "text/x"),
        ("x-namespace", "shop"),
        ("x-ingress-name", "web"),
        ("x-service-name", "web"),
        ("x-service-port", "80"),
        ("x-request-id", "something-unique"),
    ] {
        assert_eq!(seen.field(name), want, "{name}");
    }
    assert_eq!(client.request("GET /x HTTP/1.1\r\nHost: unknown\r\n\r\n").text(), "default");
    assert_eq!(client.request("GET /healthz HTTP/1.1\r\nHost: unknown\r\n\r\n").status, 200);
    assert!(!default.seen()[0].has("x-code"));
    assert_eq!(site.log(1).len(), 1, "neither the default backend nor the health path is logged");
}

#[test]
fn tables_are_swapped_under_load_without_an_error() {
    let (one, two) = (Origin::saying("1"), Origin::saying("2"));
    let mut plan = Plan::new(&[one.address]);
    let mut site = plan.clone().start();
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (address, done) = (site.http, Arc::clone(&done));
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                let mut count = 0;
                while !done.load(Ordering::Relaxed) {
                    let response = client.get("/");
                    assert_eq!(response.status, 200);
                    assert!(["1", "2"].contains(&response.text().as_str()));
                    count += 1;
                    if response.field("connection") == Some("close") {
                        client = Client::connect(address);
                    }
                }
                count
            })
        })
        .collect();
    for round in 0..50 {
        plan.endpoints[0].1 = vec![if round % 2 == 0 { two.address } else { one.address }];
        plan.hosts.truncate(1);
        plan.hosts.push(host(&format!("h{round}.example"), vec![route("/", "web", RoutePolicy::default())]));
        site.publish(&plan);
        std::thread::sleep(Duration::from_millis(10));
    }
    done.store(true, Ordering::Relaxed);
    let count: u64 = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(count > 100 && !one.seen().is_empty() && !two.seen().is_empty());
    let totals = site.totals();
    assert_eq!((totals.requests[1], totals.requests_total()), (count, count));
}

#[test]
fn changed_endpoints_are_used_at_once() {
    let (one, two) = (Origin::saying("1"), Origin::saying("2"));
    let mut plan = Plan::new(&[one.address]);
    let site = plan.clone().start();
    let mut client = Client::connect(site.http);
    assert_eq!(client.get("/").text(), "1");
    plan.endpoints[0].1 = vec![two.address];
    let endpoints = [portcullis_model::Endpoint { address: two.address }];
    assert!(site.registry.set_endpoints(&cluster("web"), &endpoints));
    assert_eq!(client.get("/").text(), "2");
    assert!(site.registry.set_endpoints(&cluster("web"), &[]));
    assert_eq!(client.get("/").status, 503);
}

#[test]
fn every_request_leaves_its_line() {
    let origin = Origin::answering(|_| "HTTP/1.1 201 Created\r\nContent-Length: 5\r\nX-Up: u\r\n\r\nhello".into());
    let mut plan = Plan::new(&[refused(), origin.address]);
    plan.hosts[0] = host(
        "a.example",
        vec![
            route("/", "web", RoutePolicy::default()),
            route("/go", "web", redirecting()),
            route("/quiet", "web", quiet()),
        ],
    );
    let site = plan.clone().start();
    let mut client = Client::connect(site.http);
    let request = "GET /path-one?x=1 HTTP/1.1\r\nHost: a.example\r\nUser-Agent: agent \"one\"\r\nReferer: http://ref.example/\r\nX-Request-ID: rid-one\r\n\r\n";
    let mut count = 0;
    while site.totals().upstream_failures == 0 {
        client.request(request);
        count += 1;
    }
    client.get("/quiet");
    client.get("/go/x");
    let lines = site.log(count + 1);
    let (line, redirect) = (&lines[count - 1], &lines[count]);
    for want in [
        "127.0.0.1 - - [".to_owned(),
        "\"GET /path-one?x=1 HTTP/1.1\" 201 5 \"http://ref.example/\" \"agent \\x22one\\x22\" ".to_owned(),
        format!("[shop-web-80] [] {}, {} 0, 5 ", plan.endpoints[0].1[0], origin.address),
        " 502, 201 rid-one".to_owned(),
    ] {
        assert!(line.contains(&want), "{want} is not in {line}");
    }
    assert!(
        redirect.contains("\"GET /go/x HTTP/1.1\" 302 ") && redirect.contains("[shop-web-80] [] - - - - "),
        "{redirect}"
    );
    assert!(!lines.iter().any(|line| line.contains("/quiet")));
}

#[test]
fn connections_are_spread_evenly_over_workers() {
    let mut plan = Plan::new(&[]);
    plan.settings.access_log.format = Template::parse("$connection").unwrap();
    let site = plan.start();
    let clients: Vec<Client> = (0..64)
        .map(|_| {
            let mut client = Client::connect(site.http);
            assert_eq!(client.get("/").status, 503);
            client
        })
        .collect();
    // Each of the two workers numbers its own.
    let most = site.log(64).iter().map(|line| line.parse::<u32>().unwrap()).max().unwrap();
    assert!((32..=35).contains(&most), "{most} of 64 on one worker");
    assert_eq!(site.totals().connections_active, 64);
    drop(clients);
    eventually(|| site.totals().connections_active == 0);
}

#[test]
fn a_burst_of_few_connections_is_spread_evenly() {
    let mut plan = Plan::new(&[]);
    plan.settings.access_log.format = Template::parse("$connection").unwrap();
    let site = plan.start();
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(site.http)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 503);
    }
    let most = site.log(8).iter().map(|line| line.parse::<u32>().unwrap()).max().unwrap();
    assert!(most <= 5, "{most} of 8 on one worker");
}

#[test]
fn log_formats_name_reason_and_rule() {
    let mut plan = Plan::new(&[]);
    plan.settings.access_log.format = Template::parse(
        r#"{"status":$status,"reason":"$portcullis_reason","rule":"$portcullis_rule","agent":"$http_user_agent","type":"$sent_http_content_type","user":"$remote_user"}"#,
    )
    .unwrap();
    plan.settings.access_log.escape = LogEscape::Json;
    let site = plan.start();
    let request = "GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: a\"b\\\r\n\r\n";
    assert_eq!(Client::connect(site.http).request(request).status, 503);
    let line: serde_json::Value = serde_json::from_str(&site.log(1)[0]).unwrap();
    let want = serde_json::json!({
        "status": 503, "reason": "no-endpoints", "rule": "shop/web a.example /", "agent": "a\"b\\", "type": "text/html", "user": ""
    });
    assert_eq!(line, want);
}

#[test]
fn a_shutdown_lets_requests_finish_and_closes_the_rest() {
    let origin = Origin::answering(|_| {
        std::thread::sleep(Duration::from_millis(500));
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow".into()
    });
    let site = Plan::new(&[origin.address]).start();
    let (mut idle, mut used) = (Client::connect(site.http), Client::connect(site.http));
    let unknown = "GET / HTTP/1.1\r\nHost: unknown\r\n\r\n";
    assert_eq!(idle.request(unknown).status, 404);
    assert_eq!(used.request(unknown).field("connection"), None);
    let mut busy = Client::connect(site.http);
    busy.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    eventually(|| origin.seen().len() == 1);
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| site.shut_down(Duration::from_secs(10)));
        std::thread::sleep(Duration::from_millis(100));
        for client in [&mut used, &mut Client::connect(site.http)] {
            assert_eq!(client.request(unknown).field("connection"), Some("close"), "and not lost");
        }
        let response = busy.response().unwrap();
        assert_eq!((response.text().as_str(), response.field("connection")), ("slow", Some("close")));
        assert!(busy.is_closed() && idle.is_closed());
        assert!(began.elapsed() >= Duration::from_secs(1), "idle connections are closed last");
    });
    assert!(began.elapsed() < Duration::from_secs(5), "nothing waits for the deadline");
    assert!(std::net::TcpStream::connect(site.http).is_err());
    assert_eq!(site.log(1).len(), 1);
}

#[test]
fn without_connections_a_shutdown_takes_no_time() {
    let site = Plan::new(&[]).start();
    assert_eq!(Client::connect(site.http).request("GET / HTTP/1.1\r\nHost: unknown\r\n\r\n").status, 404);
    eventually(|| site.totals().connections_active == 0);
    let began = Instant::now();
    site.shut_down(Duration::from_secs(10));
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
}

#[test]
fn a_shutdown_cuts_what_is_left_at_its_deadline() {
    let origin = Origin::answering(|_| {
        std::thread::sleep(Duration::from_secs(20));
        String::new()
    });
    let site = Plan::new(&[origin.address]).start();
    let mut client = Client::connect(site.http);
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    eventually(|| origin.seen().len() == 1);
    let began = Instant::now();
    site.shut_down(Duration::from_millis(300));
    assert!(began.elapsed() >= Duration::from_millis(300) && began.elapsed() < Duration::from_secs(3));
    assert!(client.response().is_none());
    assert_eq!(site.totals().reason(Reason::ClientGone), 1);
    assert!(site.log(1)[0].contains("\" 499 0 "));
}

fn redirecting() -> RoutePolicy {
    let location = Location::new("https://b.example").unwrap();
    RoutePolicy { redirect: Some(Redirect { code: RedirectCode::FOUND, location }), ..RoutePolicy::default() }
}

fn quiet() -> RoutePolicy {
    let mut policy = RoutePolicy::default();
    policy.observe.access_log = false;
    policy
}
