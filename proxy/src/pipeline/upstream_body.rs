//! The body of an upstream's response as it comes, and the connection it comes on.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::body::BodyError;
use crate::trailers;
use crate::upstream::Connection;

/// What an upstream sends.
#[derive(Debug)]
pub(super) struct UpstreamBody {
    incoming: Incoming,
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
    pub(super) fn new(incoming: Incoming, connection: Box<Connection>, trailers: bool) -> Self {
        Self { incoming, connection: Some(connection), trailers }
    }

    /// The next piece, or the trailers that may be passed on.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        loop {
            let Some(received) = ready!(self.receive(cx)) else { return Poll::Ready(None) };
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

    fn receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ()>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        // Connections of HTTP/1 watch over their silence themselves.
        if let Some(stream) = self.connection.as_mut().and_then(|connection| connection.http2()) {
            match &polled {
                Poll::Pending if stream.is_silent_too_long(cx) => return Poll::Ready(Some(Err(()))),
                Poll::Pending => {}
                // hyper takes a stream that is reset with `NO_ERROR` for one that has ended (RFC 9113 section 8.1).
                Poll::Ready(None) if !self.incoming.is_end_stream() => return Poll::Ready(Some(Err(()))),
                Poll::Ready(_) => stream.went_on(),
            }
        }
        polled.map_err(drop)
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
        self.incoming.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
