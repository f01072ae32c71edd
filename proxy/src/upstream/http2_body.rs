//! A request body on an HTTP/2 stream: with its trailers, and with a mark of when it last went on.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::body::RequestBody;

/// When an exchange last went on.
#[derive(Debug)]
pub(super) struct Pulse(Cell<Instant>);

impl Pulse {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self(Cell::new(Instant::now())))
    }

    pub(super) fn beat(&self) {
        self.0.set(Instant::now());
    }

    pub(super) fn last(&self) -> Instant {
        self.0.get()
    }
}

/// The body of one stream.
#[derive(Debug)]
pub(super) struct Http2Body {
    body: RequestBody,
    pulse: Rc<Pulse>,
    ended: bool,
}

impl Http2Body {
    pub(super) fn new(body: RequestBody, pulse: Rc<Pulse>) -> Self {
        Self { body, pulse, ended: false }
    }
}

impl Body for Http2Body {
    type Data = Bytes;
    /// Whatever breaks the body off, the upstream is told that the request is cancelled (RFC 9113 section 7): hyper takes the
    /// code from the error.
    type Error = h2::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.pulse.beat();
        Poll::Ready(match frame {
            Some(Ok(frame)) => Some(Ok(frame)),
            Some(Err(_)) => Some(Err(h2::Reason::CANCEL.into())),
            None => {
                self.ended = true;
                self.body.trailers().map(|trailers| Ok(Frame::trailers(trailers)))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended || (self.body.is_end_stream() && !self.body.has_trailers())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
