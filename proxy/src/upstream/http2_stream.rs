//! One exchange on an HTTP/2 connection that others share.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::ResponseFuture;
use http::response::Parts as ResponseParts;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::Delivery;
use super::connection::{Broken, SendError};
use super::exchange_error::ExchangeError;
use super::http2::{Lent, Multiplexed};
use super::http2_download::Download;
use super::http2_upload::{Upload, Uploading, is_whole};
use crate::error::ProxyError;

/// A share in a connection: room for one exchange.
pub(crate) struct Http2Stream {
    connection: Rc<Multiplexed>,
    progress: Progress,
    uploading: Option<Uploading>,
    alarm: Option<Lent>,
    read_timeout: Duration,
    waiting_since: Option<Instant>,
    first: bool,
    late: bool,
    finished: bool,
}

/// How far an exchange has come.
enum Progress {
    /// Nothing was asked, or nothing more is to come.
    Nothing,
    /// The head of the request is sent, and perhaps nothing else.
    Asked(ResponseFuture, Option<Upload>),
    /// The head of the response is here.
    Answered(Download),
}

impl Http2Stream {
    pub(super) fn new(connection: &Rc<Multiplexed>) -> Self {
        let first = connection.begin();
        Self {
            connection: Rc::clone(connection),
            progress: Progress::Nothing,
            uploading: None,
            alarm: None,
            read_timeout: Duration::MAX,
            waiting_since: None,
            first,
            late: false,
            finished: false,
        }
    }

    /// Whether the connection was made for this exchange.
    pub(super) fn is_first(&self) -> bool {
        self.first
    }

    /// Sends a request and waits for the response head. The limit holds until the exchange is over, body included.
    ///
    /// # Errors
    ///
    /// [`SendError`], which says whether the request may have been looked at.
    pub(super) fn exchange(
        &mut self,
        delivery: &mut Delivery,
        tls: bool,
        now: Instant,
    ) -> impl Future<Output = Result<ResponseParts, SendError>> + use<'_> {
        self.waiting_since = Some(now);
        self.read_timeout = delivery.timeouts.read.duration();
        // Sent at once, so that the future has no room for the request.
        let asked = self.ask(delivery, tls);
        async {
            asked?;
            std::future::poll_fn(|cx| self.poll_head(cx)).await
        }
    }

    fn ask(&mut self, delivery: &mut Delivery, tls: bool) -> Result<(), SendError> {
        let (head, body) = delivery.request(self.connection.origins(), tls, self.first).ok_or(UNSENDABLE)?;
        let whole = is_whole(&body);
        let (response, stream) = self.connection.send(head, whole).map_err(|error| self.not_sent(error))?;
        self.progress = Progress::Asked(response, (!whole).then(|| Upload::new(body, stream)));
        Ok(())
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseParts, SendError>> {
        let Progress::Asked(response, upload) = &mut self.progress else { return Poll::Ready(Err(UNSENDABLE)) };
        // Most bodies are there as a whole, and go out together with the head.
        if let Some(begun) = upload {
            if begun.poll(cx).is_ready() {
                *upload = None;
            } else {
                self.uploading = upload.take().map(Upload::detach);
            }
        }
        match Pin::new(response).poll(cx) {
            Poll::Ready(Ok(response)) => {
                self.went_on();
                let (head, stream) = response.into_parts();
                self.progress = Progress::Answered(Download::new(stream, &head.headers));
                Poll::Ready(Ok(head))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.judge(error))),
            Poll::Pending if self.is_silent_too_long(cx) => {
                Poll::Ready(Err(SendError { unsent: false, error: ProxyError::UpstreamTimeout }))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// The next piece of the response's body, or its trailers; none at its end.
    ///
    /// # Errors
    ///
    /// [`Broken`]: the upstream broke off, or was silent too long.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Progress::Answered(download) = &mut self.progress else { return Poll::Ready(None) };
        let polled = download.poll_frame(cx);
        match &polled {
            Poll::Ready(_) => self.went_on(),
            Poll::Pending if self.is_silent_too_long(cx) => return Poll::Ready(Some(Err(Broken))),
            Poll::Pending => {}
        }
        polled
    }

    /// Whether all of the response is here.
    pub(super) fn is_end_stream(&self) -> bool {
        match &self.progress {
            Progress::Answered(download) => download.is_over(),
            Progress::Nothing | Progress::Asked(..) => true,
        }
    }

    /// How much of the response's body is still to come.
    pub(super) fn size_hint(&self) -> SizeHint {
        match &self.progress {
            Progress::Answered(download) => download.size_hint(),
            Progress::Nothing | Progress::Asked(..) => SizeHint::with_exact(0),
        }
    }

    /// The connection took no request, so that the upstream heard of none.
    #[cold]
    #[inline(never)]
    fn not_sent(&mut self, error: h2::Error) -> SendError {
        self.finished = true;
        if error.is_io() || error.is_go_away() || error.is_reset() {
            self.connection.retire();
            return SendError { unsent: true, error: ProxyError::Upstream(ExchangeError::Http2(error.into())) };
        }
        // Not for the connection's sake: HTTP/2 has no such request.
        tracing::debug!(%error, "a request cannot be written");
        UNSENDABLE
    }

    /// What was refused was not looked at: streams above the last one of a GOAWAY (RFC 9113 section 6.8), and those reset with
    /// `REFUSED_STREAM` (section 8.7).
    #[cold]
    #[inline(never)]
    fn judge(&mut self, error: h2::Error) -> SendError {
        // There is no stream left that dropping this could cancel.
        self.finished = true;
        let is_refusal = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        let unsent = error.is_remote() && (error.is_go_away() || is_refusal);
        if !error.is_reset() {
            self.connection.retire();
        }
        SendError { unsent, error: ProxyError::Upstream(ExchangeError::Http2(error.into())) }
    }

    /// To be asked whenever nothing came: whether the upstream has been silent for longer than it may. What goes to it counts
    /// too. If not, the task is woken when it will have been.
    fn is_silent_too_long(&mut self, cx: &mut Context<'_>) -> bool {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let since = self.uploading.as_ref().map_or(since, |uploading| since.max(uploading.last_beat()));
        let Some(deadline) = since.checked_add(self.read_timeout) else { return false };
        let lent = self.alarm.get_or_insert_with(|| self.connection.alarms().lend(cx.waker()));
        self.late = lent.alarm.poll(deadline, cx);
        self.late
    }

    /// Something came.
    fn went_on(&mut self) {
        self.waiting_since = None;
        self.connection.note_sign();
    }

    /// Whether it broke because the upstream was silent too long.
    pub(super) fn is_late(&self) -> bool {
        self.late
    }

    /// The response is complete.
    pub(super) fn finish(&mut self) {
        self.finished = true;
    }
}

const UNSENDABLE: SendError = SendError { unsent: true, error: ProxyError::Unsendable };

impl fmt::Debug for Http2Stream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Http2Stream").field("late", &self.late).finish_non_exhaustive()
    }
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        // With a complete response as well: nothing would limit how long its client keeps the stream from others.
        if let Some(uploading) = &self.uploading {
            uploading.stop();
        }
        if let Some(lent) = self.alarm.take() {
            self.connection.alarms().give_back(lent);
        }
        self.connection.end(!self.finished);
    }
}
