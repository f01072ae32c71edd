//! Heads of requests as they are written, and how their bodies are framed (RFC 9112 sections 3 and 6).

use std::io::Write;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, header};
use http_body::Body;

use crate::body::RequestBody;

/// A request for one try: nothing of it is kept but the body.
#[derive(Debug)]
pub(in crate::upstream) struct Outbound<'r> {
    /// Method.
    pub(in crate::upstream) method: &'r Method,
    /// Target in origin form.
    pub(in crate::upstream) target: &'r PathAndQuery,
    /// Whether it says HTTP/1.0, which has no chunks.
    pub(in crate::upstream) http10: bool,
    /// All fields. Framing is added where they say nothing of it.
    pub(in crate::upstream) headers: &'r HeaderMap,
    /// The body.
    pub(in crate::upstream) body: RequestBody,
}

/// How the body of a request is framed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Framing {
    /// So many octets are still to be sent.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// What a written head means for the exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Written {
    pub(super) framing: Framing,
    /// Whether the connection ends with this request.
    pub(super) closes: bool,
}

/// A body whose length is not known cannot be sent over HTTP/1.0.
#[derive(Clone, Copy, Debug)]
pub(super) struct LengthRequired;

impl Outbound<'_> {
    /// Writes the head. Chunks go before a length, and the length that the fields say before that of the body.
    ///
    /// # Errors
    ///
    /// [`LengthRequired`].
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<Written, LengthRequired> {
        let has_body = !self.body.is_end_stream();
        let length = if has_body { self.body.size_hint().exact() } else { Some(0) };
        if self.http10 && length.is_none() {
            return Err(LengthRequired);
        }
        let says_coding = has_body && !self.http10 && self.headers.contains_key(header::TRANSFER_ENCODING);
        out.extend_from_slice(self.method.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.target.as_str().as_bytes());
        out.extend_from_slice(if self.http10 { b" HTTP/1.0\r\n" } else { b" HTTP/1.1\r\n" });
        let mut said = None;
        let mut closes = false;
        for (name, value) in self.headers {
            if *name == header::TRANSFER_ENCODING {
                continue;
            } else if *name == header::CONTENT_LENGTH {
                if says_coding {
                    continue;
                }
                said = said.or_else(|| value.to_str().ok()?.parse().ok());
            } else if *name == header::CONNECTION {
                closes |= names(value, "close");
            }
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        let framing = match said.or(length) {
            _ if !has_body => Framing::Length(0),
            Some(length) if !says_coding => {
                if said.is_none() {
                    // Writing to memory does not fail.
                    write!(out, "content-length: {length}\r\n").ok();
                }
                Framing::Length(length)
            }
            Some(_) | None => {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
                Framing::Chunked
            }
        };
        out.extend_from_slice(b"\r\n");
        Ok(Written { framing, closes })
    }
}

/// Whether a list has this item, in any case.
pub(super) fn names(list: &HeaderValue, item: &str) -> bool {
    let mut items = list.as_bytes().split(|octet| *octet == b',');
    items.any(|other| other.trim_ascii().eq_ignore_ascii_case(item.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(http10: bool, fields: &[(&'static str, &'static str)]) -> (String, Written) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let (method, target) = (Method::POST, PathAndQuery::from_static("/a?b=c"));
        let outbound =
            Outbound { method: &method, target: &target, http10, headers: &headers, body: RequestBody::Empty };
        let mut out = Vec::new();
        let written = outbound.write(&mut out).unwrap();
        (String::from_utf8(out).unwrap(), written)
    }

    #[test]
    fn heads_are_written_line_by_line() {
        for (http10, fields, want, closes) in [
            (
                false,
                &[("host", "a"), ("x-a", "b"), ("x-a", "c")][..],
                "1.1\r\nhost: a\r\nx-a: b\r\nx-a: c\r\n\r\n",
                false,
            ),
            (true, &[("connection", "close")], "1.0\r\nconnection: close\r\n\r\n", true),
            (false, &[("connection", "upgrade")], "1.1\r\nconnection: upgrade\r\n\r\n", false),
            (false, &[("connection", "x, Close")], "1.1\r\nconnection: x, Close\r\n\r\n", true),
            (false, &[("content-length", "0")], "1.1\r\ncontent-length: 0\r\n\r\n", false),
            // Where there is no body, there are no chunks.
            (false, &[("transfer-encoding", "chunked"), ("a", "")], "1.1\r\na: \r\n\r\n", false),
        ] {
            let want = format!("POST /a?b=c HTTP/{want}");
            assert_eq!(written(http10, fields), (want, Written { framing: Framing::Length(0), closes }));
        }
    }
}
