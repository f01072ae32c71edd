//! WebSocket end to end, with tungstenite at both ends: over HTTP/1.1 and HTTP/2, in the clear and over TLS.

mod backend;
mod way;

use std::time::Duration;

use backend::Backend;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use portcullis_tests::manifests::{annotated_ingress, joined, service, with_tls};
use portcullis_tests::{HostCertificate, Instance, Start};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use way::{HOST, Socket, WAYS, Way};

#[test]
fn messages_of_all_kinds_and_sizes_come_back() {
    run(async |site, _| {
        for way in WAYS {
            let (mut socket, chosen) = site.open(way).await;
            assert_eq!(chosen.as_deref(), Some("chat"), "{way:?}");
            for message in [
                Message::text("hello"),
                Message::text(""),
                Message::text("\u{e4}\u{1F980}".repeat(50)),
                Message::binary((0..=255).collect::<Vec<u8>>()),
                Message::binary(vec![7; 125]),
                Message::binary(vec![7; 126]),
                Message::binary(vec![7; 65_536]),
                Message::binary((0..1 << 20).map(|place| (place % 251) as u8).collect::<Vec<u8>>()),
            ] {
                let length = message.len();
                assert!(echoed(&mut socket, message).await, "{way:?}: {length} octets");
            }
            socket.send(Message::Ping(Bytes::from_static(b"are you there"))).await.unwrap();
            assert_eq!(next(&mut socket).await, Message::Pong(Bytes::from_static(b"are you there")), "{way:?}");
            // In three frames, with a ping between two of them.
            socket.send(Message::Frame(frame("one ", OpCode::Data(Data::Text), false))).await.unwrap();
            socket.send(Message::Frame(frame("two ", OpCode::Data(Data::Continue), false))).await.unwrap();
            socket.send(Message::Ping(Bytes::new())).await.unwrap();
            socket.send(Message::Frame(frame("three", OpCode::Data(Data::Continue), true))).await.unwrap();
            assert_eq!(next(&mut socket).await, Message::Pong(Bytes::new()), "{way:?}");
            assert_eq!(next(&mut socket).await, Message::text("one two three"), "{way:?}");
        }
    });
}

#[test]
fn close_codes_pass_in_both_directions() {
    run(async |site, backend| {
        for way in WAYS {
            for code in [1000, 1001, 4321] {
                let (mut socket, _) = site.open(way).await;
                let close = CloseFrame { code: code.into(), reason: "enough".into() };
                socket.close(Some(close.clone())).await.unwrap();
                assert_eq!(next(&mut socket).await, Message::Close(Some(close)), "{way:?}");
                assert!(socket.next().await.is_none(), "{way:?}: over");
                assert_eq!(backend.closed().await, Some((code, "enough".to_owned())), "{way:?}");
                let (mut socket, _) = site.open(way).await;
                socket.send(Message::text(format!("close {code}"))).await.unwrap();
                let close = CloseFrame { code: code.into(), reason: "asked".into() };
                assert_eq!(next(&mut socket).await, Message::Close(Some(close)), "{way:?}");
                assert!(socket.next().await.is_none(), "{way:?}: over");
                assert_eq!(backend.closed().await, Some((code, "asked".to_owned())), "{way:?}");
            }
            let (mut socket, _) = site.open(way).await;
            socket.close(None).await.unwrap();
            assert_eq!(next(&mut socket).await, Message::Close(None), "{way:?}");
            assert_eq!(backend.closed().await, None);
        }
    });
}

#[test]
fn many_at_once_do_not_mix() {
    run(async |site, _| {
        let (plain, secure) = (site.http2(Way::Http2).await, site.http2(Way::Http2Tls).await);
        let mut sockets = Vec::new();
        for _ in 0..40 {
            for way in [Way::Http1, Way::Http1Tls] {
                sockets.push(site.open(way).await.0);
            }
            // Each connection carries many.
            sockets.push(plain.open().await.0);
            sockets.push(secure.open().await.0);
        }
        let talks = sockets.into_iter().enumerate().map(|(number, mut socket)| async move {
            for round in 0..20 {
                let text = format!("{number} {round} ").repeat(1 + number * round);
                assert!(echoed(&mut socket, Message::text(text)).await, "socket {number}, round {round}");
            }
        });
        futures_util::future::join_all(talks).await;
    });
}

#[test]
fn a_slow_reader_gets_everything() {
    run(async |site, _| {
        for way in WAYS {
            let (socket, _) = site.open(way).await;
            let (mut sink, mut stream) = socket.split();
            let large: Vec<u8> = (0..256 * 1024).map(|place| (place % 253) as u8).collect();
            let sending = async {
                for _ in 0..16 {
                    sink.send(Message::binary(large.clone())).await.unwrap();
                }
            };
            let receiving = async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                for number in 0..16 {
                    let message = stream.next().await.unwrap().unwrap();
                    assert!(message == Message::binary(large.clone()), "{way:?}: message {number}");
                }
            };
            tokio::join!(sending, receiving);
        }
    });
}

struct Site {
    instance: Instance,
    trust: HostCertificate,
}

impl Site {
    async fn open(&self, way: Way) -> (Socket, Option<String>) {
        way.open(&self.instance, &self.trust).await
    }

    async fn http2(&self, way: Way) -> way::Http2 {
        way.http2(&self.instance, &self.trust).await
    }
}

/// Runs a test against a site of its own, which must end without a panic.
fn run(test: impl AsyncFnOnce(&Site, &mut Backend)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let instance = runtime.block_on(async {
        let mut backend = Backend::start().await;
        let trust = HostCertificate::new(HOST);
        let ingress = annotated_ingress("chat", HOST, "/", "chat", &[("ssl-redirect", "false")]);
        let ingress = with_tls(&ingress, HOST, "tls");
        let all = joined(&[service("chat", &[backend.address]), ingress, trust.secret("tls")]);
        let site = Site { instance: Start::new().file("m.yaml", &all).serve(), trust };
        tokio::time::timeout(Duration::from_secs(60), test(&site, &mut backend)).await.expect("done in a minute");
        site.instance
    });
    // Connections end with the runtime, which nothing drives any more.
    drop(runtime);
    instance.end();
}

async fn echoed(socket: &mut Socket, message: Message) -> bool {
    socket.send(message.clone()).await.unwrap();
    next(socket).await == message
}

async fn next(socket: &mut Socket) -> Message {
    socket.next().await.expect("a message").unwrap()
}

fn frame(text: &'static str, opcode: OpCode, is_last: bool) -> Frame {
    Frame::message(text, opcode, is_last)
}
