//! Lines of the default format are the same whichever way they are written.

use http::{HeaderName, Request, Version, header};
use portcullis_model::policy::RoutePolicy;
use portcullis_model::{ClusterId, PathMatch, Settings};
use proptest::prelude::*;

use super::super::testing;
use super::*;
use crate::server::connection_for_tests;
use crate::upstream::UpstreamRegistry;

/// What lines are made of.
#[derive(Clone, Debug)]
struct Sample {
    request: (&'static str, String, Version),
    fields: Vec<(HeaderName, Vec<u8>)>,
    request_id: Option<String>,
    is_id_made_early: bool,
    service: Option<&'static str>,
    to: Option<Destination>,
    status: u16,
    octets: (usize, u64),
    took: Duration,
    attempts: Vec<([u8; 16], u16, Option<Duration>, u64)>,
}

fn parts(sample: &Sample) -> http::request::Parts {
    let (method, target, version) = &sample.request;
    let mut request = Request::builder().method(*method).uri(target).version(*version).body(()).unwrap();
    for (name, value) in &sample.fields {
        request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
    }
    request.into_parts().0
}

fn route(service: &str) -> Arc<CompiledRoute> {
    let upstream = |service: &str| {
        let id = ClusterId { namespace: "shop".into(), service: service.into(), port: "80".into() };
        UpstreamRegistry::default().upstream(&id)
    };
    Arc::new(CompiledRoute {
        route: Arc::new(testing::route(PathMatch::Prefix("/".into()), service, RoutePolicy::default())),
        upstream: (!service.is_empty()).then(|| upstream(service)),
        canary: Some(upstream("canary")),
        fallback: Some(upstream("fallback")),
        balance: None,
        canary_balance: None,
    })
}

/// The line of a request, and whether all of it is such that it is written in one go.
fn line(
    connection: &Rc<ClientConnection>,
    format: LogFormat,
    settings: &Settings,
    sample: &Sample,
    now: Instant,
) -> (Vec<u8>, bool) {
    let parts = parts(sample);
    let head = RequestHead::new(&parts, *connection.facts(), settings);
    let format = Rc::new(format);
    let mut exchange = Exchange::begin(connection, Some(Rc::clone(&format)), now);
    exchange.note_request(&Variables { head: &head, reading: None, route: None, connection: connection.variables() });
    let id = sample.request_id.as_ref().map(|id| HeaderValue::from_str(id).unwrap());
    match sample.is_id_made_early {
        true => exchange.request_id = id,
        false => exchange.note_request_id(id.as_ref()),
    }
    exchange.route = sample.service.map(route);
    exchange.to = sample.to;
    (exchange.head_octets, exchange.body_sent) = sample.octets;
    exchange.attempts.extend(sample.attempts.iter().map(|(address, status, over, octets)| {
        let ip = std::net::IpAddr::from(*address).to_canonical();
        let address = std::net::SocketAddr::from((ip, *status));
        Attempt { address, status: *status, began: now, connected: None, head: None, over: *over, octets: *octets }
    }));
    let end = End { now, took: sample.took, status: sample.status };
    let is_usual = exchange.captured.as_ref().is_some_and(|head| head.is_usual()) && exchange.usual(&end).is_some();
    exchange.log(&format, &end);
    exchange.keep_silent();
    (connection.worker().lines().take_waiting(), is_usual)
}

prop_compose! {
    fn field()(
        name in prop::sample::select(&[header::REFERER, header::USER_AGENT, header::FORWARDED][..]),
        value in prop_oneof![
            3 => "[ !#-Z^-~]{0,70}".prop_map(String::into_bytes),
            1 => prop::collection::vec(prop_oneof![b' '..=b'~', 0x80..=0xff_u8, Just(b'\t')], 0..40),
        ],
    ) -> (HeaderName, Vec<u8>) {
        (name, value)
    }
}

prop_compose! {
    fn attempt()(
        mapped: bool,
        address: [u8; 16],
        status in 0..1000_u16,
        over in prop::option::weighted(0.9, took()),
        octets in number(),
    ) -> ([u8; 16], u16, Option<Duration>, u64) {
        let [.., a, b, c, d] = address;
        let address = if mapped { std::net::Ipv4Addr::new(a, b, c, d).to_ipv6_mapped().octets() } else { address };
        (address, status, over, octets)
    }
}

fn target() -> impl Strategy<Value = String> {
    let any = prop_oneof![3 => "/[!$-;=?-Z_a-z|~]{0,60}", 1 => "/[!$-;=?-Z_a-z|~\"\\\\]{0,9}"];
    any.prop_filter("no target", |target| target.parse::<http::Uri>().is_ok())
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..1100_u64, any::<u64>(), 0..10_000_000_u64]
}

fn took() -> impl Strategy<Value = Duration> {
    prop_oneof![0..2_000_000_u64, any::<u64>().prop_map(|micros| micros >> 8)].prop_map(Duration::from_micros)
}

prop_compose! {
    fn sample()(
        method in prop::sample::select(&["GET", "HEAD", "POST", "get", "M-SEARCH"][..]),
        target in target(),
        version in prop::sample::select(&[Version::HTTP_10, Version::HTTP_11, Version::HTTP_2][..]),
        mut fields in prop::collection::vec(field(), 0..4),
        forwarded in prop::option::of(any::<[u8; 4]>()),
        request_id in prop_oneof![
            3 => "[0-9a-f]{32}".prop_map(Some),
            2 => "[0-9A-Za-z._-]{1,128}".prop_map(Some),
            1 => Just(None),
        ],
        is_id_made_early in prop::bool::weighted(0.1),
        service in prop::sample::select(&[Some("web"), Some("web"), Some("we\"b\u{e4}"), Some(""), None][..]),
        to in prop::sample::select(&[
            Some(Destination::Primary), Some(Destination::Primary), Some(Destination::Canary),
            Some(Destination::Fallback), Some(Destination::DefaultBackend), None,
        ][..]),
        status in 100..1000_u16,
        octets in (0..70_000_usize, number()),
        took in took(),
        attempts in prop_oneof![3 => prop::collection::vec(attempt(), 1), 1 => prop::collection::vec(attempt(), 0..4)],
    ) -> Sample {
        if let Some(address) = forwarded {
            let text = std::net::Ipv4Addr::from(address).to_string().into_bytes();
            fields.push((HeaderName::from_static("x-forwarded-for"), text));
        }
        Sample {
            request: (method, target, version), fields, request_id, is_id_made_early, service, to, status, octets, took, attempts,
        }
    }
}

#[test]
fn the_quick_way_is_as_good_as_the_long_one() {
    let connection = connection_for_tests();
    let mut settings = Settings::default();
    settings.forwarded.client_address = true;
    let settings = Arc::new(settings);
    let usual = std::cell::Cell::new(0);
    let is_same = |sample: Sample| {
        let now = Instant::now();
        let (quick, is_usual) = line(&connection, LogFormat::new(Arc::clone(&settings)), &settings, &sample, now);
        let long = LogFormat::new(Arc::clone(&settings)).in_parts();
        let (long, _) = line(&connection, long, &settings, &sample, now);
        prop_assert_eq!(String::from_utf8_lossy(&quick), String::from_utf8_lossy(&long));
        usual.set(usual.get() + u32::from(is_usual));
        Ok(())
    };
    let cases = ProptestConfig::with_cases(400);
    proptest::test_runner::TestRunner::new(cases).run(&sample(), is_same).unwrap();
    assert!((40..360).contains(&usual.get()), "{usual:?}");
}

#[test]
fn a_request_that_leaves_no_line_gives_back_what_was_written_down_for_it() {
    let connection = connection_for_tests();
    let settings = Arc::new(Settings::default());
    let format = Rc::new(LogFormat::new(Arc::clone(&settings)));
    let parts = Request::builder().uri("/").header(header::USER_AGENT, "an agent").body(()).unwrap().into_parts().0;
    let head = RequestHead::new(&parts, *connection.facts(), &settings);
    let variables = Variables { head: &head, reading: None, route: None, connection: connection.variables() };
    for _ in 0..2 {
        let mut exchange = Exchange::begin(&connection, Some(Rc::clone(&format)), Instant::now());
        exchange.note_request(&variables);
        exchange.keep_silent();
        drop(exchange);
        assert_eq!(connection.worker().lines().take_waiting(), b"");
        let captures = connection.worker().captures();
        let captured = captures.take();
        assert!(captured.is_worth_keeping() && !captured.is_usual());
        assert!(!captures.take().is_worth_keeping(), "there is only one");
        captures.give_back(captured);
    }
}
