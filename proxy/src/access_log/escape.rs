//! Values of variables in log lines, such that no octet of a request can end a field or a line.

use portcullis_model::LogEscape;

use super::room::Room;

/// How values are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Style {
    /// As they are; nothing for none. For texts that are not of the log.
    Verbatim,
    /// `"`, `\` and everything outside printable ASCII as `\xHH`; `-` for none (nginx: `log_format escape=default`).
    Default,
    /// As the inside of JSON strings (RFC 8259 section 7); nothing for none. Octets that are not UTF-8 are written as the
    /// code point of that number.
    Json,
}

impl From<LogEscape> for Style {
    fn from(escape: LogEscape) -> Self {
        match escape {
            LogEscape::Default => Self::Default,
            LogEscape::Json => Self::Json,
        }
    }
}

impl Style {
    /// Writes what stands for a variable without a value.
    #[inline]
    pub(crate) fn put_unset<R: Room>(self, room: R) -> Option<R> {
        room.put_first(b"-", usize::from(self == Self::Default))
    }

    /// Writes a value, or what stands for none.
    #[inline]
    pub(crate) fn put_some<R: Room>(self, value: Option<&[u8]>, room: R) -> Option<R> {
        match value {
            Some(value) => room.put_value(value, self),
            None => self.put_unset(room),
        }
    }

    /// Writes a value octet by octet.
    #[cold]
    pub(super) fn put_escaped<R: Room>(self, value: &[u8], room: R) -> Option<R> {
        match self {
            Self::Verbatim => room.put(value),
            Self::Default => put_default(value, room),
            Self::Json => put_json(value, room),
        }
    }
}

/// What was found in values that were written as they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found([u8; BLOCK]);

impl Default for Found {
    fn default() -> Self {
        Self([u8::MAX; BLOCK])
    }
}

impl Found {
    /// Writes a value as it is, and looks at it.
    #[inline]
    pub(super) fn put_as_is<'r>(&mut self, value: &[u8], room: &'r mut [u8]) -> Option<&'r mut [u8]> {
        let length = value.len();
        let (place, after) = room.split_at_mut_checked(length)?;
        place.copy_from_slice(value);
        // With plain octets after it, the value has no end that is to be looked at in another way.
        *after.first_chunk_mut()? = [b' '; BLOCK];
        let (blocks, _) = room.get(..(length + BLOCK - 1) & !(BLOCK - 1))?.as_chunks();
        for block in blocks {
            self.look(block);
        }
        room.get_mut(length..)
    }

    #[inline]
    fn look(&mut self, block: &[u8; BLOCK]) {
        for (least, octet) in self.0.iter_mut().zip(block) {
            *least = oddness(*octet).min(*least);
        }
    }

    /// Whether all values are how every style would write them.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.0.iter().fold(0, |any, least| any | u8::from(*least == 0)) == 0
    }
}

/// Whether a value is certainly the same in all styles. The room begins with it; what follows is overwritten. None where
/// there is too little of that.
#[inline]
pub(super) fn is_plain(room: &mut [u8], length: usize) -> Option<bool> {
    match length {
        0 => Some(true),
        1 => Some(!is_odd(*room.first()?)),
        _ => are_blocks_plain(room, length),
    }
}

fn are_blocks_plain(room: &mut [u8], length: usize) -> Option<bool> {
    // With plain octets after it, the value has no end that is to be looked at in another way.
    *room.get_mut(length..)?.first_chunk_mut()? = [b' '; BLOCK];
    let (blocks, _) = room.get(..length + BLOCK - 1)?.as_chunks();
    Some(blocks.iter().all(is_plain_block))
}

/// As many octets as one vector register holds on every machine.
const BLOCK: usize = 16;

/// Without branches inside, so that the compiler makes a few vector instructions of it.
fn is_plain_block(block: &[u8; BLOCK]) -> bool {
    block.iter().fold(0, |any, octet| any | u8::from(is_odd(*octet))) == 0
}

/// Whether one style does not leave an octet as it is: `"`, `\` and everything outside printable ASCII.
fn is_odd(octet: u8) -> bool {
    oddness(octet) == 0
}

/// Zero for an odd octet: one comparison instead of three.
fn oddness(octet: u8) -> u8 {
    let below_delete = 0x5f_u8.saturating_sub(octet.wrapping_sub(0x20));
    below_delete.min(octet ^ b'"').min(octet ^ b'\\')
}

fn put_default<R: Room>(value: &[u8], room: R) -> Option<R> {
    let mut room = room;
    for &octet in value {
        room = match octet {
            b'"' | b'\\' | ..0x20 | 0x7f.. => room.put(&[b'\\', b'x', hex(octet >> 4), hex(octet)])?,
            _ => room.put(&[octet])?,
        };
    }
    Some(room)
}

fn put_json<R: Room>(value: &[u8], room: R) -> Option<R> {
    let mut room = room;
    for chunk in value.utf8_chunks() {
        for octet in chunk.valid().bytes() {
            room = match octet {
                b'"' | b'\\' => room.put(&[b'\\', octet])?,
                b'\n' => room.put(b"\\n")?,
                b'\r' => room.put(b"\\r")?,
                b'\t' => room.put(b"\\t")?,
                0x08 => room.put(b"\\b")?,
                0x0c => room.put(b"\\f")?,
                ..0x20 => put_code_point(octet, room)?,
                _ => room.put(&[octet])?,
            };
        }
        for octet in chunk.invalid() {
            room = put_code_point(*octet, room)?;
        }
    }
    Some(room)
}

fn put_code_point<R: Room>(octet: u8, room: R) -> Option<R> {
    room.put(&[b'\\', b'u', b'0', b'0', hex(octet >> 4), hex(octet)])
}

/// The low half of `value` as an upper-case digit.
fn hex(value: u8) -> u8 {
    match value & 15 {
        digit @ 0..10 => b'0' + digit,
        letter => b'A' + letter - 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLES: [Style; 3] = [Style::Default, Style::Json, Style::Verbatim];

    fn written(style: Style, value: Option<&[u8]>) -> Vec<u8> {
        // Whatever was there before counts for nothing.
        let mut room = vec![b'"'; value.map_or(0, <[u8]>::len) * 6 + BLOCK];
        let left = style.put_some(value, room.as_mut_slice()).unwrap().len();
        room.truncate(room.len() - left);
        let mut grown = b"before ".to_vec();
        style.put_some(value, &mut grown).unwrap();
        assert_eq!(grown.strip_prefix(b"before ").unwrap(), room);
        room
    }

    #[test]
    fn values_cannot_leave_their_field() {
        for (value, default, json) in [
            (&b"plain-1/2"[..], "plain-1/2", "plain-1/2"),
            (b"a\"b\\c", r"a\x22b\x5Cc", r#"a\"b\\c"#),
            (b"a\r\nb\t", r"a\x0D\x0Ab\x09", r"a\r\nb\t"),
            (b"\x01\x7f", r"\x01\x7F", "\\u0001\x7f"),
            ("ä".as_bytes(), r"\xC3\xA4", "ä"),
            (b"\xff", r"\xFF", r"\u00FF"),
            (b"", "", ""),
        ] {
            let want = [default.as_bytes(), json.as_bytes(), value];
            for (style, want) in STYLES.into_iter().zip(want) {
                assert_eq!(written(style, Some(value)), want, "{value:?} {style:?}");
            }
        }
        assert_eq!(STYLES.map(|style| written(style, None)), [b"-".to_vec(), Vec::new(), Vec::new()]);
    }

    #[test]
    fn without_room_nothing_is_known() {
        assert_eq!(is_plain(&mut [b'a'; BLOCK + 3], 3), Some(true));
        assert_eq!(is_plain(&mut [b'a'; BLOCK + 3], 4), None);
        assert_eq!((is_plain(b"a".to_vec().as_mut(), 1), is_plain(&mut [], 1)), (Some(true), None));
    }

    #[test]
    fn printable_octets_are_plain() {
        for octet in 0..=u8::MAX {
            let want = (b' '..=b'~').contains(&octet) && octet != b'"' && octet != b'\\';
            assert_eq!(is_odd(octet), !want, "{octet}");
        }
    }

    /// Whatever the fast way lets pass is what the slow way would write.
    #[test]
    fn every_octet_is_seen_at_every_place_of_values_of_every_length() {
        for length in [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 5] {
            for place in 0..length {
                for octet in 0..=u8::MAX {
                    let mut value = vec![b'a'; length];
                    value[place] = octet;
                    for style in STYLES {
                        let mut want = Vec::new();
                        style.put_escaped(&value, &mut want).unwrap();
                        assert_eq!(written(style, Some(&value)), want, "{value:?} {style:?}");
                    }
                }
            }
        }
    }
}
