//! Settings towards clients: each is that of the table published last, and a change drops no connection.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their helpers with them"
)]

mod support;

use std::time::{Duration, Instant};

use portcullis_model::{HeaderBuffers, Reason};
use support::Plan;
use support::client::Client;
use support::origin::Origin;

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn keep_alive_is_that_of_the_last_request() {
    let origin = Origin::saying("ok");
    let mut plan = Plan::new(&[origin.address]);
    let mut site = plan.clone().start();
    let (mut one, mut other) = (Client::connect(site.http), Client::connect(site.http));
    assert_eq!((one.get("/").status, other.get("/").status), (200, 200));
    plan.settings.client.keep_alive = SHORT;
    site.publish(&plan);
    // Only requests make a connection look at settings.
    std::thread::sleep(2 * SHORT);
    assert_eq!(one.get("/").status, 200);
    let began = Instant::now();
    assert!(one.is_closed());
    assert!(began.elapsed() >= SHORT / 2 && began.elapsed() < 4 * SHORT);
    plan.settings.client.keep_alive = Duration::ZERO;
    site.publish(&plan);
    assert_eq!(other.get("/").field("connection"), Some("close"));
    assert!(other.is_closed());
    plan.settings.client.keep_alive = Duration::from_secs(75);
    plan.settings.client.keep_alive_requests = 2;
    site.publish(&plan);
    let mut client = Client::connect(site.http);
    assert_eq!(client.get("/").field("connection"), None);
    assert_eq!(client.get("/").field("connection"), Some("close"));
}

#[test]
fn time_limits_change_at_run_time() {
    let origin = Origin::saying("ok");
    let mut plan = Plan::new(&[origin.address]);
    let mut site = plan.clone().start();
    let mut old = Client::connect(site.http);
    assert_eq!(old.get("/").status, 200);
    plan.settings.client.header_timeout = SHORT;
    plan.settings.client.body_timeout = SHORT;
    site.publish(&plan);
    assert_eq!(old.get("/").status, 200);
    let (head, body) = ("GET / HT", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\nhel");
    for (client, octets, status) in
        [(Some(old), head, None), (None, head, None), (None, "", None), (None, body, Some(408))]
    {
        let mut client = client.unwrap_or_else(|| Client::connect(site.http));
        let began = Instant::now();
        client.send(octets);
        assert_eq!(client.response().map(|response| response.status), status, "{octets:?}");
        assert!(client.is_closed());
        assert!(began.elapsed() >= SHORT / 2 && began.elapsed() < 4 * SHORT, "{octets:?}: {:?}", began.elapsed());
    }
}

#[test]
fn heads_are_limited_by_their_buffers() {
    let origin = Origin::saying("ok");
    let mut plan = Plan::new(&[origin.address]);
    let mut site = plan.clone().start();
    let line = |octets: usize| format!("GET /{} HTTP/1.1\r\nHost: a.example\r\n\r\n", "x".repeat(octets - 16));
    let field = |octets: usize| format!("GET / HTTP/1.1\r\nHost: a.example\r\nX-A: {}\r\n\r\n", "x".repeat(octets - 7));
    let fields = |count: usize, octets: usize| {
        let fields: String =
            (0..count).map(|number| format!("X-{number:04}: {}\r\n", "x".repeat(octets - 10))).collect();
        format!("GET / HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n")
    };
    let mut check = |number, size, cases: &[(String, u16)]| {
        plan.settings.client.header_buffers = HeaderBuffers::new(number, size).unwrap();
        site.publish(&plan);
        for (request, want) in cases {
            let mut client = Client::connect(site.http);
            let answer = client.request(request);
            assert_eq!(answer.status, *want, "{number} {size}: {} octets", request.len());
            if *want != 200 {
                assert_eq!(answer.field("connection"), Some("close"));
                assert!(answer.complete && client.is_closed());
            }
        }
    };
    let (kib, most) = (1024, 64 * 1024);
    check(
        4,
        8 * kib,
        &[
            (line(8 * kib), 200),
            (line(8 * kib + 1), 414),
            (line(300 * kib), 414),
            (field(8 * kib), 200),
            (field(8 * kib + 1), 400),
            (field(300 * kib), 400),
            (fields(4, 8000), 200),
            (fields(5, 8000), 400),
            (fields(99, 20), 200),
            (fields(100, 20), 400),
            (fields(101, 20), 400),
            (fields(1000, 20), 400),
        ],
    );
    check(4, 16 * kib, &[(line(16 * kib), 200), (field(16 * kib), 200), (field(16 * kib + 1), 400)]);
    check(16, most, &[(field(most), 200), (fields(15, most), 200), (fields(17, most), 400), (line(most + 1), 414)]);
    check(2, kib, &[(line(kib), 200), (line(kib + 1), 414), (fields(3, 900), 400)]);
    assert!(site.totals().reason(Reason::HeaderTooLarge) >= 8);
    assert_eq!(site.totals().reason(Reason::BadRequest), 0);
    assert!(site.log(20).iter().all(|line| line.starts_with("127.0.0.1 - ")));
}

#[test]
fn idle_connections_wake_up_where_they_were() {
    let origin = Origin::answering(|request| {
        let length = request.line.len();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{}", request.line)
    });
    let site = Plan::new(&[origin.address]).start();
    let long_enough = Duration::from_millis(1500);
    let (mut idle, mut half, mut slow) =
        (Client::connect(site.http), Client::connect(site.http), Client::connect(site.http));
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(idle.get("/1").status, 200);
    // The beginning of the next request comes with the end of this one.
    half.send(format!("{}GET /half", get("/1")));
    assert_eq!(half.response().unwrap().text(), "GET /1 HTTP/1.1");
    slow.send(get("/1"));
    std::thread::sleep(long_enough);
    assert_eq!(idle.get("/2").text(), "GET /2 HTTP/1.1");
    half.send("/way HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(half.response().unwrap().text(), "GET /half/way HTTP/1.1");
    assert_eq!(slow.response().unwrap().text(), "GET /1 HTTP/1.1");
    std::thread::sleep(long_enough);
    let body = "x".repeat(100_000);
    let post = format!("POST /3 HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert_eq!(idle.request(&post).text(), "POST /3 HTTP/1.1");
    std::thread::sleep(long_enough);
    idle.send("nonsense\r\n\r\n");
    assert_eq!(idle.response().unwrap().status, 400);
    assert!(idle.is_closed());
    std::thread::sleep(long_enough);
    let began = Instant::now();
    site.shut_down(Duration::from_secs(5));
    assert!(half.is_closed() && slow.is_closed());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn a_half_sent_head_does_not_hold_up_the_end() {
    let origin = Origin::saying("ok");
    let site = Plan::new(&[origin.address]).start();
    let mut client = Client::connect(site.http);
    assert_eq!(client.get("/").status, 200);
    client.send("GET / HT");
    std::thread::sleep(SHORT);
    let began = Instant::now();
    site.shut_down(Duration::from_secs(30));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(client.is_closed());
}

#[test]
fn a_body_nobody_wants_is_not_the_next_request() {
    let mut plan = Plan::new(&[]);
    plan.settings.access_log.format = portcullis_model::Template::parse("$request_time $status").unwrap();
    plan.settings.access_log.default_backend = true;
    plan.settings.client.header_timeout = 2 * SHORT;
    let site = plan.start();
    let mut client = Client::connect(site.http);
    client.send("POST / HTTP/1.1\r\nHost: unknown\r\nContent-Length: 20\r\n\r\nxxxxx");
    assert_eq!(client.response().unwrap().status, 404);
    std::thread::sleep(SHORT);
    client.send("xxxxxxxxxxxxxxx");
    std::thread::sleep(2 * SHORT);
    assert_eq!(client.request("GET / HTTP/1.1\r\nHost: unknown\r\n\r\n").status, 404);
    let lines = site.log(2);
    let seconds: f64 = lines[1].split(' ').next().unwrap().parse().unwrap();
    assert!(seconds < 0.2, "{lines:?}");
    for length in [65_536, 65_537] {
        let mut client = Client::connect(site.http);
        client.send(format!("POST / HTTP/1.1\r\nHost: unknown\r\nContent-Length: {length}\r\n\r\n"));
        let want = (length > 65_536).then_some("close");
        assert_eq!(client.response().unwrap().field("connection"), want, "{length}");
    }
}
