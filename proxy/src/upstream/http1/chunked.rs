//! Bodies in chunks (RFC 9112 section 7.1).

use bytes::{Buf, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::decoder::Decoded;
use super::response::{FIELDS, LARGEST_HEAD, Malformed};

/// Octets that chunk extensions, and blanks where there are none, may have in one body, beyond as many as it has data.
const EXTENSIONS: u32 = 16 * 1024;

/// How much of a body in chunks was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chunked {
    state: State,
    /// Octets of the chunk: of its size as far as it is read, and then to come.
    left: u64,
    extensions: u32,
    /// Octets of the trailer section that were looked at.
    seen: u32,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    /// The first digit of a size.
    #[default]
    Begin,
    Size,
    /// Blanks after a size.
    Blank,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// Fields, or the line that ends everything.
    Trailers,
    /// Nothing.
    End,
}

impl Chunked {
    pub(super) fn is_over(&self) -> bool {
        self.state == State::End
    }

    pub(super) fn decode(&mut self, received: &mut BytesMut) -> Result<Decoded, Malformed> {
        loop {
            if received.is_empty() && self.state != State::End {
                return Ok(Decoded::More);
            }
            match self.state {
                State::Data => {
                    let octets = usize::try_from(self.left).unwrap_or(usize::MAX).min(received.len());
                    self.left -= octets as u64;
                    self.extensions = self.extensions.saturating_sub(u32::try_from(octets).unwrap_or(u32::MAX));
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Decoded::Data(received.split_to(octets).freeze()));
                }
                State::Trailers => return self.trailers(received),
                State::End => return Ok(Decoded::End),
                _ => self.between(received)?,
            }
        }
    }

    /// Reads what is between the data of two chunks, as far as it is here.
    fn between(&mut self, received: &mut BytesMut) -> Result<(), Malformed> {
        let mut used = 0;
        for octet in received.iter() {
            used += 1;
            self.state = self.step(*octet)?;
            if matches!(self.state, State::Data | State::Trailers) {
                break;
            }
        }
        received.advance(used);
        Ok(())
    }

    fn step(&mut self, octet: u8) -> Result<State, Malformed> {
        match (self.state, octet) {
            (State::Begin | State::Size, digit) if digit.is_ascii_hexdigit() => {
                let digit = char::from(digit).to_digit(16).unwrap_or_default();
                let before = if self.state == State::Begin { 0 } else { self.left };
                let size = before.checked_mul(16).and_then(|size| size.checked_add(digit.into()));
                self.left = size.ok_or("chunk size overflows")?;
                Ok(State::Size)
            }
            (State::Size | State::Blank, b' ' | b'\t') => self.extend(State::Blank),
            (State::Size | State::Blank, b';') => Ok(State::Extension),
            (State::Size | State::Blank | State::Extension, b'\r') => Ok(State::SizeLf),
            (State::Extension, b'\n') => Err("line feed in chunk extension"),
            (State::Extension, _) => self.extend(State::Extension),
            (State::SizeLf, b'\n') => Ok(if self.left == 0 { State::Trailers } else { State::Data }),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Begin),
            _ => Err("malformed chunk"),
        }
    }

    fn extend(&mut self, state: State) -> Result<State, Malformed> {
        self.extensions += 1;
        if self.extensions > EXTENSIONS { Err("too long chunk extensions") } else { Ok(state) }
    }

    fn trailers(&mut self, received: &mut BytesMut) -> Result<Decoded, Malformed> {
        if received.starts_with(b"\r\n") {
            received.advance(2);
            self.state = State::End;
            return Ok(Decoded::End);
        }
        let seen = usize::try_from(self.seen).unwrap_or_default().saturating_sub(END.len());
        let end = memchr::memmem::find(received.get(seen..).unwrap_or_default(), END);
        let octets = end.map_or(received.len(), |end| seen + end + END.len());
        if octets > LARGEST_HEAD {
            return Err("too large trailers");
        }
        if end.is_none() {
            self.seen = u32::try_from(octets).unwrap_or_default();
            return Ok(Decoded::More);
        }
        self.state = State::End;
        fields(&received.split_to(octets)).map(Decoded::Trailers)
    }
}

const END: &[u8] = b"\r\n\r\n";

/// Trailer fields, up to the line that ends them.
fn fields(section: &[u8]) -> Result<HeaderMap, Malformed> {
    let ends_bare = |at: usize| at == 0 || section.get(at - 1) != Some(&b'\r');
    if memchr::memchr_iter(b'\n', section).any(ends_bare) {
        return Err("bare line feed in trailers");
    }
    let mut raw = [httparse::EMPTY_HEADER; FIELDS];
    let parsed = httparse::parse_headers(section, &mut raw).map_err(|_| "malformed trailers")?;
    let httparse::Status::Complete((octets, raw)) = parsed else { return Err("malformed trailers") };
    if octets != section.len() {
        return Err("malformed trailers");
    }
    let mut fields = HeaderMap::with_capacity(raw.len());
    for field in raw {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| "malformed trailers")?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| "malformed trailers")?;
        fields.append(name, value);
    }
    Ok(fields)
}
