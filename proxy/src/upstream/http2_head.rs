//! Request heads, from HTTP/1.1 to HTTP/2.

use http::header::{CONNECTION, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header};
use http_body::Body;

use crate::body::RequestBody;
use crate::hpack;

/// From a request as HTTP/1.1 writes it to one of HTTP/2 (RFC 9113 section 8.3.1), and its body: `Host` becomes `:authority`.
/// gRPC wants to hear that trailers are understood. None where the host is none.
pub(super) fn translated(request: Request<RequestBody>, tls: bool) -> Option<(Request<()>, RequestBody)> {
    let (mut head, body) = request.into_parts();
    let headers = &mut head.headers;
    let host = headers.remove(HOST)?;
    // Nobody said which (HTTP/1.0): nginx then takes the name of the server.
    let host = if host.is_empty() { HeaderValue::from_static("_") } else { host };
    let mut parts = head.uri.into_parts();
    parts.scheme = Some(if tls { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(Authority::try_from(host.as_bytes()).ok()?);
    head.uri = Uri::from_parts(parts).ok()?;
    head.version = Version::HTTP_2;
    strip(headers);
    headers.insert(TE, HeaderValue::from_static("trailers"));
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0 || expects_body(&head.method)) {
        headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    hpack::keep_out_of_table(headers);
    Some((Request::from_parts(head, ()), body))
}

/// Methods whose requests have a body, so that one without says that it is empty (RFC 9110 section 8.6).
fn expects_body(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::CONNECT)
}

/// Removes what HTTP/2 has no use for (RFC 9113 section 8.2.2): the pipeline has seen to what clients send, but not to what
/// the configuration adds.
fn strip(headers: &mut HeaderMap) {
    if headers.keys().any(is_of_connection) {
        strip_found(headers);
    }
}

fn is_of_connection(name: &HeaderName) -> bool {
    // Length first: that is one jump, and leaves a comparison.
    match name.as_str().len() {
        7 => *name == UPGRADE,
        10 => *name == CONNECTION || name.as_str() == "keep-alive",
        16 => name.as_str() == "proxy-connection",
        17 => *name == TRANSFER_ENCODING,
        _ => false,
    }
}

#[cold]
#[inline(never)]
fn strip_found(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|octet| *octet == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    let unwanted: Vec<HeaderName> = headers.keys().filter(|name| is_of_connection(name)).cloned().collect();
    for name in named.into_iter().chain(unwanted) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, fields: &[(&'static str, &'static str)]) -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::Empty);
        *request.uri_mut() = target.parse().unwrap();
        for (name, value) in fields {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        request
    }

    #[test]
    fn the_host_becomes_the_authority() {
        for (target, host, tls, want) in [
            ("/a.S/M?x=1", "a.example", false, Some("http://a.example/a.S/M?x=1")),
            ("/", "a.example:8443", true, Some("https://a.example:8443/")),
            ("/", "[::1]", false, Some("http://[::1]/")),
            ("/", "", false, Some("http://_/")),
            ("/", "a b", false, None),
        ] {
            let request = translated(request(target, &[("host", host)]), tls).map(|(head, _)| head);
            assert_eq!(request.as_ref().map(|request| request.uri().to_string()).as_deref(), want, "{host:?}");
            let fields = request.map(|request| (request.headers().len(), request.headers()["te"].clone()));
            assert_eq!(fields, want.map(|_| (1, HeaderValue::from_static("trailers"))));
        }
        assert!(translated(request("/", &[]), false).is_none());
    }

    #[test]
    fn fields_of_a_connection_are_left_out_with_those_they_name() {
        let fields = [
            ("host", "a"),
            ("connection", "x-named, Other"),
            ("connection", "third,"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("x-named", "1"),
            ("other", "1"),
            ("third", "1"),
            ("te", "gzip"),
            ("x-kept", "1"),
            ("upgrades", "1"),
        ];
        let (head, _) = translated(request("/", &fields), false).unwrap();
        let mut kept: Vec<_> = head.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        kept.sort_unstable();
        assert_eq!(kept, [("te", &b"trailers"[..]), ("upgrades", b"1"), ("x-kept", b"1")]);
    }

    #[test]
    fn what_is_new_in_every_request_stays_out_of_the_table_of_hpack() {
        let fields = [("host", "a"), ("x-request-id", "1"), ("x-real-ip", "1.2.3.4")];
        let (head, _) = translated(request("/", &fields), false).unwrap();
        for (name, is_kept_out) in [("x-request-id", true), ("x-real-ip", false), ("te", false)] {
            assert_eq!(head.headers()[name].is_sensitive(), is_kept_out, "{name}");
        }
    }

    #[test]
    fn an_empty_body_has_a_length_where_one_is_expected() {
        for (method, want) in [(Method::POST, Some("0")), (Method::PUT, Some("0")), (Method::GET, None)] {
            let mut request = request("/", &[("host", "a")]);
            *request.method_mut() = method;
            let (head, _) = translated(request, false).unwrap();
            let length = head.headers().get("content-length").map(|value| value.to_str().unwrap());
            assert_eq!((length, head.version()), (want, Version::HTTP_2), "{}", head.method());
        }
    }
}
