//! Which fields are kept out of the dynamic table of HPACK (RFC 7541).

use http::HeaderMap;

/// Marks the values that differ from message to message, so that HTTP/2 writes them as literals.
///
/// In the table none of them is ever found again: each only pushes out another that might have been, and makes the search
/// for the next of its name longer. The mark is that of values to be kept out of all tables on the way (section 7.1.3).
pub(crate) fn keep_out_of_table(headers: &mut HeaderMap) {
    for (name, value) in headers {
        if is_new_every_time(name.as_str()) {
            value.set_sensitive(true);
        }
    }
}

/// Names of request and trace ids, times and ranges; h2 itself sees to `:path`, `content-length`, cookies and the like.
pub(crate) fn is_new_every_time(name: &str) -> bool {
    // Length first: that is one jump, and leaves a comparison or two.
    match name.len() {
        2 => name == "b3",
        4 => name == "date",
        5 => name == "range",
        9 => name == "x-runtime",
        10 => name == "tracestate",
        11 => matches!(name, "traceparent" | "x-b3-spanid"),
        12 => matches!(name, "x-request-id" | "x-b3-traceid" | "grpc-timeout"),
        13 => matches!(name, "uber-trace-id" | "content-range" | "server-timing"),
        14 => name == "x-original-uri",
        15 => matches!(name, "x-amzn-trace-id" | "x-response-time" | "idempotency-key"),
        16 => name == "x-correlation-id",
        17 => name == "x-b3-parentspanid",
        18 => name == "x-datadog-trace-id",
        19 => name == "x-datadog-parent-id",
        21 => name == "x-cloud-trace-context",
        29 => name == "x-envoy-upstream-service-time",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const NEW: [&str; 23] = [
        "b3",
        "date",
        "range",
        "x-runtime",
        "tracestate",
        "traceparent",
        "x-b3-spanid",
        "x-request-id",
        "x-b3-traceid",
        "grpc-timeout",
        "uber-trace-id",
        "content-range",
        "server-timing",
        "x-original-uri",
        "x-amzn-trace-id",
        "x-response-time",
        "idempotency-key",
        "x-correlation-id",
        "x-b3-parentspanid",
        "x-datadog-trace-id",
        "x-datadog-parent-id",
        "x-cloud-trace-context",
        "x-envoy-upstream-service-time",
    ];
    const SAME: [&str; 7] =
        ["accept", "content-type", "x-real-ip", "x-request-ix", "x-scheme", "user-agent", "grpc-status"];

    #[test]
    fn values_that_are_never_the_same_again_are_marked_and_others_are_not() {
        let mut headers = HeaderMap::new();
        for name in NEW.into_iter().chain(SAME) {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("1"));
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("2"));
        }
        keep_out_of_table(&mut headers);
        for (name, value) in &headers {
            assert_eq!(value.is_sensitive(), NEW.contains(&name.as_str()), "{name}");
        }
        assert_eq!(headers.len(), 2 * (NEW.len() + SAME.len()));
    }
}
