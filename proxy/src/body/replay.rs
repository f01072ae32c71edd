//! The body of one try: what is kept from its beginning, then what is on disk, or what the client still sends.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::BodyError;
use super::source::{BodySource, Extent, Fault};
use super::spool::{PIECE, Spool};

/// The body of one try.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// None.
    Empty,
    /// That of the client, from its beginning.
    Replayed(Replay),
}

/// A body from its beginning.
#[derive(Debug)]
pub(crate) struct Replay {
    /// Shared with further tries.
    source: Rc<BodySource>,
    /// Which try this is; an older one gets nothing more.
    attempt: u32,
    /// The next of the pieces in memory.
    next: usize,
    sent: u64,
    /// The next piece on disk, while it is read.
    reading: Option<Reading>,
}

struct Reading(Pin<Box<dyn Future<Output = std::io::Result<Bytes>>>>);

impl Replay {
    pub(super) fn new(source: Rc<BodySource>, attempt: u32) -> Self {
        Self { source, attempt, next: 0, sent: 0, reading: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let source = Rc::clone(&self.source);
        let mut state = source.state.borrow_mut();
        if state.attempt != self.attempt {
            return Poll::Ready(Some(Err(BodyError::Superseded)));
        }
        if let Some(piece) = state.kept.piece(self.next) {
            self.next += 1;
            return Poll::Ready(Some(Ok(piece.clone())));
        }
        if state.extent != Extent::Whole {
            let polled = source.stream(&mut state, cx);
            self.next = state.kept.pieces();
            return polled;
        }
        let spool = state.spool.clone();
        drop(state);
        match spool {
            None => Poll::Ready(None),
            Some(spool) => self.read_back(&spool, cx),
        }
    }

    fn read_back(&mut self, spool: &Rc<Spool>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let at = spool.octets().saturating_sub(self.source.octets().saturating_sub(self.sent));
        let left = usize::try_from(spool.octets().saturating_sub(at)).unwrap_or(usize::MAX);
        if left == 0 {
            return Poll::Ready(None);
        }
        let reading = self.reading.get_or_insert_with(|| {
            let spool = Rc::clone(spool);
            Reading(Box::pin(async move { spool.read(at, left.min(PIECE)).await }))
        });
        let read = ready!(reading.0.as_mut().poll(cx));
        self.reading = None;
        Poll::Ready(Some(read.map_err(|error| {
            tracing::warn!(%error, "a body cannot be read back from disk");
            self.source.set_fault(Fault::Storage);
            BodyError::Storage(error)
        })))
    }

    fn is_over(&self) -> bool {
        let state = self.source.state.borrow();
        match state.extent {
            Extent::Whole => self.sent >= self.source.octets(),
            Extent::SoFar | Extent::Nothing => self.next >= state.kept.pieces() && self.source.is_at_end(&state),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.source.state.borrow();
        if state.extent == Extent::Whole {
            return SizeHint::with_exact(self.source.octets().saturating_sub(self.sent));
        }
        let again = state.kept.octets_from(self.next);
        let rest = state.incoming.size_hint().exact();
        rest.map_or_else(SizeHint::new, |rest| SizeHint::with_exact(rest.saturating_add(again)))
    }
}

impl RequestBody {
    /// What came after the end, where it is kept.
    pub(crate) fn trailers(&self) -> Option<HeaderMap> {
        match self {
            Self::Empty => None,
            Self::Replayed(replay) => replay.source.state.borrow().trailers.clone(),
        }
    }

    pub(crate) fn has_trailers(&self) -> bool {
        matches!(self, Self::Replayed(replay) if replay.source.state.borrow().trailers.is_some())
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self::Replayed(replay) = self.get_mut() else { return Poll::Ready(None) };
        let piece = ready!(replay.poll(cx));
        if let Some(Ok(piece)) = &piece {
            replay.sent = replay.sent.saturating_add(piece.len() as u64);
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Replayed(replay) => replay.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Replayed(replay) => replay.size_hint(),
        }
    }
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Reading")
    }
}
