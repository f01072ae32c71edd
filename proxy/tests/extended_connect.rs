//! WebSocket over streams of HTTP/2 (RFC 8441), seen from both sides octet by octet.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their helpers with them"
)]

mod support;

use std::io::{BufReader, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use portcullis_model::RoutePolicy;
use support::origin::{Origin, Seen, read_request};
use support::{Plan, eventually, reading_within, runtime};

/// Takes the handshake, says `hello`, and sends back what it gets, in upper case.
fn shouting() -> Origin {
    Origin::serving(|stream, connection, seen| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let request = read_request(&mut reader, connection, &seen).unwrap();
        stream.write_all(&[accepting(&request).as_bytes(), b"hello"].concat()).unwrap();
        let mut octets = [0; 256];
        while let Ok(count @ 1..) = reader.read(&mut octets) {
            stream.write_all(octets[..count].to_ascii_uppercase().as_slice()).unwrap();
        }
        stream.write_all(b"BYE").ok();
    })
}

/// The 101 that the request asks for.
fn accepting(request: &Seen) -> String {
    let text = request.field("sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\
         Sec-WebSocket-Protocol: chat\r\n\r\n",
        STANDARD.encode(digest)
    )
}

#[test]
fn a_stream_is_a_tunnel_after_the_200() {
    let origin = shouting();
    let site = Plan::new(&[origin.address]).start();
    run(async {
        let mut h2 = Http2::connect(site.http).await;
        let (response, mut stream) = h2.open(websocket("http://a.example/ws?x=1")).await;
        assert_eq!(response.status(), 200);
        for absent in ["sec-websocket-accept", "upgrade", "connection", "content-length", "transfer-encoding"] {
            assert!(!response.headers().contains_key(absent), "{absent}");
        }
        assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
        assert_eq!(stream.octets(5).await, "hello");
        stream.send("more", false);
        assert_eq!(stream.octets(4).await, "MORE");
        // A second one on the same connection has a connection of its own to the upstream.
        let (_, mut other) = h2.open(websocket("http://a.example/ws")).await;
        assert_eq!(other.octets(5).await, "hello");
        stream.send("", true);
        assert_eq!(stream.octets(3).await, "BYE");
        assert!(stream.is_over().await);
        other.send("on", true);
        assert_eq!(other.octets(5).await, "ONBYE");
    });
    let seen = origin.seen();
    assert_eq!((seen[0].line.as_str(), seen.len()), ("GET /ws?x=1 HTTP/1.1", 2));
    for (name, want) in [
        ("host", "a.example"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat, super"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("origin", "http://a.example"),
        ("content-length", ""),
        ("transfer-encoding", ""),
    ] {
        assert_eq!(seen[0].field(name), want, "{name}");
    }
    let keys = [seen[0].field("sec-websocket-key"), seen[1].field("sec-websocket-key")];
    assert!(keys.iter().all(|key| STANDARD.decode(key).unwrap().len() == 16) && keys[0] != keys[1], "{keys:?}");
    let lines = site.log(2);
    assert!(lines.iter().any(|line| line.contains("\"GET /ws?x=1 HTTP/2.0\" 200 12 ")), "{lines:?}");
}

#[test]
fn answers_without_a_switch_are_relayed_unless_they_would_be_taken_for_one() {
    for (answer, want, body) in [
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope", 403, "nope"),
        ("HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", 302, ""),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage", 502, "Bad Gateway"),
        ("HTTP/1.1 204 No Content\r\n\r\n", 502, "Bad Gateway"),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", 502, "Bad Gateway"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            502,
            "Bad Gateway",
        ),
    ] {
        let origin = Origin::closing(answer);
        let site = Plan::new(&[origin.address]).start();
        run(async {
            let mut h2 = Http2::connect(site.http).await;
            let (response, mut stream) = h2.open(websocket("http://a.example/")).await;
            assert_eq!(response.status(), want, "{answer}");
            let page = stream.rest().await;
            assert!(page.contains(body), "{answer}: {page}");
        });
    }
}

#[test]
fn a_proof_of_the_wrong_key_or_another_protocol_is_a_502() {
    for (from, to) in [("Accept: ", "Accept: x"), ("Upgrade: websocket", "Upgrade: foo")] {
        let origin = Origin::serving(move |stream, connection, seen| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let request = read_request(&mut reader, connection, &seen).unwrap();
            stream.write_all(accepting(&request).replace(from, to).as_bytes()).unwrap();
        });
        let site = Plan::new(&[origin.address]).start();
        run(async {
            let mut h2 = Http2::connect(site.http).await;
            assert_eq!(h2.open(websocket("http://a.example/")).await.0.status(), 502, "{to}");
        });
    }
}

#[test]
fn what_is_no_websocket_is_refused_before_routing() {
    let origin = Origin::saying("ok");
    let site = Plan::new(&[origin.address]).start();
    run(async {
        let mut h2 = Http2::connect(site.http).await;
        let connect = |protocol: Option<&'static str>, target: &str, version: &str| {
            let mut request = Request::builder().method("CONNECT").uri(target);
            if !version.is_empty() {
                request = request.header("sec-websocket-version", version);
            }
            match protocol {
                Some(protocol) => request.extension(Protocol::from_static(protocol)).body(()).unwrap(),
                None => request.body(()).unwrap(),
            }
        };
        for (request, want) in [
            (connect(None, "a.example:80", ""), 405),
            (connect(Some("connect-udp"), "http://a.example/", "13"), 501),
            (connect(Some("websocket"), "http://a.example/", ""), 400),
            (connect(Some("websocket"), "http://a.example/", "8"), 400),
            (connect(Some("websocket"), "https://a.example/", "13"), 400),
            (connect(Some("websocket"), "http://b.example/", "13"), 404),
            // The health of the controller is no WebSocket.
            (connect(Some("websocket"), "http://b.example/healthz", "13"), 501),
        ] {
            let what = format!("{request:?}");
            assert_eq!(h2.open(request).await.0.status(), want, "{what}");
        }
    });
    assert!(origin.seen().is_empty());
}

#[test]
fn an_upstream_without_http11_cannot_be_asked() {
    let origin = Origin::saying("ok");
    for (protocol, http10) in [(portcullis_model::Protocol::Grpc, false), (portcullis_model::Protocol::Http, true)] {
        let mut policy = RoutePolicy::default();
        (policy.upstream.protocol, policy.upstream.http10) = (protocol, http10);
        let site = Plan::with_policy(&[origin.address], policy).start();
        run(async {
            let mut h2 = Http2::connect(site.http).await;
            assert_eq!(h2.open(websocket("http://a.example/")).await.0.status(), 501);
        });
    }
    assert!(origin.seen().is_empty());
}

#[test]
fn a_client_that_does_not_read_is_not_read_ahead_for() {
    let written = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&written);
    let origin = Origin::serving(move |stream, connection, seen| {
        let request = read_request(&mut BufReader::new(stream.try_clone().unwrap()), connection, &seen).unwrap();
        stream.write_all(accepting(&request).as_bytes()).unwrap();
        while let Ok(count) = stream.write(&[7; 16 * 1024]) {
            counter.fetch_add(count as u64, Ordering::Relaxed);
        }
    });
    let site = Plan::new(&[origin.address]).start();
    run(async {
        let mut h2 = Http2::connect(site.http).await;
        let (response, stream) = h2.open(websocket("http://a.example/")).await;
        assert_eq!(response.status(), 200);
        // What the sockets of this machine hold, several megabytes, is not ours to bound; what follows is.
        let mut before = u64::MAX;
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = written.load(Ordering::Relaxed);
            if now == before {
                break;
            }
            before = now;
        }
        assert!((1..32 << 20).contains(&before), "{before} octets were read ahead");
        drop(stream);
        // The end of the stream ends the tunnel, and the upstream notices.
        while site.totals().requests_total() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

#[test]
fn a_stream_ends_when_nothing_passes() {
    let origin = shouting();
    let site = Plan::with_policy(&[origin.address], reading_within(Duration::from_millis(300))).start();
    run(async {
        let mut h2 = Http2::connect(site.http).await;
        let (_, mut stream) = h2.open(websocket("http://a.example/ws")).await;
        assert_eq!(stream.octets(5).await, "hello");
        let began = Instant::now();
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            stream.send("x", false);
            assert_eq!(stream.octets(1).await, "X");
        }
        assert!(stream.is_over().await);
        assert!(began.elapsed() > Duration::from_millis(800) && began.elapsed() < Duration::from_millis(2000));
        // The connection serves on.
        let (response, _) = h2.open(websocket("http://a.example/ws")).await;
        assert_eq!(response.status(), 200);
    });
}

#[test]
fn a_shutdown_ends_streams_with_a_close_frame_before_its_deadline() {
    let origin = Origin::serving(|stream, connection, seen| {
        let request = read_request(&mut BufReader::new(stream.try_clone().unwrap()), connection, &seen).unwrap();
        stream.write_all(&[accepting(&request).as_bytes(), &[0x81, 2, b'h', b'i']].concat()).unwrap();
        stream.read_to_end(&mut Vec::new()).ok();
    });
    let site = Plan::new(&[origin.address]).start();
    let began = Instant::now();
    std::thread::scope(|scope| {
        run(async {
            let mut h2 = Http2::connect(site.http).await;
            let (_, mut stream) = h2.open(websocket("http://a.example/ws")).await;
            assert_eq!(stream.raw(4).await, [0x81, 2, b'h', b'i']);
            scope.spawn(|| site.shut_down(Duration::from_secs(7)));
            assert_eq!(stream.raw(4).await, [0x88, 2, 0x03, 0xE9], "1001, going away");
            stream.send("", true);
            assert!(stream.is_over().await);
        });
        assert!(began.elapsed() > Duration::from_millis(1900), "{:?}", began.elapsed());
    });
    assert!(began.elapsed() < Duration::from_secs(6), "nothing waits for the deadline");
}

#[test]
fn a_connection_that_breaks_takes_its_tunnels_along() {
    let origin = shouting();
    let site = Plan::new(&[origin.address]).start();
    run(async {
        let mut h2 = Http2::connect(site.http).await;
        let (_, mut stream) = h2.open(websocket("http://a.example/ws")).await;
        assert_eq!(stream.octets(5).await, "hello");
        h2.driver.abort();
    });
    eventually(|| site.totals().connections_active == 0);
    assert!(site.log(1)[0].contains("\"GET /ws HTTP/2.0\" 200 "));
}

fn run(test: impl Future<Output = ()>) {
    runtime().block_on(async { tokio::time::timeout(Duration::from_secs(30), test).await.unwrap() });
}

/// An extended CONNECT for a WebSocket.
fn websocket(target: &str) -> Request<()> {
    Request::builder()
        .method("CONNECT")
        .uri(target)
        .header("origin", "http://a.example")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat, super")
        .header("sec-websocket-extensions", "permessage-deflate")
        .extension(Protocol::from_static("websocket"))
        .body(())
        .unwrap()
}

/// A connection whose streams can be seen.
struct Http2 {
    sender: SendRequest<Bytes>,
    driver: tokio::task::JoinHandle<()>,
}

impl Http2 {
    /// With prior knowledge; waits until the server has said that it knows extended CONNECT.
    async fn connect(address: SocketAddr) -> Self {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (sender, driver) = h2::client::handshake(stream).await.unwrap();
        let driver = tokio::spawn(async move { drop(driver.await) });
        let mut sender = sender.ready().await.unwrap();
        for _ in 0..200 {
            if sender.is_extended_connect_protocol_enabled() {
                return Self { sender, driver };
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            sender = sender.ready().await.unwrap();
        }
        panic!("extended CONNECT is not announced");
    }

    async fn open(&mut self, request: Request<()>) -> (Response<()>, Stream) {
        self.sender = self.sender.clone().ready().await.unwrap();
        let (response, send) = self.sender.send_request(request, false).unwrap();
        let (parts, receive) = response.await.unwrap().into_parts();
        (Response::from_parts(parts, ()), Stream { send, receive, ahead: Vec::new() })
    }
}

/// Both directions of one stream.
struct Stream {
    send: SendStream<Bytes>,
    receive: RecvStream,
    ahead: Vec<u8>,
}

impl Stream {
    fn send(&mut self, text: &'static str, end: bool) {
        self.send.send_data(Bytes::from_static(text.as_bytes()), end).unwrap();
    }

    async fn raw(&mut self, count: usize) -> Vec<u8> {
        while self.ahead.len() < count {
            let data = self.receive.data().await.expect("more").unwrap();
            self.receive.flow_control().release_capacity(data.len()).unwrap();
            self.ahead.extend_from_slice(&data);
        }
        self.ahead.drain(..count).collect()
    }

    async fn octets(&mut self, count: usize) -> String {
        String::from_utf8(self.raw(count).await).unwrap()
    }

    async fn rest(&mut self) -> String {
        while let Some(Ok(data)) = self.receive.data().await {
            self.receive.flow_control().release_capacity(data.len()).unwrap();
            self.ahead.extend_from_slice(&data);
        }
        String::from_utf8(std::mem::take(&mut self.ahead)).unwrap()
    }

    async fn is_over(&mut self) -> bool {
        self.rest().await.is_empty()
    }
}
