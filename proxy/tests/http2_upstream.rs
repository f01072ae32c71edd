//! HTTP/2 to upstreams: both directions at their own pace, lengths and resets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their helpers with them"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::Response;
use portcullis_model::{Protocol, RoutePolicy};
use support::client::Client;
use support::http2::{After, Answer, Call, Http2Client, Http2Origin};
use support::{Plan, eventually, runtime, streaming};

const LARGE: usize = 4 * 1024 * 1024;

fn policy() -> RoutePolicy {
    let mut policy = streaming();
    policy.upstream.protocol = Protocol::Grpc;
    policy
}

fn plan(origin: &Http2Origin) -> Plan {
    let mut plan = Plan::with_policy(&[origin.address], policy());
    plan.config.workers = std::num::NonZeroUsize::MIN;
    plan
}

fn run(test: impl Future<Output = ()>) {
    tokio::task::LocalSet::new().block_on(&runtime(), test);
}

/// Sends this much as fast as it is taken, and counts.
async fn pour(stream: &mut SendStream<Bytes>, octets: usize, sent: &AtomicUsize) {
    while sent.load(Ordering::Relaxed) < octets {
        stream.reserve_capacity(16 * 1024);
        let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else { return };
        let piece = room.min(octets - sent.load(Ordering::Relaxed));
        stream.send_data(Bytes::from(vec![b'x'; piece]), false).unwrap();
        sent.fetch_add(piece, Ordering::Relaxed);
    }
}

#[test]
fn a_request_goes_on_while_nobody_reads_its_response() {
    let received: Arc<AtomicUsize> = Arc::default();
    let counted = Arc::clone(&received);
    let origin = Http2Origin::serving(move |mut call: Call| {
        let counted = Arc::clone(&counted);
        async move {
            let mut stream = call.begin();
            let flood = async { pour(&mut stream, LARGE, &AtomicUsize::new(0)).await };
            let listen = async {
                while let Some(Ok(piece)) = call.body.data().await {
                    call.body.flow_control().release_capacity(piece.len()).unwrap();
                    counted.fetch_add(piece.len(), Ordering::Relaxed);
                }
            };
            tokio::join!(flood, listen);
            stream.send_data(Bytes::new(), true).unwrap();
        }
    });
    let site = plan(&origin).start();
    run(async {
        let mut client = Http2Client::connect(site.http).await;
        let (response, mut stream) = client.begin("/a.A/M").await;
        let response = response.await.unwrap();
        pour(&mut stream, LARGE, &AtomicUsize::new(0)).await;
        stream.send_data(Bytes::new(), true).unwrap();
        while received.load(Ordering::Relaxed) < LARGE {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(Answer::of(response).await.body.unwrap().0.len(), LARGE);
    });
}

#[test]
fn a_slow_upstream_slows_the_client_down_and_gets_everything() {
    let ready: Arc<AtomicBool> = Arc::default();
    let may_read = Arc::clone(&ready);
    let origin = Http2Origin::serving(move |mut call: Call| {
        let may_read = Arc::clone(&may_read);
        async move {
            while !may_read.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let (body, _) = call.read().await.unwrap();
            call.answer(&[body.len().to_string().leak()], &[("grpc-status", "0")]).await;
        }
    });
    let site = plan(&origin).start();
    run(async {
        let mut client = Http2Client::connect(site.http).await;
        let (response, mut stream) = client.begin("/a.A/M").await;
        let sent = Arc::new(AtomicUsize::new(0));
        let pouring = async {
            pour(&mut stream, LARGE, &sent).await;
            stream.send_data(Bytes::new(), true).unwrap();
        };
        let watching = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let stopped_at = sent.load(Ordering::Relaxed);
            assert!(stopped_at < 1024 * 1024, "{stopped_at} octets on their way to nobody");
            ready.store(true, Ordering::Relaxed);
        };
        tokio::join!(pouring, watching);
        assert_eq!(Answer::of(response.await.unwrap()).await.body.unwrap().0, LARGE.to_string());
    });
}

#[test]
fn an_upload_that_outlives_its_time_is_cancelled() {
    let origin = Http2Origin::serving(async |mut call: Call| {
        let mut stream = call.begin();
        let cut = call.read().await.unwrap_err();
        assert_eq!(cut.reason(), Some(Reason::CANCEL));
        call.wait_for_reset(&mut stream).await;
    });
    let mut policy = policy();
    policy.timeouts.read = Duration::from_millis(300).into();
    let site = Plan::with_policy(&[origin.address], policy).start();
    run(async {
        let mut client = Http2Client::connect(site.http).await;
        let (response, mut stream) = client.begin("/a.A/M").await;
        stream.send_data(Bytes::from_static(b"half"), false).unwrap();
        assert!(Answer::of(response.await.unwrap()).await.body.is_err());
    });
    eventually(|| origin.resets() == [Reason::CANCEL]);
}

#[test]
fn requests_that_go_on_after_their_response_take_no_room_from_others() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(2);
    let serve = async |mut call: Call| {
        call.respond.send_response(Response::new(()), true).unwrap();
        // It would take the rest, and says nothing of having enough.
        call.read().await.ok();
    };
    let origin = Http2Origin::start(builder, None, |_| After::GoOn, serve);
    let site = plan(&origin).start();
    run(async {
        let mut client = Http2Client::connect(site.http).await;
        assert_eq!(client.call("/a.A/M", "whole").await.status, 200);
        let mut open = Vec::new();
        for _ in 0..2 {
            let (response, mut stream) = client.begin("/a.A/M").await;
            stream.send_data(Bytes::from_static(b"half"), false).unwrap();
            assert!(Answer::of(response.await.unwrap()).await.body.is_ok());
            open.push(stream);
        }
        let mut other = Http2Client::connect(site.http).await;
        let answer = tokio::time::timeout(Duration::from_secs(5), other.call("/a.A/M", "whole")).await;
        assert_eq!(answer.expect("there is room for it").status, 200);
        for stream in &mut open {
            let reset = tokio::time::timeout(Duration::from_secs(5), std::future::poll_fn(|cx| stream.poll_reset(cx)));
            assert_eq!(reset.await.expect("the client is told").unwrap(), Reason::NO_ERROR);
        }
    });
}

#[test]
fn a_response_is_held_to_its_length() {
    let origin = Http2Origin::serving(async |mut call: Call| {
        let length = call.head.uri().query().unwrap().to_owned();
        let head = Response::builder().header("content-length", length).body(()).unwrap();
        let end = call.head.method() == "HEAD";
        let mut stream = call.respond.send_response(head, end).unwrap();
        if !end {
            stream.send_data(Bytes::from_static(b"hello"), true).unwrap();
        }
    });
    let site = plan(&origin).start();
    for (length, complete) in [(5, true), (6, false), (4, false)] {
        run(async {
            let mut client = Http2Client::connect(site.http).await;
            let (response, mut stream) = client.begin(&format!("/a?{length}")).await;
            stream.send_data(Bytes::from_static(b"x"), true).unwrap();
            // Broken off before or after its head.
            let is_whole = match response.await {
                Ok(response) => Answer::of(response).await.body.is_ok(),
                Err(error) => !error.is_reset(),
            };
            assert_eq!(is_whole, complete, "{length}");
        });
    }
    let mut client = Client::connect(site.http);
    client.send("HEAD /a?7 HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let head = client.head().unwrap();
    assert_eq!((head.status, head.field("content-length")), (200, Some("7")));
}
