//! The cookie of a session: read from requests, and given to clients that have none.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use portcullis_model::{Affinity, ClusterPolicy, SameSite, SessionCookie};

use super::variables::cookie;
use crate::upstream::Upstream;

/// What a session cookie says: the key of an endpoint, and of which upstream (ingress-nginx: `KEY|BACKENDKEY`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct SessionKey<'h> {
    pub(super) endpoint: &'h [u8],
    pub(super) upstream: Option<&'h [u8]>,
}

impl<'h> SessionKey<'h> {
    pub(super) fn read(headers: &'h HeaderMap, name: &str) -> Option<Self> {
        let mut parts = cookie(headers, name)?.split(|octet| *octet == b'|').filter(|part| !part.is_empty());
        Some(Self { endpoint: parts.next()?, upstream: parts.next() })
    }
}

/// Whether the request belongs to a session with this upstream.
pub(super) fn is_with(upstream: &Upstream, policy: Option<&ClusterPolicy>, headers: &HeaderMap) -> bool {
    let Some(affinity) = policy.and_then(|policy| policy.affinity.as_ref()) else { return false };
    let key = SessionKey::read(headers, &affinity.cookie.name);
    key.and_then(|key| key.upstream).is_some_and(|named| named == upstream.backend_key())
}

/// What a new cookie depends on beside its settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'g> {
    /// The key of the endpoint.
    pub(super) key: &'g str,
    /// The key of the upstream.
    pub(super) backend_key: &'g [u8],
    /// The path of the rule.
    pub(super) rule_path: &'g str,
    /// Whether the client uses TLS.
    pub(super) tls: bool,
    /// Whether the client misreads `SameSite=None`.
    pub(super) misreads_none: bool,
    /// Since 1970.
    pub(super) now: i64,
}

/// The value of `Set-Cookie`. None where the settings do not make one, which their checks prevent.
pub(super) fn set_cookie(affinity: &Affinity, given: Given<'_>) -> Option<HeaderValue> {
    let SessionCookie { name, path, domain, expires, max_age, secure, same_site, conditional_same_site_none } =
        &affinity.cookie;
    let mut text = format!("{name}={}|{}", given.key, String::from_utf8_lossy(given.backend_key));
    // Writing into memory cannot fail; the order is that of ingress-nginx.
    if let Some(seconds) = expires {
        write!(text, "; Expires={}", cookie_time(given.now.saturating_add(*seconds))).ok()?;
    }
    if let Some(seconds) = max_age {
        write!(text, "; Max-Age={seconds}").ok()?;
    }
    if let Some(domain) = domain {
        write!(text, "; Domain={domain}").ok()?;
    }
    // A path of a rule may hold what would end the attribute; the client then takes the path of the request.
    let path = path.as_deref().or(Some(given.rule_path)).filter(|path| !path.contains(';'));
    if let Some(path) = path {
        write!(text, "; Path={path}").ok()?;
    }
    if *secure || given.tls {
        text.push_str("; Secure");
    }
    text.push_str("; HttpOnly");
    let left_out = *conditional_same_site_none && given.misreads_none;
    if let Some(same_site) = same_site.filter(|same_site| *same_site != SameSite::None || !left_out) {
        write!(text, "; SameSite={}", same_site.name()).ok()?;
    }
    HeaderValue::from_bytes(text.as_bytes()).ok()
}

/// Seconds since 1970, now.
pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// Whether a client is known to refuse cookies with `SameSite=None` (ingress-nginx, after Chromium's list).
pub(super) fn misreads_none(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    let has = |part: &str| agent.as_deref().is_some_and(|agent| agent.contains(part));
    let early = ["Chrome/4", "Chrome/5", "Chrome/6", "CPU iPhone OS 12", "iPad; CPU OS 12"];
    let safari = has("Macintosh") && has("Intel Mac OS X 10_14") && has("Safari") && !has("Chrome");
    early.into_iter().any(has) || safari
}

/// `Thu, 18-Nov-10 11:27:35 GMT`, with four digits of the year after 2037 (nginx: `ngx_http_cookie_time`).
fn cookie_time(seconds: i64) -> String {
    let bounded = seconds.clamp(0, LATEST);
    let time = Timestamp::from_second(bounded).unwrap_or_default();
    let year = if bounded > LAST_OF_2037 { "%Y" } else { "%y" };
    time.strftime(&format!("%a, %d-%b-{year} %H:%M:%S GMT")).to_string()
}

/// The last second of 2037.
const LAST_OF_2037: i64 = 2_145_916_799;
/// The last second that jiff knows, in which years still have four digits.
const LATEST: i64 = 253_402_207_199;

#[cfg(test)]
mod tests {
    use super::super::testing::parts;
    use super::*;

    fn given(key: &str) -> Given<'_> {
        Given { key, backend_key: b"b", rule_path: "/rule", tls: false, misreads_none: false, now: 1_290_079_655 }
    }

    fn cookie_of(change: impl FnOnce(&mut SessionCookie), given: Given<'_>) -> String {
        let mut affinity = Affinity::default();
        change(&mut affinity.cookie);
        set_cookie(&affinity, given).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn a_cookie_is_split_at_its_bars() {
        for (fields, want) in [
            ("Cookie: s=key|back", Some(("key", Some("back")))),
            ("Cookie: a=b; s=key|back|more", Some(("key", Some("back")))),
            ("Cookie: s=key", Some(("key", None))),
            ("Cookie: s=|back", Some(("back", None))),
            ("Cookie: s=", None),
            ("Cookie: s=|", None),
            ("Cookie: ss=key|back", None),
            ("X: y", None),
        ] {
            let parts = parts(&format!("GET / HTTP/1.1\n{fields}"));
            let got = SessionKey::read(&parts.headers, "s");
            let want =
                want.map(|(key, back)| SessionKey { endpoint: key.as_bytes(), upstream: back.map(str::as_bytes) });
            assert_eq!(got, want, "{fields}");
        }
    }

    #[test]
    fn attributes_have_the_order_of_ingress_nginx() {
        assert_eq!(cookie_of(|_| {}, given("k")), "INGRESSCOOKIE=k|b; Path=/rule; HttpOnly");
        let all = |cookie: &mut SessionCookie| {
            *cookie = SessionCookie {
                name: "s".into(),
                path: Some("/p".into()),
                domain: Some("a.example".into()),
                expires: Some(172_800),
                max_age: Some(-1),
                secure: true,
                same_site: Some(SameSite::Lax),
                conditional_same_site_none: false,
            };
        };
        assert_eq!(
            cookie_of(all, given("k")),
            "s=k|b; Expires=Sat, 20-Nov-10 11:27:35 GMT; Max-Age=-1; Domain=a.example; Path=/p; Secure; HttpOnly; SameSite=Lax"
        );
    }

    #[test]
    fn over_tls_the_cookie_is_secure_whatever_is_asked_for() {
        for (secure, tls, want) in [(false, false, false), (true, false, true), (false, true, true), (true, true, true)]
        {
            let got = cookie_of(|cookie| cookie.secure = secure, Given { tls, ..given("k") });
            assert_eq!(got.contains("; Secure;"), want, "{secure} {tls}");
        }
    }

    #[test]
    fn old_clients_are_spared_same_site_none_and_nothing_else() {
        for (same_site, conditional, old, want) in [
            (SameSite::None, true, true, false),
            (SameSite::None, true, false, true),
            (SameSite::None, false, true, true),
            (SameSite::Lax, true, true, true),
        ] {
            let change = |cookie: &mut SessionCookie| {
                cookie.same_site = Some(same_site);
                cookie.conditional_same_site_none = conditional;
            };
            let got = cookie_of(change, Given { misreads_none: old, ..given("k") });
            assert_eq!(got.contains("SameSite"), want, "{same_site:?} {conditional} {old}");
        }
        for (agent, want) in [
            ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/51.0 Safari/537.36", true),
            ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/80.0 Safari/537.36", false),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 12_4 like Mac OS X)", true),
            ("Mozilla/5.0 (iPad; CPU OS 12_2 like Mac OS X)", true),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 13_0 like Mac OS X)", false),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_6) Version/12.1 Safari/605.1", true),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_6) Chrome/80.0 Safari/537.36", false),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) Version/13 Safari/605.1", false),
        ] {
            let parts = parts(&format!("GET / HTTP/1.1\nUser-Agent: {agent}"));
            assert_eq!(misreads_none(&parts.headers), want, "{agent}");
        }
        assert!(!misreads_none(&parts("GET / HTTP/1.1").headers));
    }

    #[test]
    fn a_path_that_would_end_its_attribute_is_left_out() {
        let got = cookie_of(|_| {}, Given { rule_path: "/a;Domain=x", ..given("k") });
        assert_eq!(got, "INGRESSCOOKIE=k|b; HttpOnly");
    }

    #[test]
    fn years_after_2037_have_four_digits() {
        for (seconds, want) in [
            (0, "Thu, 01-Jan-70 00:00:00 GMT"),
            (-5, "Thu, 01-Jan-70 00:00:00 GMT"),
            (LAST_OF_2037, "Thu, 31-Dec-37 23:59:59 GMT"),
            (LAST_OF_2037 + 1, "Fri, 01-Jan-2038 00:00:00 GMT"),
            (i64::MAX, "Thu, 30-Dec-9999 21:59:59 GMT"),
        ] {
            assert_eq!(cookie_time(seconds), want, "{seconds}");
        }
    }
}
