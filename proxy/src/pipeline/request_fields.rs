//! The fields an upstream receives: what the client sent, without what is not its to send, and with what is ours.

use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use portcullis_model::{HeaderNameRules, Settings};

use super::decide::{Destination, Forward};
use super::head::{
    ConnectionFacts, Reading, RequestHead, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO,
};
use super::hop;
use crate::random::Random;
use crate::table::CompiledRoute;

/// How the body of the request is framed for the next hop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Framing {
    /// By `Content-Length` as received, or there is no body.
    AsReceived,
    /// Chunked: the length is not known, or not believed.
    Chunked,
}

/// The fields we write, worked out while the head can still be looked at.
pub(super) struct RequestFields {
    /// `X-Request-ID`, for the log too.
    pub(super) request_id: Option<HeaderValue>,
    host: HeaderValue,
    forwarded_host: HeaderValue,
    client: HeaderValue,
    forwarded_for: HeaderValue,
    port: HeaderValue,
    scheme: HeaderValue,
    original_for: Option<HeaderValue>,
    original_host: Option<HeaderValue>,
    original_uri: Option<HeaderValue>,
    prefix: Option<HeaderValue>,
    fallback: Option<Vec<(HeaderName, HeaderValue)>>,
    names: HeaderNameRules,
    trusted: bool,
    join_cookies: bool,
}

/// Texts that are the same for all requests of a connection.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionTexts {
    /// The address of the peer.
    peer: HeaderValue,
    /// The port of the listener; that of HTTPS is known to clients as 443.
    port: HeaderValue,
}

impl ConnectionTexts {
    pub(crate) fn new(facts: &ConnectionFacts) -> Self {
        let port = if facts.tls { HeaderValue::from_static("443") } else { HeaderValue::from(facts.port) };
        Self { peer: value(&facts.peer.ip().to_canonical().to_string()), port }
    }
}

/// `Host` cannot be what a template made of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct InvalidHostField;

impl RequestFields {
    /// `nginx-routing`: forwarded headers.
    pub(super) fn new(
        head: &RequestHead<'_>,
        reading: &Reading<'_>,
        forward: &Forward,
        route: Option<&CompiledRoute>,
        settings: &Settings,
        (texts, random): (&ConnectionTexts, &Random),
    ) -> Result<Self, InvalidHostField> {
        let trust = &settings.forwarded;
        let forwarded_host = head.forwarded_host().map_or_else(|| own_host(head, reading), value);
        let host = match &forward.host {
            Some(host) => HeaderValue::from_str(host).map_err(|_| InvalidHostField)?,
            None => forwarded_host.clone(),
        };
        let is_peer = head.peer.client == head.peer.socket;
        let client = if is_peer { texts.peer.clone() } else { value(&head.peer.client.to_string()) };
        Ok(Self {
            request_id: request_id(head, settings.request_id, random),
            host,
            forwarded_host,
            forwarded_for: if trust.fields && trust.append { appended(head) } else { client.clone() },
            client,
            port: head.forwarded_port().map_or_else(|| texts.port.clone(), value),
            scheme: match head.scheme() {
                "http" => HeaderValue::from_static("http"),
                "https" => HeaderValue::from_static("https"),
                other => value(other),
            },
            original_for: joined(head.headers, &trust.address_header),
            original_host: joined(head.headers, &trust.host_header),
            original_uri: settings.original_uri.then(|| value(head.target())),
            prefix: forward.forwarded_prefix.as_deref().map(value),
            fallback: (forward.to == Destination::Fallback).then(|| fallback_fields(head, route)),
            names: settings.header_names,
            trusted: head.trusted,
            join_cookies: head.version == Version::HTTP_2,
        })
    }

    /// Turns the fields of the client into those of the upstream.
    pub(super) fn apply(self, headers: &mut HeaderMap, framing: Framing, websocket: bool) {
        hop::remove_named(headers);
        self.remove_unwanted(headers);
        if self.join_cookies {
            join_cookies(headers);
        }
        headers.reserve(12);
        headers.insert(header::HOST, self.host);
        if let Some(request_id) = self.request_id {
            headers.insert(&X_REQUEST_ID, request_id);
        }
        headers.insert(&X_REAL_IP, self.client);
        headers.insert(&X_FORWARDED_FOR, self.forwarded_for);
        headers.insert(&X_FORWARDED_HOST, self.forwarded_host);
        headers.insert(&X_FORWARDED_PORT, self.port);
        headers.insert(&X_FORWARDED_PROTO, self.scheme.clone());
        headers.insert(&X_FORWARDED_SCHEME, self.scheme.clone());
        headers.insert(&X_SCHEME, self.scheme);
        for (name, value) in [
            (&X_ORIGINAL_FORWARDED_FOR, self.original_for),
            (&X_ORIGINAL_FORWARDED_HOST, self.original_host),
            (&X_ORIGINAL_URI, self.original_uri),
            (&X_FORWARDED_PREFIX, self.prefix),
        ] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        for (name, value) in self.fallback.into_iter().flatten() {
            headers.insert(name, value);
        }
        if websocket {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        match framing {
            Framing::AsReceived => keep_one(headers, &header::CONTENT_LENGTH),
            Framing::Chunked => {
                headers.remove(header::CONTENT_LENGTH);
                headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
    }

    fn remove_unwanted(&self, headers: &mut HeaderMap) {
        let unwanted = |name: &&HeaderName| !self.names.admit(name) || self.is_unwanted(name.as_str());
        // Usually nothing: an empty list allocates nothing.
        let mut found: Vec<HeaderName> = headers.keys().filter(unwanted).cloned().collect();
        if headers.get(&TRACEPARENT).is_some_and(|value| !is_traceparent(value.as_bytes())) {
            found.extend([TRACEPARENT.clone(), TRACESTATE.clone()]);
        }
        for name in found {
            headers.remove(name);
        }
    }

    fn is_unwanted(&self, name: &str) -> bool {
        match name {
            "expect" | "forwarded" | "x-forwarded-client-cert" => true,
            // Ours alone: an application may believe them.
            "x-original-forwarded-for" | "x-original-forwarded-host" => true,
            // Another path or method than the one that was decided on.
            "x-original-url" | "x-rewrite-url" | "x-original-method" | "x-http-method-override" => !self.trusted,
            _ => {
                hop::is_hop_by_hop(name)
                    || name.starts_with("ssl-client-")
                    || (name.contains('_') && is_ours(&name.replace('_', "-")))
            }
        }
    }
}

/// Whether we write a field of this name, or remove it: then its twin with `_` would be taken for it by CGI-like backends.
fn is_ours(name: &str) -> bool {
    matches!(name, "host" | "x-real-ip" | "x-scheme" | "x-request-id" | "content-length")
        || name.starts_with("x-forwarded-")
        || name.starts_with("x-original-")
        || name.starts_with("ssl-client-")
        || hop::is_hop_by_hop(name)
}

/// Kept if it is harmless to log and pass on, else a new one where they are made.
fn request_id(head: &RequestHead<'_>, make: bool, random: &Random) -> Option<HeaderValue> {
    let harmless = |octet: &u8| octet.is_ascii_alphanumeric() || b"._-".contains(octet);
    let received = head.headers.get(&X_REQUEST_ID);
    let kept = received.filter(|id| (1..=128).contains(&id.len()) && id.as_bytes().iter().all(harmless));
    kept.cloned().or_else(|| if make { HeaderValue::from_bytes(&random.hexadecimal()).ok() } else { None })
}

/// `compute-full-forwarded-for`: what was received and the peer.
fn appended(head: &RequestHead<'_>) -> HeaderValue {
    let peer = head.peer.socket;
    match joined(head.headers, &X_FORWARDED_FOR).as_ref().and_then(|before| before.to_str().ok()) {
        Some(before) if head.trusted => value(&format!("{before}, {peer}")),
        _ => value(&peer.to_string()),
    }
}

/// The host asked for, as received. Usually it is in `Host`, and shared.
fn own_host(head: &RequestHead<'_>, reading: &Reading<'_>) -> HeaderValue {
    let host = reading.authority.as_ref().map_or("", |authority| authority.as_received());
    let shared = head.headers.get(header::HOST).filter(|field| field.as_bytes() == host.as_bytes());
    shared.cloned().unwrap_or_else(|| value(host))
}

/// What `default-backend` is told about the request it stands in for.
fn fallback_fields(head: &RequestHead<'_>, route: Option<&CompiledRoute>) -> Vec<(HeaderName, HeaderValue)> {
    let mut fields = vec![
        (HeaderName::from_static("x-code"), HeaderValue::from_static("503")),
        (HeaderName::from_static("x-format"), head.headers.get(header::ACCEPT).cloned().unwrap_or_else(|| value(""))),
    ];
    if let Some(route) = route {
        let source = &route.route.source;
        fields.push((HeaderName::from_static("x-namespace"), value(&source.namespace)));
        fields.push((HeaderName::from_static("x-ingress-name"), value(&source.ingress)));
        if let Some(upstream) = &route.upstream {
            fields.push((HeaderName::from_static("x-service-name"), value(&upstream.id().service)));
            fields.push((HeaderName::from_static("x-service-port"), value(&upstream.id().port)));
        }
    }
    fields
}

/// The value of a field, all lines in one.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    let rest: Vec<&[u8]> = lines.map(HeaderValue::as_bytes).collect();
    if rest.is_empty() {
        return Some(first.clone());
    }
    let all: Vec<&[u8]> = std::iter::once(first.as_bytes()).chain(rest).collect();
    HeaderValue::from_bytes(&all.join(&b", "[..])).ok()
}

/// HTTP/2 may send a cookie in crumbs (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, whole);
    }
}

/// Equal lengths on several lines are one (RFC 9110 section 8.6); different ones never come this far.
fn keep_one(headers: &mut HeaderMap, name: &HeaderName) {
    let mut lines = headers.get_all(name).iter();
    if let (Some(first), Some(_)) = (lines.next(), lines.next()) {
        let first = first.clone();
        headers.insert(name, first);
    }
}

/// `00-<32>-<16>-<2>` hexadecimal digits, or a later version that begins so (W3C Trace Context section 3.2).
fn is_traceparent(text: &[u8]) -> bool {
    let lower_hex = |part: &[u8], length| {
        part.len() == length && part.iter().all(|octet| octet.is_ascii_digit() || (b'a'..=b'f').contains(octet))
    };
    let mut parts = text.split(|octet| *octet == b'-');
    let known = [2, 32, 16, 2].iter().all(|length| parts.next().is_some_and(|part| lower_hex(part, *length)));
    known && (!text.starts_with(b"00") || parts.next().is_none())
}

/// Texts that are known to be printable: hosts, addresses, schemes, names of objects, encoded paths.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
static X_FORWARDED_SCHEME: HeaderName = HeaderName::from_static("x-forwarded-scheme");
static X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
static X_SCHEME: HeaderName = HeaderName::from_static("x-scheme");
static X_ORIGINAL_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-original-forwarded-for");
static X_ORIGINAL_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-original-forwarded-host");
static X_ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

#[cfg(test)]
mod tests {
    use portcullis_model::Protocol;

    use super::super::rewrite::Target;
    use super::super::testing::{PLAIN, TLS, parts};
    use super::*;

    fn forward() -> Forward {
        Forward {
            to: Destination::Primary,
            protocol: Protocol::Http,
            target: Target::AsReceived,
            host: None,
            forwarded_prefix: None,
        }
    }

    fn applied(lines: &str, facts: ConnectionFacts, settings: &Settings, forward: &Forward) -> HeaderMap {
        let mut parts = parts(lines);
        let fields = {
            let head = RequestHead::new(&parts, facts, settings);
            let reading = head.read().unwrap();
            RequestFields::new(
                &head,
                &reading,
                forward,
                None,
                settings,
                (&ConnectionTexts::new(&facts), &Random::new()),
            )
            .unwrap()
        };
        fields.apply(&mut parts.headers, Framing::AsReceived, false);
        parts.headers
    }

    /// The lines of a field, joined by ` | `.
    fn field(headers: &HeaderMap, name: &str) -> String {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn forwarded_fields_are_ours_by_default() {
        let lines = "GET /a HTTP/1.1\nHost: A.example:8080\nX-Forwarded-For: 1.2.3.4\nX-Forwarded-For: 5.6.7.8\n\
                     X-Forwarded-Host: myhost\nX-Forwarded-Proto: myproto\nX-Forwarded-Port: 1234\nX-Real-IP: 9.9.9.9\n\
                     X-Scheme: x\nX-Forwarded-Scheme: x\nX-Original-Forwarded-For: spoof\nX-Forwarded-Prefix: /p\nX-Other: kept";
        let headers = applied(lines, PLAIN, &Settings::default(), &forward());
        for (name, want) in [
            ("host", "A.example:8080"),
            ("x-forwarded-host", "A.example:8080"),
            ("x-forwarded-for", "127.0.0.9"),
            ("x-real-ip", "127.0.0.9"),
            ("x-forwarded-port", "8080"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-scheme", "http"),
            ("x-scheme", "http"),
            ("x-original-forwarded-for", "1.2.3.4, 5.6.7.8"),
            ("x-original-forwarded-host", "myhost"),
            ("x-original-uri", ""),
            ("x-forwarded-prefix", "/p"),
            ("x-other", "kept"),
            ("connection", ""),
        ] {
            assert_eq!(field(&headers, name), want, "{name}");
        }
        let headers =
            applied("GET / HTTP/1.1\nHost: a\nX-Original-Forwarded-For: spoof", TLS, &Settings::default(), &forward());
        for (name, want) in [("x-forwarded-port", "443"), ("x-scheme", "https"), ("x-original-forwarded-for", "")] {
            assert_eq!(field(&headers, name), want, "{name}");
        }
    }

    #[test]
    fn forwarded_fields_of_trusted_peers_are_kept() {
        let mut settings = Settings::default();
        settings.forwarded.fields = true;
        settings.forwarded.client_address = true;
        settings.forwarded.append = true;
        settings.original_uri = true;
        let lines = "GET /a%20b?c HTTP/1.1\nHost: a.example\nX-Forwarded-For: 1.2.3.4\nX-Forwarded-Host: b.example, c\n\
                     X-Forwarded-Proto: https\nX-Forwarded-Port: 8443\nX-HTTP-Method-Override: PUT";
        let trusted = applied(lines, PLAIN, &settings, &forward());
        settings.forwarded.peers.clear();
        let untrusted = applied(lines, PLAIN, &settings, &forward());
        for (name, if_trusted, if_not) in [
            ("host", "b.example", "a.example"),
            ("x-forwarded-host", "b.example", "a.example"),
            ("x-forwarded-for", "1.2.3.4, 127.0.0.9", "127.0.0.9"),
            ("x-real-ip", "1.2.3.4", "127.0.0.9"),
            ("x-forwarded-proto", "https", "http"),
            ("x-forwarded-port", "8443", "8080"),
            ("x-http-method-override", "PUT", ""),
            ("x-original-uri", "/a%20b?c", "/a%20b?c"),
        ] {
            assert_eq!(
                (field(&trusted, name).as_str(), field(&untrusted, name).as_str()),
                (if_trusted, if_not),
                "{name}"
            );
        }
    }

    #[test]
    fn policies_set_host_and_prefix() {
        let forward = Forward { host: Some("up.example".into()), forwarded_prefix: Some("/pre".into()), ..forward() };
        let headers =
            applied("GET / HTTP/1.1\nHost: a.example\nX-Forwarded-Prefix: /own", PLAIN, &Settings::default(), &forward);
        for (name, want) in [("host", "up.example"), ("x-forwarded-host", "a.example"), ("x-forwarded-prefix", "/pre")]
        {
            assert_eq!(field(&headers, name), want, "{name}");
        }
    }

    #[test]
    fn request_ids_are_kept_if_harmless() {
        let mut settings = Settings::default();
        let id = |text: &str, settings: &Settings| {
            let lines = format!("GET / HTTP/1.1\nHost: a{text}");
            field(&applied(&lines, PLAIN, settings, &forward()), "x-request-id")
        };
        assert_eq!(id("\nX-Request-ID: my-id_1.a", &settings), "my-id_1.a");
        let long = format!("\nX-Request-ID: {}", "x".repeat(129));
        for made in ["", "\nX-Request-ID: a b", "\nX-Request-ID: a\"b", &long] {
            let got = id(made, &settings);
            assert!(got.len() == 32 && got.bytes().all(|octet| octet.is_ascii_hexdigit()), "{got}");
        }
        settings.request_id = false;
        assert_eq!((id("", &settings).as_str(), id("\nX-Request-ID: q", &settings).as_str()), ("", "q"));
    }

    #[test]
    fn fields_that_are_not_the_clients_to_send_are_dropped() {
        let lines = "GET / HTTP/1.1\nHost: a\nConnection: X-Secret, upgrade\nX-Secret: 1\nUpgrade: h2c\nHTTP2-Settings: x\n\
                     Keep-Alive: 5\nProxy-Connection: x\nTE: trailers\nTrailer: X\nExpect: 100-continue\nProxy: http://x\n\
                     Proxy-Authorization: x\nForwarded: for=x\nSSL-Client-Verify: SUCCESS\nX-Forwarded-Client-Cert: x\n\
                     X-Original-URL: /x\nX-Rewrite-URL: /x\nX-Original-Method: x\nX-HTTP-Method-Override: x\nX_Under: 1\nX.Dot: 1\n\
                     traceparent: x\ntracestate: a=b\nX-Kept: 1\nAuthorization: b\nCookie: c";
        let headers = applied(lines, PLAIN, &Settings::default(), &forward());
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        let ours = [
            "authorization",
            "cookie",
            "host",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-proto",
            "x-forwarded-scheme",
            "x-kept",
            "x-real-ip",
            "x-request-id",
            "x-scheme",
        ];
        assert_eq!(left, ours);
    }

    #[test]
    fn underscores_may_be_allowed_but_not_to_stand_for_our_fields() {
        let mut settings = Settings::default();
        settings.header_names.underscores = true;
        let headers =
            applied("GET / HTTP/1.1\nHost: a\nX_Under: 1\nX_Forwarded_For: 1.2.3.4", PLAIN, &settings, &forward());
        assert_eq!((field(&headers, "x_under").as_str(), field(&headers, "x_forwarded_for").as_str()), ("1", ""));
    }

    #[test]
    fn crumbs_become_one_cookie_and_equal_lengths_one_line() {
        let lines = "POST https://a/ HTTP/2\nCookie: a=1\nCookie: b=2\nContent-Length: 5\nContent-Length: 5";
        let headers = applied(lines, TLS, &Settings::default(), &forward());
        assert_eq!((field(&headers, "cookie").as_str(), field(&headers, "content-length").as_str()), ("a=1; b=2", "5"));
        let headers =
            applied("GET / HTTP/1.1\nHost: a\nCookie: a=1\nCookie: b=2", PLAIN, &Settings::default(), &forward());
        assert_eq!(field(&headers, "cookie"), "a=1 | b=2");
    }

    #[test]
    fn trace_parents_are_kept_if_well_formed() {
        for (text, want) in [
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true),
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", true),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", false),
            ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false),
            ("00-0af7-b7ad6b7169203331-01", false),
            ("", false),
        ] {
            assert_eq!(is_traceparent(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn framing_is_our_own() {
        let mut parts = parts("GET / HTTP/1.1\nHost: a\nContent-Length: 5\nTransfer-Encoding: chunked");
        let settings = Settings::default();
        let fields = {
            let head = RequestHead::new(&parts, PLAIN, &settings);
            RequestFields::new(
                &head,
                &head.read().unwrap(),
                &forward(),
                None,
                &settings,
                (&ConnectionTexts::new(&PLAIN), &Random::new()),
            )
            .unwrap()
        };
        fields.apply(&mut parts.headers, Framing::Chunked, true);
        for (name, want) in [
            ("content-length", ""),
            ("transfer-encoding", "chunked"),
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
        ] {
            assert_eq!(field(&parts.headers, name), want, "{name}");
        }
    }
}
