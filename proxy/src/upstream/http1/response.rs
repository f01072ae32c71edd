//! Heads of responses: what they say, how their bodies are framed, and whether the connection can go on (RFC 9112 sections 4
//! to 6 and 9.3).

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::BytesMut;
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, header};
use httparse::{ParserConfig, Status};
use hyper::ext::ReasonPhrase;
use smallvec::SmallVec;

use super::chunked::Chunked;
use super::decoder::Decoder;
use super::request::names;

/// Most octets of a head; one over it is refused.
pub(super) const LARGEST_HEAD: usize = 64 * 1024;
/// Most fields of a head.
pub(super) const FIELDS: usize = 100;
/// Most interim responses before a final one.
const INTERIM: u8 = 100;

/// Why what came is no response.
pub(super) type Malformed = &'static str;

/// What is known of a head before all of it is here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// Octets that were looked at, and are no whole head.
    seen: usize,
    interim: u8,
}

/// The head of a response.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) parts: Parts,
    pub(super) body: Decoder,
    /// Whether the connection may be used again, as far as the response goes.
    pub(super) keeps: bool,
}

/// Takes the head of a final response off the beginning of what was received, and what interim responses come before it (RFC
/// 9110 section 15.2). None where it is not all here. `to_head` says that the request was one; `headers` gives an empty map.
///
/// # Errors
///
/// What is wrong where it is no head, is too large, or contradicts itself about where the body ends.
pub(super) fn take(
    received: &mut BytesMut,
    progress: &mut Progress,
    to_head: bool,
    headers: impl FnOnce() -> HeaderMap,
) -> Result<Option<Head>, Malformed> {
    loop {
        if progress.seen > 0 && !may_be_whole(received, progress.seen) {
            return wait(received, progress);
        }
        let Some(found) = find(received)? else { return wait(received, progress) };
        if found.octets > LARGEST_HEAD {
            return Err("too large");
        }
        progress.seen = 0;
        if found.status.is_informational() && found.status != StatusCode::SWITCHING_PROTOCOLS {
            drop(received.split_to(found.octets));
            progress.interim += 1;
            if progress.interim > INTERIM {
                return Err("too many interim responses");
            }
            continue;
        }
        return found.take(received, to_head, headers()).map(Some);
    }
}

/// More is needed.
#[cold]
fn wait(received: &[u8], progress: &mut Progress) -> Result<Option<Head>, Malformed> {
    progress.seen = received.len();
    if received.len() > LARGEST_HEAD { Err("too large") } else { Ok(None) }
}

/// Whether there is the end of a head in what came since `seen` octets were looked at: a head that drips is not read anew with
/// every octet.
fn may_be_whole(received: &[u8], seen: usize) -> bool {
    let new = received.get(seen.saturating_sub(3)..).unwrap_or_default();
    memchr::memchr_iter(b'\n', new).any(|at| {
        let after = new.get(at + 1..).unwrap_or_default();
        after.starts_with(b"\n") || after.starts_with(b"\r\n")
    })
}

/// A whole head, and where its parts are.
struct Found {
    octets: usize,
    version: Version,
    status: StatusCode,
    /// Where it is another than the usual one.
    reason: Option<Range<usize>>,
    fields: SmallVec<[Field; 24]>,
}

struct Field {
    name: Range<usize>,
    value: Range<usize>,
}

fn find(received: &[u8]) -> Result<Option<Found>, Malformed> {
    let mut raw = [const { MaybeUninit::uninit() }; FIELDS];
    let mut head = httparse::Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut head, received, &mut raw);
    let octets = match parsed.map_err(words)? {
        Status::Partial => return Ok(None),
        Status::Complete(octets) => octets,
    };
    let begin = received.as_ptr().addr();
    let place = |part: &[u8]| {
        // What is empty need not be in there at all.
        if part.is_empty() {
            return 0..0;
        }
        let at = part.as_ptr().addr().saturating_sub(begin);
        at..at + part.len()
    };
    let status = StatusCode::from_u16(head.code.unwrap_or_default()).map_err(|_| "invalid status")?;
    Ok(Some(Found {
        octets,
        version: if head.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 },
        status,
        reason: head
            .reason
            .filter(|phrase| status.canonical_reason() != Some(phrase))
            .map(|phrase| place(phrase.as_bytes())),
        fields: head
            .headers
            .iter()
            .map(|field| Field { name: place(field.name.as_bytes()), value: place(field.value) })
            .collect(),
    }))
}

#[cold]
fn words(error: httparse::Error) -> Malformed {
    match error {
        httparse::Error::HeaderName => "invalid field name",
        httparse::Error::HeaderValue => "invalid field value",
        httparse::Error::NewLine => "invalid line end",
        httparse::Error::Status => "invalid status",
        httparse::Error::Token => "invalid token",
        httparse::Error::TooManyHeaders => "too many fields",
        httparse::Error::Version => "invalid version",
    }
}

impl Found {
    fn take(self, received: &mut BytesMut, to_head: bool, mut headers: HeaderMap) -> Result<Head, Malformed> {
        let head = received.split_to(self.octets).freeze();
        headers.reserve(self.fields.len());
        let mut framing = Said::default();
        for Field { name, value } in self.fields {
            let name = HeaderName::from_bytes(head.get(name).unwrap_or_default()).map_err(|_| "invalid field name")?;
            let value = HeaderValue::from_maybe_shared(head.slice(value)).map_err(|_| "invalid field value")?;
            framing.note(&name, &value);
            headers.append(name, value);
        }
        let (body, keeps) = framing.of(self.status, self.version, to_head)?;
        let (mut parts, ()) = Response::new(()).into_parts();
        parts.status = self.status;
        parts.version = self.version;
        parts.headers = headers;
        if let Some(reason) = self.reason
            && let Ok(phrase) = ReasonPhrase::try_from(head.slice(reason))
        {
            parts.extensions.insert(phrase);
        }
        Ok(Head { parts, body, keeps })
    }
}

/// What the fields of a head say about its body and its connection.
#[derive(Debug, Default)]
struct Said {
    length: Length,
    /// There is a transfer coding; whether the last one is chunks.
    coding: Option<bool>,
    close: bool,
    keep_alive: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Length {
    #[default]
    Unsaid,
    Octets(u64),
    Invalid,
}

impl Said {
    fn note(&mut self, name: &HeaderName, value: &HeaderValue) {
        if *name == header::CONTENT_LENGTH {
            self.length = self.length.and(value.as_bytes());
        } else if *name == header::CONNECTION {
            self.close |= names(value, "close");
            self.keep_alive |= names(value, "keep-alive");
        } else if *name == header::TRANSFER_ENCODING {
            let last = value.as_bytes().rsplit(|octet| *octet == b',').next().unwrap_or_default();
            self.coding = Some(last.trim_ascii().eq_ignore_ascii_case(b"chunked"));
        }
    }

    /// How the body ends, and whether the connection can be used again when it has (RFC 9112 sections 6.3 and 9.3).
    fn of(&self, status: StatusCode, version: Version, to_head: bool) -> Result<(Decoder, bool), Malformed> {
        let keeps = !self.close && (version == Version::HTTP_11 || self.keep_alive);
        if to_head || matches!(status.as_u16(), 204 | 304) {
            return Ok((Decoder::Length(0), keeps));
        }
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok((Decoder::Length(0), false));
        }
        match (self.coding, self.length) {
            (Some(_), _) if version == Version::HTTP_10 => Err("transfer coding in HTTP/1.0"),
            // Who says both may be understood otherwise by somebody else.
            (Some(true), length) => Ok((Decoder::Chunked(Chunked::default()), keeps && length == Length::Unsaid)),
            (Some(false), _) | (None, Length::Unsaid) => Ok((Decoder::UntilClose(false), false)),
            (None, Length::Octets(octets)) => Ok((Decoder::Length(octets), keeps)),
            (None, Length::Invalid) => Err("invalid length"),
        }
    }
}

impl Length {
    /// With one more line, which may be a list: all must say the same (RFC 9110 section 8.6).
    fn and(self, line: &[u8]) -> Self {
        let items = line.split(|octet| *octet == b',').map(<[u8]>::trim_ascii);
        items.fold(self, |length, item| match (length, decimal(item)) {
            (Self::Unsaid, Some(octets)) => Self::Octets(octets),
            (Self::Octets(before), Some(octets)) if before == octets => length,
            _ => Self::Invalid,
        })
    }
}

/// A number of digits alone.
fn decimal(digits: &[u8]) -> Option<u64> {
    let all = digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        number.checked_mul(10)?.checked_add(digit.into())
    });
    all.filter(|_| !digits.is_empty())
}

#[cfg(test)]
mod tests;
