//! gRPC from client to upstream: all kinds of calls, trailers, limits, and upstreams that leave in between.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their helpers with them"
)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use portcullis_model::{Protocol, RoutePolicy};
use support::client::Client;
use support::http2::{After, Answer, Call, Http2Client, Http2Origin, fields};
use support::origin::{Origin, read_request, refused};
use support::{Plan, eventually, runtime, streaming};

fn grpc() -> RoutePolicy {
    let mut policy = RoutePolicy::default();
    policy.upstream.protocol = Protocol::Grpc;
    policy
}

fn plan(origins: &[&Http2Origin]) -> Plan {
    let addresses: Vec<_> = origins.iter().map(|origin| origin.address).collect();
    let mut plan = Plan::with_policy(&addresses, grpc());
    plan.config.workers = std::num::NonZeroUsize::MIN;
    plan
}

fn run(test: impl Future<Output = ()>) {
    tokio::task::LocalSet::new().block_on(&runtime(), test);
}

/// Says what it got: body and trailers.
async fn echo(mut call: Call) {
    let (body, trailers) = call.read().await.unwrap();
    let trailers = trailers.map_or(0, |trailers| trailers.len()).to_string();
    let body: &'static str = String::from_utf8(body).unwrap().leak();
    call.answer(&[body], &[("grpc-status", "0"), ("x-trailers", &trailers)]).await;
}

#[test]
fn a_call_and_its_trailers_pass_both_ways() {
    let origin = Http2Origin::serving(echo);
    let site = plan(&[&origin]).start();
    run(async {
        let mut client = Http2Client::connect(site.http).await;
        for _ in 0..3 {
            let answer = client.call("/greet.Greeter/Hello?x=1", "hello").await;
            assert_eq!((answer.status, answer.grpc_status().as_deref()), (200, Some("0")));
            assert_eq!(answer.fields["content-type"], "application/grpc");
            assert_eq!(answer.body.unwrap().0, "hello");
        }
        let (response, mut stream) = client.begin("/greet.Greeter/Hello").await;
        stream.send_data(Bytes::from_static(b"a"), false).unwrap();
        let trailers =
            [("x-checksum", "1"), ("authorization", "Basic x"), ("x-forwarded-for", "1.2.3.4"), ("host", "b")];
        stream.send_trailers(fields(&trailers)).unwrap();
        let answer = Answer::of(response.await.unwrap()).await;
        assert_eq!(answer.body.unwrap().1.unwrap()["x-trailers"], "1");
    });
    let heads = origin.heads();
    let (_, head) = &heads[0];
    assert_eq!(
        (head.method().as_str(), head.uri().to_string().as_str()),
        ("POST", "http://a.example/greet.Greeter/Hello?x=1")
    );
    for (name, want) in
        [("te", Some("trailers")), ("x-custom", Some("1")), ("x-forwarded-proto", Some("http")), ("host", None)]
    {
        assert_eq!(head.headers().get(name).map(|value| value.to_str().unwrap()), want, "{name}");
    }
    assert!(!head.headers().contains_key("transfer-encoding"));
    assert!(heads.iter().all(|(connection, _)| *connection == 0), "one connection for all");
    assert_eq!(site.totals().upstream_connections, 1);
}

#[test]
fn answers_without_a_message_pass_as_they_are() {
    let origin =
        Http2Origin::serving(async |call: Call| call.head_only(&[("grpc-status", "12"), ("grpc-message", "no")]));
    let site = plan(&[&origin]).start();
    run(async {
        let answer = Http2Client::connect(site.http).await.call("/a.A/M", "x").await;
        assert_eq!((answer.status, answer.grpc_status().as_deref()), (200, Some("12")));
        assert_eq!(answer.body.unwrap(), (String::new(), None));
    });
}

#[test]
fn trailers_that_mean_something_in_a_head_never_reach_a_client() {
    let origin = Http2Origin::serving(async |call: Call| {
        let trailers = [("grpc-status", "0"), ("set-cookie", "a=b"), ("content-length", "9"), ("x-powered-by", "php")];
        call.answer(&["m"], &trailers).await;
    });
    let mut plan = plan(&[&origin]);
    plan.settings.hide_headers = vec!["x-powered-by".parse().unwrap()];
    let site = plan.start();
    run(async {
        let answer = Http2Client::connect(site.http).await.call("/a.A/M", "x").await;
        let (_, trailers) = answer.body.unwrap();
        assert_eq!(trailers.unwrap(), fields(&[("grpc-status", "0")]));
    });
    // To HTTP/1 there are none at all.
    let response = Client::connect(site.http).get("/a.A/M");
    assert_eq!((response.status, response.text().as_str(), response.complete), (200, "m", true));
    assert!(response.field("grpc-status").is_none() && response.field("trailer").is_none());
}

#[test]
fn both_sides_may_talk_at_the_same_time() {
    let origin = Http2Origin::serving(async |mut call: Call| {
        let mut stream = call.begin();
        while let Some(Ok(piece)) = call.body.data().await {
            call.body.flow_control().release_capacity(piece.len()).unwrap();
            stream.send_data(piece, false).unwrap();
        }
        stream.send_trailers(fields(&[("grpc-status", "0")])).unwrap();
    });
    let site = plan(&[&origin]).start();
    run(async {
        let (response, mut stream) = Http2Client::connect(site.http).await.begin("/a.A/Chat").await;
        // The head is there before a message was sent.
        let mut heard = response.await.unwrap().into_body();
        for message in ["one", "two", "three"] {
            stream.send_data(Bytes::from_static(message.as_bytes()), false).unwrap();
            assert_eq!(heard.data().await.unwrap().unwrap(), message);
        }
        stream.send_data(Bytes::new(), true).unwrap();
        assert!(heard.data().await.is_none());
        assert_eq!(heard.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    });
}

#[test]
fn a_slow_reader_slows_the_upstream_down_and_nobody_else() {
    const LARGE: usize = 8 * 1024 * 1024;
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&sent);
    let origin = Http2Origin::serving(move |mut call: Call| {
        let counted = std::sync::Arc::clone(&counted);
        async move {
            if call.head.uri().path() == "/a.A/Small" {
                return call.answer(&["small"], &[("grpc-status", "0")]).await;
            }
            let mut stream = call.begin();
            while counted.load(std::sync::atomic::Ordering::Relaxed) < LARGE {
                stream.reserve_capacity(16 * 1024);
                let Some(Ok(capacity)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else { return };
                stream.send_data(Bytes::from(vec![b'x'; capacity]), false).unwrap();
                counted.fetch_add(capacity, std::sync::atomic::Ordering::Relaxed);
            }
        }
    });
    let site = plan(&[&origin]).start();
    run(async {
        let mut client = Http2Client::connect(site.http).await;
        let (response, _stream) = client.begin("/a.A/Large").await;
        let _unread = response.await.unwrap().into_body();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let stopped_at = sent.load(std::sync::atomic::Ordering::Relaxed);
        assert!(stopped_at < 512 * 1024, "{stopped_at} octets on their way to nobody");
        assert_eq!(client.call("/a.A/Small", "x").await.body.unwrap().0, "small");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(sent.load(std::sync::atomic::Ordering::Relaxed), stopped_at);
    });
    assert_eq!(site.totals().upstream_connections, 1);
}

#[test]
fn a_silent_upstream_is_given_up_before_its_head_and_in_its_body() {
    let origin = Http2Origin::serving(async |mut call: Call| {
        let mut stream = match call.head.uri().path() {
            "/a.A/Head" => std::future::pending().await,
            _ => call.begin(),
        };
        stream.send_data(Bytes::from_static(b"some"), false).unwrap();
        call.wait_for_reset(&mut stream).await;
    });
    let mut policy = grpc();
    policy.timeouts.read = Duration::from_millis(300).into();
    let site = Plan::with_policy(&[origin.address], policy).start();
    run(async {
        let mut client = Http2Client::connect(site.http).await;
        let began = Instant::now();
        assert_eq!(client.call("/a.A/Head", "x").await.status, 504);
        // The status is HTTP's: ingress-nginx makes none of gRPC up.
        let broken = client.call("/a.A/Body", "x").await;
        assert_eq!((broken.status, broken.body.unwrap_err()), (200, Some(Reason::INTERNAL_ERROR)));
        assert!(began.elapsed() < Duration::from_secs(4));
    });
    eventually(|| origin.resets() == [Reason::CANCEL]);
}

#[test]
fn a_client_that_goes_cancels_the_call() {
    let origin = Http2Origin::serving(async |mut call: Call| {
        let mut stream = call.begin();
        call.wait_for_reset(&mut stream).await;
    });
    let site = plan(&[&origin]).start();
    run(async {
        let mut client = Http2Client::connect(site.http).await;
        let (response, mut stream) = client.begin("/a.A/M").await;
        drop(response.await.unwrap());
        stream.send_reset(Reason::CANCEL);
        tokio::time::sleep(Duration::from_millis(100)).await;
        // Without the end of a body, as well.
        let (response, stream) = client.begin("/a.A/M").await;
        drop((response.await.unwrap(), stream));
        tokio::time::sleep(Duration::from_millis(100)).await;
    });
    eventually(|| origin.resets() == [Reason::CANCEL; 2]);
    assert_eq!(site.totals().upstream_connections, 1);
}

#[test]
fn a_request_that_is_cut_short_is_never_complete() {
    let origin = Http2Origin::serving(async |mut call: Call| {
        let mut stream = call.begin();
        let cut = call.read().await.unwrap_err();
        assert_eq!(cut.reason(), Some(Reason::CANCEL));
        call.wait_for_reset(&mut stream).await;
    });
    let site = plan(&[&origin]).start();
    let begin = || {
        let mut client = Client::connect(site.http);
        client.send("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        // The origin has answered by then.
        assert_eq!(client.head().unwrap().status, 200);
        client
    };
    begin().stream.shutdown(std::net::Shutdown::Both).unwrap();
    let mut malformed = begin();
    malformed.send("XX\r\n");
    eventually(|| origin.resets() == [Reason::CANCEL; 2]);
}

#[test]
fn a_response_that_is_reset_before_its_end_is_never_complete() {
    for reason in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
        let origin = Http2Origin::serving(move |mut call: Call| async move {
            let mut stream = call.begin();
            stream.send_data(Bytes::from_static(b"half"), false).unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
            stream.send_reset(reason);
        });
        let site = plan(&[&origin]).start();
        run(async {
            let mut client = Http2Client::connect(site.http).await;
            let answer = client.call("/a.A/M", "hello").await;
            assert!(answer.status == 200 && answer.body.is_err(), "{reason:?} {answer:?}");
        });
        let response = Client::connect(site.http).get("/a.A/M");
        assert!(response.status == 200 && !response.complete, "{reason:?}");
    }
}

#[test]
fn a_response_that_is_complete_before_its_request_stays_so() {
    // RFC 9113 section 8.1: the upstream then asks the client to stop, without an error.
    let origin = Http2Origin::serving(async |mut call: Call| {
        call.begin().send_data(Bytes::from_static(b"enough"), true).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        call.respond.send_reset(Reason::NO_ERROR);
    });
    let site = plan(&[&origin]).start();
    run(async {
        let mut client = Http2Client::connect(site.http).await;
        let (response, _stream) = client.begin("/a.A/M").await;
        let answer = Answer::of(response.await.unwrap()).await;
        assert_eq!((answer.status, answer.body.unwrap().0.as_str()), (200, "enough"));
    });
}

#[test]
fn a_request_that_is_reset_before_its_end_is_never_complete() {
    for reason in [Reason::NO_ERROR, Reason::CANCEL] {
        // Answers at once, so that nothing but the body is left of the request.
        let origin = Origin::serving(|stream, connection, seen| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            reader.fill_buf().unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            read_request(&mut reader, connection, &seen);
        });
        let site = Plan::with_policy(&[origin.address], streaming()).start();
        run(async {
            let mut client = Http2Client::connect(site.http).await;
            let (response, mut stream) = client.begin("/").await;
            stream.send_data(Bytes::from_static(b"half"), false).unwrap();
            assert_eq!(Answer::of(response.await.unwrap()).await.status, 200);
            tokio::time::sleep(Duration::from_millis(50)).await;
            stream.send_reset(reason);
            tokio::time::sleep(Duration::from_millis(50)).await;
        });
        eventually(|| !origin.seen().is_empty());
        assert!(!origin.seen()[0].complete, "{reason:?}");
    }
}

#[test]
fn a_refused_stream_is_sent_again_and_another_reset_is_not() {
    let origin = Http2Origin::serving(async |mut call: Call| {
        let reason = match call.head.uri().path() {
            "/a.A/Refused" if call.stream == 0 => Reason::REFUSED_STREAM,
            "/a.A/Failed" => Reason::INTERNAL_ERROR,
            _ => return echo(call).await,
        };
        call.respond.send_reset(reason);
    });
    let site = plan(&[&origin]).start();
    run(async {
        let mut client = Http2Client::connect(site.http).await;
        let again = client.call("/a.A/Refused", "hello").await;
        assert_eq!((again.status, again.body.unwrap().0.as_str()), (200, "hello"));
        assert_eq!(client.call("/a.A/Failed", "x").await.status, 502);
    });
    assert_eq!(origin.heads().len(), 3, "a POST that may have been done is not done twice");
}

#[test]
fn a_connection_that_goes_away_is_replaced_without_an_error() {
    let goes = |stream| if stream == 2 { After::GoAway } else { After::GoOn };
    let origin = Http2Origin::start(h2::server::Builder::new(), None, goes, echo);
    let site = plan(&[&origin]).start();
    run(async {
        let mut client = Http2Client::connect(site.http).await;
        for _ in 0..20 {
            let mut calls = Vec::new();
            for _ in 0..2 {
                let (response, mut stream) = client.begin("/a.A/M").await;
                stream.send_data(Bytes::from_static(b"x"), true).unwrap();
                calls.push(response);
            }
            for call in calls {
                let answer = Answer::of(call.await.unwrap()).await;
                assert_eq!((answer.status, answer.grpc_status().as_deref()), (200, Some("0")));
            }
        }
    });
    assert!(site.totals().upstream_connections > 5, "{}", site.totals().upstream_connections);
}

#[test]
fn a_stream_above_the_last_of_a_goaway_is_sent_elsewhere() {
    // Takes the request, and says that it has looked at none (RFC 9113 section 6.8).
    let leaving = Origin::serving(|stream, _, _| {
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
        let (mut octets, mut received) = ([0; 4096], 0);
        while received < PREFACE_AND_REQUEST {
            received += stream.read(&mut octets).unwrap();
        }
        stream.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        while stream.read(&mut octets).is_ok_and(|count| count > 0) {}
    });
    let origin = Http2Origin::serving(echo);
    let mut plan = plan(&[&origin]);
    plan.endpoints[0].1.push(leaving.address);
    let site = plan.start();
    run(async {
        let mut client = Http2Client::connect(site.http).await;
        for _ in 0..4 {
            let answer = client.call("/a.A/M", "hello").await;
            assert_eq!((answer.status, answer.body.unwrap().0.as_str()), (200, "hello"));
        }
    });
    assert_eq!(origin.heads().len(), 4);
    assert!(site.totals().upstream_failures > 0);
}

/// Octets after which a request must have begun: preface (24), settings, window update, and a head of more than 60.
const PREFACE_AND_REQUEST: usize = 150;

#[test]
fn more_calls_than_the_upstream_takes_at_a_time_get_more_connections() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(4);
    let origin = Http2Origin::start(
        builder,
        None,
        |_| After::GoOn,
        async |call: Call| {
            tokio::time::sleep(Duration::from_millis(200)).await;
            echo(call).await;
        },
    );
    let site = plan(&[&origin]).start();
    run(async {
        let mut client = Http2Client::connect(site.http).await;
        assert_eq!(client.call("/a.A/M", "first").await.status, 200);
        let began = Instant::now();
        let mut calls = Vec::new();
        for _ in 0..12 {
            let (response, mut stream) = client.begin("/a.A/M").await;
            stream.send_data(Bytes::from_static(b"x"), true).unwrap();
            calls.push(response);
        }
        for call in calls {
            assert_eq!(Answer::of(call.await.unwrap()).await.grpc_status().as_deref(), Some("0"));
        }
        assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    });
    assert!((3..=6).contains(&site.totals().upstream_connections), "{}", site.totals().upstream_connections);
}

#[test]
fn calls_that_begin_together_share_one_connection() {
    let origin = Http2Origin::serving(echo);
    let site = plan(&[&origin]).start();
    run(async {
        let mut client = Http2Client::connect(site.http).await;
        let mut calls = Vec::new();
        for _ in 0..40 {
            let (response, mut stream) = client.begin("/a.A/M").await;
            stream.send_data(Bytes::from_static(b"x"), true).unwrap();
            calls.push(response);
        }
        for call in calls {
            assert_eq!(call.await.unwrap().status(), 200);
        }
    });
    assert_eq!(site.totals().upstream_connections, 1);
}

#[test]
fn connections_are_used_as_often_and_as_long_as_the_settings_say() {
    for (change, want) in [
        ((|plan| plan.settings.upstream.connections = 0) as fn(&mut Plan), 4),
        (|plan| plan.settings.upstream.requests = 2, 2),
        (|plan| plan.settings.upstream.age = Duration::ZERO, 4),
        (|plan| plan.settings.upstream.idle = Duration::ZERO, 4),
        (|_| {}, 1),
    ] {
        let origin = Http2Origin::serving(echo);
        let mut plan = plan(&[&origin]);
        change(&mut plan);
        let site = plan.start();
        run(async {
            let mut client = Http2Client::connect(site.http).await;
            for _ in 0..4 {
                assert_eq!(client.call("/a.A/M", "x").await.status, 200);
            }
        });
        assert_eq!(site.totals().upstream_connections, want);
    }
}

#[test]
fn heads_over_the_limit_are_refused() {
    let origin = Http2Origin::serving(async |call: Call| {
        let length: usize = call.head.uri().query().unwrap().parse().unwrap();
        call.head_only(&[("x-big", &"x".repeat(length))]);
    });
    let mut plan = plan(&[&origin]);
    plan.settings.upstream.grpc_head = 8 * 1024;
    let site = plan.start();
    run(async {
        let mut client = Http2Client::connect(site.http).await;
        for (length, want) in [(8000, 200), (8200, 502), (200_000, 502), (10, 200)] {
            assert_eq!(client.call(&format!("/a.A/M?{length}"), "x").await.status, want, "{length}");
        }
    });
}

#[test]
fn requests_that_are_not_grpc_are_passed_on_as_well() {
    let origin = Http2Origin::serving(echo);
    let site = plan(&[&origin]).start();
    let mut client = Client::connect(site.http);
    let post = client
        .request("POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    assert_eq!((post.status, post.text().as_str()), (200, "hello"));
    let upgrade = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    assert_eq!(client.request(upgrade).status, 200);
    let heads = origin.heads();
    assert_eq!(heads[0].1.method(), "POST");
    assert!(!heads[1].1.headers().contains_key("upgrade") && !heads[1].1.headers().contains_key("connection"));
}

#[test]
fn an_upstream_that_speaks_http1_is_a_bad_gateway() {
    let origin = Origin::closing("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let site = Plan::with_policy(&[origin.address], grpc()).start();
    assert_eq!(Client::connect(site.http).get("/").status, 502);
    let site = Plan::with_policy(&[refused()], grpc()).start();
    assert_eq!(Client::connect(site.http).get("/").status, 502);
}
