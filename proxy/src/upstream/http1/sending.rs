//! A request on its way out: its head, and its body as it comes.

use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::Body;
use tokio::io::AsyncWrite;

use super::request::Framing;
use crate::body::{BodyError, RequestBody};

/// What is still to be sent of a request.
#[derive(Debug)]
pub(super) struct Sending<B = RequestBody> {
    /// The head, and what small pieces of the body came since.
    text: Vec<u8>,
    written: usize,
    /// Follows the text: a large piece, and what ends it.
    piece: Bytes,
    tail: &'static [u8],
    /// None where all of it was taken.
    body: Option<B>,
    framing: Framing,
    /// Something was written that may wait in the stream.
    flushes: bool,
}

/// Why a request could not be sent.
#[derive(Debug)]
pub(super) enum SendingError {
    Write(io::Error),
    Body(BodyError),
    /// The body is shorter than its head says.
    Short,
}

/// Octets of a piece that are copied, so that they are written together with what is before them.
const SMALL: usize = 4 * 1024;
/// Octets that wait to be written before more of the body is asked for.
const FULL: usize = 16 * 1024;

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Sending<B> {
    pub(super) fn new(head: Vec<u8>, body: B, framing: Framing) -> Self {
        let body = (framing != Framing::Length(0)).then_some(body);
        Self { text: head, written: 0, piece: Bytes::new(), tail: &[], body, framing, flushes: false }
    }

    /// The buffer that it was written from, once everything is sent.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.text
    }

    /// Sends what there is. Ready when everything is sent.
    pub(super) fn poll<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendingError>> {
        let mut starved = false;
        loop {
            if self.body.is_some() && !starved {
                starved = self.fill(cx)?;
            }
            if self.is_written() {
                if self.flushes {
                    ready!(Pin::new(&mut *stream).poll_flush(cx)).map_err(SendingError::Write)?;
                    self.flushes = false;
                }
                if self.body.is_none() {
                    return Poll::Ready(Ok(()));
                }
                if starved {
                    return Poll::Pending;
                }
            } else {
                let written = ready!(self.write(stream, cx)).map_err(SendingError::Write)?;
                self.advance(written);
            }
        }
    }

    fn is_written(&self) -> bool {
        self.written == self.text.len() && self.piece.is_empty() && self.tail.is_empty()
    }

    fn write<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let text = self.text.get(self.written..).unwrap_or_default();
        let stream = Pin::new(stream);
        let written = if self.tail.is_empty() && self.piece.is_empty() {
            stream.poll_write(cx, text)
        } else {
            let slices = [IoSlice::new(text), IoSlice::new(&self.piece), IoSlice::new(self.tail)];
            stream.poll_write_vectored(cx, &slices)
        };
        match ready!(written) {
            Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => Poll::Ready(written),
        }
    }

    fn advance(&mut self, octets: usize) {
        self.flushes = true;
        let of_text = octets.min(self.text.len() - self.written);
        self.written += of_text;
        if self.written == self.text.len() {
            self.text.clear();
            self.written = 0;
        }
        let rest = octets - of_text;
        let of_piece = rest.min(self.piece.len());
        self.piece.advance(of_piece);
        if self.piece.is_empty() {
            self.piece = Bytes::new();
        }
        self.tail = self.tail.get(rest - of_piece..).unwrap_or_default();
    }

    /// Takes more of the body, as far as there is room; whether there is no more for now.
    fn fill(&mut self, cx: &mut Context<'_>) -> Result<bool, SendingError> {
        while let Some(body) = &mut self.body
            && self.piece.is_empty()
            && self.tail.is_empty()
            && self.text.len() < FULL
        {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Pending => return Ok(true),
                Poll::Ready(None) => self.end()?,
                Poll::Ready(Some(Err(error))) => return Err(SendingError::Body(error)),
                Poll::Ready(Some(Ok(frame))) => {
                    let ends = body.is_end_stream();
                    // Trailers are not for HTTP/1.
                    if let Ok(data) = frame.into_data() {
                        self.take_in(data);
                    }
                    if ends {
                        self.end()?;
                    }
                }
            }
        }
        Ok(false)
    }

    fn take_in(&mut self, mut data: Bytes) {
        if data.is_empty() {
            return;
        }
        match &mut self.framing {
            Framing::Length(left) => {
                data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= data.len() as u64;
                if *left == 0 {
                    self.body = None;
                }
            }
            Framing::Chunked => {
                // Writing to memory does not fail.
                write!(self.text, "{:x}\r\n", data.len()).ok();
                self.tail = b"\r\n";
            }
        }
        if data.len() > SMALL {
            self.piece = data;
        } else {
            self.text.extend_from_slice(&data);
            self.text.extend_from_slice(self.tail);
            self.tail = &[];
        }
    }

    /// The body is over.
    fn end(&mut self) -> Result<(), SendingError> {
        let was_open = self.body.take().is_some();
        match self.framing {
            Framing::Chunked if !was_open => {}
            Framing::Chunked if self.piece.is_empty() => self.text.extend_from_slice(b"0\r\n\r\n"),
            Framing::Chunked => self.tail = b"\r\n0\r\n\r\n",
            Framing::Length(0) => {}
            Framing::Length(_) => return Err(SendingError::Short),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
