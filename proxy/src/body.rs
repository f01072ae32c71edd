//! Request bodies on their way to an upstream: streamed, and kept while they are small, so that another try can send them.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::error::ProxyError;
use crate::stream::{Expired, Meter};

/// The body of one try.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// None.
    Empty,
    /// That of the client, from its beginning.
    Replayed {
        /// Shared with further tries.
        source: Rc<BodySource>,
        /// Which try this is; an older one gets nothing more.
        attempt: u32,
        /// The next of the kept pieces.
        next: usize,
    },
}

/// A client's request body, read once and sent once or more often.
#[derive(Debug)]
pub(crate) struct BodySource {
    state: RefCell<State>,
    meter: Rc<Meter>,
    octets: Cell<u64>,
    ended: Cell<bool>,
    /// Whether the client owes the next piece.
    waiting: Cell<bool>,
    fault: Cell<Option<Fault>>,
}

#[derive(Debug)]
struct State {
    incoming: Incoming,
    attempt: u32,
    kept: Vec<Bytes>,
    kept_octets: usize,
    /// More came than is kept: no further try can send it.
    overflown: bool,
}

/// Octets of a body that are kept for another try. Larger ones are sent once.
const KEPT: usize = 64 * 1024;

#[derive(Clone, Copy, Debug)]
enum Fault {
    Malformed,
    Timeout,
}

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The client sent less than it promised, or something else.
    #[error("the request body failed")]
    Request(#[source] hyper::Error),
    /// Another try sends the body now.
    #[error("another try took over")]
    Superseded,
    /// The upstream's response broke off.
    #[error("the response body failed")]
    Response(#[source] hyper::Error),
}

impl BodySource {
    /// Takes the body of a request whose connection has `meter`.
    pub(crate) fn new(incoming: Incoming, meter: Rc<Meter>) -> Self {
        let state = State { incoming, attempt: 0, kept: Vec::new(), kept_octets: 0, overflown: false };
        Self {
            state: RefCell::new(state),
            meter,
            octets: Cell::new(0),
            ended: Cell::new(false),
            waiting: Cell::new(false),
            fault: Cell::new(None),
        }
    }

    /// The body for the next try, which takes over from the one before.
    pub(crate) fn attempt(self: &Rc<Self>) -> RequestBody {
        let mut state = self.state.borrow_mut();
        state.attempt += 1;
        RequestBody::Replayed { source: Rc::clone(self), attempt: state.attempt, next: 0 }
    }

    /// Whether another try could send all of it.
    pub(crate) fn can_replay(&self) -> bool {
        !self.state.borrow().overflown && self.fault.get().is_none()
    }

    /// Octets received so far.
    pub(crate) fn octets(&self) -> u64 {
        self.octets.get()
    }

    /// Whether all of it was received.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Whether the upstream waits for what the client has not sent.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.get()
    }

    /// What the client did wrong, if anything.
    pub(crate) fn fault(&self) -> Option<ProxyError> {
        self.fault.get().map(|fault| match fault {
            Fault::Malformed => ProxyError::BadBody,
            Fault::Timeout => ProxyError::BodyTimeout,
        })
    }

    fn poll(
        &self,
        attempt: u32,
        next: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.state.borrow_mut();
        if state.attempt != attempt {
            return Poll::Ready(Some(Err(BodyError::Superseded)));
        }
        if let Some(piece) = state.kept.get(*next) {
            *next += 1;
            return Poll::Ready(Some(Ok(Frame::data(piece.clone()))));
        }
        loop {
            let polled = Pin::new(&mut state.incoming).poll_frame(cx);
            self.waiting.set(polled.is_pending());
            let frame = match std::task::ready!(polled) {
                None => {
                    self.ended.set(true);
                    return Poll::Ready(None);
                }
                Some(Err(error)) => {
                    let late = self.meter.expired() == Some(Expired::Gap);
                    self.fault.set(Some(if late { Fault::Timeout } else { Fault::Malformed }));
                    return Poll::Ready(Some(Err(BodyError::Request(error))));
                }
                Some(Ok(frame)) => frame,
            };
            // Trailers are not passed on to HTTP/1 upstreams (RFC 9110 section 6.5.1 leaves it to the recipient).
            if let Ok(piece) = frame.into_data() {
                self.octets.set(self.octets.get().wrapping_add(piece.len() as u64));
                self.ended.set(state.incoming.is_end_stream());
                state.keep(&piece);
                *next = state.kept.len();
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
        }
    }
}

impl State {
    fn keep(&mut self, piece: &Bytes) {
        self.kept_octets += piece.len();
        if self.kept_octets > KEPT {
            self.overflown = true;
            self.kept = Vec::new();
        } else if !self.overflown {
            self.kept.push(piece.clone());
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Replayed { source, attempt, next } => source.poll(*attempt, next, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Replayed { source, attempt: _, next } => {
                let state = source.state.borrow();
                *next >= state.kept.len() && state.incoming.is_end_stream()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Replayed { source, attempt: _, next } => {
                let state = source.state.borrow();
                let again: usize = state.kept.iter().skip(*next).map(Bytes::len).sum();
                let rest = state.incoming.size_hint().exact();
                rest.map_or_else(SizeHint::new, |rest| SizeHint::with_exact(rest.saturating_add(again as u64)))
            }
        }
    }
}

/// Most that is read of a body that nobody wants, so that its connection can go on with the next request.
const DRAIN_OCTETS: usize = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Whether a body of which nothing was read may be read to its end for nothing, as far as it is known how long it is.
pub(crate) fn may_drain(body: &Incoming) -> bool {
    body.size_hint().lower() <= DRAIN_OCTETS as u64
}

/// Reads and drops what is left of an unwanted body. Beyond the limits hyper closes the connection instead.
pub(crate) async fn drain(mut body: Incoming) {
    let read = async {
        let mut octets = 0;
        while octets < DRAIN_OCTETS {
            match body.frame().await {
                Some(Ok(frame)) => octets += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(_)) | None => return,
            }
        }
    };
    // Running out of time is one of the limits.
    tokio::time::timeout(DRAIN_TIME, read).await.ok();
}
