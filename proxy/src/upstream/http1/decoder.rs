//! Where the body of a response ends, and what of it is here (RFC 9112 section 6).

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::SizeHint;

use super::chunked::Chunked;
use super::response::Malformed;

/// How a body is framed, and how much of it is still to come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Decoder {
    /// So many octets.
    Length(u64),
    /// Chunks.
    Chunked(Chunked),
    /// All that comes; true when the stream has ended.
    UntilClose(bool),
}

/// The next part of a body.
#[derive(Debug, PartialEq)]
pub(super) enum Decoded {
    /// Octets, at least one.
    Data(Bytes),
    /// What follows the octets. The last part.
    Trailers(HeaderMap),
    /// There is no more.
    End,
    /// More must be received first.
    More,
}

impl Decoder {
    /// Takes the next part off what was received.
    ///
    /// # Errors
    ///
    /// What is wrong, where it is no body of this framing.
    pub(super) fn decode(&mut self, received: &mut BytesMut) -> Result<Decoded, Malformed> {
        match self {
            Self::Length(0) | Self::UntilClose(true) => Ok(Decoded::End),
            Self::Chunked(chunked) => chunked.decode(received),
            Self::Length(_) | Self::UntilClose(_) if received.is_empty() => Ok(Decoded::More),
            Self::Length(left) => {
                let octets = usize::try_from(*left).unwrap_or(usize::MAX).min(received.len());
                *left -= octets as u64;
                Ok(Decoded::Data(received.split_to(octets).freeze()))
            }
            Self::UntilClose(false) => Ok(Decoded::Data(received.split().freeze())),
        }
    }

    /// The stream has ended; whether the body may end there, too.
    pub(super) fn end(&mut self) -> bool {
        if let Self::UntilClose(ended) = self {
            *ended = true;
        }
        self.is_over()
    }

    /// Whether all of it was taken.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.is_over(),
            Self::UntilClose(ended) => *ended,
        }
    }

    /// What is still to come.
    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Length(left) => SizeHint::with_exact(*left),
            _ if self.is_over() => SizeHint::with_exact(0),
            Self::Chunked(_) | Self::UntilClose(_) => SizeHint::new(),
        }
    }
}

#[cfg(test)]
mod tests;
