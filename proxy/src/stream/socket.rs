//! The client's TCP connection, in two parts: one that reads and writes, one that notices when the client has gone.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// A client's TCP connection.
#[derive(Debug)]
pub(crate) struct Socket {
    read: OwnedReadHalf,
    write: Rc<OwnedWriteHalf>,
}

/// Sees what happens to a [`Socket`] that somebody else reads and writes. Keeps the connection open.
#[derive(Clone, Debug)]
pub(crate) struct SocketWatch(Rc<OwnedWriteHalf>);

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> (Self, SocketWatch) {
        let (read, write) = stream.into_split();
        let write = Rc::new(write);
        (Self { read, write: Rc::clone(&write) }, SocketWatch(write))
    }

    fn poll_attempt(
        &self,
        cx: &mut Context<'_>,
        attempt: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let stream: &TcpStream = (*self.write).as_ref();
        loop {
            match stream.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
            match attempt(stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}

/// Octets that are rather copied than given to the system as a list of slices: heads of responses, most with a short body.
const SMALL: usize = 1024;

/// All octets of `slices` in one place; none where there is no room for them.
fn gathered<'r>(slices: &[IoSlice<'_>], room: &'r mut [u8; SMALL]) -> Option<&'r [u8]> {
    let octets = slices.iter().map(|slice| slice.len()).sum();
    let place = room.get_mut(..octets)?;
    let mut rest = &mut *place;
    for slice in slices {
        let (here, after) = rest.split_at_mut_checked(slice.len())?;
        here.copy_from_slice(slice);
        rest = after;
    }
    Some(place)
}

/// Most that is read and thrown away before a connection is closed, so that closing does not reset it: with a reset, the
/// client's system may discard an answer it has not read yet (RFC 9112 section 9.6).
const LINGER_OCTETS: usize = 64 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(2);

impl SocketWatch {
    /// Waits until the connection is broken: reset by the client, not merely closed for sending.
    pub(crate) async fn broken(&self) {
        while self.0.ready(Interest::ERROR).await.is_ok_and(|ready| !ready.is_error()) {}
    }

    /// After the last answer: reads and drops what the client still sends, for a while.
    pub(crate) async fn linger(&self) {
        let stream: &TcpStream = (*self.0).as_ref();
        let mut dropped = 0;
        let drain = async {
            // On the heap: every connection keeps room for this task, and few ever linger.
            let mut octets = vec![0; 4096];
            while dropped < LINGER_OCTETS && stream.readable().await.is_ok() {
                match stream.try_read(&mut octets) {
                    Ok(0) => return,
                    Ok(count) => dropped += count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        };
        // Running out of time is what lingering is for.
        tokio::time::timeout(LINGER_TIME, drain).await.ok();
    }

    /// No octet will follow.
    pub(crate) fn shut_down(&self) {
        shut_down_writing((*self.0).as_ref());
    }

    /// Closes with a reset, so that the client cannot take what it got for complete. The [`Socket`] must be gone.
    pub(crate) fn reset(self) {
        let stream: &TcpStream = (*self.0).as_ref();
        // A connection that is gone already needs no reset.
        socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).ok();
        if let Ok(last) = Rc::try_unwrap(self.0) {
            // Dropping it would end the connection properly first.
            last.forget();
        }
    }
}

fn shut_down_writing(stream: &TcpStream) {
    // The only failure is that there is no connection any more.
    socket2::SockRef::from(stream).shutdown(Shutdown::Write).ok();
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_attempt(cx, |stream| stream.try_write(octets))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [octets] = slices {
            return self.poll_attempt(cx, |stream| stream.try_write(octets));
        }
        let mut room = [0; SMALL];
        match gathered(slices, &mut room) {
            Some(octets) => self.poll_attempt(cx, |stream| stream.try_write(octets)),
            None => self.poll_attempt(cx, |stream| stream.try_write_vectored(slices)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        shut_down_writing((*self.write).as_ref());
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_slices_are_gathered_and_large_ones_are_not() {
        let long = vec![b'x'; SMALL];
        for (slices, want) in [
            (&[&b"head"[..], b"body"][..], Some(&b"headbody"[..])),
            (&[b"", b"a", b"", b"b"], Some(b"ab")),
            (&[], Some(b"")),
            (&[&long], Some(&long)),
            (&[&long, b""], Some(&long)),
            (&[&long, b"x"], None),
        ] {
            let slices: Vec<_> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
            assert_eq!(gathered(&slices, &mut [0; SMALL]), want);
        }
    }
}
