//! Which requests have a shape, and what goes out of them.

use super::*;

const RULES: Rules =
    Rules { trusted: false, names: HeaderNameRules { underscores: false, unusual: false }, request_id: true };

fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

fn ours() -> Rc<Ours> {
    Rc::new(["1.2.3.4", "1.2.3.4", "a.example", "443", "https", "https", "https"].map(HeaderValue::from_static))
}

fn shaped(shapes: &Shapes, received: &HeaderMap, rules: Rules) -> Option<Shaped> {
    let id = HeaderValue::from_static("id");
    let id = rules.request_id.then_some(&id);
    shapes.shaped(received, rules, |name| name.as_str().starts_with("bad"), &ours(), id, None)
}

/// The second of two like requests: the first only leaves a mark.
fn second(received: &HeaderMap, rules: Rules) -> Option<Shaped> {
    let shapes = Shapes::default();
    assert!(shaped(&shapes, received, rules).is_none(), "nothing is known yet");
    shaped(&shapes, received, rules)
}

fn lines(fields: &HeaderMap) -> Vec<String> {
    fields.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
}

#[test]
fn fields_go_on_in_order_and_ours_take_the_place_of_those_received() {
    let mut received = map(&[
        ("content-type", "application/grpc"),
        ("host", "b.example"),
        ("x-request-id", "theirs"),
        ("grpc-timeout", "1S"),
        ("x-real-ip", "9.9.9.9"),
        ("bad", "1"),
        ("te", "trailers"),
        ("content-length", "5"),
        ("x-last", "z"),
    ]);
    let ours = [
        "x-real-ip: 1.2.3.4",
        "x-forwarded-for: 1.2.3.4",
        "x-forwarded-host: a.example",
        "x-forwarded-port: 443",
        "x-forwarded-proto: https",
        "x-forwarded-scheme: https",
        "x-scheme: https",
    ];
    for (request_id, theirs, first) in
        [(true, "x-request-id: id", false), (true, "x-request-id: id", true), (false, "x-request-id: theirs", false)]
    {
        let shaped = second(&received, Rules { request_id, ..RULES }).unwrap();
        assert_eq!(shaped.host(), "a.example");
        let (sent, has_length) = shaped.fields(&mut received.clone(), true, first);
        let mut want = vec!["content-type: application/grpc", "grpc-timeout: 1S", "content-length: 5", "x-last: z"];
        want.extend(ours);
        want.push("te: trailers");
        let place = if request_id { want.len() - 1 } else { 1 };
        want.insert(place, theirs);
        assert_eq!((lines(&sent), has_length), (want.into_iter().map(str::to_owned).collect(), true));
        for (name, value) in &sent {
            let is_new = ["grpc-timeout", "x-request-id"].contains(&name.as_str());
            assert_eq!(value.is_sensitive(), is_new && !first, "{name}");
        }
    }
    let shaped = second(&received, RULES).unwrap();
    let (first, _) = shaped.fields(&mut received, true, false);
    let (mut again, has_length) = shaped.fields(&mut received, true, false);
    assert!(!has_length, "the body tells it");
    again.insert(header::CONTENT_LENGTH, HeaderValue::from_static("5"));
    assert_eq!(again, first);
}

#[test]
fn the_length_of_a_body_that_is_not_there_stays_for_further_tries() {
    let mut received = map(&[("content-length", "0")]);
    let shaped = second(&received, RULES).unwrap();
    // Nor does it get lost where the client may have sent a body, and sent none.
    for has_body in [false, false, true, true] {
        let (sent, has_length) = shaped.fields(&mut received, has_body, false);
        assert_eq!((sent.get("content-length"), has_length), (Some(&HeaderValue::from_static("0")), true));
    }
}

#[test]
fn another_host_than_ours_is_that_of_the_route() {
    let (shapes, received) = (Shapes::default(), HeaderMap::new());
    let host = HeaderValue::from_static("up.example");
    let shaped = || shapes.shaped(&received, RULES, |_| false, &ours(), None, Some(&host));
    assert!(shaped().is_none());
    assert_eq!(shaped().unwrap().host(), "up.example");
}

#[test]
fn a_shape_is_for_the_same_names_in_the_same_order_by_the_same_rules() {
    let shapes = Shapes::default();
    let known = map(&[("a", "1"), ("b", "2")]);
    for is_known in [false, true, true] {
        assert_eq!(shaped(&shapes, &known, RULES).is_some(), is_known);
    }
    assert!(shaped(&shapes, &map(&[("a", "3"), ("b", "")]), RULES).is_some());
    for other in [map(&[("b", "2"), ("a", "1")]), map(&[("a", "1"), ("b", "2"), ("c", "3")]), map(&[("a", "1")])] {
        assert!(!shapes.known.borrow().iter().any(|shape| shape.fits(&other, RULES)), "{other:?}");
    }
    for rules in [Rules { trusted: true, ..RULES }, Rules { request_id: false, ..RULES }] {
        assert!(!shapes.known.borrow().iter().any(|shape| shape.fits(&known, rules)), "{rules:?}");
    }
}

#[test]
fn repeated_names_and_large_heads_have_no_shape() {
    let mut repeated = map(&[("a", "1")]);
    repeated.append("a", HeaderValue::from_static("2"));
    let many: HeaderMap = (0..=FIELDS).map(|number| (name(&format!("x-{number}")), NOTHING)).collect();
    let long: HeaderMap = [(name(&"x".repeat(OCTETS + 1)), NOTHING)].into_iter().collect();
    for received in [repeated, many, long] {
        assert!(second(&received, RULES).is_none(), "{} fields", received.len());
    }
}

fn name(name: &str) -> HeaderName {
    HeaderName::from_bytes(name.as_bytes()).unwrap()
}

#[test]
fn few_are_kept_and_those_used_last() {
    let shapes = Shapes::default();
    let first = map(&[("a", "1")]);
    for number in 0..100 {
        let received: HeaderMap = [(name(&"x".repeat(number + 2)), NOTHING)].into_iter().collect();
        assert!(shaped(&shapes, &received, RULES).is_none());
        assert!(shaped(&shapes, &received, RULES).is_some());
        assert_eq!(shaped(&shapes, &first, RULES).is_some(), number > 0, "{number}");
        assert!(shapes.known.borrow().len() <= KNOWN);
    }
}
