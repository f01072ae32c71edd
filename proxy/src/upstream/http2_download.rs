//! A response body as it comes over an HTTP/2 stream.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, header};
use http_body::{Frame, SizeHint};

use super::connection::Broken;

/// The rest of a response, which h2 holds to the length that its head gives.
pub(super) struct Download {
    stream: RecvStream,
    /// Octets still to come, where that is known.
    left: Option<u64>,
    /// Only trailers are left.
    data_over: bool,
    /// Nothing is left, as far as it was seen: h2 has to be asked under a lock.
    over: bool,
}

impl Download {
    pub(super) fn new(stream: RecvStream, headers: &HeaderMap) -> Self {
        let over = stream.is_end_stream();
        Self { stream, left: length(headers).or(over.then_some(0)), data_over: false, over }
    }

    /// The next piece, or the trailers; none at the end.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if !self.data_over {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(piece)) => return Poll::Ready(Some(Ok(self.take(piece)))),
                Some(Err(error)) => return Poll::Ready(self.broken(&error)),
                None => self.data_over = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        self.over |= trailers.is_ok();
        Poll::Ready(match trailers {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => self.broken(&error),
        })
    }

    fn take(&mut self, piece: Bytes) -> Frame<Bytes> {
        self.over = self.stream.is_end_stream();
        // It fails where there is no stream any more.
        self.stream.flow_control().release_capacity(piece.len()).ok();
        self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
        Frame::data(piece)
    }

    /// A reset without an error only says that the rest of the request is not wanted, if the response is complete (RFC 9113
    /// section 8.1).
    #[cold]
    fn broken(&self, error: &h2::Error) -> Option<Result<Frame<Bytes>, Broken>> {
        let is_end = error.reason() == Some(Reason::NO_ERROR) && self.stream.is_end_stream();
        (!is_end).then_some(Err(Broken))
    }

    /// Whether nothing is left.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// `Content-Length`, if all of them agree.
fn length(headers: &HeaderMap) -> Option<u64> {
    let number = |value: &HeaderValue| value.to_str().ok()?.parse().ok();
    let first: u64 = number(headers.get(header::CONTENT_LENGTH)?)?;
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    lengths.all(|other| number(other) == Some(first)).then_some(first)
}
