//! The fields a client receives with an upstream's response.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use portcullis_model::policy::ResponseRewrite;
use portcullis_model::{RoutePolicy, Settings};

use super::{hop, response_cookies, response_location, set_headers};

/// What we add to an upstream's fields, and what stays.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseFields<'s> {
    pub(super) settings: &'s Settings,
    /// Whether the response is that of a path over TLS, so that it carries HSTS.
    pub(super) hsts: bool,
    /// The policy of the route, where there is one.
    pub(super) policy: Option<&'s RoutePolicy>,
    /// Values of the templates of `add-headers`.
    pub(super) added: &'s [Option<HeaderValue>],
}

impl ResponseFields<'_> {
    /// What there is to do with the fields of an upstream.
    pub(super) fn found(self, headers: &HeaderMap) -> Found {
        Found::of(headers, &self.settings.hide_headers)
    }

    /// Turns the fields of an upstream, in which this was found, into those of the client.
    pub(super) fn apply(self, found: Found, headers: &mut HeaderMap) {
        if found.connection {
            if found.named {
                hop::remove_named(headers);
            }
            headers.remove(header::CONNECTION);
        }
        match found.length {
            Some(_) if found.coding => drop(headers.remove(header::CONTENT_LENGTH)),
            Some(Length::Doubtful) => collapse_lengths(headers),
            Some(Length::Number) | None => {}
        }
        // Ours, made when the response is written.
        if found.date {
            headers.remove(header::DATE);
        }
        if found.server && !self.settings.pass_server {
            headers.remove(header::SERVER);
        }
        if found.others {
            remove_unwanted(headers, &self.settings.hide_headers);
        }
        if let Some(change) = self.policy.and_then(|policy| policy.response.as_deref()) {
            rewrite(headers, change);
        }
        self.decorate(headers);
    }

    /// Adds what responses of all kinds carry.
    pub(super) fn decorate(self, headers: &mut HeaderMap) {
        if self.settings.server_tokens && !headers.contains_key(header::SERVER) {
            headers.insert(header::SERVER, HeaderValue::from_static(SERVER));
        }
        if let Some(hsts) = self.settings.hsts.as_ref().filter(|_| self.hsts) {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts.value().clone());
        }
        set_headers::set(headers, &self.settings.add_headers, self.added);
        if let Some(custom) = self.policy.and_then(|policy| policy.headers.response.as_deref()) {
            set_headers::set(headers, custom, &[]);
        }
    }
}

/// What a pass over the fields of an upstream comes upon.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    connection: bool,
    /// `Connection` names other fields than `Keep-Alive`.
    named: bool,
    /// `Transfer-Encoding`, which is among `others` too.
    coding: bool,
    length: Option<Length>,
    date: bool,
    server: bool,
    /// Other fields that are dropped.
    others: bool,
}

/// `Content-Length`.
#[derive(Clone, Copy, Debug)]
enum Length {
    /// One number.
    Number,
    /// Several lines, or something else.
    Doubtful,
}

impl Found {
    /// Whether there are fields that are dropped, beyond those of every response.
    pub(super) fn has_others(self) -> bool {
        self.others
    }

    fn of(headers: &HeaderMap, hidden: &[HeaderName]) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            // Length first: that is one jump, and leaves a comparison.
            match (name.as_str().len(), name.as_str()) {
                (4, "date") => found.date = true,
                (6, "server") => found.server = true,
                (10, "connection") => {
                    found.connection = true;
                    found.named |= hop::names_others(value);
                }
                (12, "content-type") if hidden.is_empty() => {}
                (14, "content-length") => {
                    let is_number = found.length.is_none() && is_number(value);
                    found.length = Some(if is_number { Length::Number } else { Length::Doubtful });
                    found.others |= is_unwanted(name, hidden);
                }
                (17, "transfer-encoding") => (found.coding, found.others) = (true, true),
                _ => found.others |= is_unwanted(name, hidden),
            }
        }
        found
    }
}

#[inline(never)]
fn remove_unwanted(headers: &mut HeaderMap, hidden: &[HeaderName]) {
    let unwanted: Vec<HeaderName> = headers.keys().filter(|name| is_unwanted(name, hidden)).cloned().collect();
    for name in unwanted {
        headers.remove(name);
    }
}

/// Whether a field is dropped, whoever sends it.
fn is_unwanted(name: &HeaderName, hidden: &[HeaderName]) -> bool {
    match name.as_str() {
        // Looked at one by one.
        "date" | "server" => false,
        // Instructions to nginx, of which it never lets any pass.
        "x-pad" => true,
        other => {
            other.strip_prefix("x-accel-").is_some_and(is_instruction)
                || hop::is_hop_by_hop(other)
                || hidden.contains(name)
        }
    }
}

fn is_instruction(of_accel: &str) -> bool {
    matches!(of_accel, "redirect" | "buffering" | "charset" | "expires" | "limit-rate")
}

/// Changes what an upstream says of its own names and paths.
#[inline(never)]
fn rewrite(headers: &mut HeaderMap, change: &ResponseRewrite) {
    let ResponseRewrite { cookie_domain, cookie_path, location } = change;
    response_cookies::rewrite(headers, cookie_domain.as_ref(), cookie_path.as_ref());
    if let Some(location) = location {
        response_location::rewrite(headers, location);
    }
}

/// Equal lengths are one (RFC 9110 section 8.6). Others say nothing of a response that has no body to measure: of those that
/// have, hyper has refused them before.
#[cold]
#[inline(never)]
fn collapse_lengths(headers: &mut HeaderMap) {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lengths.next().cloned() else { return };
    let agreed = lengths.all(|length| *length == first);
    if is_number(&first) && agreed {
        headers.insert(header::CONTENT_LENGTH, first);
    } else {
        headers.remove(header::CONTENT_LENGTH);
    }
}

fn is_number(length: &HeaderValue) -> bool {
    !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit)
}

/// `Server`, where `server-tokens` is on: what users of ingress-nginx look for comes first (RFC 9110 section 10.2.4).
const SERVER: &str = concat!("nginx (portcullis/", env!("CARGO_PKG_VERSION"), ")");

#[cfg(test)]
mod tests {
    #[test]
    fn lengths_are_one_number_or_none() {
        for (lengths, want) in [
            (&["3"][..], Some("3")),
            (&["3", "3"], Some("3")),
            (&["3", "5"], None),
            (&["abc"], None),
            (&["3, 3"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for length in lengths {
                headers.append(header::CONTENT_LENGTH, HeaderValue::from_static(length));
            }
            collapse_lengths(&mut headers);
            let got: Vec<_> = headers.get_all(header::CONTENT_LENGTH).iter().collect();
            assert_eq!(got, want.into_iter().collect::<Vec<_>>(), "{lengths:?}");
        }
    }

    use super::super::testing::parts;
    use super::*;

    fn applied(fields: &str, settings: &Settings, hsts: bool) -> HeaderMap {
        let mut headers = parts(&format!("GET / HTTP/1.1{fields}")).headers;
        let fields = ResponseFields { settings, hsts, policy: None, added: &[] };
        fields.apply(fields.found(&headers), &mut headers);
        headers
    }

    #[test]
    fn fields_between_us_and_the_upstream_are_dropped() {
        let fields = "\nConnection: X-Foo, keep-alive\nX-Foo: 1\nKeep-Alive: 5\nProxy-Connection: x\nTrailer: X\nDate: x\n\
                      Server: stock\nX-Accel-Buffering: no\nTransfer-Encoding: chunked\nContent-Length: 30\nUpgrade: x\nX-Kept: 1";
        let headers = applied(fields, &Settings::default(), false);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
        assert_eq!(applied("\nContent-Length: 5", &Settings::default(), false)["content-length"], "5");
    }

    #[test]
    fn server_is_ours_the_upstreams_or_nobodys() {
        for (tokens, pass, upstream, want) in [
            (false, false, "\nServer: stock", None),
            (false, true, "\nServer: stock", Some("stock")),
            (true, false, "\nServer: stock", Some(SERVER)),
            (true, true, "\nServer: stock", Some("stock")),
            (true, true, "", Some(SERVER)),
        ] {
            let settings = Settings { server_tokens: tokens, pass_server: pass, ..Settings::default() };
            let headers = applied(upstream, &settings, false);
            let got = headers.get(header::SERVER).map(|value| value.to_str().unwrap());
            assert_eq!(got, want, "{tokens} {pass} {upstream}");
        }
    }

    #[test]
    fn hsts_replaces_that_of_the_upstream_over_tls_only() {
        let own = "\nStrict-Transport-Security: max-age=1";
        for (hsts, want) in [(true, "max-age=31536000; includeSubDomains"), (false, "max-age=1")] {
            assert_eq!(applied(own, &Settings::default(), hsts)["strict-transport-security"], want);
        }
        let off = Settings { hsts: None, ..Settings::default() };
        assert!(applied("", &off, true).is_empty());
    }

    #[test]
    fn hidden_fields_are_dropped() {
        let settings = Settings { hide_headers: vec!["x-powered-by".parse().unwrap()], ..Settings::default() };
        let headers = applied("\nX-Powered-By: php\nX-Keep: 1", &settings, false);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-keep"]);
    }
}
