//! Which protocol a connection speaks. Finding out is under the same time limit as the first request head.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::connection::Arrived;
use super::tls::Acceptor;
use crate::stream::{ClientStream, Socket};

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum HttpVersion {
    /// HTTP/1.0 and 1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What every HTTP/2 connection begins with (RFC 9113 section 3.4). No HTTP/1 request can.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Octets that are read at once to find out.
const LOOK: usize = 1024;
/// The first octet of a TLS handshake record (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 0x16;
/// TLS handshakes that one worker has under way at once. More are closed: each costs as much as many requests.
const MOST_HANDSHAKES: usize = 1000;

/// A connection in the clear: HTTP/1, or HTTP/2 with prior knowledge where it is served. None where nothing came.
pub(super) async fn plain(stream: TcpStream, limit: Duration, http2: bool) -> Option<Arrived> {
    let deadline = Instant::now() + limit;
    let mut arrived = Arrived::plain(stream, deadline);
    let (version, ahead) = timeout_at(deadline, look(&mut arrived.stream)).await.ok()?.ok()?;
    if ahead.is_empty() {
        return None;
    }
    // HTTP/1 refuses the preface.
    let version = if http2 { version } else { HttpVersion::Http1 };
    Some(Arrived { version, ahead, ..arrived })
}

async fn look(stream: &mut ClientStream) -> io::Result<(HttpVersion, Bytes)> {
    let mut seen = BytesMut::with_capacity(LOOK);
    loop {
        let octets = stream.read_buf(&mut seen).await?;
        let begin = seen.get(..PREFACE.len()).unwrap_or(&seen);
        if octets == 0 || !PREFACE.starts_with(begin) {
            return Ok((HttpVersion::Http1, seen.freeze()));
        }
        if begin.len() == PREFACE.len() {
            return Ok((HttpVersion::Http2, seen.freeze()));
        }
    }
}

/// A connection to where TLS is spoken. Whoever speaks plain HTTP there is told so. Handshake and first request head may take
/// so long.
pub(super) async fn tls(
    stream: TcpStream,
    acceptor: &Acceptor,
    under_way: &Cell<usize>,
    (handshake, head): (Duration, Duration),
) -> Option<Arrived> {
    let deadline = Instant::now() + handshake;
    let mut first = [0];
    let count = timeout_at(deadline, stream.peek(&mut first)).await.ok()?.ok()?;
    if count == 0 {
        return None;
    }
    if first != [HANDSHAKE] {
        return Some(Arrived { plain_on_tls: true, ..Arrived::plain(stream, deadline) });
    }
    let _handshake = Handshake::begin(under_way)?;
    let (socket, watch) = Socket::new(stream);
    let (stream, facts, version) = match timeout_at(deadline, acceptor.accept(socket)).await.ok()? {
        Ok(accepted) => accepted,
        Err(error) => {
            tracing::debug!(%error, "TLS handshake failed");
            return None;
        }
    };
    Some(Arrived {
        stream: ClientStream::Tls(Box::new(stream)),
        watch,
        ahead: Bytes::new(),
        version,
        tls: Some(Box::new(facts)),
        plain_on_tls: false,
        deadline: Instant::now() + head,
    })
}

/// A handshake under way, counted as long as it lives.
struct Handshake<'c>(&'c Cell<usize>);

impl<'c> Handshake<'c> {
    fn begin(under_way: &'c Cell<usize>) -> Option<Self> {
        let before = under_way.get();
        under_way.set(before + 1);
        let begun = Self(under_way);
        (before < MOST_HANDSHAKES).then_some(begun)
    }
}

impl Drop for Handshake<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_beyond_the_limit_are_refused_and_end_by_themselves() {
        let under_way = Cell::new(MOST_HANDSHAKES - 1);
        let last = Handshake::begin(&under_way);
        assert!(last.is_some() && Handshake::begin(&under_way).is_none());
        assert_eq!(under_way.get(), MOST_HANDSHAKES);
        drop(last);
        assert_eq!(under_way.get(), MOST_HANDSHAKES - 1);
    }
}
