//! Connections to HTTP/1 upstreams: how long they are kept, and what requests say about them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their helpers with them"
)]

mod support;

use std::num::NonZeroUsize;
use std::time::Duration;

use portcullis_model::RoutePolicy;
use support::Plan;
use support::client::Client;
use support::origin::Origin;

fn plan(origin: &Origin, change: impl FnOnce(&mut Plan)) -> Plan {
    let mut plan = Plan::new(&[origin.address]);
    plan.config.workers = NonZeroUsize::MIN;
    change(&mut plan);
    plan
}

fn connections(origin: &Origin) -> Vec<usize> {
    origin.seen().iter().map(|seen| seen.connection).collect()
}

#[test]
fn connections_are_kept_as_the_settings_say() {
    for (change, want) in [
        ((|_| {}) as fn(&mut Plan), [0, 0, 0, 0]),
        (|plan| plan.settings.upstream.connections = 0, [0, 1, 2, 3]),
        (|plan| plan.settings.upstream.requests = 2, [0, 0, 1, 1]),
        (|plan| plan.settings.upstream.age = Duration::ZERO, [0, 1, 2, 3]),
        (|plan| plan.settings.upstream.idle = Duration::ZERO, [0, 1, 2, 3]),
    ] {
        let origin = Origin::saying("ok");
        let plan = plan(&origin, change);
        let says_close = !plan.settings.upstream.is_on();
        let site = plan.start();
        let mut client = Client::connect(site.http);
        for _ in 0..4 {
            assert_eq!(client.get("/").text(), "ok");
        }
        assert_eq!(connections(&origin), want);
        assert!(origin.seen().iter().all(|seen| (seen.field("connection") == "close") == says_close));
    }
}

#[test]
fn a_changed_limit_holds_for_connections_that_are_there() {
    let origin = Origin::saying("ok");
    let mut plan = plan(&origin, |_| {});
    let mut site = plan.clone().start();
    let mut client = Client::connect(site.http);
    client.get("/");
    plan.settings.upstream.idle = Duration::from_millis(50);
    site.publish(&plan);
    std::thread::sleep(Duration::from_millis(100));
    client.get("/");
    client.get("/");
    assert_eq!(connections(&origin), [0, 1, 1]);
}

#[test]
fn http10_is_spoken_where_the_route_says_so() {
    let origin = Origin::answering(|seen| {
        let length = seen.body.len().to_string();
        format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{length}", length.len())
    });
    let mut policy = RoutePolicy::default();
    policy.upstream.http10 = true;
    policy.body.buffer_request = false;
    let site = Plan::with_policy(&[origin.address], policy).start();
    let mut client = Client::connect(site.http);
    let response = client.get("/a");
    assert_eq!((response.line.as_str(), response.text().as_str()), ("HTTP/1.1 200 OK", "0"));
    let post = client.request("POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(post.text(), "5");
    let seen = origin.seen();
    assert_eq!((seen[0].line.as_str(), seen[1].line.as_str()), ("GET /a HTTP/1.0", "POST /a HTTP/1.0"));
    assert!(seen.iter().all(|seen| seen.field("connection") == "close" && !seen.has("transfer-encoding")));
    assert_eq!(connections(&origin), [0, 1]);
    // A handshake for something that HTTP/1.0 does not have.
    client.request(HANDSHAKE);
    assert!(!origin.seen()[2].has("upgrade"));
    // Chunks are never sent, and never left out in silence: the length is found out first, whatever buffering says.
    let chunked = "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    assert_eq!(client.request(chunked).text(), "5");
    let seen = &origin.seen()[3];
    assert_eq!((seen.field("content-length").as_str(), seen.body.as_slice()), ("5", &b"hello"[..]));
}

#[test]
fn a_websocket_is_opened_although_connections_are_not_kept() {
    let origin = Origin::answering(|_| {
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n".to_owned()
    });
    let site = plan(&origin, |plan| plan.settings.upstream.connections = 0).start();
    let mut client = Client::connect(site.http);
    client.send(HANDSHAKE);
    assert_eq!(client.head().unwrap().status, 101);
    assert_eq!(origin.seen()[0].field("connection"), "upgrade");
}

const HANDSHAKE: &str = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
