//! A request head as decisions see it: read once, refused where it can be read in two ways.

use std::net::{IpAddr, SocketAddr};

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use portcullis_model::{Authority, CanonicalPath, HeaderBuffers, InvalidPath, Peer, Reason, Settings};

use super::answer::Answer;
use super::hop;
use super::names::{Meaning, Meanings};

/// What is known of the connection a request came on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConnectionFacts {
    /// The other end of the TCP connection.
    pub peer: SocketAddr,
    /// The port it was accepted on.
    pub port: u16,
    /// Whether it is TLS, ended here.
    pub tls: bool,
    /// The port that HTTPS is served on, for redirects that name it.
    pub https_port: u16,
    /// What a load balancer that is believed says in the PROXY protocol.
    pub proxied: Option<Proxied>,
}

/// What the PROXY protocol says of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Proxied {
    /// Where the client comes from.
    pub source: IpAddr,
    /// The port it connected to.
    pub port: u16,
}

impl ConnectionFacts {
    /// `http` or `https`, by the connection alone.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// Whether the client came to the port of HTTPS of a load balancer, so that it speaks HTTPS whatever is spoken here.
    #[must_use]
    pub fn is_proxied_https(&self) -> bool {
        self.proxied.is_some_and(|proxied| proxied.port == HTTPS_PORT)
    }
}

/// A request head, not yet judged.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'r> {
    /// Method, case preserved.
    pub method: &'r Method,
    /// Version the client speaks.
    pub version: Version,
    /// Target as parsed: origin form, absolute form, or with the authority of HTTP/2.
    pub uri: &'r Uri,
    /// Fields as received.
    pub headers: &'r HeaderMap,
    /// The connection.
    pub facts: ConnectionFacts,
    /// Who sent it, after trusted forwarded fields.
    pub peer: Peer,
    /// Whether `X-Forwarded-*` of this peer are believed (`use-forwarded-headers`).
    pub trusted: bool,
    /// Octets of the head, as HTTP/1.1 would write it.
    pub octets: usize,
    longest_field: usize,
    meanings: Meanings,
    host: FieldLines<'r>,
    user_agent: FieldLines<'r>,
    referer: FieldLines<'r>,
    content_length: FieldLines<'r>,
    limits: HeaderBuffers,
    /// A host that was read before, and is plain ([`Authority::is_plain`]). Empty where there is none.
    pub(super) plain_host: &'r str,
}

/// The first line of a field, and how many there are.
pub(super) type FieldLines<'r> = (Option<&'r HeaderValue>, usize);

/// What a valid request head says.
#[derive(Clone, Debug)]
pub struct Reading<'r> {
    /// The host asked for; none in HTTP/1.0 without `Host`.
    pub authority: Option<Authority<'r>>,
    /// The path that all decisions see.
    pub path: CanonicalPath<'r>,
}

/// The port of HTTPS.
const HTTPS_PORT: u16 = 443;
/// Most fields.
const MOST_FIELDS: usize = 100;
/// Longest method.
const LONGEST_METHOD: usize = 32;

impl<'r> RequestHead<'r> {
    /// Takes the head of a request.
    #[must_use]
    pub fn new(parts: &'r Parts, facts: ConnectionFacts, settings: &Settings) -> Self {
        let forwarded = &settings.forwarded;
        let peer = forwarded.client(facts.peer.ip(), &parts.headers);
        let trusted = forwarded.believes_fields(peer.socket);
        let Parts { method, uri, version, headers, .. } = parts;
        let mut head = Self {
            method,
            version: *version,
            uri,
            headers,
            facts,
            peer,
            trusted,
            octets: 0,
            longest_field: 0,
            meanings: Meanings::default(),
            host: (None, 0),
            user_agent: (None, 0),
            referer: (None, 0),
            content_length: (None, 0),
            limits: settings.client.header_buffers,
            plain_host: "",
        };
        head.octets = head.line_octets() + "\r\n".len();
        for (name, value) in headers {
            head.survey(name.as_str(), value);
        }
        head
    }

    /// Everything that is asked of all fields.
    fn survey(&mut self, name: &str, value: &'r HeaderValue) {
        let octets = name.len() + ": \r\n".len() + value.len();
        self.octets += octets;
        self.longest_field = self.longest_field.max(octets);
        let meaning = Meaning::of(name);
        self.meanings.add(meaning);
        match meaning {
            Meaning::Host => note_line(&mut self.host, value),
            Meaning::UserAgent => note_line(&mut self.user_agent, value),
            Meaning::Referer => note_line(&mut self.referer, value),
            Meaning::ContentLength => note_line(&mut self.content_length, value),
            Meaning::Connection if hop::names_others(value) => self.meanings.add(Meaning::Others),
            _ => {}
        }
    }

    /// `User-Agent`, which most logs have.
    pub(super) fn user_agent(&self) -> FieldLines<'r> {
        self.user_agent
    }

    /// `Referer`, which most logs have.
    pub(super) fn referer(&self) -> FieldLines<'r> {
        self.referer
    }

    /// Reads and judges it.
    ///
    /// # Errors
    ///
    /// The answer to a request that is malformed, too large or ambiguous.
    pub fn read(&self) -> Result<Reading<'r>, Answer> {
        self.check_size()?;
        self.check_method()?;
        self.check_framing()?;
        let authority = self.authority()?;
        let bad_path = |_| Answer::refusal(StatusCode::BAD_REQUEST, Reason::BadPath);
        if self.version == Version::HTTP_2 && !self.target().starts_with('/') {
            return Err(bad_path(InvalidPath::NoSlash));
        }
        let path = CanonicalPath::parse(self.raw_path()).map_err(bad_path)?;
        let query = self.query().unwrap_or_default();
        if query.bytes().any(|octet| !octet.is_ascii_graphic()) {
            return Err(Answer::refusal(StatusCode::BAD_REQUEST, Reason::BadPath));
        }
        Ok(Reading { authority, path })
    }

    /// The target in origin form as received: path and query.
    #[must_use]
    pub fn target(&self) -> &'r str {
        self.uri.path_and_query().map_or("", |target| target.as_str())
    }

    /// The length that the body is said to have.
    #[must_use]
    pub fn declared_length(&self) -> Option<u64> {
        let length = self.content_length.0.filter(|_| !self.has(Meaning::TransferEncoding))?;
        length.to_str().ok()?.parse().ok()
    }

    /// The path as received.
    #[must_use]
    pub fn raw_path(&self) -> &'r str {
        self.uri.path()
    }

    /// The query as received, without `?`.
    #[must_use]
    pub fn query(&self) -> Option<&'r str> {
        self.uri.query()
    }

    /// Whether a field has this meaning.
    pub(super) fn has(&self, meaning: Meaning) -> bool {
        self.meanings.have(meaning)
    }

    /// What its fields mean.
    pub(super) fn meanings(&self) -> Meanings {
        self.meanings
    }

    /// `Host` as received.
    pub(super) fn host_field(&self) -> Option<&'r HeaderValue> {
        self.host.0
    }

    /// The value of a field that is there once; the first one where it is repeated.
    #[must_use]
    pub fn field(&self, name: &HeaderName) -> Option<&'r str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The scheme that counts: of the connection, or what a trusted peer says in `X-Forwarded-Proto`. A load balancer's port of
    /// HTTPS comes before both.
    #[must_use]
    pub fn scheme(&self) -> &'r str {
        if self.facts.is_proxied_https() {
            return "https";
        }
        self.forwarded(&X_FORWARDED_PROTO).filter(|value| is_scheme(value)).unwrap_or_else(|| self.facts.scheme())
    }

    /// The host that a trusted peer says in `X-Forwarded-Host`: the first one, if it is a host.
    #[must_use]
    pub fn forwarded_host(&self) -> Option<&'r str> {
        let first = self.forwarded(&X_FORWARDED_HOST)?.split(',').next()?.trim();
        Authority::parse(first).ok().map(|authority| authority.as_received())
    }

    /// The port that a trusted peer says in `X-Forwarded-Port`.
    #[must_use]
    pub fn forwarded_port(&self) -> Option<&'r str> {
        self.forwarded(&X_FORWARDED_PORT).filter(|value| value.parse::<u16>().is_ok())
    }

    fn forwarded(&self, name: &HeaderName) -> Option<&'r str> {
        if self.trusted { self.field(name) } else { None }
    }

    fn line_octets(&self) -> usize {
        self.method.as_str().len() + self.target().len() + " ".len() + " HTTP/1.1\r\n".len()
    }

    fn check_size(&self) -> Result<(), Answer> {
        if self.line_octets() > self.limits.line() {
            return Err(Answer::refusal(StatusCode::URI_TOO_LONG, Reason::UriTooLong));
        }
        let too_large = self.longest_field > self.limits.line() || self.octets > self.limits.total();
        if too_large || self.headers.len() > MOST_FIELDS {
            return Err(Answer::refusal(StatusCode::BAD_REQUEST, Reason::HeaderTooLarge));
        }
        Ok(())
    }

    fn check_method(&self) -> Result<(), Answer> {
        match self.method.as_str() {
            "CONNECT" | "TRACE" | "TRACK" => {
                Err(Answer::refusal(StatusCode::METHOD_NOT_ALLOWED, Reason::MethodNotAllowed))
            }
            method if method.len() > LONGEST_METHOD => {
                Err(Answer::refusal(StatusCode::NOT_IMPLEMENTED, Reason::BadRequest))
            }
            _ => Ok(()),
        }
    }

    /// One transfer coding, and that is `chunked`; the scheme of HTTP/2 is that of the connection (RFC 9112 section 6.1).
    fn check_framing(&self) -> Result<(), Answer> {
        if self.has(Meaning::TransferEncoding) {
            let mut codings = self.headers.get_all(header::TRANSFER_ENCODING).iter();
            let chunked = codings.next().is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
            if !chunked || codings.next().is_some() {
                return Err(Answer::refusal(StatusCode::NOT_IMPLEMENTED, Reason::BadRequest));
            }
        }
        let scheme = self.uri.scheme_str();
        let is_own = |scheme| scheme == self.facts.scheme() || (scheme == "https" && self.facts.is_proxied_https());
        if self.version == Version::HTTP_2 && scheme.is_some_and(|scheme| !is_own(scheme)) {
            return Err(Answer::refusal(StatusCode::BAD_REQUEST, Reason::BadRequest));
        }
        Ok(())
    }

    /// RFC 9112 section 3.2 and RFC 9113 section 8.3.1: one host, and no doubt about it.
    fn authority(&self) -> Result<Option<Authority<'r>>, Answer> {
        let bad_host = || Answer::refusal(StatusCode::BAD_REQUEST, Reason::BadHost);
        let parse = |text: &'r str| {
            if text == self.plain_host && !text.is_empty() {
                return Ok(Authority::of_plain(text));
            }
            Authority::parse(text).map_err(|_| bad_host())
        };
        let host = match self.host {
            (None, _) => None,
            (Some(host), 1) => Some(host.to_str().map_err(|_| bad_host()).and_then(parse)?),
            (Some(_), _) => return Err(bad_host()),
        };
        let Some(target) = self.uri.authority() else {
            return if host.is_some() || self.version < Version::HTTP_11 { Ok(host) } else { Err(bad_host()) };
        };
        if !matches!(self.uri.scheme_str(), Some("http" | "https")) {
            return Err(Answer::refusal(StatusCode::BAD_REQUEST, Reason::BadPath));
        }
        let target = parse(target.as_str())?;
        match host {
            None if self.version == Version::HTTP_11 => Err(bad_host()),
            Some(host) if self.version == Version::HTTP_2 && !is_same(&host, &target) => Err(bad_host()),
            _ => Ok(Some(target)),
        }
    }
}

fn is_same(one: &Authority<'_>, other: &Authority<'_>) -> bool {
    one.host() == other.host() && one.port() == other.port()
}

/// What a scheme may look like (RFC 3986 section 3.1). Its case is left alone, as ingress-nginx does.
fn is_scheme(text: &str) -> bool {
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"+-.".contains(&octet);
    !text.is_empty() && text.len() <= LONGEST_METHOD && text.bytes().all(allowed)
}

pub(super) static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) static X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(super) static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

fn note_line<'r>(lines: &mut FieldLines<'r>, value: &'r HeaderValue) {
    *lines = (lines.0.or(Some(value)), lines.1 + 1);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PLAIN, TLS, parts};
    use super::*;

    fn read(lines: &str) -> Result<(String, String), (u16, Reason)> {
        let parts = parts(lines);
        let facts = if lines.contains("HTTP/2") { TLS } else { PLAIN };
        let head = RequestHead::new(&parts, facts, &Settings::default());
        let reading = head.read().map_err(|answer| (answer.status.as_u16(), answer.reason))?;
        let host = reading.authority.map_or_else(String::new, |authority| authority.host().to_owned());
        Ok((host, reading.path.as_str().to_owned()))
    }

    #[test]
    fn a_request_has_one_host_or_is_refused() {
        for (lines, want) in [
            ("GET / HTTP/1.1\nHost: A.example:80", Ok("a.example")),
            ("GET / HTTP/1.1", Err(Reason::BadHost)),
            ("GET / HTTP/1.0", Ok("")),
            ("GET / HTTP/1.0\nHost: a.example", Ok("a.example")),
            ("GET / HTTP/1.1\nHost: a.example\nHost: a.example", Err(Reason::BadHost)),
            ("GET / HTTP/1.0\nHost: a.example\nHost: b.example", Err(Reason::BadHost)),
            ("GET / HTTP/1.1\nHost: a b", Err(Reason::BadHost)),
            ("GET / HTTP/1.1\nHost: ", Err(Reason::BadHost)),
            ("GET http://b.example/x HTTP/1.1\nHost: a.example", Ok("b.example")),
            ("GET http://b.example/x HTTP/1.1", Err(Reason::BadHost)),
            ("GET http://u:p@b.example/x HTTP/1.1\nHost: b.example", Err(Reason::BadHost)),
            ("GET ftp://b.example/x HTTP/1.1\nHost: b.example", Err(Reason::BadPath)),
            ("GET b.example:80 HTTP/1.1\nHost: b.example", Err(Reason::BadPath)),
            ("GET https://a.example/ HTTP/2", Ok("a.example")),
            ("GET https://a.example/ HTTP/2\nHost: A.example", Ok("a.example")),
            ("GET https://a.example/ HTTP/2\nHost: b.example", Err(Reason::BadHost)),
            ("GET https://a.example/ HTTP/2\nHost: a.example:443", Err(Reason::BadHost)),
            ("GET http://a.example/ HTTP/2", Err(Reason::BadRequest)),
            ("GET / HTTP/2\nHost: a.example", Ok("a.example")),
        ] {
            let got = read(lines).map(|(host, _)| host).map_err(|(_, reason)| reason);
            assert_eq!(got, want.map(str::to_owned), "{lines}");
        }
    }

    #[test]
    fn malformed_requests_are_refused_with_their_reason() {
        for (lines, want) in [
            ("GET /a/../b HTTP/1.1", Ok("/b")),
            ("GET /../b HTTP/1.1", Err((400, Reason::BadPath))),
            ("GET /a%zz HTTP/1.1", Err((400, Reason::BadPath))),
            ("GET * HTTP/1.1", Err((400, Reason::BadPath))),
            ("OPTIONS * HTTP/1.1", Err((400, Reason::BadPath))),
            ("GET /?\u{e4} HTTP/1.1", Err((400, Reason::BadPath))),
            ("TRACE / HTTP/1.1", Err((405, Reason::MethodNotAllowed))),
            ("CONNECT a.example:443 HTTP/1.1", Err((405, Reason::MethodNotAllowed))),
            ("trace / HTTP/1.1", Ok("/")),
            ("POST / HTTP/1.1\nTransfer-Encoding: Chunked", Ok("/")),
            ("POST / HTTP/1.1\nTransfer-Encoding: gzip, chunked", Err((501, Reason::BadRequest))),
            ("POST / HTTP/1.1\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked", Err((501, Reason::BadRequest))),
        ] {
            let got = read(&format!("{lines}\nHost: a.example"));
            assert_eq!(got.map(|(_, path)| path), want.map(str::to_owned), "{lines}");
        }
        let long = "A".repeat(LONGEST_METHOD + 1);
        assert_eq!(read(&format!("{long} / HTTP/1.1\nHost: a")), Err((501, Reason::BadRequest)));
    }

    #[test]
    fn sizes_have_limits() {
        let fields = |count: usize, size: usize| {
            (0..count).map(|number| format!("\nX-{number:03}: {}", "v".repeat(size))).collect::<String>()
        };
        for (lines, want) in [
            (format!("GET /{} HTTP/1.1\nHost: a", "x".repeat(8_100)), None),
            (format!("GET /{} HTTP/1.1\nHost: a", "x".repeat(8_192)), Some((414, Reason::UriTooLong))),
            (format!("GET / HTTP/1.1\nHost: a{}", fields(1, 8_000)), None),
            (format!("GET / HTTP/1.1\nHost: a{}", fields(1, 8_192)), Some((400, Reason::HeaderTooLarge))),
            (format!("GET / HTTP/1.1\nHost: a{}", fields(4, 7_900)), None),
            (format!("GET / HTTP/1.1\nHost: a{}", fields(5, 7_000)), Some((400, Reason::HeaderTooLarge))),
            (format!("GET / HTTP/1.1\nHost: a{}", fields(99, 1)), None),
            (format!("GET / HTTP/1.1\nHost: a{}", fields(100, 1)), Some((400, Reason::HeaderTooLarge))),
        ] {
            assert_eq!(read(&lines).err(), want, "{} octets", lines.len());
        }
    }

    #[test]
    fn forwarded_fields_of_trusted_peers_count() {
        let mut settings = Settings::default();
        let parts = parts(
            "GET / HTTP/1.1\nHost: a.example\nX-Forwarded-Proto: https\nX-Forwarded-Host: b.example, c\nX-Forwarded-Port: 8443",
        );
        let head = RequestHead::new(&parts, PLAIN, &settings);
        assert_eq!((head.scheme(), head.forwarded_host(), head.forwarded_port()), ("http", None, None));
        settings.forwarded.fields = true;
        let head = RequestHead::new(&parts, PLAIN, &settings);
        let got = (head.scheme(), head.forwarded_host(), head.forwarded_port());
        assert_eq!(got, ("https", Some("b.example"), Some("8443")));
        settings.forwarded.peers = vec!["192.0.2.0/24".parse().unwrap()];
        assert_eq!(RequestHead::new(&parts, PLAIN, &settings).scheme(), "http");
    }

    #[test]
    fn forwarded_fields_that_are_malformed_do_not_count() {
        let mut settings = Settings::default();
        settings.forwarded.fields = true;
        let parts = parts(
            "GET / HTTP/1.1\nHost: a.example\nX-Forwarded-Proto: ht tp\nX-Forwarded-Host: b/c\nX-Forwarded-Port: 99999",
        );
        let head = RequestHead::new(&parts, PLAIN, &settings);
        assert_eq!((head.scheme(), head.forwarded_host(), head.forwarded_port()), ("http", None, None));
    }
}
