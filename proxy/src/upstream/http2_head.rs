//! Request heads, from HTTP/1.1 to HTTP/2.

use std::cell::RefCell;

use http::header::{CONNECTION, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Uri, header, uri};
use http_body::Body;

use crate::body::RequestBody;
use crate::hpack;

/// Which host requests on a connection were for last: usually the next is for the same.
#[derive(Debug, Default)]
pub(super) struct Origins(RefCell<Option<Authority>>);

impl Origins {
    /// `Host` becomes `:authority` (RFC 9113 section 8.3.1). None where it is none.
    pub(super) fn uri(&self, host: &HeaderValue, tls: bool, target: PathAndQuery) -> Option<Uri> {
        let mut parts = uri::Parts::default();
        parts.scheme = Some(if tls { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(self.authority(host.as_bytes())?);
        parts.path_and_query = Some(target);
        Uri::from_parts(parts).ok()
    }

    fn authority(&self, host: &[u8]) -> Option<Authority> {
        // Nobody said which (HTTP/1.0): nginx then takes the name of the server.
        let host = if host.is_empty() { b"_" } else { host };
        let mut last = self.0.borrow_mut();
        match &*last {
            Some(authority) if authority.as_str().as_bytes() == host => Some(authority.clone()),
            _ => Some(last.insert(Authority::try_from(host).ok()?).clone()),
        }
    }
}

/// From the fields of a request as HTTP/1.1 writes them to those of HTTP/2, and what was `Host`. gRPC wants to hear that
/// trailers are understood. None where there is no host.
pub(super) fn translated(mut headers: HeaderMap, first: bool) -> Option<(HeaderMap, HeaderValue)> {
    let host = headers.remove(HOST)?;
    strip(&mut headers);
    headers.insert(TE, HeaderValue::from_static("trailers"));
    // With the first of a connection the names come into the table, and are known with the next.
    if !first {
        hpack::keep_out_of_table(&mut headers);
    }
    Some((headers, host))
}

/// Says how long the body is, where that is known and was not said.
pub(super) fn put_length(headers: &mut HeaderMap, method: &Method, body: &RequestBody) {
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0 || expects_body(method)) {
        headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
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

    fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_host_becomes_the_authority() {
        let origins = Origins::default();
        for (target, host, tls, want) in [
            ("/a.S/M?x=1", "a.example", false, Some("http://a.example/a.S/M?x=1")),
            ("/", "a.example", false, Some("http://a.example/")),
            ("/", "a.example:8443", true, Some("https://a.example:8443/")),
            ("/", "[::1]", false, Some("http://[::1]/")),
            ("/", "", false, Some("http://_/")),
            ("/", "a b", false, None),
            ("/", "A.example", false, Some("http://A.example/")),
            ("/", "a.example", false, Some("http://a.example/")),
        ] {
            let uri = origins.uri(&HeaderValue::from_static(host), tls, PathAndQuery::from_static(target));
            assert_eq!(uri.map(|uri| uri.to_string()).as_deref(), want, "{host:?}");
        }
    }

    #[test]
    fn the_host_is_taken_out_of_the_fields() {
        let (left, host) = translated(fields(&[("host", "a.example")]), false).unwrap();
        assert_eq!((left, host), (fields(&[("te", "trailers")]), HeaderValue::from_static("a.example")));
        assert!(translated(HeaderMap::new(), false).is_none());
    }

    #[test]
    fn fields_of_a_connection_are_left_out_with_those_they_name() {
        let received = [
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
        let (headers, _) = translated(fields(&received), false).unwrap();
        let mut kept: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        kept.sort_unstable();
        assert_eq!(kept, [("te", &b"trailers"[..]), ("upgrades", b"1"), ("x-kept", b"1")]);
    }

    #[test]
    fn what_is_new_in_every_request_stays_out_of_the_table_of_hpack() {
        let received = [("host", "a"), ("x-request-id", "1"), ("x-real-ip", "1.2.3.4")];
        for first in [false, true] {
            let (headers, _) = translated(fields(&received), first).unwrap();
            for (name, is_kept_out) in [("x-request-id", !first), ("x-real-ip", false), ("te", false)] {
                assert_eq!(headers[name].is_sensitive(), is_kept_out, "{name}");
            }
        }
    }

    #[test]
    fn an_empty_body_has_a_length_where_one_is_expected() {
        for (method, want) in [(Method::POST, Some("0")), (Method::PUT, Some("0")), (Method::GET, None)] {
            let mut headers = HeaderMap::new();
            put_length(&mut headers, &method, &RequestBody::Empty);
            let length = headers.get("content-length").map(|value| value.to_str().unwrap());
            assert_eq!(length, want, "{method}");
        }
    }
}
