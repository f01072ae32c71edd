//! A client's request body: received once, and what was received of it.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;

use super::BodyError;
use super::client::ClientBody;
use super::kept::Kept;
use super::replay::{Replay, RequestBody};
use super::spool::Spool;
use super::storage::Storage;
use crate::error::ProxyError;
use crate::stream::{Expired, Meter};
use crate::trailers;

/// A client's request body, read once and sent once or more often.
#[derive(Debug)]
pub(crate) struct BodySource {
    pub(super) state: RefCell<State>,
    meter: Rc<Meter>,
    largest: Option<u64>,
    octets: Cell<u64>,
    ended: Cell<bool>,
    /// Whether the client owes the next piece.
    waiting: Cell<bool>,
    fault: Cell<Option<Fault>>,
    keeps_trailers: bool,
    /// Whether it is that of a stream of HTTP/2.
    is_stream: bool,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) incoming: ClientBody,
    pub(super) attempt: u32,
    pub(super) kept: Kept,
    /// What follows [`State::kept`] of a body that was received whole.
    pub(super) spool: Option<Rc<Spool>>,
    pub(super) extent: Extent,
    pub(super) trailers: Option<HeaderMap>,
}

/// How much of a body can be sent once more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Extent {
    /// What was received so far.
    SoFar,
    /// All of it: nothing more is received.
    Whole,
    /// Too little: it was streamed, and its beginning is gone.
    Nothing,
}

/// Octets of a streamed body that are kept for another try. Larger ones are sent once.
const KEPT: u64 = 64 * 1024;

/// Why a body cannot be sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Malformed,
    Timeout,
    TooLarge,
    Storage,
}

impl BodySource {
    /// Takes the body of a request whose connection has `meter`. More than `largest` octets are an error.
    pub(crate) fn new(incoming: ClientBody, meter: Rc<Meter>, largest: Option<u64>, storage: &Rc<Storage>) -> Self {
        let kept = Kept::new(storage.memory());
        let state = State { incoming, attempt: 0, kept, spool: None, extent: Extent::SoFar, trailers: None };
        Self {
            state: RefCell::new(state),
            meter,
            largest,
            octets: Cell::new(0),
            ended: Cell::new(false),
            waiting: Cell::new(false),
            fault: Cell::new(None),
            keeps_trailers: false,
            is_stream: false,
        }
    }

    /// Also keeps its trailers. Otherwise they are dropped (RFC 9110 section 6.5.1 leaves it to the recipient).
    pub(crate) fn with_trailers(mut self, keep: bool) -> Self {
        self.keeps_trailers = keep;
        self
    }

    /// Where it is that of a stream of HTTP/2, which can be reset before its end.
    pub(crate) fn of_stream(mut self, is_stream: bool) -> Self {
        self.is_stream = is_stream;
        self
    }

    /// The body for the next try, which takes over from the one before.
    pub(crate) fn attempt(self: &Rc<Self>) -> RequestBody {
        let mut state = self.state.borrow_mut();
        state.attempt += 1;
        state.kept.settle();
        RequestBody::Replayed(Replay::new(Rc::clone(self), state.attempt))
    }

    /// Whether another try could send all of it.
    pub(crate) fn can_replay(&self) -> bool {
        self.state.borrow().extent != Extent::Nothing && self.fault.get().is_none()
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

    /// Whether nothing more is to come. There was something at first, so that the client need not be asked until some came.
    pub(super) fn is_at_end(&self, state: &State) -> bool {
        self.ended.get() || (self.octets.get() > 0 && state.incoming.is_end_stream())
    }

    /// Why it cannot be sent, if so.
    pub(crate) fn fault(&self) -> Option<ProxyError> {
        self.fault.get().map(|fault| match fault {
            Fault::Malformed => ProxyError::BadBody,
            Fault::Timeout => ProxyError::BodyTimeout,
            Fault::TooLarge => ProxyError::BodyTooLarge,
            Fault::Storage => ProxyError::BodyLost,
        })
    }

    pub(super) fn set_fault(&self, fault: Fault) {
        self.fault.set(Some(fault));
    }

    /// The next piece from the client, to be passed on at once.
    pub(super) fn stream(&self, state: &mut State, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let received = ready!(self.receive(state, cx));
        if let Some(Ok(piece)) = &received
            && state.extent == Extent::SoFar
            && !state.kept.keep(piece, KEPT)
        {
            state.extent = Extent::Nothing;
            state.kept.clear();
        }
        Poll::Ready(received)
    }

    /// The next piece from the client.
    pub(super) fn receive(&self, state: &mut State, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            let polled = Pin::new(&mut state.incoming).poll_frame(cx);
            self.waiting.set(polled.is_pending());
            let frame = match ready!(polled) {
                // A stream that is reset with `NO_ERROR` seems to have ended.
                None if self.is_stream && !state.incoming.is_end_stream() => {
                    self.set_fault(Fault::Malformed);
                    return Poll::Ready(Some(Err(BodyError::Reset)));
                }
                None => {
                    self.ended.set(true);
                    return Poll::Ready(None);
                }
                Some(Err(error)) => {
                    let late = self.meter.expired() == Some(Expired::Gap);
                    self.set_fault(if late { Fault::Timeout } else { Fault::Malformed });
                    return Poll::Ready(Some(Err(error)));
                }
                Some(Ok(frame)) => frame,
            };
            let piece = match frame.into_data() {
                Ok(piece) => piece,
                Err(frame) => {
                    let trailers = frame.into_trailers().ok().filter(|_| self.keeps_trailers);
                    state.trailers = trailers.map(trailers::admitted);
                    continue;
                }
            };
            self.octets.set(self.octets.get().wrapping_add(piece.len() as u64));
            self.ended.set(state.incoming.is_end_stream());
            if self.largest.is_some_and(|largest| self.octets.get() > largest) {
                self.set_fault(Fault::TooLarge);
                return Poll::Ready(Some(Err(BodyError::TooLarge)));
            }
            return Poll::Ready(Some(Ok(piece)));
        }
    }
}

/// Nobody takes more of it: what comes next is no body.
impl Drop for BodySource {
    fn drop(&mut self) {
        self.meter.set_in_rest(false);
    }
}
