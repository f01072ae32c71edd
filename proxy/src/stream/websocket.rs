//! Where one WebSocket frame ends and the next begins, so that a tunnel can be ended with a frame of ours (RFC 6455 section 5.2).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A close frame that a server sends: 1001, going away (RFC 6455 section 7.4.1).
pub(crate) const GOING_AWAY: &[u8] = &[0x88, 2, 0x03, 0xE9];

/// Follows frames as they pass. Payload is only counted.
#[derive(Clone, Debug, Default)]
struct Frames {
    head: u8,
    seen: u8,
    length: u64,
    payload: u64,
    closed: bool,
}

impl Frames {
    /// Whether the octets so far are whole frames, and another one may follow.
    fn are_whole(&self) -> bool {
        self.seen == 0 && self.payload == 0 && !self.closed
    }

    fn pass(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() {
            if self.payload > 0 {
                let count = usize::try_from(self.payload).unwrap_or(usize::MAX).min(octets.len());
                self.payload -= count as u64;
                octets = octets.get(count..).unwrap_or_default();
            } else if let Some((first, rest)) = octets.split_first() {
                self.pass_head(*first);
                octets = rest;
            }
        }
    }

    /// A frame begins with two octets, up to eight of length, and four of a mask where it has one.
    fn pass_head(&mut self, octet: u8) {
        match self.seen {
            0 => self.closed |= octet & 0x0F == CLOSE,
            1 => {
                self.head = octet;
                self.length = if octet & LENGTH < 126 { u64::from(octet & LENGTH) } else { 0 };
            }
            place if place < 2 + self.length_octets() => self.length = self.length << 8 | u64::from(octet),
            _ => {}
        }
        self.seen += 1;
        if self.seen >= 2 && self.seen == 2 + self.length_octets() + self.mask_octets() {
            self.seen = 0;
            self.payload = self.length;
        }
    }

    fn length_octets(&self) -> u8 {
        match self.head & LENGTH {
            127 => 8,
            126 => 2,
            _ => 0,
        }
    }

    fn mask_octets(&self) -> u8 {
        if self.head & MASKED == 0 { 0 } else { 4 }
    }
}

/// The opcode of a close frame.
const CLOSE: u8 = 8;
const LENGTH: u8 = 0x7F;
const MASKED: u8 = 0x80;

/// A stream to which frames are written.
#[derive(Debug)]
pub(crate) struct Framed<S> {
    stream: S,
    written: Frames,
}

impl<S> Framed<S> {
    /// A stream to which nothing was written since the protocol switch.
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, written: Frames::default() }
    }

    /// Whether a frame of ours may be written.
    pub(crate) fn takes_a_frame(&self) -> bool {
        self.written.are_whole()
    }

    pub(crate) fn get_ref(&self) -> &S {
        &self.stream
    }

    fn note(&mut self, written: &Poll<io::Result<usize>>, octets: &[u8]) {
        if let Poll::Ready(Ok(count)) = written {
            self.written.pass(octets.get(..*count).unwrap_or(octets));
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Framed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Framed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, octets);
        self.note(&written, octets);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
        self.poll_write(cx, first)
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
    use super::*;

    fn passed(octets: &[u8], piece: usize) -> Frames {
        let mut frames = Frames::default();
        octets.chunks(piece).for_each(|piece| frames.pass(piece));
        frames
    }

    #[test]
    fn frames_are_whole_at_their_ends_alone() {
        let long = [&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0][..], &[7; 65_536]].concat();
        let middle = [&[0x81, 126, 1, 0][..], &[7; 256]].concat();
        for frame in [&[0x81, 2, b'h', b'i'][..], &[0x89, 0], &[0x81, 0x82, 1, 2, 3, 4, 5, 6], &middle, &long] {
            for piece in [1, 3, frame.len()] {
                assert!(passed(frame, piece).are_whole(), "{:?} by {piece}", &frame[..2]);
                assert!(passed(&[frame, frame].concat(), piece).are_whole(), "{:?} twice by {piece}", &frame[..2]);
            }
            for cut in [1, frame.len() / 2, frame.len() - 1] {
                assert!(!passed(&frame[..cut], 7).are_whole(), "{:?} cut at {cut}", &frame[..2]);
            }
        }
    }

    #[test]
    fn nothing_follows_a_close_frame() {
        assert!(!passed(GOING_AWAY, 4).are_whole());
        assert!(passed(&[0x89, 2, 0x88, 0x88], 1).are_whole(), "the payload of a ping");
    }
}
