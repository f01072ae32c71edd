//! The life of a request: read, decided, sent, answered. Decisions are plain functions, the rest waits for them.

mod answer;
mod buffering;
mod canary;
mod decide;
mod endpoint;
mod exchange;
mod extended_connect;
mod head;
mod hop;
mod location;
mod names;
mod read_ahead;
mod request_fields;
mod response_body;
mod response_cookies;
mod response_fields;
mod response_location;
mod rewrite;
mod session;
mod set_headers;
mod unread;
mod upgrade;
mod upstream_body;
mod variables;
mod wire;

#[cfg(test)]
mod testing;

use std::convert::Infallible;
use std::error::Error as StdError;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use portcullis_model::policy::{ConnectionHeader, SetHeader};
use portcullis_model::{Reason, Settings};

pub use answer::Answer;
pub use decide::{Decider, Decision, Destination, Forward, Outcome};
pub use head::{ConnectionFacts, Proxied, Reading, RequestHead};
pub use rewrite::Target;

pub(crate) use canary::by_session as canary_of_session;
pub(crate) use exchange::Exchange;
pub(crate) use request_fields::ConnectionTexts;
pub(crate) use response_body::ResponseBody;
pub(crate) use unread::{note_unread, refuse_unread};
pub(crate) use upgrade::Tunnel;
pub(crate) use variables::{ConnectionVariables, TlsFacts};

use crate::body::{self, ClientBody};
use crate::error::{ProxyError, Side};
use crate::respond;
use crate::server::ClientConnection;
use crate::table::{HostChoice, RoutingTable};
use crate::upstream::{Choice, Connection, Delivery, Sent, send};
use buffering::Bodies;
use extended_connect::ExtendedConnect;
use names::Meaning;
use read_ahead::ReadAhead;
use request_fields::{Framing, Material, RequestFields};
use response_fields::ResponseFields;
use set_headers::Expander;
use upgrade::Handshake;
use variables::Variables;
use wire::Wire;

/// Serves one request.
///
/// # Errors
///
/// None: what goes wrong is answered, and what cannot be answered any more is dropped with its connection.
pub(crate) async fn handle(
    connection: Rc<ClientConnection>,
    request: Request<ClientBody>,
) -> Result<Response<ResponseBody>, Infallible> {
    let worker = connection.worker();
    let table = worker.table();
    let settings = table.settings();
    worker.follow(settings);
    let (parts, mut incoming) = request.into_parts();
    let has_body = !incoming.is_none();
    let began = connection.request_began(&settings.client, has_body);
    let mut exchange = Exchange::begin(&connection, worker.log_format(settings), began);
    let (head_only, version) = (parts.method == Method::HEAD, parts.version);
    exchange.grpc = is_grpc(&parts);
    let Plan { step, of_path, length } = plan(&table, parts, has_body, &mut exchange);
    incoming.has_length(length);
    let reply = Reply { settings, hsts: of_path && connection.facts().tls, head_only };
    Ok(match step {
        Step::Answer { answer, may_drain } => {
            let drains = may_drain && !connection.is_last() && body::may_drain(&incoming);
            if has_body && drains {
                drain(&connection, incoming);
            }
            let ends = has_body && !drains;
            reply.answer(&answer, ends, exchange)
        }
        Step::Send(mut delivery) => {
            let trailers = version == Version::HTTP_2 && delivery.transport.is_http2();
            delivery.body = has_body.then(|| buffering::source(incoming, trailers, &exchange));
            exchange.body.clone_from(&delivery.body);
            let has_session = matches!(exchange.choice, Choice::Session(_));
            let misreads_none = has_session && session::misreads_none(&delivery.headers);
            let sent = proxy(&mut delivery, &mut exchange).await;
            exchange.session = endpoint::new_session(&exchange, misreads_none);
            match sent {
                Ok(sent) if sent.head.status == StatusCode::SWITCHING_PROTOCOLS => reply.switch(sent, exchange),
                Ok(sent) => reply.relay(sent, exchange, trailers),
                Err(error) => reply.answer(&refusal(&error, &exchange), false, exchange),
            }
        }
    })
}

/// Whether a client waits for a gRPC status. It goes by that of HTTP where there is none, but may trip over a page.
fn is_grpc(parts: &Parts) -> bool {
    parts.version == Version::HTTP_2
        && parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Reads the rest of a body that nobody wants, so that its connection can go on with the next request.
fn drain(connection: &Rc<ClientConnection>, incoming: ClientBody) {
    connection.drain_began();
    let drained = Rc::clone(connection);
    connection.worker().spawn(async move {
        body::drain(incoming).await;
        drained.drain_over();
    });
}

/// What is done with a request, ready to be done.
struct Plan {
    step: Step,
    /// Whether the answer is that of a path.
    of_path: bool,
    /// The length that the body of the request is said to have.
    length: Option<u64>,
}

#[allow(clippy::large_enum_variant, reason = "it is taken apart at once, and nearly always the large one")]
enum Step {
    Answer {
        answer: Answer,
        /// Whether the rest of the body may be read for the sake of the next request.
        may_drain: bool,
    },
    Send(Delivery),
}

impl Plan {
    #[cold]
    #[inline(never)]
    fn answer(answer: Answer, expects: bool, of_path: bool, length: Option<u64>) -> Self {
        let may_drain = !expects && !answer.ends_connection();
        Self { step: Step::Answer { answer, may_drain }, of_path, length }
    }
}

/// Everything that can be said without waiting.
fn plan(table: &RoutingTable, mut parts: Parts, has_body: bool, exchange: &mut Exchange) -> Plan {
    let connection = Rc::clone(exchange.connection());
    let (worker, facts, settings) = (connection.worker(), *connection.facts(), table.settings());
    let extended = ExtendedConnect::take(&mut parts, worker.random());
    let plain_host = connection.plain_host();
    let mut head = RequestHead::new(&parts, facts, settings);
    head.plain_host = &plain_host;
    // Whoever waits for `100 Continue` gets the answer instead (RFC 9110 section 10.1.1).
    let (expects, length) = (head.has(Meaning::Expect), head.declared_length());
    let answer = |answer: Answer, of_path| Plan::answer(answer, expects, of_path, length);
    let (reading, extended) = match extended {
        Err(refusal) => (Err(refusal), None),
        Ok(_) if connection.is_plain_on_tls() => {
            (Err(Answer::refusal(StatusCode::BAD_REQUEST, Reason::PlainHttpOnTls)), None)
        }
        Ok(_) if connection.request_contradicts() => {
            (Err(Answer::refusal(StatusCode::BAD_REQUEST, Reason::BadRequest)), None)
        }
        Ok(extended) => (head.read(), extended),
    };
    let known = reading.as_ref().ok();
    let variables = Variables { head: &head, reading: None, route: None, connection: connection.variables() };
    exchange.note_request(&Variables { reading: known, ..variables });
    let reading = match reading {
        Ok(reading) => reading,
        Err(refusal) => {
            expand_added(&variables, settings, exchange);
            return answer(refusal, false);
        }
    };
    if let Some(host) = &reading.authority
        && host.is_plain()
        && *plain_host != *host.as_received()
    {
        connection.note_plain_host(host.as_received());
    }
    let mut draw = |total: u32| u32::try_from(worker.random().below(total as usize)).unwrap_or(0) + 1;
    let patterns = &mut worker.patterns();
    let decision = Decider { head: &head, reading: &reading, patterns, draw: &mut draw }.decide(table);
    exchange.route = decision.route.map(Arc::clone);
    exchange.note_place(&decision, &head, &reading);
    let route = decision.route.map(|route| &**route);
    let variables = Variables { reading: Some(&reading), route, ..variables };
    expand_added(&variables, settings, exchange);
    if is_silent(&decision, settings) {
        exchange.keep_silent();
    }
    let forward = match decision.outcome {
        Outcome::Answer(refusal) if extended.is_some() => return answer(unsuccessful(refusal), decision.of_path),
        Outcome::Answer(refusal) => return answer(refusal, decision.of_path),
        Outcome::Forward(forward) => forward,
    };
    exchange.to = Some(forward.to);
    if forward.to == Destination::DefaultBackend {
        exchange.default_backend = table.default_backend().map(Arc::clone);
    }
    let of_path = decision.of_path;
    let Wire { transport, http10 } = Wire::new(worker, &forward, route, facts.tls);
    let takes_upgrades = !http10 && !transport.is_http2();
    exchange.handshake = match extended {
        // There is no HTTP/1.1 to ask in.
        Some(_) if !takes_upgrades => {
            let refusal = Answer::refusal(StatusCode::NOT_IMPLEMENTED, Reason::MethodNotAllowed);
            return answer(refusal, of_path);
        }
        Some(extended) => Handshake::Http2(extended),
        None if takes_upgrades && upgrade::is_handshake(&head, has_body) => Handshake::Http1,
        None => Handshake::None,
    };
    exchange.choice = endpoint::choice(route, forward.to, &variables);
    let material = Material {
        texts: connection.texts(),
        random: worker.random(),
        clock: worker.clock(),
        request_id: exchange.request_id.take(),
    };
    let impossible = || answer(Answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, Reason::Internal), of_path);
    let Ok(fields) = RequestFields::new(&variables, &reading, &forward, settings, material) else {
        return impossible();
    };
    let has_length = head.has(Meaning::ContentLength);
    let Parts { method, uri, mut headers, .. } = parts;
    let Some(target) = upstream_target(uri, &forward.target) else { return impossible() };
    exchange.bodies = Bodies::new(route, &forward, settings);
    exchange.note_request_id(fields.request_id.as_ref());
    let is_chunked = has_body && !has_length && !http10 && !transport.is_http2();
    let framing = if is_chunked { Framing::Chunked } else { Framing::AsReceived };
    let websocket = exchange.handshake.is_some();
    let connection_header = match route.and_then(|route| route.route.policy.headers.connection) {
        _ if transport.is_http2() => None,
        _ if !websocket && (http10 || !settings.upstream.is_on()) => Some(ConnectionHeader::Close),
        other => other,
    };
    let shapes = worker.connector().shapes();
    let shaped = if transport.is_http2() { fields.shaped(&headers, shapes) } else { None };
    if shaped.is_none() {
        fields.apply(&mut headers, framing, websocket, connection_header);
    }
    if let Handshake::Http2(extended) = &exchange.handshake {
        extended.complete(&mut headers);
    }
    // What no Ingress answers is sent by the defaults.
    let (timeouts, retry) =
        route.map(|route| (route.route.policy.timeouts, route.route.policy.retry)).unwrap_or_default();
    let largest_head = exchange.bodies.largest_head();
    let delivery = Delivery {
        transport,
        http10,
        method,
        target,
        headers,
        shaped,
        sent: None,
        timeouts,
        retry,
        largest_head,
        body: None,
    };
    Plan { step: Step::Send(delivery), of_path, length }
}

/// An answer to an extended CONNECT: a success would begin a WebSocket that nobody speaks (RFC 8441 section 5).
fn unsuccessful(answer: Answer) -> Answer {
    if answer.status.is_success() {
        return Answer::refusal(StatusCode::NOT_IMPLEMENTED, Reason::MethodNotAllowed);
    }
    answer
}

/// Works out the values of `add-headers` that depend on the request, while its head is there.
fn expand_added(variables: &Variables<'_>, settings: &Settings, exchange: &mut Exchange) {
    if settings.add_headers.iter().any(SetHeader::is_template) {
        expand_templates(variables, settings, exchange);
    }
}

#[inline(never)]
fn expand_templates(variables: &Variables<'_>, settings: &Settings, exchange: &mut Exchange) {
    let connection = Rc::clone(exchange.connection());
    let worker = connection.worker();
    exchange.request_id = request_fields::request_id(variables.head, settings.request_id, worker.random());
    let expander = Expander { variables, request_id: exchange.request_id.as_ref(), clock: worker.clock() };
    exchange.added = expander.templates(&settings.add_headers);
}

/// Requests that leave no line in the access log.
fn is_silent(decision: &Decision<'_>, settings: &Settings) -> bool {
    let route = decision.route;
    let is_default = decision.host.choice == HostChoice::Default && route.is_none_or(|route| route.upstream.is_none());
    let is_health = matches!(&decision.outcome, Outcome::Answer(answer) if answer.reason == Reason::Health);
    let is_quiet = route.is_some_and(|route| !route.route.policy.observe.access_log);
    is_health || is_quiet || (is_default && decision.of_path && !settings.access_log.default_backend)
}

/// The target of the request to the upstream, in origin form.
fn upstream_target(received: Uri, target: &Target) -> Option<PathAndQuery> {
    match target {
        // An absolute target may have no path (RFC 9112 section 3.2.2).
        Target::AsReceived => match received.into_parts().path_and_query? {
            // Also what is empty, and only reads as if it were a slash.
            target if target.as_str() == "/" => Some(PathAndQuery::from_static("/")),
            target if target.as_str().starts_with('/') => Some(target),
            // A query alone, which is displayed with the slash that it lacks.
            query => target_from(&query.to_string()),
        },
        Target::Other(text) => target_from(text),
    }
}

#[inline(never)]
fn target_from(text: &str) -> Option<PathAndQuery> {
    PathAndQuery::try_from(text).ok()
}

/// Sends a request on and waits for the head of the response.
async fn proxy(delivery: &mut Delivery, exchange: &mut Exchange) -> Result<Sent, ProxyError> {
    buffering::receive(delivery, exchange).await?;
    let connection = Rc::clone(exchange.connection());
    let upstream = exchange.upstream().map(Arc::clone).ok_or(ProxyError::NoEndpoints)?;
    let Exchange { choice, attempts, .. } = exchange;
    let sent = send(connection.worker(), (&upstream, choice), delivery, attempts).await?;
    if exchange.handshake.allows(sent.head.status, &sent.head.headers) { Ok(sent) } else { Err(ProxyError::BadUpgrade) }
}

/// The answer to a request that failed on its way.
#[cold]
#[inline(never)]
fn refusal(error: &ProxyError, exchange: &Exchange) -> Answer {
    let upstream = exchange.upstream().map(|upstream| &**upstream.name());
    match error.side() {
        Side::Internal => {
            tracing::warn!(upstream, %error, cause = error.source().map(tracing::field::display), "request not sent")
        }
        Side::Client | Side::Upstream => {
            tracing::debug!(upstream, %error, cause = error.source().map(tracing::field::display), "request failed");
        }
    }
    Answer::refusal(error.status(), error.reason())
}

/// How responses to one request are made.
struct Reply<'s> {
    settings: &'s Settings,
    hsts: bool,
    head_only: bool,
}

impl Reply<'_> {
    /// An answer of ours; `ends` where the connection ends with it though the answer alone would not have it so.
    #[cold]
    #[inline(never)]
    fn answer(&self, answer: &Answer, ends: bool, mut exchange: Box<Exchange>) -> Response<ResponseBody> {
        exchange.note_reason(answer.reason);
        let page = if exchange.grpc { Bytes::new() } else { respond::page(answer.status, answer.reason) };
        let mut headers = HeaderMap::with_capacity(8);
        if !page.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(respond::CONTENT_TYPE));
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(page.len()));
        }
        if let Some(location) = &answer.location {
            headers.insert(header::LOCATION, location.clone());
        }
        if answer.status.as_u16() >= 400 {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        self.fields(&exchange).decorate(&mut headers);
        if ends || answer.ends_connection() {
            exchange.connection().close_after(&mut headers);
            exchange.connection().note_unread();
        }
        let page = (!self.head_only).then_some(page);
        respond_with(answer.status, headers, exchange, |exchange| ResponseBody::page(page, exchange))
    }

    /// The response of an upstream.
    fn relay(&self, sent: Sent, exchange: Box<Exchange>, trailers: bool) -> Response<ResponseBody> {
        let Sent { head: mut parts, connection } = sent;
        let fields = self.fields(&exchange);
        let found = fields.found(&parts.headers);
        let ahead = buffering::is_ahead(&exchange.bodies, &parts.headers, found.has_others());
        let ahead = ahead && !connection.is_end_stream();
        fields.apply(found, &mut parts.headers);
        add_session(&mut parts.headers, &exchange);
        let phrase = parts.extensions.remove::<hyper::ext::ReasonPhrase>();
        let mut response = respond_with(parts.status, parts.headers, exchange, |exchange| {
            if ahead {
                return read_ahead(connection, exchange);
            }
            ResponseBody::upstream(connection, exchange, trailers)
        });
        if let Some(phrase) = phrase {
            response.extensions_mut().insert(phrase);
        }
        response
    }

    /// The 101 of an upstream; the tunnel begins when hyper has sent it.
    #[cold]
    #[inline(never)]
    fn switch(&self, sent: Sent, mut exchange: Box<Exchange>) -> Response<ResponseBody> {
        let Sent { head: mut parts, connection: upgraded } = sent;
        let fields = self.fields(&exchange);
        fields.apply(fields.found(&parts.headers), &mut parts.headers);
        add_session(&mut parts.headers, &exchange);
        let extended = match std::mem::take(&mut exchange.handshake) {
            Handshake::Http2(extended) => Some(extended),
            Handshake::Http1 | Handshake::None => None,
        };
        if extended.is_some() {
            // RFC 8441 section 5: the stream was asked for, there is nothing to switch or to prove.
            parts.status = StatusCode::OK;
            for field in [header::SEC_WEBSOCKET_ACCEPT, header::CONTENT_LENGTH] {
                parts.headers.remove(field);
            }
        } else {
            parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            parts.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        exchange.note_response(parts.status, &parts.headers);
        let connection = Rc::clone(exchange.connection());
        match (Tunnel::new(*upgraded, exchange), extended) {
            (Some(tunnel), Some(extended)) => {
                // Tells the client to go, if it should. The stream outlives it.
                connection.close_after(&mut parts.headers);
                connection.worker().spawn(tunnel.run_on_stream(extended.into_stream()));
            }
            (Some(tunnel), None) => connection.set_tunnel(tunnel),
            (None, _) => {}
        }
        let mut response = Response::new(ResponseBody::nothing());
        *response.status_mut() = parts.status;
        *response.headers_mut() = parts.headers;
        response
    }

    fn fields<'f>(&'f self, exchange: &'f Exchange) -> ResponseFields<'f> {
        let policy = exchange.route.as_ref().map(|route| &*route.route.policy);
        ResponseFields { settings: self.settings, hsts: self.hsts, policy, added: &exchange.added }
    }
}

#[inline(never)]
fn read_ahead(from: Box<Connection>, exchange: Box<Exchange>) -> ResponseBody {
    let (upstream, worker) = (exchange.upstream().cloned(), exchange.connection().worker());
    let ahead = ReadAhead::start(from, upstream, worker, &exchange.bodies.policy);
    ResponseBody::ahead(ahead, exchange)
}

/// The cookie of a session that begins or moves with this response.
fn add_session(headers: &mut HeaderMap, exchange: &Exchange) {
    if let Some(cookie) = &exchange.session {
        headers.append(header::SET_COOKIE, cookie.clone());
    }
}

fn respond_with(
    status: StatusCode,
    mut headers: HeaderMap,
    mut exchange: Box<Exchange>,
    body: impl FnOnce(Box<Exchange>) -> ResponseBody,
) -> Response<ResponseBody> {
    let connection = Rc::clone(exchange.connection());
    if connection.is_last() {
        connection.close_after(&mut headers);
    }
    exchange.note_response(status, &headers);
    let mut response = Response::new(body(exchange));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_output<A, B, F>(_: impl Fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn targets_are_sent_in_origin_form() {
        for (received, target, want) in [
            ("/a//b?c=%20", Target::AsReceived, "/a//b?c=%20"),
            ("/", Target::AsReceived, "/"),
            ("http://a.example/b?c", Target::AsReceived, "/b?c"),
            ("http://a.example/", Target::AsReceived, "/"),
            ("http://a.example", Target::AsReceived, "/"),
            ("http://a.example?b=/c", Target::AsReceived, "/?b=/c"),
            ("http://a.example/b", Target::Other("/c?d".to_owned()), "/c?d"),
            ("/b", Target::Other("/".to_owned()), "/"),
        ] {
            let target_uri = upstream_target(received.parse().unwrap(), &target).map(Uri::from).unwrap();
            // This is how hyper writes it.
            assert_eq!(target_uri.to_string(), want, "{received} {target:?}");
        }
    }

    #[test]
    fn a_request_needs_little_room() {
        // hyper keeps room for one on every connection, used or not.
        assert!(size_of_output(handle) <= 2048, "{} octets", size_of_output(handle));
    }
}
