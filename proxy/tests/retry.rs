//! Time limits and further tries over real sockets, by the policy of the route.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their helpers with them"
)]

mod support;

use std::io::{BufReader, Read, Write};
use std::time::{Duration, Instant};

use portcullis_model::policy::RetryCondition::{Error, Http404, Http503, InvalidHeader, NonIdempotent, Timeout};
use portcullis_model::policy::{RetryCondition, RetryConditions};
use portcullis_model::{Reason, RoutePolicy};
use support::client::Client;
use support::origin::{Origin, read_request, refused};
use support::{Plan, Site, eventually, host, reading_within, route, streaming};

const SHORT: Duration = Duration::from_millis(300);
const POST: &str = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello";
const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";

fn on(conditions: &[RetryCondition]) -> RoutePolicy {
    let mut policy = RoutePolicy::default();
    policy.retry.conditions = conditions.iter().copied().collect();
    policy
}

fn tries(tries: u8) -> RoutePolicy {
    let mut policy = RoutePolicy::default();
    policy.retry.tries = tries;
    policy
}

/// Reads requests and says nothing.
fn silent() -> Origin {
    Origin::serving(|stream, connection, seen| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while read_request(&mut reader, connection, &seen).is_some() {}
    })
}

/// The statuses of as many answers, each on a connection of its own.
fn statuses(site: &Site, request: &str, count: usize) -> Vec<u16> {
    (0..count).map(|_| Client::connect(site.http).request(request).status).collect()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

#[test]
fn a_silent_endpoint_is_left_for_the_next_after_the_read_timeout() {
    let (quiet, good) = (silent(), Origin::saying("alive"));
    let site = Plan::with_policy(&[quiet.address, good.address], reading_within(SHORT)).start();
    let began = Instant::now();
    assert_eq!(statuses(&site, GET, 4), [200; 4]);
    assert!(began.elapsed() >= SHORT && began.elapsed() < 8 * SHORT, "{:?}", began.elapsed());
    assert!(!quiet.seen().is_empty());
}

#[test]
fn a_further_try_sends_all_of_the_request_once_more() {
    let (closing, busy) = (Origin::closing(""), Origin::answering(|_| UNAVAILABLE.into()));
    let good = Origin::saying("alive");
    let endpoints = [closing.address, busy.address, good.address];
    let site = Plan::with_policy(&endpoints, on(&[Error, Http503, NonIdempotent])).start();
    let request = "POST /a?b=c HTTP/1.1\r\nHost: a.example\r\nX-One: 1\r\nX-Empty:\r\nX-Two: 2\r\nX-One: \u{e4}:3\r\n\
                   Cookie: a=1\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(statuses(&site, request, 6), [200; 6]);
    let (tried, seen) = (busy.seen(), good.seen());
    assert!(!tried.is_empty() && seen.len() == 6, "{} {}", tried.len(), seen.len());
    for request in tried.iter().chain(&seen) {
        let of_client: Vec<String> =
            ["host", "x-one", "x-empty", "x-two", "cookie", "content-length"].map(|name| request.field(name)).into();
        assert_eq!(of_client, ["a.example", "1 | \u{e4}:3", "", "2", "a=1", "5"]);
        assert!(request.has("x-empty") && request.field("x-request-id").len() == 32);
        assert_eq!(request.field("x-forwarded-proto"), "http");
    }
}

#[test]
fn routes_have_their_own_time_limits_on_one_connection() {
    let origin = Origin::answering(|_| {
        std::thread::sleep(SHORT);
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into()
    });
    let mut plan = Plan::new(&[origin.address]);
    let mut hasty = reading_within(SHORT / 3);
    hasty.retry.tries = 1;
    let patient = RoutePolicy::default();
    plan.hosts = vec![host("a.example", vec![route("/patient", "web", patient), route("/hasty", "web", hasty)])];
    plan.config.workers = std::num::NonZeroUsize::MIN;
    let site = plan.start();
    let mut client = Client::connect(site.http);
    for _ in 0..2 {
        assert_eq!(client.get("/patient").status, 200);
        let began = Instant::now();
        assert_eq!(client.get("/hasty").status, 504);
        assert!(began.elapsed() < SHORT, "{:?}", began.elapsed());
    }
    let seen = origin.seen();
    let connections: Vec<usize> = seen.iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 1, 1], "the hasty one used what the patient one had opened");
    assert_eq!(site.totals().reason(Reason::UpstreamTimeout), 2);
}

#[test]
fn a_connection_that_is_not_made_in_time_is_a_504() {
    // A listener whose queue is full leaves connections unanswered.
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let _fill: Vec<_> = (0..4)
        .map(|_| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.connect(&address.into()).ok();
            socket
        })
        .collect();
    let mut policy = tries(1);
    policy.timeouts.connect = SHORT.into();
    let site = Plan::with_policy(&[address], policy).start();
    let began = Instant::now();
    assert_eq!(Client::connect(site.http).get("/").status, 504);
    assert!(began.elapsed() >= SHORT && began.elapsed() < 4 * SHORT, "{:?}", began.elapsed());
    assert_eq!(site.totals().reason(Reason::ConnectTimeout), 1);
}

#[test]
fn a_request_that_the_upstream_does_not_take_is_a_504_after_the_send_timeout() {
    let origin = Origin::serving(|stream, _, _| {
        stream.read_exact(&mut [0; 16]).unwrap();
        std::thread::sleep(Duration::from_secs(5));
    });
    let mut policy = tries(1);
    policy.timeouts.send = SHORT.into();
    policy.body = streaming().body;
    let site = Plan::with_policy(&[origin.address], policy).start();
    let mut client = Client::connect(site.http);
    let began = Instant::now();
    client.send("PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 50000000\r\n\r\n");
    let mut sender = client.stream.try_clone().unwrap();
    std::thread::spawn(move || while sender.write_all(&[b'x'; 64 * 1024]).is_ok() {});
    assert_eq!(client.response().unwrap().status, 504);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[test]
fn a_listed_status_is_tried_elsewhere_and_the_last_one_is_passed_on() {
    let (busy, good) = (Origin::answering(|_| UNAVAILABLE.into()), Origin::saying("alive"));
    let mut policy = on(&[Error, Http503]);
    policy.observe.access_log = true;
    let site = Plan::with_policy(&[busy.address, good.address], policy).start();
    for _ in 0..4 {
        assert_eq!(Client::connect(site.http).get("/").text(), "alive");
    }
    let busy_first = busy.seen().len();
    assert!(busy_first >= 1);
    let lines = site.log(4);
    let both = lines
        .iter()
        .filter(|line| line.contains(&format!(" {}, {} ", busy.address, good.address)) && line.contains(" 503, 200 "));
    assert_eq!(both.count(), busy_first, "{lines:?}");
    assert_eq!(site.totals().upstream_failures, 0, "a status is a response");

    let busy = Origin::answering(|_| UNAVAILABLE.into());
    let site = Plan::with_policy(&[busy.address], on(&[Http503])).start();
    let response = Client::connect(site.http).get("/");
    assert_eq!((response.status, response.text().as_str(), busy.seen().len()), (503, "busy", 3));
    let lines = site.log(1);
    assert!(lines[0].contains(" 503, 503, 503 "), "{lines:?}");
}

#[test]
fn statuses_that_are_not_listed_are_answers() {
    for policy in [on(&[Error, Timeout]), on(&[Http404]), on(&[])] {
        let busy = Origin::answering(|_| UNAVAILABLE.into());
        let site = Plan::with_policy(&[busy.address], policy).start();
        assert_eq!((statuses(&site, GET, 1), busy.seen().len()), (vec![503], 1));
    }
}

#[test]
fn a_request_that_could_be_done_twice_is_repeated_only_where_that_is_listed() {
    for (conditions, seen) in [(&[Http503][..], 1), (&[Http503, NonIdempotent], 3)] {
        let busy = Origin::answering(|_| UNAVAILABLE.into());
        let site = Plan::with_policy(&[busy.address], on(conditions)).start();
        assert_eq!((statuses(&site, POST, 1), busy.seen().len()), (vec![503], seen), "{conditions:?}");
        assert!(busy.seen().iter().all(|request| request.body == b"hello"));
    }
    let (closer, good) = (Origin::closing(""), Origin::saying("alive"));
    let site = Plan::with_policy(&[closer.address, good.address], on(&[Error, NonIdempotent])).start();
    assert_eq!(statuses(&site, POST, 6), [200; 6]);
    assert!(!closer.seen().is_empty() && good.seen().iter().all(|request| request.body == b"hello"));
}

#[test]
fn an_invalid_head_is_a_condition_of_its_own() {
    for (conditions, seen) in [(&[Error, Timeout][..], 1), (&[InvalidHeader], 3)] {
        let nonsense = Origin::closing("not http at all\r\n\r\n");
        let site = Plan::with_policy(&[nonsense.address], on(conditions)).start();
        assert_eq!((statuses(&site, GET, 1), nonsense.seen().len()), (vec![502], seen), "{conditions:?}");
    }
}

#[test]
fn off_and_one_try_show_the_first_failure() {
    for policy in [on(&[]), tries(1)] {
        let good = Origin::saying("alive");
        let site = Plan::with_policy(&[refused(), good.address], policy.clone()).start();
        let mut seen = statuses(&site, GET, 8);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [200, 502], "{:?}", policy.retry);
        assert!(site.totals().upstream_failures > 0 && site.totals().upstream_failures < 8);
    }
}

#[test]
fn tries_are_as_many_as_configured_and_never_without_end() {
    for (configured, made) in [(2, 2), (5, 5), (0, 3), (200, 32)] {
        let site = Plan::with_policy(&[refused()], tries(configured)).start();
        assert_eq!(statuses(&site, GET, 1), [502]);
        assert_eq!(site.totals().upstream_failures, made, "{configured}");
    }
}

#[test]
fn no_try_begins_after_the_time_for_tries() {
    let quiet = silent();
    let mut policy = reading_within(SHORT);
    policy.retry.tries = 10;
    policy.retry.within = Some((SHORT + SHORT / 2).into());
    let site = Plan::with_policy(&[quiet.address], policy).start();
    let began = Instant::now();
    assert_eq!(statuses(&site, GET, 1), [504]);
    assert!(began.elapsed() >= 2 * SHORT && began.elapsed() < 4 * SHORT, "{:?}", began.elapsed());
    assert_eq!(quiet.seen().len(), 2);
}

#[test]
fn a_connection_from_the_pool_that_is_closed_already_is_no_try() {
    let origin = Origin::serving(|stream, connection, seen| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        if read_request(&mut reader, connection, &seen).is_some() {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
        // Reads the next request and closes without a word.
        read_request(&mut reader, connection, &seen);
    });
    let mut plan = Plan::with_policy(&[origin.address], tries(1));
    plan.config.workers = std::num::NonZeroUsize::MIN;
    let site = plan.start();
    let mut client = Client::connect(site.http);
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "ok");
    }
    assert_eq!(origin.seen().len(), 5, "two of three met a connection that closed");
}

#[test]
fn nothing_is_repeated_once_a_response_has_begun() {
    let half = Origin::closing("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    let all: RetryConditions = RetryCondition::ALL.iter().copied().collect();
    let mut policy = RoutePolicy::default();
    policy.retry.conditions = all;
    let site = Plan::with_policy(&[half.address], policy).start();
    let mut client = Client::connect(site.http);
    client.send(GET);
    let response = client.response();
    assert!(response.is_none_or(|response| !response.complete));
    eventually(|| half.seen().len() == 1);
    std::thread::sleep(SHORT);
    assert_eq!(half.seen().len(), 1);
}

#[test]
fn a_body_under_way_is_sent_whole_by_the_next_try() {
    // Answers before it has read the body, and goes on reading.
    let eager = Origin::serving(|stream, _, seen| {
        let mut octets = [0; 64];
        let count = stream.read(&mut octets).unwrap();
        seen.lock().unwrap().push(support::origin::Seen::default());
        assert!(count > 0);
        stream.write_all(UNAVAILABLE.as_bytes()).unwrap();
        std::io::copy(stream, &mut std::io::sink()).ok();
    });
    let good = Origin::saying("alive");
    let policy = RoutePolicy { body: streaming().body, ..on(&[Http503]) };
    let site = Plan::with_policy(&[eager.address, good.address], policy).start();
    let body = "0123456789abcdef".repeat(1024);
    for _ in 0..4 {
        let mut client = Client::connect(site.http);
        client.send(format!("PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n", body.len()));
        let (first, rest) = body.split_at(1000);
        client.send(first);
        std::thread::sleep(SHORT / 3);
        client.send(rest);
        assert_eq!(client.response().unwrap().text(), "alive");
    }
    assert!(!eager.seen().is_empty());
    assert!(good.seen().iter().all(|request| request.body == body.as_bytes()));
}
