//! The body of a response on its way to the client; the exchange ends with it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use portcullis_model::Reason;

use super::exchange::Exchange;
use super::read_ahead::{Broken, Next, ReadAhead};
use super::upstream_body::{BrokenOff, UpstreamBody};
use crate::body::BodyError;
use crate::upstream::Connection;

/// The body of a response.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    source: Source,
    /// What was taken from the source and not handed out yet.
    rest: Bytes,
    /// None after a protocol switch: the tunnel has it.
    exchange: Option<Box<Exchange>>,
}

#[derive(Debug)]
enum Source {
    /// A page of ours; nothing once it is sent.
    Page(Option<Bytes>),
    /// What an upstream sends.
    Upstream(UpstreamBody),
    /// The same, received ahead of the client; true at its end.
    Ahead(ReadAhead, bool),
}

impl ResponseBody {
    /// A page of ours, or none.
    pub(super) fn page(page: Option<Bytes>, exchange: Box<Exchange>) -> Self {
        Self {
            source: Source::Page(page.filter(|page| !page.is_empty())),
            rest: Bytes::new(),
            exchange: Some(exchange),
        }
    }

    /// No body, and an exchange that goes on elsewhere.
    pub(crate) fn nothing() -> Self {
        Self { source: Source::Page(None), rest: Bytes::new(), exchange: None }
    }

    /// What an upstream sends, with its trailers or without.
    pub(super) fn upstream(connection: Box<Connection>, exchange: Box<Exchange>, trailers: bool) -> Self {
        let source = Source::Upstream(UpstreamBody::new(connection, trailers));
        Self { source, rest: Bytes::new(), exchange: Some(exchange) }
    }

    /// What an upstream sends, received ahead of the client.
    pub(super) fn ahead(ahead: ReadAhead, exchange: Box<Exchange>) -> Self {
        Self { source: Source::Ahead(ahead, false), rest: Bytes::new(), exchange: Some(exchange) }
    }

    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Source::Ahead(ahead, ended) = &mut self.source else { return Poll::Ready(None) };
        if *ended {
            return Poll::Ready(None);
        }
        let next = ready!(ahead.poll(cx));
        *ended = !matches!(next, Ok(Next::Piece(_)));
        let broken = match next {
            Ok(Next::Piece(piece)) => {
                self.note_sent(piece.len());
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            Ok(Next::End(at)) => {
                if let Some(exchange) = &mut self.exchange {
                    exchange.note_received(at);
                }
                return Poll::Ready(None);
            }
            Err(broken) => broken,
        };
        let (reason, error) = match broken {
            Broken::Upstream(true) => (Reason::UpstreamTimeout, BodyError::Response),
            Broken::Upstream(false) => (Reason::UpstreamError, BodyError::Response),
            Broken::Disk(error) => (Reason::Internal, BodyError::Storage(error)),
        };
        self.note_cut(reason);
        Poll::Ready(Some(Err(error)))
    }

    /// The upstream's response is complete: its connection can serve the next request.
    fn release(&mut self) {
        let Source::Upstream(body) = &mut self.source else { return };
        let Some(exchange) = &self.exchange else { return };
        if let (Some(connection), Some(upstream)) = (body.take_connection(), exchange.upstream()) {
            exchange.connection().worker().pool().put(connection, upstream);
        }
    }

    /// The upstream's response broke off: so must ours.
    fn fail(&mut self, BrokenOff { late, error }: BrokenOff) -> BodyError {
        self.note_cut(if late { Reason::UpstreamTimeout } else { Reason::UpstreamError });
        error
    }

    /// Trailers as the client gets them: without what is hidden from it in heads, too.
    fn without_hidden(&self, mut trailers: HeaderMap) -> HeaderMap {
        if let Some(exchange) = &self.exchange {
            let table = exchange.connection().worker().table();
            for hidden in &table.settings().hide_headers {
                trailers.remove(hidden);
            }
        }
        trailers
    }

    fn note_cut(&mut self, reason: Reason) {
        if let Some(exchange) = &mut self.exchange {
            exchange.connection().note_cut();
            exchange.note_reason(reason);
        }
    }

    fn note_sent(&mut self, octets: usize) {
        if let Some(exchange) = &mut self.exchange {
            exchange.note_sent(octets);
        }
    }
}

impl Source {
    fn is_over(&self) -> bool {
        match self {
            Self::Page(page) => page.is_none(),
            Self::Upstream(body) => body.is_over(),
            Self::Ahead(_, ended) => *ended,
        }
    }
}

/// Most that a stream of HTTP/2 is handed at once: it is kept until the client's windows have room for it, and whether they
/// ever have is seen by the piece.
const PIECE: usize = 32 * 1024;

impl ResponseBody {
    fn divide(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let divides = self.exchange.as_ref().is_some_and(|exchange| exchange.connection().is_http2());
        match frame.into_data() {
            Ok(mut data) if divides && data.len() > PIECE => {
                self.rest = data.split_off(PIECE);
                Frame::data(data)
            }
            Ok(data) => Frame::data(data),
            Err(other) => other,
        }
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self;
        let body = match &mut this.source {
            Source::Page(page) => {
                let page = page.take();
                this.note_sent(page.as_ref().map_or(0, Bytes::len));
                return Poll::Ready(page.map(|page| Ok(Frame::data(page))));
            }
            Source::Upstream(body) => body,
            Source::Ahead(..) => return this.poll_ahead(cx),
        };
        let frame = match ready!(body.poll(cx)) {
            None => {
                this.release();
                return Poll::Ready(None);
            }
            Some(Err(broken)) => return Poll::Ready(Some(Err(this.fail(broken)))),
            Some(Ok(frame)) => frame,
        };
        let is_last = body.is_over();
        if is_last {
            this.release();
        }
        Poll::Ready(Some(Ok(match frame.into_trailers() {
            Ok(trailers) => Frame::trailers(this.without_hidden(trailers)),
            Err(frame) => {
                this.note_sent(frame.data_ref().map_or(0, Bytes::len));
                frame
            }
        })))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            return this.poll_source(cx).map_ok(|frame| this.divide(frame));
        }
        let piece = this.rest.split_to(PIECE.min(this.rest.len()));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.source.is_over()
    }

    /// Asked for before anything is handed out.
    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Page(page) => SizeHint::with_exact(page.as_ref().map_or(0, Bytes::len) as u64),
            Source::Upstream(body) => body.size_hint(),
            Source::Ahead(ahead, _) => ahead.size_hint(),
        }
    }
}

/// Bodies that hyper never asks for (HEAD, 204, 304, empty ones) end here.
impl Drop for ResponseBody {
    fn drop(&mut self) {
        if self.source.is_over() {
            self.release();
        }
    }
}
