//! One exchange on an HTTP/2 connection that others share.

use std::error::Error;
use std::fmt;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::response::Parts as ResponseParts;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Uri, header};
use http_body::Frame;
use hyper::body::{Body, Incoming, SizeHint};
use tokio::time::Instant;

use super::connection::{Broken, SendError};
use super::http2::Multiplexed;
use super::http2_body::{Http2Body, Pulse};
use crate::body::RequestBody;
use crate::error::ProxyError;
use crate::timer::Alarm;

/// A share in a connection: room for one exchange.
pub(crate) struct Http2Stream {
    connection: Rc<Multiplexed>,
    pulse: Rc<Pulse>,
    /// The response's body.
    incoming: Option<Incoming>,
    alarm: Alarm,
    read_timeout: Duration,
    waiting_since: Option<Instant>,
    first: bool,
    late: bool,
    finished: bool,
}

impl Http2Stream {
    pub(super) fn new(connection: &Rc<Multiplexed>) -> Self {
        let (alarm, first) = connection.begin();
        Self {
            connection: Rc::clone(connection),
            pulse: Pulse::new(),
            incoming: None,
            alarm,
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
    pub(super) async fn exchange(
        &mut self,
        request: Request<RequestBody>,
        tls: bool,
        read_timeout: Duration,
    ) -> Result<ResponseParts, SendError> {
        self.read_timeout = read_timeout;
        self.pulse.beat();
        let pulse = Rc::clone(&self.pulse);
        let request = translated(request, tls)
            .map(|request| request.map(|body| Http2Body::new(body, pulse)))
            .ok_or(SendError { unsent: true, error: ProxyError::Unsendable })?;
        let sending = self.connection.sender().borrow_mut().send_request(request);
        let mut sending = pin!(sending);
        let sent = std::future::poll_fn(|cx| match sending.as_mut().poll(cx) {
            Poll::Ready(sent) => Poll::Ready(Some(sent)),
            Poll::Pending if self.is_silent_too_long(cx) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        let response = match sent.await {
            None => return Err(SendError { unsent: false, error: ProxyError::UpstreamTimeout }),
            Some(Err(error)) => return Err(self.judge(error)),
            Some(Ok(response)) => response,
        };
        self.went_on();
        let (parts, incoming) = response.into_parts();
        self.incoming = Some(incoming);
        Ok(parts)
    }

    /// The next piece of the response's body, or its trailers; none at its end.
    ///
    /// # Errors
    ///
    /// [`Broken`]: the upstream broke off, or was silent too long.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *incoming).poll_frame(cx);
        match &polled {
            // hyper takes a stream that is reset with `NO_ERROR` for one that has ended (RFC 9113 section 8.1).
            Poll::Ready(None) if !incoming.is_end_stream() => return Poll::Ready(Some(Err(Broken))),
            Poll::Ready(_) => self.went_on(),
            Poll::Pending if self.is_silent_too_long(cx) => return Poll::Ready(Some(Err(Broken))),
            Poll::Pending => {}
        }
        polled.map_err(|_| Broken)
    }

    /// Whether all of the response is here.
    pub(super) fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    /// How much of the response's body is still to come.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }

    /// What was refused was not looked at: streams above the last one of a GOAWAY (RFC 9113 section 6.8), and those reset with
    /// `REFUSED_STREAM` (section 8.7).
    fn judge(&mut self, error: hyper::Error) -> SendError {
        // There is no stream left that dropping this could cancel.
        self.finished = true;
        let cause = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
        let refused = cause.is_some_and(|cause| {
            let reset = cause.is_reset() && cause.reason() == Some(h2::Reason::REFUSED_STREAM);
            cause.is_remote() && (cause.is_go_away() || reset)
        });
        if error.is_canceled() || cause.is_none_or(|cause| !cause.is_reset()) {
            self.connection.retire();
        }
        SendError { unsent: error.is_canceled() || refused, error: ProxyError::Upstream(error) }
    }

    /// To be asked whenever nothing came: whether the upstream has been silent for longer than it may. What goes to it counts
    /// too. If not, the task is woken when it will have been.
    fn is_silent_too_long(&mut self, cx: &mut Context<'_>) -> bool {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let Some(deadline) = since.max(self.pulse.last()).checked_add(self.read_timeout) else { return false };
        self.late = self.alarm.poll(deadline, cx);
        self.late
    }

    /// Something came.
    fn went_on(&mut self) {
        self.waiting_since = None;
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

impl fmt::Debug for Http2Stream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Http2Stream").field("late", &self.late).finish_non_exhaustive()
    }
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        self.connection.end(std::mem::take(&mut self.alarm), !self.finished);
    }
}

/// From a request as HTTP/1.1 writes it to one of HTTP/2 (RFC 9113 section 8.3.1): `Host` becomes `:authority`. gRPC wants to
/// hear that trailers are understood. None where the host is none.
fn translated(mut request: Request<RequestBody>, tls: bool) -> Option<Request<RequestBody>> {
    let host = request.headers_mut().remove(header::HOST)?;
    // Nobody said which (HTTP/1.0): nginx then takes the name of the server.
    let host = if host.is_empty() { HeaderValue::from_static("_") } else { host };
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(if tls { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(Authority::try_from(host.as_bytes()).ok()?);
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    request.headers_mut().insert(header::TE, HeaderValue::from_static("trailers"));
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, fields: &[(&'static str, &'static str)]) -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::Empty);
        *request.uri_mut() = target.parse().unwrap();
        for (name, value) in fields {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        request
    }

    #[test]
    fn the_host_becomes_the_authority() {
        for (target, host, tls, want) in [
            ("/a.S/M?x=1", "a.example", false, Some("http://a.example/a.S/M?x=1")),
            ("/", "a.example:8443", true, Some("https://a.example:8443/")),
            ("/", "[::1]", false, Some("http://[::1]/")),
            ("/", "", false, Some("http://_/")),
            ("/", "a b", false, None),
        ] {
            let request = translated(request(target, &[("host", host)]), tls);
            assert_eq!(request.as_ref().map(|request| request.uri().to_string()).as_deref(), want, "{host:?}");
            let fields = request.map(|request| (request.headers().len(), request.headers()["te"].clone()));
            assert_eq!(fields, want.map(|_| (1, HeaderValue::from_static("trailers"))));
        }
        assert!(translated(request("/", &[]), false).is_none());
    }
}
