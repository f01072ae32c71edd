//! Exchanges with upstreams over HTTP/1 (RFC 9112), driven by whoever waits for the response: without a task of their own.

mod chunked;
mod decoder;
mod request;
mod response;
mod sending;
mod spares;
mod upload;

use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Method;
use http::response::Parts as ResponseParts;
use http_body::{Frame, SizeHint};
use portcullis_model::policy::Timeouts;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(super) use request::Outbound;
pub(super) use spares::Spares;

use self::decoder::{Decoded, Decoder};
use self::request::{LengthRequired, Written};
use self::response::{Head, Progress};
use self::sending::{Sending, SendingError};
use self::spares::FIRST;
use self::upload::{Outcome, Upload};
use super::ExchangeError;
use super::connection::{Broken, SendError};
use crate::error::ProxyError;
use crate::stream::{Expired, Meter, Patience, Timed, UpstreamStream};

/// A connection with nothing under way, or with exactly one exchange.
#[derive(Debug)]
pub(super) struct Exchanges {
    wire: Wire,
    meter: Rc<Meter>,
    spares: Rc<Spares>,
    tls: bool,
    /// What was received and not handed out.
    received: BytesMut,
    /// Octets to make room for next.
    room: usize,
    /// The request, until it is sent or its response begins.
    sending: Option<Sending>,
    /// The request cannot be sent.
    lacks_length: bool,
    /// Why the other side takes no more of the request; perhaps it was answered already.
    refused: Option<io::Error>,
    /// The rest of a request whose response began before.
    upload: Option<Box<Upload>>,
    progress: Progress,
    body: Decoder,
    to_head: bool,
    /// Whether there may be another exchange after this one.
    keeps: bool,
    /// Octets that had been sent before the exchange.
    sent_before: u64,
    /// How long its response may be silent.
    read_timeout: Duration,
    /// Nothing can be done with it any more.
    broken: bool,
}

/// What an exchange goes over, shared with the task that sends a request whose response has begun.
type Wire = Rc<RefCell<Timed<UpstreamStream>>>;

/// The stream of a connection that switched protocols, with what was read ahead of it.
pub(crate) type Upgraded = Box<Timed<UpstreamStream>>;

/// Most octets that wait in a connection.
const MOST: usize = 128 * 1024;

impl Exchanges {
    pub(super) fn new(stream: UpstreamStream, meter: Rc<Meter>, spares: Rc<Spares>) -> Self {
        let tls = matches!(stream, UpstreamStream::Tls(_));
        Self {
            wire: Rc::new(RefCell::new(Timed::new(stream, Rc::clone(&meter)))),
            meter,
            spares,
            tls,
            received: BytesMut::new(),
            room: FIRST,
            sending: None,
            lacks_length: false,
            refused: None,
            upload: None,
            progress: Progress::default(),
            body: Decoder::Length(0),
            to_head: false,
            keeps: true,
            sent_before: 0,
            read_timeout: Duration::ZERO,
            broken: false,
        }
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Sends a request and waits for the head of the response. The limits hold until the exchange is over, body included.
    ///
    /// # Errors
    ///
    /// [`SendError`], which says whether the request was sent at all.
    pub(super) fn exchange<'c>(
        &'c mut self,
        request: Outbound<'_>,
        timeouts: &Timeouts,
    ) -> impl Future<Output = Result<ResponseParts, SendError>> + use<'c> {
        self.begin(request, timeouts);
        std::future::poll_fn(|cx| match self.poll_head(cx) {
            Poll::Ready(Ok(head)) => Poll::Ready(Ok(head)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.judge(error))),
            Poll::Pending => Poll::Pending,
        })
    }

    fn begin(&mut self, request: Outbound<'_>, timeouts: &Timeouts) {
        self.read_timeout = timeouts.read.duration();
        self.meter.set_patience(Patience::Gap(self.read_timeout));
        self.meter.set_write_patience(timeouts.send.duration());
        self.sent_before = self.meter.sent();
        self.progress = Progress::default();
        self.refused = None;
        self.to_head = *request.method == Method::HEAD;
        self.received = self.spares.to_read();
        self.room = FIRST;
        let mut head = self.spares.to_write();
        self.sending = match request.write(&mut head) {
            Ok(Written { framing, closes }) => {
                self.keeps = !closes;
                Some(Sending::new(head, request.body, framing))
            }
            Err(LengthRequired) => None,
        };
        self.lacks_length = self.sending.is_none();
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseParts, Failure>> {
        if self.lacks_length {
            return Poll::Ready(Err(Failure::LengthRequired));
        }
        if let Some(sending) = &mut self.sending
            && let Poll::Ready(sent) = sending.poll(&mut *self.wire.borrow_mut(), cx)
        {
            match sent {
                Ok(()) => {}
                Err(SendingError::Write(error)) => self.refused = Some(error),
                Err(SendingError::Body(error)) => return Poll::Ready(Err(ExchangeError::Body(error).into())),
                Err(SendingError::Short) => return Poll::Ready(Err(Failure::Unsendable)),
            }
            if let Some(sending) = self.sending.take() {
                self.spares.keep_written(sending.into_buffer());
            }
        }
        loop {
            let error = match self.poll_receive(cx) {
                Poll::Ready(Ok(1..)) => {
                    let headers = || self.spares.map();
                    match response::take(&mut self.received, &mut self.progress, self.to_head, headers) {
                        Ok(None) => continue,
                        Ok(Some(head)) => return Poll::Ready(Ok(self.go_on(head))),
                        Err(malformed) => ExchangeError::Malformed(malformed),
                    }
                }
                // Of what came before a reset, tokio may not have heard yet.
                Poll::Pending if !self.is_stuck() => return Poll::Pending,
                other => {
                    let error = match other {
                        Poll::Ready(Err(error)) => Some(error),
                        Poll::Ready(Ok(_)) | Poll::Pending => None,
                    };
                    self.refused.take().or(error).map_or(ExchangeError::Incomplete, ExchangeError::Io)
                }
            };
            return Poll::Ready(Err(error.into()));
        }
    }

    /// Whether the other side took nothing of the request for too long.
    fn is_stuck(&self) -> bool {
        self.refused.as_ref().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
    }

    /// The head is here: now comes the body.
    fn go_on(&mut self, head: Head) -> ResponseParts {
        self.body = head.body;
        self.keeps &= head.keeps && self.refused.is_none();
        if let Some(sending) = self.sending.take() {
            self.upload = Some(Box::new(Upload::start(sending, Rc::clone(&self.wire))));
        }
        if let Decoder::Length(octets) = self.body {
            self.room = usize::try_from(octets).unwrap_or(MOST).clamp(FIRST, MOST);
        }
        head.parts
    }

    /// The next piece of the response's body, or its trailers; none at its end.
    ///
    /// # Errors
    ///
    /// [`Broken`], after which the connection is of no use.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.broken {
            return Poll::Ready(Some(Err(Broken)));
        }
        loop {
            match self.body.decode(&mut self.received) {
                Ok(Decoded::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Decoded::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Ok(Decoded::End) => return Poll::Ready(None),
                Ok(Decoded::More) => {}
                Err(_) => return self.break_off(cx),
            }
            if self.has_upload_failed(cx) {
                return self.break_off(cx);
            }
            match ready!(self.poll_receive(cx)) {
                Ok(0) if self.body.end() => return Poll::Ready(None),
                Ok(0) | Err(_) => return self.break_off(cx),
                Ok(_) => {}
            }
        }
    }

    /// Reads more, into room for it.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let free = self.received.capacity() - self.received.len();
        if free < self.room / 4 {
            self.received.reserve(self.room);
        }
        let room = self.received.capacity() - self.received.len();
        let mut wire = self.wire.borrow_mut();
        let octets = ready!(pin!(wire.read_buf(&mut self.received)).poll(cx))?;
        // Whoever fills what there is has more.
        if octets == room {
            self.room = (self.room * 2).min(MOST);
        }
        Poll::Ready(Ok(octets))
    }

    /// Whether the rest of the request failed, in which case the response breaks off.
    fn has_upload_failed(&self, cx: &Context<'_>) -> bool {
        let Some(upload) = &self.upload else { return false };
        upload.wake_at_end(cx);
        upload.outcome() == Outcome::Failed
    }

    /// The response breaks off with the next poll: what was handed out before can be on its way to the client until then.
    #[cold]
    fn break_off<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.broken = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether all of the response is here.
    pub(super) fn is_end_stream(&self) -> bool {
        !self.broken && self.body.is_over()
    }

    /// How much of the response's body is still to come, as far as that is known.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    /// Ends an exchange: nothing is waited for any more, and no memory held. Whether there may be another.
    pub(super) fn finish(&mut self) -> bool {
        self.meter.set_patience(Patience::Unlimited);
        // Nothing may come after a response: it would be taken for the next one.
        self.broken |= !self.keeps || !self.body.is_over() || !self.received.is_empty();
        let buffer = std::mem::take(&mut self.received);
        if self.room == FIRST && !self.broken {
            self.spares.keep_read(buffer);
        }
        !self.broken
    }

    /// Whether the request before is sent to its end.
    pub(super) fn is_ready(&self) -> bool {
        self.upload.as_ref().is_none_or(|upload| upload.outcome() == Outcome::Sent)
    }

    /// Of an idle connection: whether it is of no use, because it was closed or something came on it.
    pub(super) fn is_closed(&mut self) -> bool {
        if let Some(upload) = &self.upload {
            match upload.outcome() {
                Outcome::UnderWay => {}
                Outcome::Sent => self.upload = None,
                Outcome::Refused | Outcome::Failed => self.broken = true,
            }
        }
        if !self.broken {
            let mut octets = [0; 1];
            let mut wire = self.wire.borrow_mut();
            // Whatever else the task has done: what it may not look at any more would seem to be open.
            let reading = tokio::task::coop::unconstrained(wire.stream_mut().read(&mut octets));
            self.broken = pin!(reading).poll(&mut Context::from_waker(Waker::noop())).is_ready();
        }
        self.broken
    }

    /// After a 101: the stream, and how long it may be silent. None while a request is being sent.
    pub(super) fn into_upgraded(mut self) -> Option<(Upgraded, Duration)> {
        let read = std::mem::take(&mut self.received).freeze();
        let (wire, idle) = (Rc::clone(&self.wire), self.read_timeout);
        // What is left of this must not say goodbye.
        self.tls = false;
        drop(self);
        Some((Box::new(Rc::into_inner(wire)?.into_inner().unread(read)), idle))
    }

    /// What a failure means: for the request, and for another try.
    #[cold]
    fn judge(&mut self, failure: Failure) -> SendError {
        self.broken = true;
        let error = match (failure, self.meter.expired()) {
            (Failure::LengthRequired, _) => return SendError { unsent: true, error: ProxyError::LengthRequired },
            (_, Some(Expired::Gap | Expired::Write)) => ProxyError::UpstreamTimeout,
            (Failure::Unsendable, _) => ProxyError::Unsendable,
            (Failure::Exchange(error), _) => ProxyError::Upstream(error),
        };
        // Of TLS it is not known how much of what failed went out.
        SendError { unsent: !self.tls && self.meter.sent() == self.sent_before, error }
    }
}

/// Why there is no response.
#[derive(Debug)]
enum Failure {
    Exchange(ExchangeError),
    LengthRequired,
    /// The body is shorter than it said.
    Unsendable,
}

impl From<ExchangeError> for Failure {
    fn from(error: ExchangeError) -> Self {
        Self::Exchange(error)
    }
}

/// Says goodbye where TLS wants it said, as far as it goes out at once.
impl Drop for Exchanges {
    fn drop(&mut self) {
        if self.tls {
            let mut wire = self.wire.borrow_mut();
            let goodbye = tokio::task::coop::unconstrained(wire.stream_mut().shutdown());
            drop(pin!(goodbye).poll(&mut Context::from_waker(Waker::noop())));
        }
    }
}
