//! One request from its head to the end of its response: what is counted and logged when it is over, however it ends.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use portcullis_model::{Balance, ClusterPolicy, HostAlias, Known, Reason, Variable};
use tokio::time::Instant;

use super::buffering::Bodies;
use super::decide::{Decision, Destination};
use super::endpoint;
use super::head::{Reading, RequestHead};
use super::upgrade::Handshake;
use super::variables::{Variables, push_display, push_field, push_some};
use crate::access_log::{Captured, LogFormat, Stage, TimeForm, Value, push_seconds};
use crate::body::BodySource;
use crate::metrics::{Finished, UpstreamTimes, method_label};
use crate::server::ClientConnection;
use crate::table::{CompiledRoute, HostChoice};
use crate::upstream::{Attempt, Attempts, Choice, Upstream};

/// One request under way. Dropping it ends it: with 499 where no response was begun.
#[derive(Debug)]
pub(crate) struct Exchange {
    connection: Rc<ClientConnection>,
    format: Option<Rc<LogFormat>>,
    from_request: Captured,
    from_response: Captured,
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
        let worker = connection.worker();
        Box::new(Self {
            connection: Rc::clone(connection),
            from_request: worker.captures().take(),
            from_response: Captured::default(),
            format,
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
        if let Some(format) = &self.format {
            format.capture(Stage::Request, &mut self.from_request, |variable, out| variables.push(variable, out));
        }
    }

    /// Writes down what the log line wants of a request that could not be read.
    pub(super) fn note_unread_request(&mut self) {
        let Some(format) = &self.format else { return };
        let (facts, connection) = (self.connection.facts(), self.connection.variables());
        format.capture(Stage::Request, &mut self.from_request, |variable, out| match variable {
            Variable::Known(Known::RemoteAddr | Known::BinaryRemoteAddr) => {
                push_display(facts.peer.ip().to_canonical(), out)
            }
            Variable::Known(Known::RemotePort) => push_display(facts.peer.port(), out),
            Variable::Known(Known::ServerPort) => push_display(facts.port, out),
            Variable::Known(Known::Scheme) => push_display(facts.scheme(), out),
            Variable::Known(Known::Connection) => push_display(connection.number, out),
            Variable::Known(Known::ConnectionRequests) => push_display(connection.requests, out),
            _ => Value::Unset,
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
        let Some(format) = &self.format else { return };
        if format.needs_response_headers() {
            // Fields that are hidden from clients are hidden from the log, too.
            format.capture(Stage::Response, &mut self.from_response, |variable, out| match variable {
                Variable::SentHeader(name) | Variable::UpstreamHeader(name) => push_field(sent, name, out),
                _ => Value::Unset,
            });
        }
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

    fn value(&self, known: Known, status: u16, now: Instant, out: &mut Vec<u8>) -> Value {
        let clock = self.connection.worker().clock();
        match known {
            Known::TimeLocal => time(|out| clock.push_now(TimeForm::Local, out), out),
            Known::TimeIso8601 => time(|out| clock.push_now(TimeForm::Iso8601, out), out),
            Known::Msec => time(|out| clock.push_now(TimeForm::Milliseconds, out), out),
            Known::Status => push_display(status, out),
            Known::BodyBytesSent => push_display(self.body_sent, out),
            Known::BytesSent => push_display(self.head_sent as u64 + self.body_sent, out),
            Known::RequestLength => {
                let body = self.body.as_ref().map_or(0, |body| body.octets());
                push_display(self.head_octets as u64 + body, out)
            }
            Known::RequestTime => time(|out| push_seconds(now.duration_since(self.began), out), out),
            Known::RequestId => push_some(self.request_id.as_ref().map(HeaderValue::as_bytes), out),
            Known::ServerName => {
                let host = self.route.as_ref().map(|route| &*route.route.source.host).filter(|host| !host.is_empty());
                push_display(host.unwrap_or("_"), out)
            }
            Known::ProxyUpstreamName => self.push_upstream_name(out),
            Known::ProxyAlternativeUpstreamName => {
                let canary = self.upstream().filter(|_| self.to == Some(Destination::Canary));
                push_display(canary.map_or("", |canary| canary.name()), out)
            }
            Known::UpstreamAddr => self.push_attempts(out, |attempt, out| push_display(attempt.address, out)),
            Known::UpstreamStatus => self.push_attempts(out, |attempt, out| push_display(attempt.status, out)),
            Known::UpstreamResponseLength => self.push_attempts(out, |attempt, out| push_display(attempt.octets, out)),
            Known::UpstreamResponseTime => self.push_times(out, |attempt| attempt.over),
            Known::UpstreamConnectTime => self.push_times(out, |attempt| attempt.connected),
            Known::UpstreamHeaderTime => self.push_times(out, |attempt| attempt.head),
            Known::Namespace => self.push_source(out, |route| &route.route.source.namespace),
            Known::IngressName => self.push_source(out, |route| &route.route.source.ingress),
            Known::LocationPath => self.push_source(out, |route| &route.route.source.path),
            Known::ServiceName => {
                self.push_source(out, |route| route.upstream.as_ref().map_or("", |up| &up.id().service))
            }
            Known::ServicePort => self.push_source(out, |route| route.upstream.as_ref().map_or("", |up| &up.id().port)),
            Known::Reason => push_some(self.reason.map(|reason| reason.code().as_bytes()), out),
            Known::Rule => self.route.as_ref().map_or(Value::Unset, |route| push_display(route.rule(), out)),
            // Written down when the head was read.
            _ => Value::Unset,
        }
    }

    fn push_upstream_name(&self, out: &mut Vec<u8>) -> Value {
        let of_route = self.route.as_ref().map(|route| route.upstream.as_ref().map_or(DEFAULT_BACKEND, |up| up.name()));
        let of_default = || (self.to == Some(Destination::DefaultBackend)).then_some(DEFAULT_BACKEND);
        push_some(of_route.or_else(of_default).map(str::as_bytes), out)
    }

    fn push_source(&self, out: &mut Vec<u8>, part: impl Fn(&CompiledRoute) -> &str) -> Value {
        push_some(self.route.as_ref().map(|route| part(route).as_bytes()), out)
    }

    fn push_attempts(&self, out: &mut Vec<u8>, push: impl Fn(&Attempt, &mut Vec<u8>) -> Value) -> Value {
        for (place, attempt) in self.attempts.iter().enumerate() {
            if place > 0 {
                out.extend_from_slice(b", ");
            }
            push(attempt, out);
        }
        if self.attempts.is_empty() { Value::Unset } else { Value::Set }
    }

    fn push_times(&self, out: &mut Vec<u8>, part: impl Fn(&Attempt) -> Option<Duration>) -> Value {
        self.push_attempts(out, |attempt, out| match part(attempt) {
            Some(duration) => time(|out| push_seconds(duration, out), out),
            None => push_display('-', out),
        })
    }

    /// Adds the request to the counts of its Ingress.
    fn count(&self, status: u16, now: Instant) {
        let Some(counts) = self.connection.worker().requests() else { return };
        let source = self.route.as_ref().map(|route| &route.route.source);
        let host = match &self.place {
            Place::Nowhere => return,
            Place::AnyHost => "",
            Place::HostOfRule => source.map_or("", |source| &source.host),
            Place::Asked(host) => host,
        };
        let of_route = self.route.as_ref().and_then(|route| route.upstream.as_ref());
        let canary = self.upstream().filter(|_| self.to == Some(Destination::Canary));
        let upstream = match self.attempts.as_slice() {
            [Attempt { connected, head, over, .. }] => {
                Some(UpstreamTimes { connect: *connected, head: *head, response: *over })
            }
            _ => None,
        };
        counts.add(&Finished {
            namespace: source.map_or("", |source| &source.namespace),
            ingress: source.map_or("", |source| &source.ingress),
            service: of_route.map_or("", |upstream| &upstream.id().service),
            path: source.map_or("/", |source| &source.path),
            host,
            canary: canary.map_or("", |canary| canary.name()),
            method: self.method,
            status,
            request: now.duration_since(self.began),
            upstream,
            received: self.head_octets as u64 + self.body.as_ref().map_or(0, |body| body.octets()),
            sent: self.head_sent as u64 + self.body_sent,
        });
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

/// What ingress-nginx calls the default backend of the controller.
const DEFAULT_BACKEND: &str = "upstream-default-backend";

fn time(push: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) -> Value {
    push(out);
    Value::Set
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let now = Instant::now();
        if self.status.is_none() {
            self.reason = Some(Reason::ClientGone);
            // A try that the client did not wait for has come to nothing that could be told.
            self.attempts.clear();
        }
        self.end_last_attempt(now);
        self.note_time();
        let status = self.status.map_or(CLIENT_CLOSED_REQUEST, |status| status.as_u16());
        let connection = Rc::clone(&self.connection);
        let worker = connection.worker();
        worker.counters().request(status, self.reason);
        self.count(status, now);
        if let Some(format) = &self.format {
            let mut from_request = std::mem::take(&mut self.from_request);
            worker.lines().add(|line| {
                format.render(&mut from_request, &self.from_response, line, |variable, out| match variable {
                    Variable::Known(known) => self.value(*known, status, now, out),
                    _ => Value::Unset,
                });
            });
            worker.captures().give_back(from_request);
        }
        let unfinished_body = self.body.as_ref().is_some_and(|body| !body.has_ended());
        connection.request_over(now, unfinished_body);
    }
}
