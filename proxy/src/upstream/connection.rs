//! One connection to an endpoint, used for one request at a time.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Parts, SendRequest};
use hyper_util::rt::TokioIo;
use portcullis_model::policy::Timeouts;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Upstream;
use crate::body::RequestBody;
use crate::error::ProxyError;
use crate::stream::{Expired, Meter, Patience, Timed, UpstreamStream};

/// How an endpoint is spoken to: part of what tells connections in a pool apart.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Transport {
    /// In the clear.
    Plain,
    /// Over TLS.
    Tls,
}

/// A connection with nothing under way, or with exactly one exchange.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<RequestBody>,
    meter: Rc<Meter>,
    upgraded: Upgraded,
    /// Of the exchange under way.
    read_timeout: Duration,
    peer: (SocketAddr, Transport),
    opened: Instant,
    requests: u32,
    owner: Owner,
}

/// Whose endpoint a connection leads to, and up to which change of endpoints that is known.
#[derive(Debug, Default)]
struct Owner {
    upstream: Weak<Upstream>,
    number: Option<u64>,
    generation: Option<u64>,
}

/// The stream of a connection that switched protocols, and what was read ahead of it. Comes after the 101.
pub(crate) type Upgraded = oneshot::Receiver<Parts<TokioIo<Timed<UpstreamStream>>>>;

impl Connection {
    pub(super) fn new(
        sender: SendRequest<RequestBody>,
        meter: Rc<Meter>,
        upgraded: Upgraded,
        peer: (SocketAddr, Transport),
    ) -> Self {
        Self {
            sender,
            meter,
            upgraded,
            read_timeout: Duration::ZERO,
            peer,
            opened: Instant::now(),
            requests: 0,
            owner: Owner::default(),
        }
    }

    /// Where it leads and how.
    pub(super) fn peer(&self) -> (SocketAddr, Transport) {
        self.peer
    }

    /// Whether it may take one more request, as far as age and number go.
    pub(super) fn may_be_reused(&self, now: Instant, longest: Duration, most: u32) -> bool {
        self.requests < most && now.duration_since(self.opened) < longest
    }

    /// Whether it is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether the exchange before is over on both sides.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Sends a request and waits for the response head. The limits hold until the exchange is over, body included.
    ///
    /// # Errors
    ///
    /// [`SendError`], which says whether the request was sent at all.
    pub(super) fn exchange(
        &mut self,
        request: Request<RequestBody>,
        timeouts: &Timeouts,
    ) -> impl Future<Output = Result<Response<Incoming>, SendError>> {
        self.requests += 1;
        self.read_timeout = timeouts.read.duration();
        self.meter.set_patience(Patience::Gap(self.read_timeout));
        self.meter.set_write_patience(timeouts.send.duration());
        let sending = self.sender.send_request(request);
        async { sending.await.map_err(|error| self.judge(error)) }
    }

    fn judge(&self, error: hyper::Error) -> SendError {
        SendError {
            unsent: error.is_canceled(),
            error: match self.meter.expired() {
                Some(Expired::Gap | Expired::Write) => ProxyError::UpstreamTimeout,
                Some(Expired::Idle | Expired::Head) | None if is_ours(&error) => ProxyError::Unsendable,
                Some(Expired::Idle | Expired::Head) | None => ProxyError::Upstream(error),
            },
        }
    }

    /// Whether it broke because the other side was silent too long.
    pub(crate) fn is_late(&self) -> bool {
        self.meter.expired().is_some()
    }

    /// How long the other side may be silent in the exchange under way.
    pub(crate) fn read_timeout(&self) -> Duration {
        self.read_timeout
    }

    /// Ends an exchange with an endpoint of `upstream`: nothing is waited for any more.
    pub(super) fn finish(&mut self, upstream: &Arc<Upstream>) {
        self.meter.set_patience(Patience::Unlimited);
        if self.owner.number != Some(upstream.number()) {
            let number = Some(upstream.number());
            self.owner = Owner { upstream: Arc::downgrade(upstream), number, generation: None };
        }
    }

    /// Whether the upstream that used it last still has the endpoint.
    pub(super) fn leads_to_an_endpoint(&mut self) -> bool {
        let Some(upstream) = self.owner.upstream.upgrade() else { return false };
        let generation = Some(upstream.generation());
        if self.owner.generation == generation {
            return true;
        }
        self.owner.generation = generation;
        let (address, _) = self.peer;
        upstream.with_endpoints(|endpoints| endpoints.iter().any(|endpoint| endpoint.address == address))
    }

    /// Octets received so far.
    pub(super) fn received(&self) -> u64 {
        self.meter.received()
    }

    /// After a 101: the stream, once hyper has let go of it.
    pub(crate) fn into_upgraded(self) -> Upgraded {
        self.upgraded
    }
}

/// hyper refuses to send what contradicts itself. A body that fails also counts as a fault of the user, which it is not.
fn is_ours(error: &hyper::Error) -> bool {
    use std::error::Error;
    error.is_user() && error.source().is_none_or(|cause| !cause.is::<crate::body::BodyError>())
}

/// A try that gave no response.
#[derive(Debug)]
pub(super) struct SendError {
    /// Nothing was written: whatever the method, it may be tried again.
    pub(super) unsent: bool,
    /// What happened.
    pub(super) error: ProxyError,
}
