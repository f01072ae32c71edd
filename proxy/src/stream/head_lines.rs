//! Which fields of a request head say how long its body is, seen as the octets pass: hyper keeps one of them only.

use memchr::memchr;

/// Lines of one request head as they pass.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct HeadLines {
    begin: [u8; LONGEST],
    kept: usize,
    begun: bool,
    over: bool,
    length: bool,
    coding: bool,
}

const CONTENT_LENGTH: &[u8] = b"content-length:";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding:";
/// As much of a line as tells what it is.
const LONGEST: usize = TRANSFER_ENCODING.len();

impl HeadLines {
    /// Whether the head has both a length and a transfer coding, which is how requests are smuggled (RFC 9112 section 6.1).
    pub(crate) fn contradict(&self) -> bool {
        self.length && self.coding
    }

    /// The next octets. What follows the head is not looked at.
    pub(super) fn pass(&mut self, mut octets: &[u8]) {
        while !self.over && !octets.is_empty() {
            let end = memchr(b'\n', octets);
            let (line, rest) = octets.split_at_checked(end.unwrap_or(octets.len())).unwrap_or((octets, &[]));
            match (end, self.kept) {
                (Some(_), 0) => self.line(line),
                (ended, _) => {
                    self.keep(line);
                    if ended.is_some() {
                        let (begin, kept) = (self.begin, self.kept);
                        self.line(begin.get(..kept).unwrap_or(&begin));
                        self.kept = 0;
                    }
                }
            }
            octets = rest.get(1..).unwrap_or_default();
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        for (place, octet) in self.begin.iter_mut().skip(self.kept).zip(piece) {
            *place = *octet;
        }
        self.kept = LONGEST.min(self.kept + piece.len());
    }

    fn line(&mut self, line: &[u8]) {
        let begins = |with: &[u8]| line.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
        match line.first() {
            // Empty lines before the request line do not count (RFC 9112 section 2.2).
            None | Some(b'\r') => self.over = self.begun,
            Some(b'c' | b'C') => self.length |= begins(CONTENT_LENGTH),
            Some(b't' | b'T') => self.coding |= begins(TRANSFER_ENCODING),
            Some(_) => {}
        }
        self.begun |= !matches!(line.first(), None | Some(b'\r'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contradicts(text: &str, piece: usize) -> bool {
        let mut lines = HeadLines::default();
        text.as_bytes().chunks(piece).for_each(|piece| lines.pass(piece));
        lines.contradict()
    }

    #[test]
    fn a_length_and_a_coding_in_one_head_contradict_each_other() {
        for (text, want) in [
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", true),
            ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\nCONTENT-LENGTH: 3\r\n\r\n", true),
            ("\r\n\nPOST / HTTP/1.1\nContent-length:3\nX: y\nTransfer-encoding:chunked\n\n", true),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nContent-Length: 3\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nTransfer-Encoding: chunked\r\n", false),
            ("POST / HTTP/1.1\r\nX-Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Lengths: 3\r\nTransfer-Encoding: chunked\r\n\r\n", false),
            ("POST /Content-Length: HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", false),
        ] {
            for piece in [1, 7, text.len()] {
                assert_eq!(contradicts(text, piece), want, "{text:?} by {piece}");
            }
        }
    }
}
