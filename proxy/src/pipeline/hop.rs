//! Fields that concern one connection only and are never passed on (RFC 9110 section 7.6.1).

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::names::Meaning;

/// Whether a field of this name is never passed on, in either direction.
pub(super) fn is_hop_by_hop(name: &str) -> bool {
    Meaning::is_name_hop_by_hop(name)
}

/// Whether a line of `Connection` names other fields than `Keep-Alive`, which is dropped anyway.
pub(super) fn names_others(connection: &HeaderValue) -> bool {
    let names = connection.as_bytes();
    names != b"keep-alive" && !names.eq_ignore_ascii_case(b"keep-alive")
}

/// Removes the fields that `Connection` names, on all its lines, but for those that keep their meaning whoever names them.
#[cold]
#[inline(never)]
pub(super) fn remove_named(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = tokens(headers)
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| !is_protected(name.as_str()))
        .collect();
    for name in named {
        headers.remove(name);
    }
}

/// Whether `Connection` has `token` on any of its lines.
pub(super) fn connection_has(headers: &HeaderMap, token: &str) -> bool {
    tokens(headers).any(|other| other.eq_ignore_ascii_case(token.as_bytes()))
}

fn tokens(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(header::CONNECTION).iter();
    lines.flat_map(|line| line.as_bytes().split(|octet| *octet == b',')).map(<[u8]>::trim_ascii)
}

/// Fields whose removal would change who the request is for, who sent it, or where it ends.
fn is_protected(name: &str) -> bool {
    matches!(
        name,
        "host"
            | "content-length"
            | "transfer-encoding"
            | "forwarded"
            | "x-real-ip"
            | "authorization"
            | "cookie"
            | "x-request-id"
            | "traceparent"
            | "tracestate"
    ) || name.starts_with("x-forwarded-")
}

#[cfg(test)]
mod tests {
    use super::super::testing::parts;
    use super::*;

    #[test]
    fn named_fields_go_but_not_those_that_carry_meaning() {
        let fields = "\nConnection: keep-alive, X-Secret\nConnection: X-Other,Content-Length , cookie, bad name\n\
                      X-Secret: 1\nX-Other: 2\nContent-Length: 5\nCookie: c\nX-Kept: 3";
        let mut headers = parts(&format!("GET / HTTP/1.1\nHost: a{fields}")).headers;
        assert!(connection_has(&headers, "x-other") && !connection_has(&headers, "x"));
        remove_named(&mut headers);
        for (name, want) in [
            ("x-secret", false),
            ("x-other", false),
            ("content-length", true),
            ("cookie", true),
            ("x-kept", true),
            ("host", true),
        ] {
            assert_eq!(headers.contains_key(name), want, "{name}");
        }
    }
}
