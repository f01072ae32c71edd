//! Sending a request: which endpoint, which connection, and what is tried when that fails.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http::response::Parts as ResponseParts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Version, header};
use portcullis_model::policy::{FailedTry, Retry, RetryCondition, Timeouts};
use smallvec::SmallVec;
use tokio::time::Instant;

use super::connection::{Connection, SendError, Transport};
use super::http1::Outbound;
use super::http2_head::{self, Origins};
use super::pool::Wanted;
use super::response_head;
use super::sent_fields::SentFields;
use super::shape::Shaped;
use super::{Choice, Upstream};
use crate::body::{BodySource, RequestBody};
use crate::clock;
use crate::error::{ProxyError, Side};
use crate::server::Worker;

/// A request ready to be sent, to whichever endpoint.
pub(crate) struct Delivery {
    /// How endpoints are spoken to.
    pub(crate) transport: Transport,
    /// Whether the request says HTTP/1.0 (`proxy-http-version`).
    pub(crate) http10: bool,
    /// Method.
    pub(crate) method: Method,
    /// Target in origin form.
    pub(crate) target: PathAndQuery,
    /// All fields, `Host` and framing included. Given away with the first try over HTTP/2, unless they are `shaped`.
    pub(crate) headers: HeaderMap,
    /// What goes out over HTTP/2 instead of `headers`, which are those received then, and not changed any more.
    pub(crate) shaped: Option<Shaped>,
    /// What was given away.
    pub(crate) sent: Option<SentFields>,
    /// Time limits of each try.
    pub(crate) timeouts: Timeouts,
    /// When it is tried again.
    pub(crate) retry: Retry,
    /// Octets that the head of a response may have.
    pub(crate) largest_head: u32,
    /// The body, if there is one.
    pub(crate) body: Option<Rc<BodySource>>,
}

/// One try, for the log.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// The endpoint.
    pub(crate) address: SocketAddr,
    /// Status of its response, or the one that its failure stands for.
    pub(crate) status: u16,
    /// When it began.
    pub(crate) began: Instant,
    /// Until there was a connection; zero for one from the pool.
    pub(crate) connected: Option<Duration>,
    /// Until the response head was there.
    pub(crate) head: Option<Duration>,
    /// Until all was over.
    pub(crate) over: Option<Duration>,
    /// Body octets of the response.
    pub(crate) octets: u64,
}

/// The tries of a request: usually one.
pub(crate) type Attempts = SmallVec<[Attempt; 1]>;

/// A response whose head is there.
pub(crate) struct Sent {
    /// Its head.
    pub(crate) head: ResponseParts,
    /// The connection it comes on, which has its body.
    pub(crate) connection: Box<Connection>,
}

/// Sends a request, to another endpoint when one fails as the route says (nginx: `proxy_next_upstream`).
///
/// A response whose status counts as a failure is dropped for another try; that of the last try is passed on.
///
/// # Errors
///
/// What the last try failed with.
pub(crate) async fn send(
    worker: &Worker,
    (upstream, choice): (&Upstream, &Choice),
    delivery: &mut Delivery,
    log: &mut Attempts,
) -> Result<Sent, ProxyError> {
    let mut tries = 0;
    let mut again: Option<SocketAddr> = None;
    loop {
        let is_first_choice = again.is_none();
        let now = clock::now();
        let (address, pooled) = match again.take() {
            Some(address) => (address, None),
            None => {
                tries += 1;
                let address = pick(worker, upstream, choice, log).ok_or(ProxyError::NoEndpoints)?;
                (address, pooled(worker, delivery, address, now))
            }
        };
        again = match attempt(worker, delivery, (address, now), pooled, log).await {
            Ok(sent) if !delivery.refuses(&sent, tries, upstream, log) => {
                worker.connector().spares().keep_map(std::mem::take(&mut delivery.headers));
                return Ok(sent);
            }
            Ok(sent) => {
                // With its body unread the connection is of no use any more.
                drop(sent);
                note_over(log);
                None
            }
            Err(failure) => {
                let failure = delivery.blame(failure);
                if failure.error.side() == Side::Upstream {
                    worker.counters().upstream_failures.add(1);
                }
                note_failure(log, &failure.error);
                // The endpoint closed the connection while it was idle: that is no verdict on the endpoint, and no try.
                let was_stale = is_first_choice && failure.reused && failure.silent;
                let counted = if was_stale { tries - 1 } else { tries };
                let was_lost = was_stale && failure.unsent && delivery.has_whole_body();
                if !was_lost && !delivery.may_repeat(&failure, counted, upstream, log) {
                    return Err(failure.error);
                }
                was_stale.then_some(address)
            }
        };
        delivery.take_body_back();
    }
}

impl Delivery {
    /// Whether the body can be sent only when its length is known.
    pub(crate) fn needs_length(&self) -> bool {
        self.http10 && !self.headers.contains_key(header::CONTENT_LENGTH)
    }

    /// The length of a body that is framed by it (RFC 9112 section 6.2).
    pub(crate) fn note_length(&mut self, octets: u64) {
        // The body itself tells where they are shaped.
        if self.shaped.is_none() {
            self.headers.remove(header::TRANSFER_ENCODING);
            self.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(octets));
        }
    }

    /// Whether a response is to be dropped for that of another try, because of its status.
    fn refuses(&self, sent: &Sent, tries: usize, upstream: &Upstream, log: &[Attempt]) -> bool {
        let condition = RetryCondition::of_status(sent.head.status.as_u16());
        condition.is_some_and(|condition| self.may_follow(condition, false, tries, upstream, log))
    }

    /// Whether the request may be sent once more after a try that gave no response.
    fn may_repeat(&self, failure: &Failure, tries: usize, upstream: &Upstream, log: &[Attempt]) -> bool {
        let condition = failure.error.retry_condition();
        condition.is_some_and(|condition| self.may_follow(condition, failure.unsent, tries, upstream, log))
    }

    fn may_follow(
        &self,
        condition: RetryCondition,
        unsent: bool,
        tries: usize,
        upstream: &Upstream,
        log: &[Attempt],
    ) -> bool {
        let failed = FailedTry {
            condition,
            may_do_twice: !unsent && !is_idempotent(&self.method),
            tries,
            endpoints: upstream.with_endpoints(<[_]>::len),
            elapsed: log.first().map_or(Duration::ZERO, |first| clock::now() - first.began),
        };
        self.retry.may_repeat(&failed) && self.has_whole_body()
    }

    /// The failure by what it comes from: an upstream that waits in vain for the client is not at fault.
    fn blame(&self, failure: Failure) -> Failure {
        let Some(body) = &self.body else { return failure };
        let owed = body.is_waiting() && matches!(failure.error, ProxyError::UpstreamTimeout);
        let fault = if owed { Some(ProxyError::BodyTimeout) } else { body.fault() };
        match fault {
            Some(error) => Failure { error, ..failure },
            None => failure,
        }
    }

    /// Whether all of the body could be sent once more.
    fn has_whole_body(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.can_replay())
    }

    /// Keeps the try before, whose connection may still be under way, from taking more of the body, which the next needs.
    fn take_body_back(&self) {
        if let Some(body) = &self.body {
            drop(body.attempt());
        }
    }

    /// Whether a connection will do that the endpoint may be about to close, since the request can be sent again then.
    fn may_meet_closing(&self) -> bool {
        let conditions = self.retry.conditions;
        conditions.contains(RetryCondition::Error)
            && (is_idempotent(&self.method) || conditions.contains(RetryCondition::NonIdempotent))
    }

    /// The request for one try over HTTP/1.
    pub(super) fn outbound(&self) -> Outbound<'_> {
        let Self { method, target, http10, headers, .. } = self;
        Outbound { method, target, http10: *http10, headers, body: self.attempt() }
    }

    fn attempt(&self) -> RequestBody {
        self.body.as_ref().map_or(RequestBody::Empty, BodySource::attempt)
    }

    /// The fields for one try.
    fn fields(&mut self) -> HeaderMap {
        if let Some(sent) = &self.sent {
            return sent.again();
        }
        self.sent = Some(SentFields::of(&self.headers));
        std::mem::take(&mut self.headers)
    }

    /// The request for one try over HTTP/2, which may be the first of its connection; none where its host is none.
    pub(super) fn request(&mut self, origins: &Origins, tls: bool, first: bool) -> Option<(Request<()>, RequestBody)> {
        let body = self.attempt();
        let (headers, uri) = match &self.shaped {
            Some(shaped) => {
                let (mut headers, has_length) = shaped.fields(&mut self.headers, self.body.is_some(), first);
                if !has_length {
                    http2_head::put_length(&mut headers, &self.method, &body);
                }
                (headers, origins.uri(shaped.host(), tls, self.target.clone())?)
            }
            None => {
                let (mut headers, host) = http2_head::translated(self.fields(), first)?;
                http2_head::put_length(&mut headers, &self.method, &body);
                (headers, origins.uri(&host, tls, self.target.clone())?)
            }
        };
        let mut head = Request::new(());
        *head.version_mut() = Version::HTTP_2;
        head.method_mut().clone_from(&self.method);
        *head.uri_mut() = uri;
        *head.headers_mut() = headers;
        Some((head, body))
    }
}

/// Methods that do the same when done twice (RFC 9110 section 9.2.2). Of others nothing is known.
fn is_idempotent(method: &Method) -> bool {
    matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
}

/// A try that gave no response.
struct Failure {
    error: ProxyError,
    /// Nothing of the request was sent.
    unsent: bool,
    /// Nothing of a response came, and not for want of waiting.
    silent: bool,
    /// The connection was there before.
    reused: bool,
}

fn pick(worker: &Worker, upstream: &Upstream, choice: &Choice, log: &[Attempt]) -> Option<SocketAddr> {
    let tried: Vec<SocketAddr> = log.iter().map(|attempt| attempt.address).collect();
    worker.balancer().pick(choice, upstream, &tried, worker.random()).map(|endpoint| endpoint.address)
}

fn pooled(worker: &Worker, delivery: &Delivery, address: SocketAddr, now: Instant) -> Option<Box<Connection>> {
    let wanted = if delivery.may_meet_closing() { Wanted::Any } else { Wanted::Fresh };
    let peer = (address, delivery.transport);
    worker.connector().open(peer, now).or_else(|| worker.pool().take(peer, wanted))
}

async fn attempt(
    worker: &Worker,
    delivery: &mut Delivery,
    (address, began): (SocketAddr, Instant),
    pooled: Option<Box<Connection>>,
    log: &mut Attempts,
) -> Result<Sent, Failure> {
    let connected = pooled.is_some().then_some(Duration::ZERO);
    log.push(Attempt { address, status: 0, began, connected, head: None, over: None, octets: 0 });
    let mut reused = pooled.is_some();
    let (mut connection, now) = match pooled {
        Some(connection) => (connection, began),
        None => (connect(worker, delivery, address, log).await?, clock::now()),
    };
    reused |= !connection.is_new();
    let before = connection.received();
    match connection.exchange(delivery, now).await {
        Ok(head) => {
            if let Some(attempt) = log.last_mut() {
                attempt.status = head.status.as_u16();
                attempt.head = Some(clock::now() - began);
            }
            match response_head::check(&head, delivery.largest_head.into()) {
                Ok(()) => Ok(Sent { head, connection }),
                Err(error) => Err(Failure { error, unsent: false, silent: false, reused }),
            }
        }
        Err(SendError { unsent, error }) => {
            let silent = matches!(error, ProxyError::Upstream(_)) && connection.is_silent_since(before, unsent);
            Err(Failure { error, unsent, silent, reused })
        }
    }
}

async fn connect(
    worker: &Worker,
    delivery: &Delivery,
    address: SocketAddr,
    log: &mut [Attempt],
) -> Result<Box<Connection>, Failure> {
    let connecting =
        Box::pin(worker.connector().connect(address, delivery.transport, delivery.timeouts.connect.duration()));
    let connection = connecting.await.map_err(|error| Failure { error, unsent: true, silent: false, reused: false })?;
    if connection.is_new() {
        worker.counters().upstream_connections.add(1);
    }
    if let Some(attempt) = log.last_mut() {
        attempt.connected = Some(clock::now() - attempt.began);
    }
    Ok(connection)
}

fn note_failure(log: &mut [Attempt], error: &ProxyError) {
    if let Some(attempt) = log.last_mut() {
        attempt.status = error.status().as_u16();
    }
    note_over(log);
}

fn note_over(log: &mut [Attempt]) {
    if let Some(attempt) = log.last_mut() {
        attempt.over = Some(clock::now() - attempt.began);
    }
}
