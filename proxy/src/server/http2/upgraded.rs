//! A stream of HTTP/2 as a stream of octets, once its CONNECT has succeeded (RFC 8441 section 5).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::request::Parts;
use http::{Response, header};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use crate::body::content_length;

/// The stream of a CONNECT that is not answered yet.
pub(super) struct Connect {
    stream: RecvStream,
    taker: oneshot::Sender<Upgraded>,
}

impl Connect {
    /// Takes up a CONNECT, and leaves an [`OnStream`] with its head. None where it has a body, which none has (RFC 9110
    /// section 9.3.6).
    #[cold]
    pub(super) fn take(parts: &mut Parts, stream: RecvStream) -> Option<Box<Self>> {
        if content_length(&parts.headers).is_some_and(|length| length > 0) {
            tracing::debug!("CONNECT with a body");
            return None;
        }
        let (taker, taken) = oneshot::channel();
        parts.extensions.insert(OnStream(Arc::new(Mutex::new(Some(taken)))));
        Some(Box::new(Self { stream, taker }))
    }

    /// Sends a success, which has no body (RFC 9110 section 9.3.6), and hands the stream to who waits for it.
    pub(super) fn complete(self, mut head: Response<()>, respond: &mut SendResponse<Bytes>) {
        head.headers_mut().remove(header::CONTENT_LENGTH);
        match respond.send_response(head, false) {
            Ok(sender) => {
                let upgraded = Upgraded { sender, receiver: self.stream, unread: Bytes::new(), is_shut: false };
                // Nobody waits for it where the upstream was gone at once.
                drop(self.taker.send(upgraded));
            }
            Err(error) => {
                tracing::debug!(%error, "response not sent");
                respond.send_reset(Reason::INTERNAL_ERROR);
            }
        }
    }
}

/// The stream of a CONNECT, when its client has a success.
#[derive(Clone, Debug)]
pub(crate) struct OnStream(Arc<Mutex<Option<oneshot::Receiver<Upgraded>>>>);

impl OnStream {
    /// Waits for the stream; none where there was another answer, or the client has gone. To be had once.
    pub(crate) async fn stream(self) -> Option<Upgraded> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken?.await.ok()
    }
}

/// A stream of octets. Flow control of the stream is the back-pressure. It ends for the client when it is dropped.
#[derive(Debug)]
pub(crate) struct Upgraded {
    sender: SendStream<Bytes>,
    receiver: RecvStream,
    unread: Bytes,
    is_shut: bool,
}

impl AsyncRead for Upgraded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.unread.is_empty() {
            match ready!(this.receiver.poll_data(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(piece)) if piece.is_empty() && this.receiver.is_end_stream() => return Poll::Ready(Ok(())),
                Some(Ok(piece)) => this.unread = piece,
                Some(Err(error)) => {
                    return Poll::Ready(match error.reason() {
                        Some(Reason::NO_ERROR | Reason::CANCEL) => Ok(()),
                        Some(Reason::STREAM_CLOSED) => Err(io::ErrorKind::BrokenPipe.into()),
                        _ => Err(io_error(error)),
                    });
                }
            }
        }
        let piece = this.unread.split_to(this.unread.len().min(buffer.remaining()));
        buffer.put_slice(&piece);
        // Fails where the stream is over, and there is nothing to release.
        this.receiver.flow_control().release_capacity(piece.len()).ok();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        if octets.is_empty() {
            return Poll::Ready(Ok(0));
        }
        // Nothing is reserved without octets to send: others on the connection might use it.
        self.sender.reserve_capacity(octets.len());
        while self.sender.capacity() == 0 {
            match ready!(self.sender.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let piece = octets.get(..self.sender.capacity()).unwrap_or(octets);
        let sent = self.sender.send_data(Bytes::copy_from_slice(piece), false);
        Poll::Ready(sent.map(|()| piece.len()).map_err(io_error))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shut().map_err(io_error))
    }
}

impl Upgraded {
    fn shut(&mut self) -> Result<(), h2::Error> {
        if std::mem::replace(&mut self.is_shut, true) {
            return Ok(());
        }
        self.sender.send_data(Bytes::new(), true)
    }
}

/// What was written is still sent.
impl Drop for Upgraded {
    fn drop(&mut self) {
        // Fails where the client has reset the stream.
        self.shut().ok();
    }
}

fn io_error(error: h2::Error) -> io::Error {
    error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())
}
