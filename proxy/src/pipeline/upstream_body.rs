//! The body of an upstream's response as it comes.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::body::BodyError;
use crate::trailers;
use crate::upstream::Connection;

/// What an upstream sends.
#[derive(Debug)]
pub(super) struct UpstreamBody {
    /// None once the upstream has sent everything.
    connection: Option<Box<Connection>>,
    /// Whether trailers are passed on: from HTTP/2 to HTTP/2 only (nginx: `proxy_pass_trailers off`).
    trailers: bool,
}

/// The upstream broke off, or was silent too long.
#[derive(Debug)]
pub(super) struct BrokenOff {
    pub(super) late: bool,
    pub(super) error: BodyError,
}

impl UpstreamBody {
    pub(super) fn new(connection: Box<Connection>, trailers: bool) -> Self {
        Self { connection: Some(connection), trailers }
    }

    /// The next piece, or the trailers that may be passed on.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        loop {
            let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
            let Some(received) = ready!(connection.poll_frame(cx)) else { return Poll::Ready(None) };
            let Ok(frame) = received else { return Poll::Ready(Some(Err(self.broken_off()))) };
            let trailers = match frame.into_data() {
                Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Err(frame) => frame.into_trailers().ok().filter(|_| self.trailers),
            };
            if let Some(trailers) = trailers {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers::admitted(trailers)))));
            }
        }
    }

    fn broken_off(&mut self) -> BrokenOff {
        let late = self.connection.take().is_some_and(|connection| connection.is_late());
        BrokenOff { late, error: BodyError::Response }
    }

    /// The connection, once everything was received.
    pub(super) fn take_connection(&mut self) -> Option<Box<Connection>> {
        self.connection.take()
    }

    pub(super) fn is_over(&self) -> bool {
        self.connection.as_ref().is_none_or(|connection| connection.is_end_stream())
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.connection.as_ref().map_or(SizeHint::with_exact(0), |connection| connection.size_hint())
    }
}
