//! Fields that come after a body (RFC 9110 section 6.5).

use http::{HeaderMap, HeaderName};

/// What of received trailers may be passed on: nothing that would mean something in a head, since whoever receives it may merge
/// the two (RFC 9110 section 6.5.1).
pub(crate) fn admitted(mut trailers: HeaderMap) -> HeaderMap {
    if !trailers.keys().all(|name| is_admitted(name.as_str())) {
        remove_refused(&mut trailers);
    }
    trailers
}

#[cold]
#[inline(never)]
fn remove_refused(trailers: &mut HeaderMap) {
    let refused: Vec<HeaderName> = trailers.keys().filter(|name| !is_admitted(name.as_str())).cloned().collect();
    for name in refused {
        trailers.remove(name);
    }
}

fn is_admitted(name: &str) -> bool {
    if name.starts_with("grpc-") {
        return true;
    }
    // Some servers take `_` for `-`.
    if name.contains('_') { !means_something(&name.replace('_', "-")) } else { !means_something(name) }
}

fn means_something(name: &str) -> bool {
    let refused = matches!(
        name,
        // Framing and what an upgrade is made of
        "content-length" | "transfer-encoding" | "te" | "trailer" | "connection" | "keep-alive" | "proxy-connection" | "upgrade"
            | "http2-settings" | "content-encoding" | "content-type" | "content-range"
            // Routing and request modifiers
            | "host" | "expect" | "range" | "max-forwards" | "cache-control" | "age" | "date" | "expires" | "location"
            | "retry-after" | "vary" | "warning" | "pragma" | "refresh"
            // Credentials
            | "authorization" | "proxy-authorization" | "proxy-authenticate" | "www-authenticate" | "authentication-info"
            | "proxy-authentication-info" | "cookie" | "set-cookie" | "proxy"
            // Who asks
            | "forwarded" | "x-real-ip" | "x-scheme" | "x-request-id" | "traceparent" | "tracestate"
    );
    refused || ["x-forwarded-", "x-original-", "x-accel-", "ssl-client-"].iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_means_something_in_a_head_is_no_trailer() {
        let mut trailers = HeaderMap::new();
        for name in [
            "grpc-status",
            "grpc-message",
            "x-checksum",
            "content-length",
            "content_length",
            "host",
            "connection",
            "authorization",
            "cookie",
            "set-cookie",
            "x-forwarded-for",
            "x_forwarded_for",
            "forwarded",
            "te",
            "trailer",
            "transfer-encoding",
        ] {
            trailers.append(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        trailers.append("host", HeaderValue::from_static("2"));
        let kept = admitted(trailers);
        assert_eq!(
            kept.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
            ["grpc-status", "grpc-message", "x-checksum"]
        );
    }
}
