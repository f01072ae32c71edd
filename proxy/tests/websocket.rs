//! Protocol switches over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their helpers with them"
)]

mod support;

use std::io::{BufReader, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use support::client::Client;
use support::origin::{Origin, read_request};
use support::{Plan, eventually, reading_within};

const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                           Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Switches, says `hello`, and sends back what it gets, in upper case.
fn shouting() -> Origin {
    Origin::serving(|stream, connection, seen| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        read_request(&mut reader, connection, &seen).unwrap();
        stream.write_all(&[SWITCHING, b"hello"].concat()).unwrap();
        let mut octets = [0; 256];
        while let Ok(count @ 1..) = reader.read(&mut octets) {
            stream.write_all(octets[..count].to_ascii_uppercase().as_slice()).unwrap();
        }
        stream.write_all(b"BYE").ok();
    })
}

#[test]
fn a_websocket_is_a_tunnel_after_the_101() {
    let origin = shouting();
    let site = Plan::new(&[origin.address]).start();
    let mut client = Client::connect(site.http);
    // Octets right behind the handshake belong to the tunnel.
    client.send(format!("{HANDSHAKE}early "));
    let response = client.response().unwrap();
    assert_eq!(response.line, "HTTP/1.1 101 Switching Protocols");
    for (name, want) in
        [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")]
    {
        assert_eq!(response.field(name), Some(want), "{name}");
    }
    assert_eq!(client.octets(11), b"helloEARLY ");
    client.send("more");
    assert_eq!(client.octets(4), b"MORE");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.octets(3), b"BYE");
    assert!(client.is_closed());
    let seen = &origin.seen()[0];
    assert_eq!((seen.field("connection").as_str(), seen.field("upgrade").as_str()), ("upgrade", "websocket"));
    let line = &site.log(1)[0];
    assert!(line.contains("\"GET /ws HTTP/1.1\" 101 18 "), "{line}");
    eventually(|| site.totals().connections_active == 0);
}

#[test]
fn a_tunnel_ends_when_nothing_passes() {
    let origin = shouting();
    let policy = reading_within(Duration::from_millis(300));
    let site = Plan::with_policy(&[origin.address], policy).start();
    let mut client = Client::connect(site.http);
    client.send(HANDSHAKE);
    assert_eq!(client.response().unwrap().status, 101);
    assert_eq!(client.octets(5), b"hello");
    let began = Instant::now();
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(150));
        client.send("x");
        assert_eq!(client.octets(1), b"X");
    }
    assert!(client.is_closed());
    assert!(began.elapsed() > Duration::from_millis(800) && began.elapsed() < Duration::from_millis(1500));
}

#[test]
fn a_shutdown_ends_tunnels_with_a_close_frame_before_its_deadline() {
    let origin = Origin::serving(|stream, connection, seen| {
        read_request(&mut BufReader::new(stream.try_clone().unwrap()), connection, &seen).unwrap();
        // The second frame lacks two of its octets where the target says so.
        let cut = seen.lock().unwrap().last().unwrap().line.contains("/cut");
        let frames: &[u8] = if cut { &[0x81, 2, b'h', b'i', 0x81, 4, 1, 2] } else { &[0x81, 2, b'h', b'i'] };
        stream.write_all(&[SWITCHING, frames].concat()).unwrap();
        stream.read_to_end(&mut Vec::new()).ok();
    });
    for (target, frames) in [("/ws", 4), ("/cut", 8)] {
        let site = Plan::new(&[origin.address]).start();
        let mut client = Client::connect(site.http);
        client.send(HANDSHAKE.replace("/ws", target));
        assert_eq!(client.response().unwrap().status, 101);
        client.octets(frames);
        let began = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| site.shut_down(Duration::from_secs(7)));
            if target == "/ws" {
                assert_eq!(client.octets(4), [0x88, 2, 0x03, 0xE9], "1001, going away");
            }
            assert!(client.is_closed());
            assert!(began.elapsed() > Duration::from_millis(1900) && began.elapsed() < Duration::from_secs(5));
            drop(client);
        });
        assert!(began.elapsed() < Duration::from_secs(6), "nothing waits for the deadline");
    }
}

#[test]
fn requests_that_are_no_handshake_go_without_upgrade() {
    let origin = Origin::saying("ok");
    let site = Plan::new(&[origin.address]).start();
    let handshake = |line: &str, connection: &str, upgrade: &str| {
        format!(
            "{line}\r\nHost: a.example\r\n{connection}Upgrade: {upgrade}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n"
        )
    };
    let upgrade = "Connection: Upgrade\r\n";
    let requests = [
        handshake(
            "GET / HTTP/1.1",
            "Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
            "h2c",
        ),
        handshake("GET / HTTP/1.1", upgrade, "websocket, h2c"),
        handshake("GET / HTTP/1.1", "", "websocket"),
        handshake("GET / HTTP/1.0", upgrade, "websocket"),
        handshake("POST / HTTP/1.1", upgrade, "websocket"),
    ];
    for request in &requests {
        assert_eq!(Client::connect(site.http).request(request).status, 200, "{request}");
    }
    let seen = origin.seen();
    assert_eq!(seen.len(), requests.len());
    assert!(seen.iter().all(|seen| !seen.has("upgrade") && !seen.has("connection") && !seen.has("http2-settings")));
}

#[test]
fn a_refused_handshake_leaves_an_ordinary_connection() {
    let origin = Origin::saying("no");
    let site = Plan::new(&[origin.address]).start();
    let mut client = Client::connect(site.http);
    client.send(format!("{HANDSHAKE}GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n"));
    assert_eq!(client.response().unwrap().status, 200);
    assert_eq!(client.response().unwrap().status, 200);
    assert_eq!(origin.seen()[1].line, "GET /next HTTP/1.1");
}

#[test]
fn an_upstream_that_switches_to_something_else_is_a_502() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\nraw",
        "HTTP/1.1 101 Switching Protocols\r\n\r\nraw",
    ] {
        let origin = Origin::closing(answer);
        let site = Plan::new(&[origin.address]).start();
        assert_eq!(Client::connect(site.http).request(HANDSHAKE).status, 502, "{answer}");
    }
}
