//! What upstreams of HTTP/1 send, early, late, in pieces or too much of it, and what becomes of their connections.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their helpers with them"
)]

mod support;

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::client::Client;
use support::origin::{Origin, read_request};
use support::{Plan, Site, eventually, over_tls, self_signed, streaming};

/// A site with one worker, so that requests that follow one another find the same connections.
fn site(origin: &Origin) -> Site {
    let mut plan = Plan::with_policy(&[origin.address], streaming());
    plan.config.workers = NonZeroUsize::MIN;
    plan.start()
}

/// Answers each request on a connection with what `answer` does.
fn answering(answer: impl Fn(&mut TcpStream, usize) + Send + Sync + 'static) -> Origin {
    Origin::serving(move |stream, connection, seen| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        for number in 0.. {
            if read_request(&mut reader, connection, &seen).is_none() {
                return;
            }
            answer(stream, number);
        }
    })
}

fn connections(origin: &Origin) -> Vec<usize> {
    origin.seen().iter().map(|seen| seen.connection).collect()
}

/// Reads a request head off a stream, octet by octet, so that nothing after it is read.
fn read_head(stream: &mut TcpStream) {
    let (mut head, mut octet) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut octet).unwrap();
        head.push(octet[0]);
    }
}

#[test]
fn responses_in_single_octets_are_responses() {
    for (response, body) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x\r\nlo\r\n0\r\nX-A: b\r\n\r\n", "hello"),
        ("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
    ] {
        let origin = answering(move |stream, _| {
            stream.set_nodelay(true).unwrap();
            for octet in response.as_bytes() {
                stream.write_all(&[*octet]).unwrap();
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        let site = site(&origin);
        let mut client = Client::connect(site.http);
        for _ in 0..2 {
            let got = client.get("/");
            assert_eq!((got.status, got.text().as_str(), got.complete), (200, body, true), "{response}");
        }
        assert_eq!(connections(&origin), [0, 0], "{response}");
    }
}

#[test]
fn what_follows_a_response_is_nobodys_and_ends_the_connection() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n!",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let origin = answering(move |stream, _| stream.write_all(response.as_bytes()).unwrap());
        let site = site(&origin);
        let mut client = Client::connect(site.http);
        for _ in 0..3 {
            assert_eq!(client.get("/").text(), "hello", "{response}");
        }
        assert_eq!(connections(&origin), [0, 1, 2], "{response}");
    }
}

#[test]
fn bodies_where_there_are_none_end_the_connection() {
    for (status, method) in [(204, "GET"), (304, "GET"), (200, "HEAD")] {
        let response = format!("HTTP/1.1 {status} Own\r\nContent-Length: 3\r\n\r\nbad");
        let origin = answering(move |stream, _| stream.write_all(response.as_bytes()).unwrap());
        let site = site(&origin);
        let mut client = Client::connect(site.http);
        for _ in 0..2 {
            client.send(format!("{method} / HTTP/1.1\r\nHost: a.example\r\n\r\n"));
            let got = client.response_to(method).unwrap();
            assert_eq!((got.status, got.text().as_str()), (status, ""));
        }
        assert_eq!(connections(&origin), [0, 1], "{status}");
    }
}

#[test]
fn what_comes_on_an_idle_connection_ends_it() {
    let origin = answering(|stream, _| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
        std::thread::sleep(Duration::from_millis(50));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad").ok();
    });
    let site = site(&origin);
    let mut client = Client::connect(site.http);
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "hello");
        std::thread::sleep(Duration::from_millis(150));
    }
    assert_eq!(connections(&origin), [0, 1, 2]);
}

#[test]
fn a_connection_that_the_upstream_closes_is_let_go_of_soon() {
    let ended = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ended);
    let origin = Origin::serving(move |stream, connection, seen| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        read_request(&mut reader, connection, &seen);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
        count.fetch_add(1, Ordering::SeqCst);
    });
    let site = site(&origin);
    let began = Instant::now();
    assert_eq!(Client::connect(site.http).get("/").text(), "hello");
    eventually(|| ended.load(Ordering::SeqCst) == 1);
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_server_of_http10_is_asked_again_where_it_stays() {
    let origin = answering(|stream, _| {
        stream.write_all(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello").unwrap();
    });
    let site = site(&origin);
    let mut client = Client::connect(site.http);
    for _ in 0..2 {
        assert_eq!(client.get("/").text(), "hello");
    }
    let post = "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(client.request(post).text(), "hello");
    assert_eq!(connections(&origin), [0, 0, 0]);
    assert_eq!(origin.seen()[2].body, b"abc");
}

#[test]
fn a_request_is_sent_to_its_end_though_its_response_has_begun() {
    const OCTETS: usize = 4 << 20;
    let origin = Origin::serving(|stream, _, _| {
        let mut body = vec![0; OCTETS];
        for _ in 0..2 {
            read_head(stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel").unwrap();
            std::thread::sleep(Duration::from_millis(50));
            stream.read_exact(&mut body).unwrap();
            stream.write_all(b"lo").unwrap();
        }
    });
    let site = site(&origin);
    let mut client = Client::connect(site.http);
    for _ in 0..2 {
        client.send(format!("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {OCTETS}\r\n\r\n"));
        // Also while the client takes nothing of the response.
        client.send(vec![b'x'; OCTETS]);
        let got = client.response().unwrap();
        assert_eq!((got.status, got.text().as_str()), (200, "hello"));
    }
    assert_eq!(site.totals().upstream_connections, 1);
}

#[test]
fn streams_go_both_ways_at_once() {
    const PIECE: usize = 64 * 1024;
    let origin = Origin::serving(|stream, _, _| {
        read_head(stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        // Chunks as they come, framing and all.
        let mut octets = vec![0; PIECE];
        let mut all = Vec::new();
        while !all.ends_with(b"\r\n0\r\n\r\n") {
            let read = stream.read(&mut octets).unwrap();
            stream.write_all(&octets[..read]).unwrap();
            all.extend_from_slice(&octets[..read]);
        }
    });
    let site = site(&origin);
    let mut client = Client::connect(site.http);
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(client.head().unwrap().status, 200);
    for _ in 0..32 {
        client.send(format!("{PIECE:x}\r\n{}\r\n", "x".repeat(PIECE)));
    }
    client.send("0\r\n\r\n");
    let mut octets = 0;
    loop {
        let length = usize::from_str_radix(&client.line().unwrap(), 16).unwrap();
        client.octets(length + 2);
        octets += length;
        if length == 0 {
            break;
        }
    }
    // The origin's chunks are octets of the body, which is all that the proxy reads.
    assert!(octets > 32 * PIECE, "{octets}");
}

#[test]
fn an_upstream_that_answers_early_and_closes_is_heard() {
    let origin = Origin::serving(|stream, _, _| {
        read_head(stream);
        stream.write_all(b"HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        // Reads on for a while, so that the answer is not lost to a reset.
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        while stream.read(&mut [0; 4096]).is_ok_and(|octets| octets > 0) {}
    });
    let site = site(&origin);
    for _ in 0..3 {
        let mut client = Client::connect(site.http);
        client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1000000\r\n\r\n0123456789");
        let got = client.response().unwrap();
        assert_eq!((got.line.as_str(), got.text().as_str()), ("HTTP/1.1 413 Too Much", "no"));
    }
}

#[test]
fn an_upstream_that_answers_early_and_resets_is_heard() {
    let origin = Origin::serving(|stream, _, _| {
        read_head(stream);
        stream.read_exact(&mut [0; 100_000]).unwrap();
        stream.write_all(b"HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno").unwrap();
        // What is unread makes a reset of its end.
    });
    let mut plan = Plan::with_policy(&[origin.address], portcullis_model::RoutePolicy::default());
    plan.config.workers = NonZeroUsize::MIN;
    let site = plan.start();
    let body = vec![b'x'; 900_000];
    let mut heard = 0;
    for _ in 0..50 {
        let mut client = Client::connect(site.http);
        client.send(format!("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n", body.len()));
        client.send(&body);
        let got = client.response().unwrap();
        heard += usize::from(got.status == 413 && got.text() == "no");
    }
    assert_eq!(heard, 50);
}

#[test]
fn a_client_that_goes_ends_the_exchange_in_both_directions() {
    let ended = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ended);
    let origin = Origin::serving(move |stream, _, _| {
        read_head(stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel").unwrap();
        while stream.read(&mut [0; 4096]).is_ok_and(|octets| octets > 0) {}
        count.fetch_add(1, Ordering::SeqCst);
    });
    let site = site(&origin);
    let mut client = Client::connect(site.http);
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1000000\r\n\r\n0123456789");
    assert_eq!(client.head().unwrap().status, 200);
    drop(client);
    eventually(|| ended.load(Ordering::SeqCst) == 1);
}

#[test]
fn large_responses_arrive_whole_however_they_are_framed() {
    const OCTETS: usize = 3_000_000;
    let body: Vec<u8> = (0..OCTETS).map(|place| u8::try_from(place % 251).unwrap()).collect();
    for framing in ["length", "chunks", "close"] {
        let all = body.clone();
        let origin = Origin::serving(move |stream, _, _| {
            read_head(stream);
            let head = match framing {
                "length" => format!("Content-Length: {OCTETS}\r\n"),
                "chunks" => "Transfer-Encoding: chunked\r\n".to_owned(),
                _ => String::new(),
            };
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n").as_bytes()).unwrap();
            if framing != "chunks" {
                stream.write_all(&all).unwrap();
                return;
            }
            for chunk in all.chunks(70_001) {
                stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).unwrap();
                stream.write_all(chunk).unwrap();
                stream.write_all(b"\r\n").unwrap();
            }
            stream.write_all(b"0\r\n\r\n").unwrap();
        });
        let got = Client::connect(site(&origin).http).get("/");
        assert!(got.complete && got.body == body, "{framing}: {} octets", got.body.len());
    }
}

/// A TLS server that does with each session what `serve` does.
fn tls_origin(
    serve: impl Fn(&mut rustls::Stream<'_, rustls::ServerConnection, TcpStream>) + Send + Sync + 'static,
) -> Origin {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let (chain, key) = self_signed(&["web.example"]);
    let config = Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap());
    Origin::serving(move |stream, _, _| {
        let mut session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        serve(&mut rustls::Stream::new(&mut session, stream));
    })
}

/// Reads a request without a body over TLS; false where the session ends first.
fn read_over_tls(stream: &mut impl Read) -> bool {
    let (mut head, mut octets) = (Vec::new(), [0; 4096]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut octets) {
            Ok(read @ 1..) => head.extend_from_slice(&octets[..read]),
            _ => return false,
        }
    }
    true
}

#[test]
fn a_session_of_tls_is_ended_with_a_goodbye() {
    let ended = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ended);
    let origin = tls_origin(move |stream| {
        assert!(read_over_tls(stream));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
        // An end without a goodbye is an error.
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        count.fetch_add(1, Ordering::SeqCst);
    });
    let mut plan = Plan::with_policy(&[origin.address], over_tls());
    plan.settings.upstream.requests = 1;
    let site = plan.start();
    assert_eq!(Client::connect(site.http).get("/").text(), "hello");
    eventually(|| ended.load(Ordering::SeqCst) == 1);
}

#[test]
fn records_of_tls_on_an_idle_connection_do_not_end_it() {
    let origin = tls_origin(|stream| {
        while read_over_tls(stream) {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
            std::thread::sleep(Duration::from_millis(20));
            stream.conn.refresh_traffic_keys().unwrap();
            stream.flush().unwrap();
        }
    });
    let mut plan = Plan::with_policy(&[origin.address], over_tls());
    plan.config.workers = NonZeroUsize::MIN;
    let site = plan.start();
    let mut client = Client::connect(site.http);
    for _ in 0..4 {
        assert_eq!(client.get("/").text(), "hello");
        std::thread::sleep(Duration::from_millis(60));
    }
    assert_eq!(site.totals().upstream_connections, 1);
}

#[test]
fn a_body_that_ends_with_the_session_ends_with_a_goodbye() {
    for says_goodbye in [true, false] {
        let origin = tls_origin(move |stream| {
            read_over_tls(stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello").unwrap();
            if says_goodbye {
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
        });
        let site = Plan::with_policy(&[origin.address], over_tls()).start();
        let got = Client::connect(site.http).get("/");
        assert_eq!((got.text().as_str(), got.complete), ("hello", says_goodbye));
    }
}
