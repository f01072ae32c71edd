//! The fields an upstream receives: what the client sent, without what is not its to send, and with what is ours.

use std::cell::RefCell;
use std::rc::Rc;

use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use portcullis_model::policy::ConnectionHeader;
use portcullis_model::{ForwardedTrust, HeaderNameRules, Settings};

use super::decide::{Destination, Forward};
use super::head::{ConnectionFacts, Reading, RequestHead, X_FORWARDED_FOR};
use super::hop;
use super::names::{Meaning, Meanings};
use super::set_headers::Expander;
use super::variables::Variables;
use crate::access_log::{ClientText, WallClock};
use crate::random::Random;
use crate::table::CompiledRoute;
use crate::upstream::{OUR_NAMES, Ours, Rules, Shaped, Shapes, forwarded_host};

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
    /// None where `Host` stays as received.
    host: Option<HeaderValue>,
    ours: Rc<Ours>,
    further: Option<Box<Further>>,
    names: HeaderNameRules,
    /// Of the fields received.
    meanings: Meanings,
    trusted: bool,
    join_cookies: bool,
}

/// Fields that only some requests have.
struct Further {
    original_for: Option<HeaderValue>,
    original_host: Option<HeaderValue>,
    original_uri: Option<HeaderValue>,
    prefix: Option<HeaderValue>,
    fallback: Vec<(HeaderName, HeaderValue)>,
    /// `proxy-set-headers`.
    set: Vec<(HeaderName, Option<HeaderValue>)>,
}

/// Texts that are the same for all requests of a connection.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionTexts {
    /// The address of the peer.
    peer: HeaderValue,
    /// The same as the log has it.
    peer_in_log: ClientText,
    /// The port that clients know: of a load balancer, where it tells; else of the listener, where that of HTTPS is 443.
    port: HeaderValue,
    /// What was sent on with the last request that went by the connection alone: all but the host is the same for all of them,
    /// and that usually is.
    ours: RefCell<Option<Rc<Ours>>>,
}

impl ConnectionTexts {
    pub(crate) fn new(facts: &ConnectionFacts) -> Self {
        let port = match facts.proxied {
            Some(proxied) => HeaderValue::from(proxied.port),
            None if facts.tls => HeaderValue::from_static("443"),
            None => HeaderValue::from(facts.port),
        };
        let peer = facts.peer.ip().to_canonical().to_string();
        Self { peer: value(&peer), peer_in_log: ClientText::new(&peer), port, ours: RefCell::default() }
    }

    /// The address of the peer, as the log has it.
    pub(super) fn peer(&self) -> &ClientText {
        &self.peer_in_log
    }

    /// Where a request for `host` comes from, if nothing but its connection tells.
    fn ours(&self, host: &str, head: &RequestHead<'_>) -> Rc<Ours> {
        let mut last = self.ours.borrow_mut();
        match &*last {
            Some(ours) if forwarded_host(ours).as_bytes() == host.as_bytes() => Rc::clone(ours),
            _ => Rc::clone(last.insert(self.new_ours(value(host), self.peer.clone(), self.peer.clone(), head))),
        }
    }

    #[inline(never)]
    fn new_ours(&self, host: HeaderValue, client: HeaderValue, all: HeaderValue, head: &RequestHead<'_>) -> Rc<Ours> {
        let port = head.forwarded_port().map_or_else(|| self.port.clone(), value);
        let scheme = match head.scheme() {
            "http" => HTTP.clone(),
            "https" => HTTPS.clone(),
            other => value(other),
        };
        Rc::new([client, all, host, port, scheme.clone(), scheme.clone(), scheme])
    }
}

/// What fields are made of that does not come with the request.
pub(super) struct Material<'m> {
    pub(super) texts: &'m ConnectionTexts,
    pub(super) random: &'m Random,
    pub(super) clock: &'m WallClock,
    /// `X-Request-ID`, where it is made already.
    pub(super) request_id: Option<HeaderValue>,
}

/// `Host` cannot be what a template made of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct InvalidHostField;

impl RequestFields {
    /// `nginx-routing`: forwarded headers.
    pub(super) fn new(
        variables: &Variables<'_>,
        reading: &Reading<'_>,
        forward: &Forward,
        settings: &Settings,
        material: Material<'_>,
    ) -> Result<Self, InvalidHostField> {
        let Material { texts, random, clock, request_id: made } = material;
        let (head, trust) = (variables.head, &settings.forwarded);
        let request_id = made.or_else(|| request_id(head, settings.request_id, random));
        let further = Further::may_be(head, forward, settings).then(|| {
            let expander = Expander { variables, request_id: request_id.as_ref(), clock };
            Further::new(expander, forward, settings)
        });
        let asked = reading.authority.as_ref().map_or("", |authority| authority.as_received());
        let forwarded = head.forwarded_host();
        let is_peer = head.peer.client == head.peer.socket;
        let ours = if is_peer && !head.trusted && !(trust.fields && trust.append) {
            texts.ours(asked, head)
        } else {
            let client = if is_peer { texts.peer.clone() } else { value(&head.peer.client.to_string()) };
            let all = if trust.fields && trust.append { appended(head) } else { client.clone() };
            texts.new_ours(value(forwarded.unwrap_or(asked)), client, all, head)
        };
        let is_as_received =
            forwarded.is_none() && head.host_field().is_some_and(|field| field.as_bytes() == asked.as_bytes());
        let host = match &forward.host {
            Some(host) => Some(HeaderValue::from_str(host).map_err(|_| InvalidHostField)?),
            None if is_as_received => None,
            None => Some(forwarded_host(&ours).clone()),
        };
        Ok(Self {
            request_id,
            host,
            ours,
            further,
            names: settings.header_names,
            meanings: head.meanings(),
            trusted: head.trusted,
            join_cookies: head.version == Version::HTTP_2 && head.has(Meaning::Cookie),
        })
    }

    /// The fields of the upstream over HTTP/2, where those of the client are such as come often, and can stay as they are.
    pub(super) fn shaped(&self, headers: &HeaderMap, shapes: &Shapes) -> Option<Shaped> {
        let meanings = self.meanings;
        let is_plain = self.further.is_none() && !meanings.have(Meaning::Others);
        if !is_plain || (meanings.have(Meaning::Traceparent) && !has_traceparent(headers)) {
            return None;
        }
        let request_id = self.request_id.as_ref();
        let rules = Rules { trusted: self.trusted, names: self.names, request_id: request_id.is_some() };
        let is_dropped = |name: &HeaderName| self.is_unwanted(name);
        shapes.shaped(headers, rules, is_dropped, &self.ours, request_id, self.host.as_ref())
    }

    /// Turns the fields of the client into those of the upstream.
    pub(super) fn apply(
        self,
        headers: &mut HeaderMap,
        framing: Framing,
        websocket: bool,
        connection: Option<ConnectionHeader>,
    ) {
        self.remove_unwanted(headers);
        if self.join_cookies {
            join_cookies(headers);
        }
        headers.reserve(12);
        if let Some(host) = self.host {
            put(headers, &HOST, host);
        }
        if let Some(request_id) = self.request_id {
            put(headers, &X_REQUEST_ID, request_id);
        }
        for (name, value) in OUR_NAMES.iter().zip(&*self.ours) {
            put(headers, name, value.clone());
        }
        if let Some(further) = self.further {
            further.apply(headers);
        }
        if websocket {
            ask_for_websocket(headers);
        }
        if let Some(connection) = connection {
            put(headers, &CONNECTION, HeaderValue::from_static(connection.as_str()));
        }
        match framing {
            Framing::AsReceived if self.meanings.have(Meaning::ContentLength) => {
                keep_one(headers, &header::CONTENT_LENGTH);
            }
            Framing::AsReceived => {}
            Framing::Chunked => {
                headers.remove(header::CONTENT_LENGTH);
                headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
    }

    fn remove_unwanted(&self, headers: &mut HeaderMap) {
        if self.meanings.have(Meaning::Others) {
            hop::remove_named(headers);
        }
        if self.meanings.have(Meaning::Connection) {
            headers.remove(header::CONNECTION);
        }
        if self.meanings.are_doubtful() {
            self.remove_doubtful(headers);
        }
        if self.meanings.have(Meaning::Traceparent) {
            check_traceparent(headers);
        }
    }

    #[inline(never)]
    fn remove_doubtful(&self, headers: &mut HeaderMap) {
        let found: Vec<HeaderName> = headers.keys().filter(|name| self.is_unwanted(name)).cloned().collect();
        for name in found {
            headers.remove(name);
        }
    }

    /// Whether a field with `_` in its name would be taken for one of ours by CGI-like backends, which know it by `name`.
    fn is_twin(&self, name: &str) -> bool {
        let set = self.further.as_ref().map_or(&[][..], |further| &further.set);
        is_ours(name) || set.iter().any(|(set, _)| set.as_str() == name)
    }

    fn is_unwanted(&self, name: &HeaderName) -> bool {
        match Meaning::of(name.as_str()) {
            Meaning::Expect | Meaning::NotTheirs => true,
            Meaning::Rerouting => !self.trusted,
            Meaning::Unusual => {
                let is_twin = || name.as_str().contains('_') && self.is_twin(&name.as_str().replace('_', "-"));
                !self.names.admit(name) || is_twin()
            }
            meaning => meaning.is_hop_by_hop(),
        }
    }
}

impl Further {
    /// Whether a request may have any.
    fn may_be(head: &RequestHead<'_>, forward: &Forward, settings: &Settings) -> bool {
        believes_address(head, &settings.forwarded)
            || settings.original_uri
            || !settings.proxy_set_headers.is_empty()
            || forward.forwarded_prefix.is_some()
            || forward.to == Destination::Fallback
    }

    #[inline(never)]
    fn new(expander: Expander<'_>, forward: &Forward, settings: &Settings) -> Box<Self> {
        let (head, route, trust) = (expander.variables.head, expander.variables.route, &settings.forwarded);
        let is_fallback = forward.to == Destination::Fallback;
        Box::new(Self {
            // Of anybody else they would only be what a client likes to claim.
            original_for: believes_address(head, trust).then(|| joined(head.headers, &trust.address_header)).flatten(),
            original_host: head.trusted.then(|| joined(head.headers, &trust.host_header)).flatten(),
            original_uri: settings.original_uri.then(|| value(head.target())),
            prefix: forward.forwarded_prefix.as_deref().map(value),
            fallback: if is_fallback { fallback_fields(head, route) } else { Vec::new() },
            set: expander.all(&settings.proxy_set_headers),
        })
    }

    #[inline(never)]
    fn apply(self: Box<Self>, headers: &mut HeaderMap) {
        headers.reserve(self.set.len());
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
        for (name, value) in self.set {
            match value {
                Some(value) => drop(headers.insert(name, value)),
                // A template came to nothing, and no request goes without.
                None if name == header::HOST => {}
                None => drop(headers.remove(name)),
            }
        }
        for (name, value) in self.fallback {
            headers.insert(name, value);
        }
    }
}

/// Sets a field. One place for all of them: what is called once for each is better not repeated for each.
#[inline(never)]
fn put(headers: &mut HeaderMap, name: &'static HeaderName, value: HeaderValue) {
    headers.insert(name, value);
}

#[cold]
#[inline(never)]
fn ask_for_websocket(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// `traceparent` goes on if it is one, and `tracestate` goes with it.
#[inline(never)]
fn check_traceparent(headers: &mut HeaderMap) {
    if !has_traceparent(headers) {
        headers.remove(&TRACEPARENT);
        headers.remove(&TRACESTATE);
    }
}

fn has_traceparent(headers: &HeaderMap) -> bool {
    headers.get(&TRACEPARENT).is_some_and(|value| is_traceparent(value.as_bytes()))
}

/// Whether the client address is read from the request, so that where it was read from may be of use.
fn believes_address(head: &RequestHead<'_>, trust: &ForwardedTrust) -> bool {
    head.trusted || (trust.client_address && trust.believes(head.peer.socket))
}

/// Whether we write a field of this name, or remove it.
fn is_ours(name: &str) -> bool {
    matches!(name, "host" | "x-real-ip" | "x-scheme" | "x-request-id" | "content-length")
        || name.starts_with("x-forwarded-")
        || name.starts_with("x-original-")
        || name.starts_with("ssl-client-")
        || hop::is_hop_by_hop(name)
}

/// `X-Request-ID`: kept if it is harmless to log and pass on, else a new one where they are made.
pub(super) fn request_id(head: &RequestHead<'_>, make: bool, random: &Random) -> Option<HeaderValue> {
    let harmless = |octet: &u8| octet.is_ascii_alphanumeric() || b"._-".contains(octet);
    let received = if head.has(Meaning::RequestId) { head.headers.get(&X_REQUEST_ID) } else { None };
    let kept = received.filter(|id| (1..=128).contains(&id.len()) && id.as_bytes().iter().all(harmless));
    kept.cloned().or_else(|| if make { random.request_id() } else { None })
}

/// `compute-full-forwarded-for`: what was received and the peer.
#[inline(never)]
fn appended(head: &RequestHead<'_>) -> HeaderValue {
    let peer = head.peer.socket;
    match joined(head.headers, &X_FORWARDED_FOR).as_ref().and_then(|before| before.to_str().ok()) {
        Some(before) if head.trusted => value(&format!("{before}, {peer}")),
        _ => value(&peer.to_string()),
    }
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
#[inline(never)]
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
#[inline(never)]
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

static HTTP: HeaderValue = HeaderValue::from_static("http");
static HTTPS: HeaderValue = HeaderValue::from_static("https");
static HOST: HeaderName = header::HOST;
static CONNECTION: HeaderName = header::CONNECTION;
static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
static X_ORIGINAL_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-original-forwarded-for");
static X_ORIGINAL_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-original-forwarded-host");
static X_ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

#[cfg(test)]
mod tests;
