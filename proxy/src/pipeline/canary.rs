//! Whether a request goes to the canary: by its session, else by header, else by cookie, else by weight.

use http::HeaderMap;
use portcullis_model::PatternCache;
use portcullis_model::policy::{Canary, CanaryHeader};

use super::session;
use super::variables::{cookie, push_field};
use crate::table::CompiledRoute;

/// Which of the two upstreams of a route the request has a session with; none where it has none. The primary is asked first.
pub(crate) fn by_session(route: &CompiledRoute, headers: &HeaderMap) -> Option<bool> {
    let with_primary =
        || session::is_with(route.upstream.as_ref()?, route.balance.as_deref(), headers).then_some(false);
    let with_canary =
        || session::is_with(route.canary.as_ref()?, route.canary_balance.as_deref(), headers).then_some(true);
    with_primary().or_else(with_canary)
}

/// Decides. `draw(total)` gives a random number from 1 to `total`.
pub(super) fn is_chosen(
    canary: &Canary,
    headers: &HeaderMap,
    patterns: &mut PatternCache,
    draw: &mut dyn FnMut(u32) -> u32,
) -> bool {
    let Canary { cluster: _, header, cookie: by_cookie, weight, total } = canary;
    let by_header = header.as_ref().and_then(|(name, wanted)| by_header(name.0.as_str(), wanted, headers, patterns));
    by_header
        .or_else(|| by_cookie.as_ref().and_then(|name| always_or_never(cookie(headers, name)?)))
        .unwrap_or_else(|| *weight > 0 && draw(*total) <= *weight)
}

/// What the header says; nothing where it is not there or says something else.
fn by_header(name: &str, wanted: &CanaryHeader, headers: &HeaderMap, patterns: &mut PatternCache) -> Option<bool> {
    let mut value = Vec::new();
    if !push_field(headers, name, &mut value) {
        return None;
    }
    match wanted {
        CanaryHeader::AlwaysOrNever => always_or_never(&value),
        CanaryHeader::Value(wanted) => (value == wanted.as_bytes()).then_some(true),
        CanaryHeader::Pattern(pattern) => pattern.is_match(&value, patterns).then_some(true),
        CanaryHeader::Unusable => Some(false),
    }
}

fn always_or_never(value: &[u8]) -> Option<bool> {
    match value {
        b"always" => Some(true),
        b"never" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use portcullis_model::policy::CanaryHeaderName;
    use portcullis_model::{ClusterId, Pattern, PatternSyntax};

    use super::super::testing::parts;
    use super::*;

    fn canary(header: Option<CanaryHeader>, cookie: Option<&str>, weight: u32) -> Canary {
        Canary {
            cluster: ClusterId { namespace: "n".into(), service: "s".into(), port: "80".into() },
            header: header.map(|header| (CanaryHeaderName("x-canary".parse().unwrap()), header)),
            cookie: cookie.map(Into::into),
            weight,
            total: 100,
        }
    }

    fn chosen(canary: &Canary, fields: &str, drawn: u32) -> bool {
        let parts = parts(&format!("GET / HTTP/1.1\nHost: a{fields}"));
        is_chosen(canary, &parts.headers, &mut PatternCache::default(), &mut |_| drawn)
    }

    #[test]
    fn header_then_cookie_then_weight_decide() {
        let words = Some(CanaryHeader::AlwaysOrNever);
        for (header, fields, drawn, want) in [
            (&words, "\nX-Canary: always\nCookie: c=never", 100, true),
            (&words, "\nX-Canary: never\nCookie: c=always", 1, false),
            (&words, "\nX-Canary: Always\nCookie: c=always", 100, true),
            (&words, "\nCookie: c=always", 100, true),
            (&words, "\nCookie: c=never", 1, false),
            (&words, "\nCookie: c=other", 30, true),
            (&words, "\nCookie: c=other", 31, false),
            (&None, "\nX-Canary: always", 31, false),
        ] {
            assert_eq!(chosen(&canary(header.clone(), Some("c"), 30), fields, drawn), want, "{fields} {drawn}");
        }
    }

    #[test]
    fn with_a_pattern_that_cannot_be_used_the_header_keeps_requests_on_the_primary() {
        let canary = canary(Some(CanaryHeader::Unusable), Some("c"), 100);
        for (fields, want) in [
            ("\nX-Canary: always\nCookie: c=always", false),
            ("\nX-Canary: ", false),
            ("\nCookie: c=always", true),
            ("\nCookie: c=never", false),
            ("", true),
        ] {
            assert_eq!(chosen(&canary, fields, 1), want, "{fields}");
        }
    }

    #[test]
    fn with_a_value_or_pattern_the_words_mean_nothing() {
        let value = canary(Some(CanaryHeader::Value("me".into())), None, 0);
        let pattern = Pattern::new("^[A-Z]o.*y$", PatternSyntax::HEADER).unwrap();
        let pattern = canary(Some(CanaryHeader::Pattern(Arc::new(pattern))), None, 0);
        for (canary, fields, want) in [
            (&value, "\nX-Canary: me", true),
            (&value, "\nX-Canary: ME", false),
            (&value, "\nX-Canary: always", false),
            (&value, "\nX-Canary: me\nX-Canary: me", false),
            (&pattern, "\nX-Canary: DoCanary", true),
            (&pattern, "\nX-Canary: docanary", false),
            (&pattern, "\nX-Canary: always", false),
        ] {
            assert_eq!(chosen(canary, fields, 1), want, "{fields}");
        }
    }
}
