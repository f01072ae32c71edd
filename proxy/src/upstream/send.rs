//! Sending a request: which endpoint, which connection, and what is tried when that fails.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, Uri};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::Upstream;
use super::connection::{Connection, SendError, Transport};
use super::pool::Wanted;
use crate::body::{BodySource, RequestBody};
use crate::error::ProxyError;
use crate::server::Worker;

/// A request ready to be sent, to whichever endpoint.
pub(crate) struct Delivery {
    /// How endpoints are spoken to.
    pub(crate) transport: Transport,
    /// Method.
    pub(crate) method: Method,
    /// Target in origin form.
    pub(crate) uri: Uri,
    /// All fields, `Host` and framing included.
    pub(crate) headers: HeaderMap,
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

/// A response whose head is there.
pub(crate) struct Sent {
    /// The response.
    pub(crate) response: Response<Incoming>,
    /// The connection it comes on.
    pub(crate) connection: Box<Connection>,
}

/// Tries per request (nginx: `proxy_next_upstream_tries` of ingress-nginx). One endpoint may get several.
const TRIES: usize = 3;

/// Sends a request, to another endpoint when one fails (nginx: `proxy_next_upstream error timeout`).
///
/// # Errors
///
/// What the last try failed with.
pub(crate) async fn send(
    worker: &Worker,
    upstream: &Upstream,
    delivery: &Delivery,
    log: &mut Vec<Attempt>,
) -> Result<Sent, ProxyError> {
    let mut tries = 0;
    let mut again: Option<SocketAddr> = None;
    loop {
        let address = match again.take() {
            Some(address) => address,
            None => {
                tries += 1;
                pick(worker, upstream, log).ok_or(ProxyError::NoEndpoints)?
            }
        };
        let pooled = if tries == 1 && log.is_empty() { pooled(worker, delivery, address) } else { None };
        let was_pooled = pooled.is_some();
        let failure = match attempt(worker, delivery, address, pooled, log).await {
            Ok(sent) => return Ok(sent),
            Err(failure) => failure,
        };
        let owed = delivery.body.as_ref().is_some_and(|body| body.is_waiting());
        if owed && matches!(failure.error, ProxyError::UpstreamTimeout) {
            // The upstream was silent because it has not got the request yet: that is the client's delay.
            note_failure(log, &ProxyError::BodyTimeout);
            return Err(ProxyError::BodyTimeout);
        }
        worker.counters().upstream_failures.add(1);
        note_failure(log, &failure.error);
        if let Some(fault) = delivery.body.as_ref().and_then(|body| body.fault()) {
            return Err(fault);
        }
        if !delivery.may_repeat(&failure) {
            return Err(failure.error);
        }
        if was_pooled && failure.silent {
            // The endpoint closed the connection while it was idle: that is no verdict on the endpoint.
            again = Some(address);
        } else if tries >= TRIES {
            return Err(failure.error);
        }
    }
}

impl Delivery {
    /// Whether the request may be sent once more after `failure`.
    ///
    /// What may change something when done twice is not repeated once it was sent (nginx: no `non_idempotent`).
    fn may_repeat(&self, failure: &Failure) -> bool {
        let repeatable = is_idempotent(&self.method);
        let whole = self.body.as_ref().is_none_or(|body| body.can_replay());
        failure.error.may_try_another() && whole && (failure.unsent || repeatable)
    }

    fn request(&self) -> Request<RequestBody> {
        let body = self.body.as_ref().map_or(RequestBody::Empty, BodySource::attempt);
        let mut request = Request::new(body);
        request.method_mut().clone_from(&self.method);
        request.uri_mut().clone_from(&self.uri);
        request.headers_mut().clone_from(&self.headers);
        request
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
}

fn pick(worker: &Worker, upstream: &Upstream, log: &[Attempt]) -> Option<SocketAddr> {
    let tried: Vec<SocketAddr> = log.iter().map(|attempt| attempt.address).collect();
    worker.balancer().pick(upstream, &tried, worker.random()).map(|endpoint| endpoint.address)
}

fn pooled(worker: &Worker, delivery: &Delivery, address: SocketAddr) -> Option<Box<Connection>> {
    let wanted = if is_idempotent(&delivery.method) { Wanted::Any } else { Wanted::Fresh };
    worker.pool().take((address, delivery.transport), wanted)
}

async fn attempt(
    worker: &Worker,
    delivery: &Delivery,
    address: SocketAddr,
    pooled: Option<Box<Connection>>,
    log: &mut Vec<Attempt>,
) -> Result<Sent, Failure> {
    let began = Instant::now();
    let connected = pooled.is_some().then_some(Duration::ZERO);
    log.push(Attempt { address, status: 0, began, connected, head: None, over: None, octets: 0 });
    let mut connection = match pooled {
        Some(connection) => connection,
        None => connect(worker, address, delivery.transport, log).await?,
    };
    let before = connection.received();
    match connection.exchange(delivery.request()).await {
        Ok(response) => {
            if let Some(attempt) = log.last_mut() {
                attempt.status = response.status().as_u16();
                attempt.head = Some(began.elapsed());
            }
            Ok(Sent { response, connection })
        }
        Err(SendError { unsent, error }) => {
            let silent = matches!(error, ProxyError::Upstream(_)) && connection.received() == before;
            Err(Failure { error, unsent, silent })
        }
    }
}

async fn connect(
    worker: &Worker,
    address: SocketAddr,
    transport: Transport,
    log: &mut [Attempt],
) -> Result<Box<Connection>, Failure> {
    let connecting = Box::pin(worker.connector().connect(address, transport));
    let connection = connecting.await.map_err(|error| Failure { error, unsent: true, silent: false })?;
    worker.counters().upstream_connections.add(1);
    if let Some(attempt) = log.last_mut() {
        attempt.connected = Some(attempt.began.elapsed());
    }
    Ok(connection)
}

fn note_failure(log: &mut [Attempt], error: &ProxyError) {
    if let Some(attempt) = log.last_mut() {
        attempt.status = error.status().as_u16();
        attempt.over = Some(attempt.began.elapsed());
    }
}
