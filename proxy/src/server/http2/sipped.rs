//! A stream that is not asked again and again whether there is something to read.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads until there is nothing to be read, and then not before whoever drives it was woken.
///
/// h2 tries to read each time it is asked for a request, and it is asked once more after each.
pub(super) struct Sipped<S> {
    stream: S,
    /// Set when there is nothing to be read, and cleared by whoever drives it.
    dry: Rc<Cell<bool>>,
}

impl<S> Sipped<S> {
    pub(super) fn new(stream: S, dry: Rc<Cell<bool>>) -> Self {
        Self { stream, dry }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sipped<S> {
    #[inline]
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.dry.get() {
            return Poll::Pending;
        }
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.dry.set(read.is_pending());
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sipped<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::AsyncWriteExt;

    use super::*;

    #[test]
    fn what_is_dry_is_not_read_before_it_is_told_to_be() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (here, mut there) = tokio::io::duplex(16);
            let dry = Rc::<Cell<bool>>::default();
            let mut stream = Sipped::new(here, Rc::clone(&dry));
            let mut read = || {
                let mut room = [0; 4];
                let mut buffer = ReadBuf::new(&mut room);
                let mut cx = Context::from_waker(Waker::noop());
                Pin::new(&mut stream).poll_read(&mut cx, &mut buffer).map(|_| buffer.filled().len())
            };
            there.write_all(b"abcde").await.unwrap();
            assert_eq!((read(), read(), read()), (Poll::Ready(4), Poll::Ready(1), Poll::Pending));
            there.write_all(b"fg").await.unwrap();
            assert_eq!(read(), Poll::Pending);
            dry.set(false);
            assert_eq!((read(), read()), (Poll::Ready(2), Poll::Pending));
        });
    }
}
