//! HTTP/1 in and out over real sockets: framing, reuse, errors, limits.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their helpers with them"
)]

mod support;

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use portcullis_model::Reason;
use support::client::Client;
use support::origin::{Origin, read_request, refused};
use support::{Plan, eventually, reading_within, streaming};

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn requests_and_responses_pass_and_both_connections_are_used_again() {
    let origin = Origin::saying("hello");
    let site = Plan::new(&[origin.address]).start();
    let mut client = Client::connect(site.http);
    for number in 0..5 {
        let response = client.get(&format!("/n{number}?q=%20"));
        assert_eq!((response.line.as_str(), response.text().as_str()), ("HTTP/1.1 200 OK", "hello"));
        assert!(response.field("date").is_some() && response.field("server").is_none());
    }
    let seen = origin.seen();
    assert_eq!(seen.len(), 5);
    assert_eq!(seen[4].line, "GET /n4?q=%20 HTTP/1.1");
    assert!(seen.iter().all(|request| request.connection == 0), "one upstream connection serves all");
    assert_eq!((site.totals().connections_accepted, site.totals().upstream_connections), (1, 1));
}

#[test]
fn bodies_are_framed_anew_in_both_directions() {
    let origin = Origin::answering(|request| {
        let body = String::from_utf8(request.body.clone()).unwrap();
        match request.line.contains("/chunked") {
            true => {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n"
                    .into()
            }
            false => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
        }
    });
    let site = Plan::new(&[origin.address]).start();
    let mut client = Client::connect(site.http);
    let sized = client.request("POST /p HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!((sized.text().as_str(), sized.field("content-length")), ("hello", Some("5")));
    let chunked = client.request(
        "POST /chunked HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n",
    );
    assert_eq!((chunked.text().as_str(), chunked.complete), ("abcde", true));
    // hyper drops such bodies silently unless told otherwise.
    let get = client
        .request("GET /get HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
    assert_eq!(get.text(), "hi");
    let empty = client.request("POST /e HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(empty.text(), "");
    let seen = origin.seen();
    assert_eq!((seen[0].field("content-length").as_str(), seen[0].has("transfer-encoding")), ("5", false));
    assert_eq!((seen[1].field("content-length").as_str(), seen[1].body.as_slice()), ("11", &b"hello world"[..]));
    assert_eq!((seen[2].field("content-length").as_str(), seen[2].body.as_slice()), ("2", &b"hi"[..]));
    assert!(seen.iter().all(|seen| !seen.has("transfer-encoding")));
    assert_eq!((seen[3].field("content-length").as_str(), seen[3].body.len()), ("0", 0));
}

#[test]
fn large_bodies_stream_both_ways() {
    let origin = Origin::answering(|request| {
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len());
        answer.push_str(std::str::from_utf8(&request.body).unwrap());
        answer
    });
    let site = Plan::new(&[origin.address]).start();
    let mut client = Client::connect(site.http);
    let body = "0123456789abcdef".repeat(64 * 1024);
    client.send(format!("PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    let response = client.response().unwrap();
    assert!(response.complete && response.body == body.as_bytes());
}

#[test]
fn http10_clients_are_served() {
    let origin =
        Origin::answering(|_| "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n".into());
    let site = Plan::new(&[origin.address]).start();
    let mut client = Client::connect(site.http);
    let response = client.request("GET / HTTP/1.0\r\nHost: a.example\r\n\r\n");
    assert_eq!((response.line.as_str(), response.text().as_str()), ("HTTP/1.0 200 OK", "hi"));
    assert_eq!(origin.seen()[0].line, "GET / HTTP/1.1");
}

#[test]
fn head_has_no_body_and_keeps_the_length() {
    let origin = Origin::answering(|request| match request.line.starts_with("HEAD") {
        true => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n".into(),
        false => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into(),
    });
    let site = Plan::new(&[origin.address]).start();
    let mut client = Client::connect(site.http);
    client.send("HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let head = client.response_to("HEAD").unwrap();
    assert_eq!((head.status, head.field("content-length")), (200, Some("100")));
    assert_eq!(client.response().unwrap().text(), "ok");
    client.send("HEAD / HTTP/1.1\r\nHost: unknown\r\n\r\nGET / HTTP/1.1\r\nHost: unknown\r\n\r\n");
    let (head, get) = (client.response_to("HEAD").unwrap(), client.response().unwrap());
    assert_eq!((head.status, get.status), (404, 404));
    assert_eq!(head.field("content-length"), get.field("content-length"));
    assert!(get.text().contains("<h1>404 Not Found</h1>") && get.field("content-type") == Some("text/html"));
    eventually(|| origin.seen().iter().all(|request| request.connection == 0));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::answering(|request| {
        let path = request.line.split(' ').nth(1).unwrap();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len())
    });
    let site = Plan::new(&[origin.address]).start();
    let mut client = Client::connect(site.http);
    let requests: String = (0..20).map(|n| format!("GET /n{n} HTTP/1.1\r\nHost: a.example\r\n\r\n")).collect();
    client.send(requests);
    for number in 0..20 {
        assert_eq!(client.response().unwrap().text(), format!("/n{number}"));
    }
}

#[test]
fn an_upstream_that_answers_nothing_valid_is_a_502() {
    for octets in [
        "",
        "not http at all\r\n\r\n",
        "hello",
        "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nX-A: b\0c\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nraw",
    ] {
        let origin = Origin::closing(octets);
        let site = Plan::new(&[origin.address]).start();
        let response = Client::connect(site.http).get("/");
        assert_eq!(response.status, 502, "{octets:?}");
        assert!(response.text().contains("<h1>502 Bad Gateway</h1>"));
        let reason = if octets.contains("101") { Reason::BadUpgrade } else { Reason::UpstreamError };
        assert_eq!(site.totals().reason(reason), 1, "{octets:?}");
    }
}

#[test]
fn a_response_that_is_cut_short_is_cut_short_for_the_client() {
    for octets in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX",
    ] {
        let origin = Origin::closing(octets);
        let site = Plan::new(&[origin.address]).start();
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            let mut client = Client::connect(site.http);
            client.send(format!("GET / {version}\r\nHost: a.example\r\n\r\n"));
            let response = client.response();
            assert!(response.is_none_or(|response| !response.complete), "{octets:?} {version}");
        }
    }
}

#[test]
fn framing_of_the_upstream_never_reaches_the_client() {
    let both =
        "HTTP/1.0 200 OK\r\nConnection: X-Foo\r\nX-Foo: 1\r\nKeep-Alive: 5\r\nServer: stock\r\n\r\nuntil the end";
    let origin = Origin::closing(both);
    let site = Plan::new(&[origin.address]).start();
    let response = Client::connect(site.http).get("/");
    assert_eq!((response.line.as_str(), response.text().as_str()), ("HTTP/1.1 200 OK", "until the end"));
    for name in ["x-foo", "keep-alive", "server", "connection"] {
        assert_eq!(response.field(name), None, "{name}");
    }
    let twice = "HTTP/1.1 200 OK\r\nContent-Length: 30\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let origin = Origin::closing(twice);
    let site = Plan::new(&[origin.address]).start();
    let response = Client::connect(site.http).get("/");
    assert_eq!((response.text().as_str(), response.field("content-length")), ("ok", None));
}

#[test]
fn refused_connections_go_on_to_the_next_endpoint() {
    let origin = Origin::saying("alive");
    let site = Plan::new(&[refused(), origin.address]).start();
    for _ in 0..6 {
        let post = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!(Client::connect(site.http).request(post).text(), "alive");
    }
    assert_eq!(origin.seen().len(), 6);
    let dead = Plan::new(&[refused()]).start();
    let response = Client::connect(dead.http).get("/");
    assert_eq!((response.status, dead.totals().reason(Reason::ConnectFailed)), (502, 1));
    assert_eq!(dead.totals().upstream_failures, 3, "as many tries as nginx");
    let none = Plan::new(&[]).start();
    let response = Client::connect(none.http).get("/");
    assert_eq!((response.status, none.totals().reason(Reason::NoEndpoints)), (503, 1));
    assert!(response.text().contains("503 Service Temporarily Unavailable"));
}

#[test]
fn what_may_be_done_twice_is_tried_elsewhere_and_the_rest_is_not() {
    let closer = Origin::closing("");
    let echo = Origin::saying("alive");
    let site = Plan::new(&[closer.address, echo.address]).start();
    for _ in 0..10 {
        assert_eq!(Client::connect(site.http).get("/").text(), "alive");
        let put = "PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(Client::connect(site.http).request(put).text(), "alive");
    }
    assert!(echo.seen().iter().filter(|request| request.line.starts_with("PUT")).all(|put| put.body == b"hello"));
    let post = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello";
    let statuses: Vec<u16> = (0..10).map(|_| Client::connect(site.http).request(post).status).collect();
    assert!(statuses.contains(&502) && statuses.contains(&200), "{statuses:?}");
    let posts = closer.seen().iter().chain(&echo.seen()).filter(|seen| seen.line.starts_with("POST")).count();
    assert_eq!(posts, 10, "no POST was sent twice");
}

#[test]
fn a_pooled_connection_that_closes_at_reuse_costs_nothing() {
    let origin = Origin::serving(|stream, connection, seen| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        if read_request(&mut reader, connection, &seen).is_some() {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
        // Reads the next request and closes without a word.
        read_request(&mut reader, connection, &seen);
    });
    let site = Plan::new(&[origin.address]).start();
    let mut client = Client::connect(site.http);
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "ok");
    }
    assert_eq!(site.totals().reason(Reason::UpstreamError), 0);
}

#[test]
fn a_silent_upstream_is_a_504_after_its_time() {
    let origin = Origin::serving(|stream, connection, seen| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        let request = read_request(&mut reader, connection, &seen).unwrap();
        if request.line.contains("/half") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").unwrap();
        }
        std::thread::sleep(Duration::from_secs(5));
    });
    let site = Plan::with_policy(&[origin.address], reading_within(SHORT)).start();
    let began = Instant::now();
    let response = Client::connect(site.http).get("/");
    assert_eq!((response.status, site.totals().reason(Reason::UpstreamTimeout)), (504, 1));
    assert!(response.text().contains("504 Gateway Time-out"));
    assert!(began.elapsed() >= 3 * SHORT && began.elapsed() < 5 * SHORT, "three tries: {:?}", began.elapsed());
    let post = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(Client::connect(site.http).request(post).status, 504);
    assert_eq!(origin.seen().len(), 4, "a POST is tried once");
    let mut client = Client::connect(site.http);
    client.send("GET /half HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let response = client.response().unwrap();
    assert!(!response.complete && response.body == b"hello");
}

#[test]
fn malformed_requests_are_refused_and_nothing_after_them_is_read() {
    let origin = Origin::saying("ok");
    let site = Plan::new(&[origin.address]).start();
    let next = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n";
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET /../x HTTP/1.1\r\nHost: a.example\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400),
        ("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: +5\r\n\r\nhello", 400),
        ("GET / HTTP/1.1\r\nHost: a.example\r\nX-A : b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a.example\r\nX-A: b\r\n c\r\n\r\n", 400),
        ("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", 405),
        ("TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n", 405),
    ] {
        let mut client = Client::connect(site.http);
        client.send(format!("{request}{next}"));
        let response = client.response().unwrap_or_else(|| panic!("no answer to {request:?}"));
        assert_eq!((response.status, response.field("connection")), (status, Some("close")), "{request:?}");
        assert_eq!(response.field("cache-control"), Some("no-store"), "{request:?}");
        assert!(response.complete && response.text().contains(&format!("<h1>{status} ")), "{request:?}");
        assert!(client.is_closed(), "{request:?}");
    }
    assert_eq!(origin.seen().len(), 0);
    assert_eq!(site.totals().requests_total(), 12);
    let lines = site.log(12);
    assert_eq!(lines.len(), 12, "each leaves its line");
    assert!(lines.iter().all(|line| line.starts_with("127.0.0.1 - ")), "{lines:?}");
}

#[test]
fn length_and_chunked_together_are_refused_and_nothing_after_them_is_read() {
    let origin = Origin::saying("ok");
    let site = Plan::new(&[origin.address]).start();
    for fields in ["Content-Length: 6\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 6"]
    {
        let mut client = Client::connect(site.http);
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"
        ));
        assert_eq!(client.response().unwrap().status, 400);
        assert!(client.is_closed());
    }
    assert_eq!(origin.seen().len(), 0);
}

#[test]
fn a_body_that_ends_early_is_never_complete_upstream() {
    let origin = Origin::saying("ok");
    let site = Plan::with_policy(&[origin.address], streaming()).start();
    for body in [
        "Content-Length: 10\r\n\r\nhel",
        "Transfer-Encoding: chunked\r\n\r\na\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        let mut client = Client::connect(site.http);
        client.send(format!("POST / HTTP/1.1\r\nHost: a.example\r\n{body}"));
        client.stream.shutdown(Shutdown::Write).unwrap();
        let response = client.response();
        assert!(response.is_none_or(|response| response.status == 400), "{body:?}");
    }
    let mut client = Client::connect(site.http);
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\nGET / HTTP/1.1\r\n\r\n");
    let response = client.response().unwrap();
    assert_eq!(response.status, 400);
    assert!(client.is_closed());
    eventually(|| origin.seen().len() == 4);
    assert!(origin.seen().iter().all(|request| !request.complete));
}

#[test]
fn an_early_answer_does_not_wait_for_the_body() {
    let site = Plan::new(&[]).start();
    let mut client = Client::connect(site.http);
    let body = "x".repeat(40_000);
    client.send(format!("POST / HTTP/1.1\r\nHost: unknown\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    assert_eq!(client.response().unwrap().status, 404);
    assert_eq!(client.request("GET / HTTP/1.1\r\nHost: unknown\r\n\r\n").status, 404, "the connection goes on");
    let mut client = Client::connect(site.http);
    client.send("POST / HTTP/1.1\r\nHost: unknown\r\nContent-Length: 500000\r\nExpect: 100-continue\r\n\r\n");
    let answer = client.response().unwrap();
    assert_eq!((answer.status, answer.field("connection")), (404, Some("close")), "no 100 before it");
    assert!(client.is_closed());
}

#[test]
fn an_early_response_of_the_upstream_is_delivered() {
    let origin = Origin::serving(|stream, _, _| {
        let mut octets = [0; 1024];
        assert!(std::io::Read::read(stream, &mut octets).is_ok());
        let answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig";
        stream.write_all(answer).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        std::thread::sleep(Duration::from_secs(1));
    });
    let site = Plan::with_policy(&[origin.address], streaming()).start();
    let mut client = Client::connect(site.http);
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 50000000\r\n\r\n");
    let mut sender = client.stream.try_clone().unwrap();
    std::thread::spawn(move || while sender.write_all(&[b'x'; 64 * 1024]).is_ok() {});
    let response = client.response().unwrap();
    assert_eq!((response.status, response.text().as_str()), (413, "big"));
}

#[test]
fn continue_is_sent_when_the_body_is_wanted() {
    let origin = Origin::saying("ok");
    let site = Plan::new(&[origin.address]).start();
    let mut client = Client::connect(site.http);
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(client.head().unwrap().status, 100);
    client.send("abc");
    assert_eq!(client.response().unwrap().status, 200);
    assert_eq!((origin.seen()[0].body.as_slice(), origin.seen()[0].has("expect")), (&b"abc"[..], false));
}

#[test]
fn a_client_that_closes_its_half_still_gets_the_answer() {
    let origin = Origin::answering(|_| {
        std::thread::sleep(SHORT);
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate".into()
    });
    let site = Plan::new(&[origin.address]).start();
    let mut client = Client::connect(site.http);
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.response().unwrap().text(), "late");
    assert!(client.is_closed());
}

#[test]
fn a_client_that_vanishes_cancels_the_upstream_exchange() {
    let origin = Origin::serving(|stream, connection, seen| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        let request = read_request(&mut reader, connection, &seen).unwrap();
        if request.line.contains("/streaming") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n").unwrap();
        }
        // Ends when the other side does.
        let mut rest = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut rest).ok();
        seen.lock().unwrap().push(support::origin::Seen { line: "gone".into(), ..Default::default() });
    });
    let site = Plan::new(&[origin.address]).start();
    for (number, target) in ["/waiting", "/streaming"].into_iter().enumerate() {
        let mut client = Client::connect(site.http);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n"));
        eventually(|| origin.seen().len() > 2 * number);
        if number == 1 {
            client.head().unwrap();
        }
        socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        eventually(|| origin.seen().iter().filter(|seen| seen.line == "gone").count() > number);
    }
    assert_eq!(site.totals().reason(Reason::ClientGone), 1);
    let lines = site.log(2);
    assert!(lines[0].contains("\"GET /waiting HTTP/1.1\" 499 "), "{lines:?}");
    assert!(lines[1].contains("\"GET /streaming HTTP/1.1\" 200 1 "), "{lines:?}");
}

#[test]
fn time_limits_towards_clients() {
    let origin = Origin::saying("ok");
    let mut plan = Plan::new(&[origin.address]);
    plan.settings.client.header_timeout = SHORT;
    plan.settings.client.body_timeout = SHORT;
    plan.settings.client.keep_alive = 2 * SHORT;
    let site = plan.start();
    for (octets, least, status) in [
        ("", SHORT, None),
        ("GET / HT", SHORT, None),
        ("GET / HTTP/1.1\r\nHost: a.example\r\nX-A: b", SHORT, None),
        ("PRI * HTTP/2.0\r\n", SHORT, None),
        ("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\nhel", SHORT, Some(408)),
        ("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhel", SHORT, Some(408)),
    ] {
        let mut client = Client::connect(site.http);
        let began = Instant::now();
        client.send(octets);
        assert_eq!(client.response().map(|response| response.status), status, "{octets:?}");
        assert!(client.is_closed());
        assert!(began.elapsed() >= least && began.elapsed() < 3 * least, "{octets:?} {:?}", began.elapsed());
    }
    let mut client = Client::connect(site.http);
    assert_eq!(client.get("/").status, 200);
    let began = Instant::now();
    assert!(client.is_closed());
    assert!(began.elapsed() >= SHORT && began.elapsed() < 4 * SHORT);
    assert!(site.totals().reason(Reason::HeaderTimeout) >= 2);
    assert_eq!(site.totals().reason(Reason::BodyTimeout), 2);
    assert!(origin.seen().iter().filter(|seen| seen.line.starts_with("POST")).all(|seen| !seen.complete));
}

#[test]
fn a_connection_ends_after_its_number_of_requests() {
    let origin = Origin::saying("ok");
    let mut plan = Plan::new(&[origin.address]);
    plan.settings.client.keep_alive_requests = 2;
    let site = plan.start();
    let mut client = Client::connect(site.http);
    assert_eq!(client.get("/").field("connection"), None);
    assert_eq!(client.get("/").field("connection"), Some("close"));
    assert!(client.is_closed());
}
