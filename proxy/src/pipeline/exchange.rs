//! One request from its head to the end of its response: what is counted and logged when it is over, however it ends.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use portcullis_model::{Balance, ClusterPolicy, HostAlias, Known, Reason};
use tokio::time::Instant;

use super::buffering::Bodies;
use super::decide::{Decision, Destination};
use super::endpoint;
use super::head::{Reading, RequestHead};
use super::upgrade::Handshake;
use super::variables::{Variables, put_field};
use crate::access_log::{
    Captured, HeadVariable, LogFormat, Room, Style, TimeForm, UsualEnd, put_ip, put_number, put_seconds, put_socket,
};
use crate::body::BodySource;
use crate::clock;
use crate::metrics::{Finished, Measured, SeriesKey, UpstreamTimes, method_label};
use crate::server::ClientConnection;
use crate::table::{CompiledRoute, HostChoice};
use crate::upstream::{Attempt, Attempts, Choice, Upstream};

/// One request under way. Dropping it ends it: with 499 where no response was begun.
#[derive(Debug)]
pub(crate) struct Exchange {
    connection: Rc<ClientConnection>,
    format: Option<Rc<LogFormat>>,
    captured: Option<Box<Captured>>,
    began: Instant,
    head_octets: usize,
    head_sent: usize,
    body_sent: u64,
    status: Option<StatusCode>,
    reason: Option<Reason>,
    method: &'static str,
    place: Place,
    /// `X-Request-ID`.
    pub(super) request_id: Option<HeaderValue>,
    /// Values of the templates of `add-headers`.
    pub(super) added: Vec<Option<HeaderValue>>,
    /// The route.
    pub(super) route: Option<Arc<CompiledRoute>>,
    /// Where the request is sent.
    pub(super) to: Option<Destination>,
    /// The default backend, where it is sent there.
    pub(super) default_backend: Option<Arc<Upstream>>,
    /// What is held back of bodies.
    pub(super) bodies: Bodies,
    /// The request body, where there is one.
    pub(super) body: Option<Rc<BodySource>>,
    /// How its endpoint is chosen.
    pub(super) choice: Choice,
    /// The cookie that the response carries.
    pub(super) session: Option<HeaderValue>,
    /// What the request asks for beyond a response.
    pub(super) handshake: Handshake,
    /// Whether the client waits for a gRPC status.
    pub(super) grpc: bool,
    /// Tries at upstreams.
    pub(super) attempts: Attempts,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug)]
struct End {
    now: Instant,
    took: Duration,
    status: u16,
}

/// Under which host a request is counted.
#[derive(Debug)]
enum Place {
    /// Under none: it is not counted by Ingress.
    Nowhere,
    /// Hosts are not told apart.
    AnyHost,
    /// That of its rule.
    HostOfRule,
    /// The one that the client asked for.
    Asked(String),
}

/// Logged where the client went away before there was a status (nginx).
const CLIENT_CLOSED_REQUEST: u16 = 499;

impl Exchange {
    /// A request whose head is complete.
    pub(super) fn begin(connection: &Rc<ClientConnection>, format: Option<Rc<LogFormat>>, began: Instant) -> Box<Self> {
        Box::new(Self {
            connection: Rc::clone(connection),
            format,
            captured: None,
            began,
            head_octets: 0,
            head_sent: 0,
            body_sent: 0,
            status: None,
            reason: None,
            method: "",
            place: Place::Nowhere,
            request_id: None,
            added: Vec::new(),
            route: None,
            to: None,
            default_backend: None,
            bodies: Bodies::default(),
            body: None,
            choice: Choice::default(),
            session: None,
            handshake: Handshake::None,
            grpc: false,
            attempts: Attempts::new(),
        })
    }

    /// The connection it came on.
    pub(super) fn connection(&self) -> &Rc<ClientConnection> {
        &self.connection
    }

    /// Writes down what the log line wants of the request head.
    pub(super) fn note_request(&mut self, variables: &Variables<'_>) {
        self.head_octets = variables.head.octets;
        if self.format.is_some() {
            self.capture_request(variables);
        }
    }

    #[inline(never)]
    fn capture_request(&mut self, variables: &Variables<'_>) {
        let Some(format) = &self.format else { return };
        let captured = self.captured.insert(self.connection.worker().captures().take());
        let usual = if format.is_usual() { variables.usual(self.connection.texts().peer()) } else { None };
        if !usual.is_some_and(|head| captured.note_usual(&head)) {
            capture(format, captured, variables);
        }
    }

    /// The `X-Request-ID` of a request that is sent on, for its line.
    pub(super) fn note_request_id(&mut self, id: Option<&HeaderValue>) {
        if let (Some(captured), Some(id)) = (&mut self.captured, id) {
            captured.note_request_id(id.as_bytes());
        }
    }

    /// Writes down what the log line wants of a request that could not be read.
    pub(super) fn note_unread_request(&mut self) {
        let Some(format) = &self.format else { return };
        let (facts, connection) = (self.connection.facts(), self.connection.variables());
        let captured = self.captured.get_or_insert_with(|| self.connection.worker().captures().take());
        format.capture_request(captured, |variable, style, room| match variable {
            HeadVariable::Known(Known::RemoteAddr | Known::BinaryRemoteAddr) => {
                put_ip(facts.peer.ip().to_canonical(), room)
            }
            HeadVariable::Known(Known::RemotePort) => put_number(facts.peer.port().into(), room),
            HeadVariable::Known(Known::ServerPort) => put_number(facts.port.into(), room),
            HeadVariable::Known(Known::Scheme) => room.put(facts.scheme().as_bytes()),
            HeadVariable::Known(Known::Connection) => put_number(connection.number, room),
            HeadVariable::Known(Known::ConnectionRequests) => put_number(connection.requests, room),
            _ => style.put_unset(room),
        });
    }

    /// Writes down under which host the request is counted, if at all.
    pub(super) fn note_place(&mut self, decision: &Decision<'_>, head: &RequestHead<'_>, reading: &Reading<'_>) {
        let Some(counts) = self.connection.worker().requests() else { return };
        self.method = method_label(head.method);
        let config = counts.config();
        let asked = || Place::Asked(reading.authority.as_ref().map_or_else(String::new, |host| host.host().to_owned()));
        self.place = match (decision.host.choice, decision.host.alias.map(|alias| &alias.name)) {
            _ if !decision.of_path => Place::Nowhere,
            _ if !config.per_host => Place::AnyHost,
            (HostChoice::Exact, _) if decision.route.is_some() => Place::HostOfRule,
            (HostChoice::Exact, _) | (HostChoice::Alias, Some(HostAlias::Exact(_))) => asked(),
            _ if config.undefined_hosts => asked(),
            _ => Place::Nowhere,
        };
    }

    /// This request is not logged.
    pub(super) fn keep_silent(&mut self) {
        self.format = None;
        if let Some(captured) = self.captured.take() {
            self.connection.worker().captures().give_back(captured);
        }
    }

    /// An answer is made here.
    pub(super) fn note_reason(&mut self, reason: Reason) {
        self.reason = Some(reason);
    }

    /// The response head goes out. `upstream` are the fields as the upstream sent them.
    pub(super) fn note_response(&mut self, status: StatusCode, sent: &HeaderMap) {
        self.status = Some(status);
        let fields = sent.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
        self.head_sent = fields.sum();
        if self.format.as_ref().is_some_and(|format| format.needs_response_headers()) {
            self.capture_response(sent);
        }
    }

    #[inline(never)]
    fn capture_response(&mut self, sent: &HeaderMap) {
        let Some(format) = &self.format else { return };
        let captured = self.captured.get_or_insert_with(|| self.connection.worker().captures().take());
        // Fields that are hidden from clients are hidden from the log, too.
        format.capture_response(captured, |variable, style, room| match variable {
            HeadVariable::Field(name) => put_field(sent, name, style, room),
            _ => style.put_unset(room),
        });
    }

    /// Octets of the response body went out.
    pub(super) fn note_sent(&mut self, octets: usize) {
        self.body_sent = self.body_sent.wrapping_add(octets as u64);
    }

    /// All of the response has come from the upstream, and gone out.
    pub(super) fn note_received(&mut self, at: Instant) {
        self.end_last_attempt(at);
    }

    /// A tunnel is over that carried so many octets to the client.
    pub(super) fn note_tunnelled(&mut self, octets: u64) {
        self.body_sent = octets;
    }

    /// The upstream that the request is sent to.
    pub(super) fn upstream(&self) -> Option<&Arc<Upstream>> {
        let route = || self.route.as_ref();
        match self.to? {
            Destination::Primary => route()?.upstream.as_ref(),
            Destination::Canary => route()?.canary.as_ref(),
            Destination::Fallback => route()?.fallback.as_ref(),
            Destination::DefaultBackend => self.default_backend.as_ref(),
        }
    }

    /// Writes a value for the log that is known at the end. To call it would cost more than most values.
    #[inline(always)]
    fn put<'r>(
        &self,
        (captured, end): (&Captured, &End),
        known: Known,
        style: Style,
        room: &'r mut [u8],
    ) -> Option<&'r mut [u8]> {
        let some = |text: Option<&str>, room| style.put_some(text.map(str::as_bytes), room);
        let source = || self.route.as_ref().map(|route| &route.route.source);
        let cluster = || self.route.as_ref().map(|route| route.upstream.as_ref().map(|upstream| upstream.id()));
        match known {
            Known::TimeLocal => self.put_time(end, TimeForm::Local, room),
            Known::TimeIso8601 => self.put_time(end, TimeForm::Iso8601, room),
            Known::Msec => self.put_time(end, TimeForm::Milliseconds, room),
            Known::Status => put_number(end.status.into(), room),
            Known::BodyBytesSent => put_number(self.body_sent, room),
            Known::BytesSent => put_number(self.octets_sent(), room),
            Known::RequestLength => put_number(self.octets_received(), room),
            Known::RequestTime => put_seconds(end.took, room),
            Known::RequestId => match &self.request_id {
                Some(id) => room.put_value(id.as_bytes(), style),
                None => captured.put_request_id(style, room),
            },
            Known::ServerName => {
                let host = source().map(|source| &*source.host).filter(|host| !host.is_empty());
                room.put_value(host.unwrap_or("_").as_bytes(), style)
            }
            Known::ProxyUpstreamName => some(self.upstream_name(), room),
            Known::ProxyAlternativeUpstreamName => {
                let canary = self.upstream().filter(|_| self.to == Some(Destination::Canary));
                room.put_value(canary.map_or(b"", |canary| canary.name().as_bytes()), style)
            }
            Known::UpstreamAddr => self.put_attempts(style, room, |attempt, room| put_socket(attempt.address, room)),
            Known::UpstreamStatus => {
                self.put_attempts(style, room, |attempt, room| put_number(attempt.status.into(), room))
            }
            Known::UpstreamResponseLength => {
                self.put_attempts(style, room, |attempt, room| put_number(attempt.octets, room))
            }
            Known::UpstreamResponseTime => self.put_times(style, room, |attempt| attempt.over),
            Known::UpstreamConnectTime => self.put_times(style, room, |attempt| attempt.connected),
            Known::UpstreamHeaderTime => self.put_times(style, room, |attempt| attempt.head),
            Known::Namespace => some(source().map(|source| &*source.namespace), room),
            Known::IngressName => some(source().map(|source| &*source.ingress), room),
            Known::LocationPath => some(source().map(|source| &*source.path), room),
            Known::ServiceName => some(cluster().map(|id| id.map_or("", |id| &id.service)), room),
            Known::ServicePort => some(cluster().map(|id| id.map_or("", |id| &id.port)), room),
            Known::Reason => some(self.reason.map(Reason::code), room),
            Known::Rule => match &self.route {
                Some(route) => room.put_value(route.rule().to_string().as_bytes(), style),
                None => style.put_unset(room),
            },
            // Written down when the head was read.
            _ => style.put_unset(room),
        }
    }

    fn put_time<'r>(&self, end: &End, form: TimeForm, room: &'r mut [u8]) -> Option<&'r mut [u8]> {
        self.connection.worker().clock().put_at(end.now, form, room)
    }

    fn upstream_name(&self) -> Option<&str> {
        let of_default = || (self.to == Some(Destination::DefaultBackend)).then_some(DEFAULT_BACKEND);
        match &self.route {
            Some(route) => Some(route.upstream.as_ref().map_or(DEFAULT_BACKEND, |upstream| upstream.name())),
            None => of_default(),
        }
    }

    fn put_attempts<'r>(
        &self,
        style: Style,
        room: &'r mut [u8],
        put: impl for<'b> Fn(&Attempt, &'b mut [u8]) -> Option<&'b mut [u8]>,
    ) -> Option<&'r mut [u8]> {
        let [first, rest @ ..] = self.attempts.as_slice() else { return style.put_unset(room) };
        let mut room = put(first, room)?;
        for attempt in rest {
            room = put(attempt, room.put(b", ")?)?;
        }
        Some(room)
    }

    fn put_times<'r>(
        &self,
        style: Style,
        room: &'r mut [u8],
        part: impl Fn(&Attempt) -> Option<Duration>,
    ) -> Option<&'r mut [u8]> {
        self.put_attempts(style, room, |attempt, room| match part(attempt) {
            Some(duration) => put_seconds(duration, room),
            None => room.put_first(b"-", 1),
        })
    }

    /// Octets received, head included.
    fn octets_received(&self) -> u64 {
        self.head_octets as u64 + self.body.as_ref().map_or(0, |body| body.octets())
    }

    /// Octets sent, head included.
    fn octets_sent(&self) -> u64 {
        self.head_sent as u64 + self.body_sent
    }

    /// The client went away before there was a response.
    #[cold]
    fn note_gone(&mut self) {
        self.reason = Some(Reason::ClientGone);
        // A try that the client did not wait for has come to nothing that could be told.
        self.attempts.clear();
    }

    /// Writes the line.
    #[inline(never)]
    fn log(&mut self, format: &LogFormat, end: &End) {
        let captured = self.captured.take();
        let worker = self.connection.worker();
        let mut captured = captured.unwrap_or_else(|| worker.captures().take());
        let usual = if captured.is_usual() { self.usual(end) } else { None };
        let is_added = usual.is_some_and(|end| end.add(&captured, worker.clock(), worker.addresses(), worker.lines()));
        if !is_added {
            self.log_parts(format, &mut captured, end);
        }
        worker.captures().give_back(captured);
    }

    /// Writes the line part by part, which every format and every request can be.
    #[inline(never)]
    fn log_parts(&self, format: &LogFormat, captured: &mut Captured, end: &End) {
        captured.take_apart();
        format.complete(captured);
        self.connection.worker().lines().add(|room| {
            format.render(captured, room, |known, style, room| self.put((captured, end), known, style, room))
        });
    }

    /// The end of a request that one endpoint of the usual upstream answered.
    #[inline(always)]
    fn usual(&self, end: &End) -> Option<UsualEnd<'_>> {
        let [attempt] = self.attempts.as_slice() else { return None };
        let upstream = self.route.as_ref()?.upstream.as_ref()?;
        if self.to == Some(Destination::Canary) || self.request_id.is_some() {
            return None;
        }
        Some(UsualEnd {
            now: end.now,
            status: end.status,
            sent: self.body_sent,
            received: self.octets_received(),
            took: end.took,
            upstream: upstream.log_names(),
            address: &attempt.address,
            upstream_sent: attempt.octets,
            upstream_took: attempt.over?,
            upstream_status: attempt.status,
        })
    }

    /// Adds the request to the counts of its Ingress.
    fn count(&self, end: &End) {
        let Some(counts) = self.connection.worker().requests() else { return };
        let upstream = match self.attempts.as_slice() {
            [Attempt { connected, head, over, .. }] => {
                Some(UpstreamTimes { connect: *connected, head: *head, response: *over })
            }
            _ => None,
        };
        let (received, sent) = (self.octets_received(), self.octets_sent());
        let measured = Measured { request: end.took, upstream, received, sent };
        let canary = self.to == Some(Destination::Canary);
        let (method, status) = (self.method, end.status);
        let key = self.route.as_ref().map(|route| SeriesKey { route, canary, method, status });
        // The route gives all labels but method and status, unless the host is the client's.
        let (key, host) = match &self.place {
            Place::Nowhere => return,
            Place::AnyHost => (key, ""),
            Place::HostOfRule => (key, self.host_of_rule()),
            Place::Asked(host) => (None, host.as_str()),
        };
        counts.add(key, &measured, || self.labels(host, end));
    }

    fn host_of_rule(&self) -> &str {
        self.route.as_ref().map_or("", |route| &route.route.source.host)
    }

    fn labels<'r>(&'r self, host: &'r str, end: &End) -> Finished<'r> {
        let source = self.route.as_ref().map(|route| &route.route.source);
        let of_route = self.route.as_ref().and_then(|route| route.upstream.as_ref());
        let canary = self.upstream().filter(|_| self.to == Some(Destination::Canary));
        Finished {
            namespace: source.map_or("", |source| &source.namespace),
            ingress: source.map_or("", |source| &source.ingress),
            service: of_route.map_or("", |upstream| &upstream.id().service),
            path: source.map_or("/", |source| &source.path),
            host,
            canary: canary.map_or("", |canary| canary.name()),
            method: self.method,
            status: end.status,
        }
    }

    fn end_last_attempt(&mut self, now: Instant) {
        if let Some(last) = self.attempts.last_mut()
            && last.over.is_none()
        {
            last.over = Some(now.duration_since(last.began));
            last.octets = self.body_sent;
        }
    }

    /// Tells the balancer how long the endpoint took that answered. A failure says nothing about speed.
    fn note_time(&self) {
        let Some((route, to)) = self.route.as_ref().zip(self.to) else { return };
        let is_by_time = |policy: &ClusterPolicy| policy.affinity.is_none() && policy.balance == Balance::Ewma;
        let by_time = endpoint::policy(route, to).is_some_and(|policy| is_by_time(policy));
        let answered = self.attempts.last().filter(|attempt| by_time && attempt.head.is_some());
        if let (Some(attempt), Some(upstream)) = (answered, self.upstream()) {
            // How long a tunnel lasts is no matter of speed.
            let is_tunnel = attempt.status == StatusCode::SWITCHING_PROTOCOLS.as_u16();
            let whole = if is_tunnel { attempt.head } else { attempt.over };
            let took = attempt.connected.unwrap_or_default() + whole.unwrap_or_default();
            upstream.note_time(attempt.address, took);
        }
    }
}

#[inline(never)]
fn capture(format: &LogFormat, captured: &mut Captured, variables: &Variables<'_>) {
    format.capture_request(captured, |variable, style, room| variables.put(variable, style, room));
}

/// What ingress-nginx calls the default backend of the controller.
const DEFAULT_BACKEND: &str = "upstream-default-backend";

impl Drop for Exchange {
    fn drop(&mut self) {
        let now = clock::now();
        if self.status.is_none() {
            self.note_gone();
        }
        self.end_last_attempt(now);
        self.note_time();
        let status = self.status.map_or(CLIENT_CLOSED_REQUEST, |status| status.as_u16());
        let connection = Rc::clone(&self.connection);
        let worker = connection.worker();
        worker.counters().request(status, self.reason);
        let end = End { now, took: now.duration_since(self.began), status };
        self.count(&end);
        if let Some(format) = self.format.take() {
            self.log(&format, &end);
        }
        let unfinished_body = self.body.as_ref().is_some_and(|body| !body.has_ended());
        connection.request_over(now, unfinished_body);
    }
}

#[cfg(test)]
mod tests;
