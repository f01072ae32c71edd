//! Bodies over real sockets: limits, request bodies that are received whole, responses that are received ahead of the client.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their helpers with them"
)]

mod support;

use std::convert::Infallible;
use std::io::{BufRead, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use portcullis_model::{Reason, RoutePolicy};
use portcullis_proxy::server::BufferConfig;
use support::client::Client;
use support::origin::{Origin, Seen, read_request};
use support::{Plan, Site, eventually, runtime, streaming};

const SHORT: Duration = Duration::from_millis(300);
/// More than the sockets between two processes hold.
const LARGE: usize = 32 << 20;

/// Bodies of any size, received whole.
fn buffering() -> RoutePolicy {
    let mut policy = RoutePolicy::default();
    policy.body.largest = None;
    policy
}

fn limited(octets: u64) -> RoutePolicy {
    let mut policy = RoutePolicy::default();
    policy.body.largest = Some(octets);
    policy
}

/// A site whose temporary files are made in `directory`.
fn site_in(directory: &Path, endpoints: &[SocketAddr], policy: RoutePolicy) -> Site {
    let mut plan = Plan::with_policy(endpoints, policy);
    plan.config.buffers = BufferConfig::new(directory.to_owned());
    plan.start()
}

/// Octets that show where they were cut or put together wrongly.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|place| u8::try_from((place * 7 + place / 251) % 251).unwrap()).collect()
}

fn head(method: &str, framing: &str) -> String {
    format!("{method} / HTTP/1.1\r\nHost: a.example\r\n{framing}\r\n\r\n")
}

fn sized(length: usize) -> String {
    head("PUT", &format!("Content-Length: {length}"))
}

fn send_chunked(client: &mut Client, body: &[u8], size: usize) {
    client.send(head("PUT", "Transfer-Encoding: chunked"));
    for chunk in body.chunks(size) {
        client.send([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    }
    client.send("0\r\n\r\n");
}

/// Whether nobody even connected to an upstream.
fn is_untouched(site: &Site, origin: &Origin) -> bool {
    site.totals().upstream_connections == 0 && origin.seen().is_empty()
}

#[test]
fn large_bodies_arrive_whole_with_their_length_and_leave_nothing_behind() {
    let origin = Origin::saying("ok");
    let directory = tempfile::tempdir().unwrap();
    let site = site_in(directory.path(), &[origin.address], buffering());
    let body = pattern(8 << 20);
    let mut client = Client::connect(site.http);
    client.send(sized(body.len()));
    client.send(&body);
    assert_eq!(client.response().unwrap().status, 200);
    send_chunked(&mut client, &body, 50_000);
    assert_eq!(client.response().unwrap().status, 200);
    for seen in origin.seen() {
        assert_eq!((seen.field("content-length"), seen.has("transfer-encoding")), (body.len().to_string(), false));
        assert!(seen.body == body);
    }
    assert_eq!(origin.seen().len(), 2);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn bodies_of_many_small_pieces_arrive_whole() {
    let origin = Origin::saying("ok");
    let directory = tempfile::tempdir().unwrap();
    let site = site_in(directory.path(), &[origin.address], buffering());
    for (length, size) in [(200, 1), (20_000, 3), (150_000, 1000), (65_536, 65_536), (65_537, 65_537)] {
        let body = pattern(length);
        let mut client = Client::connect(site.http);
        send_chunked(&mut client, &body, size);
        assert_eq!(client.response().unwrap().status, 200);
        assert!(origin.seen().last().unwrap().body == body, "{length} by {size}");
    }
}

#[test]
fn what_neither_memory_nor_disk_takes_is_refused() {
    let origin = Origin::saying("ok");
    let directory = tempfile::tempdir().unwrap();
    let site = site_in(&directory.path().join("missing"), &[origin.address], buffering());
    for (length, status) in [(64 << 10, 200), ((64 << 10) + 1, 413), (64 << 10, 200)] {
        let mut client = Client::connect(site.http);
        client.send(sized(length));
        client.send(pattern(length));
        assert_eq!(client.response().unwrap().status, status, "{length}");
    }
    let mut policy = buffering();
    policy.body.request_memory = 1 << 20;
    let site = site_in(&directory.path().join("missing"), &[origin.address], policy.clone());
    let mut client = Client::connect(site.http);
    client.send(sized(1 << 20));
    client.send(pattern(1 << 20));
    assert_eq!(client.response().unwrap().status, 200, "client-body-buffer-size");
    let mut plan = Plan::with_policy(&[origin.address], policy);
    plan.config.buffers = BufferConfig { memory: 1000, files: 0, ..BufferConfig::new(directory.path().to_owned()) };
    let site = plan.start();
    for (length, status) in [(1000, 200), (1001, 503), (1000, 200)] {
        let mut client = Client::connect(site.http);
        client.send(sized(length));
        client.send(pattern(length));
        assert_eq!(client.response().unwrap().status, status, "{length}");
    }
    assert_eq!(site.totals().reason(Reason::BodyNoRoom), 1);
}

#[test]
fn declared_lengths_over_the_limit_are_refused_at_once() {
    let origin = Origin::saying("ok");
    let site = Plan::with_policy(&[origin.address], limited(10)).start();
    let mut client = Client::connect(site.http);
    assert_eq!(client.request(&(sized(10) + "0123456789")).status, 200);
    for framing in ["Content-Length: 11", "Content-Length: 11\r\nExpect: 100-continue"] {
        let mut client = Client::connect(site.http);
        client.send(head("POST", framing));
        let response = client.head().unwrap();
        assert_eq!((response.status, response.field("connection")), (413, Some("close")), "{framing}");
    }
    let mut client = Client::connect(site.http);
    client.send(sized(50_000_000));
    let mut sender = client.stream.try_clone().unwrap();
    std::thread::spawn(move || while sender.write_all(&[b'x'; 64 * 1024]).is_ok() {});
    let response = client.response().unwrap();
    assert!(response.status == 413 && response.text().contains("<h1>413 Request Entity Too Large</h1>"));
    assert_eq!((origin.seen().len(), site.totals().reason(Reason::BodyTooLarge)), (1, 3));
}

#[test]
fn bodies_that_grow_over_the_limit_are_refused_then() {
    for policy in [limited(10), RoutePolicy { body: limited(10).body, ..streaming() }] {
        let buffered = policy.body.buffer_request;
        let origin = Origin::saying("ok");
        let site = Plan::with_policy(&[origin.address], policy).start();
        let mut client = Client::connect(site.http);
        send_chunked(&mut client, b"0123456789", 5);
        assert_eq!(client.response().unwrap().status, 200);
        let mut client = Client::connect(site.http);
        client.send(head("PUT", "Transfer-Encoding: chunked") + "5\r\n01234\r\n6\r\n567890\r\n");
        let response = client.response().unwrap();
        assert_eq!((response.status, response.field("connection")), (413, Some("close")));
        assert!(client.is_closed());
        if buffered {
            assert_eq!(origin.seen().len(), 1);
        }
        eventually(|| origin.seen().iter().skip(1).all(|seen| !seen.complete));
        assert!(site.log(2).iter().any(|line| line.contains("\"PUT / HTTP/1.1\" 413 ")));
    }
}

#[test]
fn http2_bodies_without_length_have_the_same_limit() {
    let origin = Origin::saying("ok");
    let site = Plan::with_policy(&[origin.address], limited(10)).start();
    runtime().block_on(tokio::task::LocalSet::new().run_until(async {
        assert_eq!(http2_status(site.http, &["01234", "56789"], false).await, 200);
        assert_eq!(http2_status(site.http, &["01234", "567890"], true).await, 413);
    }));
    let seen = origin.seen();
    assert_eq!((seen.len(), seen[0].field("content-length").as_str()), (1, "10"));
}

#[test]
fn slow_http2_clients_are_given_up_without_an_upstream() {
    let origin = Origin::saying("ok");
    let mut plan = Plan::with_policy(&[origin.address], buffering());
    plan.settings.client.body_timeout = SHORT;
    let site = plan.start();
    runtime().block_on(tokio::task::LocalSet::new().run_until(async {
        assert_eq!(http2_status(site.http, &["01234"], true).await, 408);
    }));
    assert!(is_untouched(&site, &origin));
}

/// The status of a POST by HTTP/2 whose body has these pieces, and no end if `open`.
async fn http2_status(address: SocketAddr, pieces: &[&'static str], open: bool) -> u16 {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, driver) =
        hyper::client::conn::http2::handshake(LocalExecutor, TokioIo::new(stream)).await.unwrap();
    drop(tokio::task::spawn_local(async move { drop(driver.await) }));
    let (tell, frames) = tokio::sync::mpsc::channel(8);
    for piece in pieces {
        tell.send(Bytes::from_static(piece.as_bytes())).await.unwrap();
    }
    let kept_open = open.then_some(tell);
    let request = http::Request::post("http://a.example/").body(Received(frames)).unwrap();
    let status = sender.send_request(request).await.unwrap().status().as_u16();
    drop(kept_open);
    status
}

/// A body whose length is not told in advance.
struct Received(tokio::sync::mpsc::Receiver<Bytes>);

impl hyper::body::Body for Received {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

#[derive(Clone)]
struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        drop(tokio::task::spawn_local(task));
    }
}

#[test]
fn an_upstream_is_asked_when_the_body_is_there() {
    let origin = Origin::saying("ok");
    let site = Plan::with_policy(&[origin.address], buffering()).start();
    let mut client = Client::connect(site.http);
    client.send(sized(10) + "01234");
    std::thread::sleep(SHORT);
    assert!(is_untouched(&site, &origin));
    client.send("56789");
    assert_eq!(client.response().unwrap().status, 200);
    assert_eq!(origin.seen()[0].body, b"0123456789");
    let line = &site.log(1)[0];
    let octets = sized(10).len() + 10;
    let (_, from_length) = line.split_once(&format!(" {octets} ")).expect(line);
    let seconds: f64 = from_length.split(' ').next().unwrap().parse().unwrap();
    assert!((0.2..2.0).contains(&seconds), "the time of the request begins with its first octet: {line}");
}

#[test]
fn clients_that_fail_to_send_the_body_never_reach_an_upstream() {
    let origin = Origin::saying("ok");
    let directory = tempfile::tempdir().unwrap();
    let mut plan = Plan::with_policy(&[origin.address], buffering());
    plan.settings.client.body_timeout = SHORT;
    plan.config.buffers = BufferConfig::new(directory.path().to_owned());
    let site = plan.start();
    for length in [3, 200_000] {
        let part = vec![b'x'; length];
        let start = |client: &mut Client| {
            client.send(sized(300_000));
            client.send(&part);
        };
        let mut silent = Client::connect(site.http);
        start(&mut silent);
        assert_eq!(silent.response().unwrap().status, 408);
        let mut half = Client::connect(site.http);
        start(&mut half);
        half.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(half.response().unwrap().status, 400);
        let mut gone = Client::connect(site.http);
        start(&mut gone);
        // A connection that is reset while it is read is a bad body, and one that is reset meanwhile is a client that is gone.
        let ended = || site.totals().reason(Reason::ClientGone) + site.totals().reason(Reason::BadBody);
        let before = ended();
        std::thread::sleep(SHORT / 3);
        socket2::SockRef::from(&gone.stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(gone);
        eventually(|| ended() > before);
    }
    let mut malformed = Client::connect(site.http);
    malformed.send(head("POST", "Transfer-Encoding: chunked") + "5\r\nhello\r\nZZ\r\n");
    assert_eq!(malformed.response().unwrap().status, 400);
    assert!(is_untouched(&site, &origin));
}

#[test]
fn bodies_are_sent_again_from_memory_and_from_disk() {
    let (closer, echo) = (Origin::closing(""), Origin::saying("alive"));
    let directory = tempfile::tempdir().unwrap();
    let site = site_in(directory.path(), &[closer.address, echo.address], buffering());
    for length in [10, 1 << 20] {
        let body = pattern(length);
        for _ in 0..4 {
            let mut client = Client::connect(site.http);
            client.send(sized(length));
            client.send(&body);
            assert_eq!(client.response().unwrap().text(), "alive");
        }
        assert!(echo.seen().iter().rev().take(4).all(|seen| seen.body == body), "{length}");
        assert!(closer.seen().iter().any(|seen| seen.body == body), "{length}");
    }
}

#[test]
fn streamed_bodies_are_passed_on_as_they_come() {
    let origin = Origin::serving(|stream, connection, seen| {
        let line = Seen { line: "asked".into(), ..Seen::default() };
        let mut first = [0; 1];
        std::io::Read::read_exact(stream, &mut first).unwrap();
        seen.lock().unwrap().push(line);
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        read_request(&mut reader, connection, &seen).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let site = Plan::with_policy(&[origin.address], streaming()).start();
    let mut client = Client::connect(site.http);
    client.send(head("PUT", "Transfer-Encoding: chunked") + "5\r\n01234\r\n");
    eventually(|| origin.seen().len() == 1);
    client.send("5\r\n56789\r\n0\r\n\r\n");
    assert_eq!(client.response().unwrap().status, 200);
    let seen = &origin.seen()[1];
    assert_eq!((seen.body.as_slice(), seen.field("transfer-encoding").as_str()), (&b"0123456789"[..], "chunked"));
}

/// Sends `LARGE` octets to each request, and counts the answers that it got rid of.
fn generous(fields: &'static str, finished: &Arc<AtomicUsize>) -> Origin {
    let finished = Arc::clone(finished);
    Origin::serving(move |stream, connection, seen| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        while read_request(&mut reader, connection, &seen).is_some() {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n{fields}\r\n");
            if stream.write_all(&[head.as_bytes(), &pattern(LARGE)].concat()).is_ok() {
                finished.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
}

fn wait_for(finished: &AtomicUsize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while finished.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < deadline, "the upstream waits for the client");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn buffered_responses_free_their_upstream_early() {
    let (finished, directory) = (Arc::new(AtomicUsize::new(0)), tempfile::tempdir().unwrap());
    let origin = generous("", &finished);
    let mut policy = RoutePolicy::default();
    policy.body.buffer_response = true;
    let site = site_in(directory.path(), &[origin.address], policy);
    let mut slow = Client::connect(site.http);
    slow.send("GET /slow HTTP/1.1\r\nHost: a.example\r\n\r\n");
    wait_for(&finished);
    std::thread::sleep(SHORT);
    let next = Client::connect(site.http).get("/next");
    assert!(next.complete && next.body == pattern(LARGE));
    let response = slow.response().unwrap();
    assert!(response.complete && response.body == pattern(LARGE));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    let line = site.log(2).into_iter().find(|line| line.contains("/slow")).unwrap();
    assert!(line.contains(&format!(" {LARGE} ")), "{line}");
}

#[test]
fn responses_that_may_not_go_to_disk_wait_for_the_client() {
    for (fields, buffered, disk) in [("", true, 0), ("", false, 1 << 30), ("X-Accel-Buffering: no\r\n", true, 1 << 30)]
    {
        let finished = Arc::new(AtomicUsize::new(0));
        let origin = generous(fields, &finished);
        let mut policy = RoutePolicy::default();
        (policy.body.buffer_response, policy.body.response_disk) = (buffered, disk);
        let site = Plan::with_policy(&[origin.address], policy).start();
        let mut slow = Client::connect(site.http);
        slow.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        std::thread::sleep(3 * SHORT);
        assert_eq!(finished.load(Ordering::SeqCst), 0, "{fields} {disk}");
        let response = slow.response().unwrap();
        assert!(response.complete && response.body == pattern(LARGE) && response.field("x-accel-buffering").is_none());
    }
}

/// Sends `LARGE` octets in chunks of this size to each request.
fn chunky(size: usize) -> Origin {
    Origin::serving(move |stream, connection, seen| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        let body = pattern(LARGE);
        let chunks: Vec<_> = body
            .chunks(size)
            .map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
            .collect();
        let message =
            [&b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"[..], &chunks.concat(), b"0\r\n\r\n"].concat();
        while read_request(&mut reader, connection, &seen).is_some() {
            stream.write_all(&message).ok();
        }
    })
}

#[test]
fn responses_that_fill_memory_and_disk_go_on_when_the_client_does() {
    for (what, chunk, memory) in [("many small pieces", 512, 1 << 20), ("no memory", 32 << 10, 0)] {
        let (origin, directory) = (chunky(chunk), tempfile::tempdir().unwrap());
        let mut policy = RoutePolicy::default();
        (policy.body.buffer_response, policy.body.response_disk) = (true, 2 << 20);
        let mut plan = Plan::with_policy(&[origin.address], policy);
        plan.config.buffers = BufferConfig { memory, ..BufferConfig::new(directory.path().to_owned()) };
        let site = plan.start();
        let mut slow = Client::connect(site.http);
        slow.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        std::thread::sleep(5 * SHORT);
        let response = slow.response().unwrap_or_else(|| panic!("{what}"));
        assert!(response.complete && response.body == pattern(LARGE), "{what}");
    }
}

#[test]
fn the_upstream_may_ask_for_buffering() {
    let (finished, directory) = (Arc::new(AtomicUsize::new(0)), tempfile::tempdir().unwrap());
    let origin = generous("X-Accel-Buffering: yes\r\n", &finished);
    let site = site_in(directory.path(), &[origin.address], RoutePolicy::default());
    let mut slow = Client::connect(site.http);
    slow.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    wait_for(&finished);
    let response = slow.response().unwrap();
    assert!(response.complete && response.body == pattern(LARGE));
}

#[test]
fn buffered_responses_that_break_off_are_cut_short() {
    for octets in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let origin = Origin::closing(octets);
        let mut policy = RoutePolicy::default();
        policy.body.buffer_response = true;
        let site = Plan::with_policy(&[origin.address], policy).start();
        let response = Client::connect(site.http).request(&head("GET", "X-A: b"));
        assert!(!response.complete, "{octets:?}");
        eventually(|| site.totals().reason(Reason::UpstreamError) == 1);
    }
}

#[test]
fn a_client_that_vanishes_ends_a_buffered_response() {
    let origin = Origin::serving(|stream, connection, seen| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        read_request(&mut reader, connection, &seen).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n").unwrap();
        // Ends when the other side does.
        std::io::Read::read_to_end(&mut reader, &mut Vec::new()).ok();
        seen.lock().unwrap().push(Seen { line: "gone".into(), ..Seen::default() });
    });
    let mut policy = RoutePolicy::default();
    policy.body.buffer_response = true;
    let site = Plan::with_policy(&[origin.address], policy).start();
    let mut client = Client::connect(site.http);
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(client.head().unwrap().status, 200);
    assert_eq!(client.line().as_deref(), Some("1"), "small pieces are not held back");
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    eventually(|| origin.seen().iter().any(|seen| seen.line == "gone"));
}

#[test]
fn what_is_left_of_a_body_after_its_answer_is_no_part_of_the_next_head() {
    let origin = Origin::serving(|stream, connection, seen| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        while !reader.fill_buf().unwrap().is_empty() {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            if read_request(&mut reader, connection, &seen).is_none() {
                return;
            }
        }
    });
    let site = Plan::with_policy(&[origin.address], streaming()).start();
    let mut client = Client::connect(site.http);
    client.send([head("PUT", "Content-Length: 60").as_bytes(), b"0123456789"].concat());
    assert_eq!(client.response().unwrap().status, 200);
    client.send(format!("{:-<50}", "\nContent-Length: 1\nTransfer-Encoding: x\n"));
    eventually(|| origin.seen().iter().any(|seen| seen.complete));
    assert_eq!(client.get("/").status, 200);
    assert_eq!(origin.seen().len(), 2);
}

#[test]
fn response_heads_must_fit_in_a_buffer() {
    let large = "x".repeat(6000);
    let origin = Origin::answering(move |request| match request.line.contains("/large") {
        true => format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Big: {large}\r\n\r\nok"),
        false => format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Big: {}\r\n\r\nok", "x".repeat(4030)),
    });
    for (size, status) in [(4 << 10, 502), (8 << 10, 200)] {
        let mut policy = RoutePolicy::default();
        policy.body.buffer_size = size;
        let site = Plan::with_policy(&[origin.address], policy).start();
        let mut client = Client::connect(site.http);
        assert_eq!(client.get("/").text(), "ok");
        assert_eq!(client.get("/large").status, status, "{size}");
        let refused = site.totals().reason(Reason::UpstreamHeaderTooLarge);
        assert_eq!(refused, u64::from(status == 502));
        assert_eq!(client.get("/").text(), "ok");
    }
}
