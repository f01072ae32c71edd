//! A connection to an endpoint: one of HTTP/1, used for one request at a time, or a share in one of HTTP/2.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::response::Parts as ResponseParts;
use http_body::Frame;
use http_body::SizeHint;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::http1::{Exchanges, Upgraded};
use super::http2_stream::Http2Stream;
use super::tls_configs::TlsId;
use super::{Delivery, Upstream};
use crate::error::ProxyError;

/// How an endpoint is spoken to: part of what tells connections apart, so that none is used with other TLS settings.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Transport {
    /// HTTP/1 in the clear.
    Plain,
    /// HTTP/1 over TLS.
    Tls(TlsId),
    /// HTTP/2 in the clear, with prior knowledge.
    Http2,
    /// HTTP/2 over TLS.
    Http2Tls(TlsId),
}

impl Transport {
    /// Whether exchanges share connections.
    pub(crate) fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Http2Tls(_))
    }

    /// The TLS settings, where there is TLS.
    pub(super) fn tls(self) -> Option<TlsId> {
        match self {
            Self::Plain | Self::Http2 => None,
            Self::Tls(id) | Self::Http2Tls(id) => Some(id),
        }
    }
}

/// An endpoint, and how it is spoken to.
pub(super) type Peer = (SocketAddr, Transport);

/// What one exchange goes over.
#[derive(Debug)]
pub(crate) enum Connection {
    /// A connection of its own.
    Http1(Http1Connection),
    /// One that others share.
    Http2(Http2Stream, Peer),
}

impl Connection {
    /// Where it leads and how.
    pub(super) fn peer(&self) -> Peer {
        match self {
            Self::Http1(connection) => connection.peer,
            Self::Http2(_, peer) => *peer,
        }
    }

    /// Whether it was made for this exchange.
    pub(super) fn is_new(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.requests == 0,
            Self::Http2(stream, _) => stream.is_first(),
        }
    }

    /// Sends a request, which it is time for `now`, and waits for the response head; the body is had from the connection then.
    /// The limits hold until the exchange is over, body included.
    ///
    /// # Errors
    ///
    /// [`SendError`], which says whether the request was sent at all.
    pub(super) fn exchange<'c>(
        &'c mut self,
        delivery: &mut Delivery,
        now: Instant,
    ) -> impl Future<Output = Result<ResponseParts, SendError>> + use<'c> {
        // Begun at once, so that the future has no room for the request.
        match self {
            Self::Http1(connection) => {
                connection.requests += 1;
                let exchanging = connection.exchanges.exchange(delivery.outbound(), &delivery.timeouts);
                Exchanging::Own { exchanging }
            }
            Self::Http2(stream, (_, transport)) => {
                Exchanging::Shared { exchanging: stream.exchange(delivery, transport.tls().is_some(), now) }
            }
        }
    }

    /// The next piece of the response's body, or its trailers; none at its end.
    ///
    /// # Errors
    ///
    /// [`Broken`], after which the connection is of no use.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self {
            Self::Http1(connection) => connection.exchanges.poll_frame(cx),
            Self::Http2(stream, _) => stream.poll_frame(cx),
        }
    }

    /// Whether all of the response is here.
    pub(crate) fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.exchanges.is_end_stream(),
            Self::Http2(stream, _) => stream.is_end_stream(),
        }
    }

    /// How much of the response's body is still to come, as far as that is known.
    pub(crate) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(connection) => connection.exchanges.size_hint(),
            Self::Http2(stream, _) => stream.size_hint(),
        }
    }

    /// Octets received so far on a connection of its own; of a shared one nothing can be told.
    pub(super) fn received(&self) -> u64 {
        match self {
            Self::Http1(connection) => connection.exchanges.meter().received(),
            Self::Http2(..) => 0,
        }
    }

    /// Whether nothing of a response came since then. On a shared connection that is known only of what was not sent.
    pub(super) fn is_silent_since(&self, received: u64, unsent: bool) -> bool {
        match self {
            Self::Http1(connection) => connection.exchanges.meter().received() == received,
            Self::Http2(..) => unsent,
        }
    }

    /// Whether it broke because the other side was silent too long.
    pub(crate) fn is_late(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.exchanges.meter().expired().is_some(),
            Self::Http2(stream, _) => stream.is_late(),
        }
    }

    /// After a 101, which HTTP/2 does not have: the stream, and how long it may be silent.
    pub(crate) fn into_upgraded(self) -> Option<(Upgraded, Duration)> {
        match self {
            Self::Http1(connection) => connection.exchanges.into_upgraded(),
            Self::Http2(..) => None,
        }
    }
}

pin_project! {
    /// An exchange under way.
    #[project = ExchangingProjection]
    enum Exchanging<O, S> {
        Own { #[pin] exchanging: O },
        Shared { #[pin] exchanging: S },
    }
}

impl<O: Future, S: Future<Output = O::Output>> Future for Exchanging<O, S> {
    type Output = O::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O::Output> {
        match self.project() {
            ExchangingProjection::Own { exchanging } => exchanging.poll(cx),
            ExchangingProjection::Shared { exchanging } => exchanging.poll(cx),
        }
    }
}

/// A connection of HTTP/1, and what is known of where it leads.
#[derive(Debug)]
pub(crate) struct Http1Connection {
    exchanges: Exchanges,
    peer: Peer,
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

impl Http1Connection {
    pub(super) fn new(exchanges: Exchanges, peer: Peer) -> Self {
        Self { exchanges, peer, opened: Instant::now(), requests: 0, owner: Owner::default() }
    }

    /// Whether it may take one more request, as far as age and number go.
    pub(super) fn may_be_reused(&self, now: Instant, longest: Duration, most: u32) -> bool {
        self.requests < most && now.duration_since(self.opened) < longest
    }

    /// Of an idle one: whether it is closed.
    pub(super) fn is_closed(&mut self) -> bool {
        self.exchanges.is_closed()
    }

    /// Whether the exchange before is over on both sides.
    pub(super) fn is_ready(&self) -> bool {
        self.exchanges.is_ready()
    }

    /// Ends an exchange with an endpoint of `upstream`: nothing is waited for any more. Whether the connection can be kept.
    pub(super) fn finish(&mut self, upstream: &Arc<Upstream>) -> bool {
        if !self.exchanges.finish() {
            return false;
        }
        if self.owner.number != Some(upstream.number()) {
            let number = Some(upstream.number());
            self.owner = Owner { upstream: Arc::downgrade(upstream), number, generation: None };
        }
        true
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
}

/// A response that broke off before its end, or was silent too long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broken;

/// A try that gave no response.
#[derive(Debug)]
pub(super) struct SendError {
    /// Nothing was written: whatever the method, it may be tried again.
    pub(super) unsent: bool,
    /// What happened.
    pub(super) error: ProxyError,
}
