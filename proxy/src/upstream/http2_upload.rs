//! A request body on its way over an HTTP/2 stream: with its trailers, and with a mark of when it last went on.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::body::RequestBody;

/// The rest of a body, and the stream that it goes over.
pub(super) struct Upload {
    body: RequestBody,
    stream: SendStream<Bytes>,
    /// The next piece, which waits until the upstream takes some.
    waiting: Option<Bytes>,
    pulse: Option<Rc<Pulse>>,
}

/// An upload that goes on in a task of its own, whatever becomes of the response.
pub(super) struct Uploading {
    pulse: Rc<Pulse>,
    task: AbortHandle,
}

/// When an upload last went on.
#[derive(Debug)]
struct Pulse(Cell<Instant>);

impl Upload {
    pub(super) fn new(body: RequestBody, stream: SendStream<Bytes>) -> Self {
        Self { body, stream, waiting: None, pulse: None }
    }

    /// Sends what is there. Ready when that was the end, or when the upstream wants no more.
    ///
    /// Whatever breaks the body off, the upstream is told that the request is cancelled (RFC 9113 section 7).
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.waiting.is_some() && !ready!(self.poll_room(cx)) {
                return Poll::Ready(());
            }
            if let Some(piece) = self.waiting.take()
                && self.stream.send_data(piece, false).is_err()
            {
                return Poll::Ready(());
            }
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                // An upstream that has enough says so by a reset, which is not to wait for the client.
                return self.stream.poll_reset(cx).map(drop);
            };
            self.beat();
            match frame.map(|frame| frame.map(http_body::Frame::into_data)) {
                // What is whole goes at once: there is nothing left to hold back.
                Some(Ok(Ok(piece))) if is_whole(&self.body) => return self.end(piece),
                Some(Ok(Ok(piece))) if !piece.is_empty() => {
                    // No more than that, so that no other stream waits for a piece that may never be sent.
                    self.stream.reserve_capacity(1);
                    self.waiting = Some(piece);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) => {
                    self.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(());
                }
                None => return self.end_late(),
            }
        }
    }

    fn end(&mut self, last: Bytes) -> Poll<()> {
        // It fails where the stream is reset, of which the exchange hears.
        self.stream.send_data(last, true).ok();
        Poll::Ready(())
    }

    #[cold]
    fn end_late(&mut self) -> Poll<()> {
        let Some(trailers) = self.body.trailers() else { return self.end(Bytes::new()) };
        self.stream.reserve_capacity(0);
        self.stream.send_trailers(trailers).ok();
        Poll::Ready(())
    }

    /// Whether the upstream takes more, once it does.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        while self.stream.capacity() == 0 {
            if !matches!(ready!(self.stream.poll_capacity(cx)), Some(Ok(_))) {
                return Poll::Ready(false);
            }
        }
        Poll::Ready(true)
    }

    fn beat(&self) {
        if let Some(pulse) = &self.pulse {
            pulse.0.set(Instant::now());
        }
    }

    /// Goes on in a task of its own: what waits for the client or for the upstream is not to wait for the response as well.
    #[cold]
    #[inline(never)]
    pub(super) fn detach(mut self) -> Uploading {
        let pulse = Rc::new(Pulse(Cell::new(Instant::now())));
        self.pulse = Some(Rc::clone(&pulse));
        let task = tokio::task::spawn_local(async move { std::future::poll_fn(|cx| self.poll(cx)).await });
        Uploading { pulse, task: task.abort_handle() }
    }
}

impl Uploading {
    pub(super) fn last_beat(&self) -> Instant {
        self.pulse.0.get()
    }

    /// Nothing more is sent. With the response given up as well, the stream is reset.
    pub(super) fn stop(&self) {
        self.task.abort();
    }
}

/// Whether nothing is left of a body, trailers included.
pub(super) fn is_whole(body: &RequestBody) -> bool {
    body.is_end_stream() && !body.has_trailers()
}
