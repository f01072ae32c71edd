//! The body of a client's request, as its connection hands it over.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::{HeaderMap, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::BodyError;

/// The body of a request.
#[derive(Debug)]
pub(crate) enum ClientBody {
    /// None, or one whose stream is somebody else's.
    Empty,
    /// That of a connection of HTTP/1.
    Http1(Incoming),
    /// That of a stream of HTTP/2.
    Http2(StreamBody),
}

/// What comes on a stream of HTTP/2. Its window opens as pieces are taken. That it is as long as the head says, h2 sees to.
#[derive(Debug)]
pub(crate) struct StreamBody {
    stream: RecvStream,
    /// Octets that are still to come, where the head says how many there are.
    rest: Option<u64>,
    /// Whether there can only be trailers any more.
    data_over: bool,
}

impl ClientBody {
    /// The body that comes on a stream.
    pub(crate) fn of_stream(stream: RecvStream) -> Self {
        if stream.is_end_stream() {
            return Self::Empty;
        }
        Self::Http2(StreamBody { stream, rest: None, data_over: false })
    }

    /// Whether the request has none, before anything of it was asked for.
    pub(crate) fn is_none(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(incoming) => incoming.is_end_stream(),
            // Told when it was made.
            Self::Http2(_) => false,
        }
    }

    /// Has as many octets as the head of the request says, before anything of it was asked for. HTTP/1 knows by itself.
    pub(crate) fn has_length(&mut self, octets: Option<u64>) {
        if let Self::Http2(body) = self {
            body.rest = octets;
        }
    }
}

/// What `Content-Length` says. That it is a number, and one, was looked at before.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl From<Incoming> for ClientBody {
    fn from(incoming: Incoming) -> Self {
        Self::Http1(incoming)
    }
}

impl StreamBody {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.data_over {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(piece)) => {
                    // Fails where the stream is over, and there is nothing to release.
                    self.stream.flow_control().release_capacity(piece.len()).ok();
                    self.rest = self.rest.map(|rest| rest.saturating_sub(piece.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
                Some(Err(error)) => return Poll::Ready(failure(error)),
                None => self.data_over = true,
            }
        }
        Poll::Ready(match ready!(self.stream.poll_trailers(cx)) {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => failure(error),
        })
    }
}

/// A reset with `NO_ERROR` ends a body early (RFC 9113 section 8.1): [`Body::is_end_stream`] tells it from the end.
fn failure<T>(error: h2::Error) -> Option<Result<T, h2::Error>> {
    (error.reason() != Some(Reason::NO_ERROR)).then_some(Err(error))
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Http1(incoming) => Pin::new(incoming).poll_frame(cx).map_err(BodyError::Request),
            Self::Http2(stream) => stream.poll(cx).map_err(BodyError::Stream),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(incoming) => incoming.is_end_stream(),
            Self::Http2(body) => body.stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Http1(incoming) => incoming.size_hint(),
            Self::Http2(body) => body.rest.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
