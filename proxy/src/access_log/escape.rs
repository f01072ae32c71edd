//! Values of variables in log lines, such that no octet of a request can end a field or a line.

use portcullis_model::LogEscape;

/// Appends `value`.
pub(super) fn push(escape: LogEscape, value: &[u8], line: &mut Vec<u8>) {
    match escape {
        LogEscape::Default => push_default(value, line),
        LogEscape::Json => push_json(value, line),
    }
}

/// What stands for a variable without a value.
pub(super) fn unset(escape: LogEscape) -> &'static [u8] {
    match escape {
        LogEscape::Default => b"-",
        LogEscape::Json => b"",
    }
}

/// `"`, `\` and everything outside printable ASCII as `\xHH` (nginx: `log_format escape=default`).
fn push_default(value: &[u8], line: &mut Vec<u8>) {
    let is_plain = |octet: &u8| matches!(octet, 0x20..0x7f) && !matches!(octet, b'"' | b'\\');
    if value.iter().all(is_plain) {
        return line.extend_from_slice(value);
    }
    for &octet in value {
        match octet {
            b'"' | b'\\' | ..0x20 | 0x7f.. => line.extend([b'\\', b'x', hex(octet >> 4), hex(octet)]),
            _ => line.push(octet),
        }
    }
}

/// The inside of a JSON string (RFC 8259 section 7). Octets that are not UTF-8 are written as the code point of that number.
fn push_json(value: &[u8], line: &mut Vec<u8>) {
    for chunk in value.utf8_chunks() {
        for octet in chunk.valid().bytes() {
            match octet {
                b'"' | b'\\' => line.extend([b'\\', octet]),
                b'\n' => line.extend(b"\\n"),
                b'\r' => line.extend(b"\\r"),
                b'\t' => line.extend(b"\\t"),
                0x08 => line.extend(b"\\b"),
                0x0c => line.extend(b"\\f"),
                ..0x20 => push_code_point(octet, line),
                _ => line.push(octet),
            }
        }
        chunk.invalid().iter().for_each(|octet| push_code_point(*octet, line));
    }
}

fn push_code_point(octet: u8, line: &mut Vec<u8>) {
    line.extend([b'\\', b'u', b'0', b'0', hex(octet >> 4), hex(octet)]);
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
            for (escape, want) in [(LogEscape::Default, default), (LogEscape::Json, json)] {
                let mut line = Vec::new();
                push(escape, value, &mut line);
                assert_eq!(String::from_utf8(line).unwrap(), want, "{value:?} {escape:?}");
            }
        }
    }
}
