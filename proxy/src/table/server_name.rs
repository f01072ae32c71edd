//! The one reading of the server name of a TLS handshake.

/// Longer names are in no certificate (RFC 1035 section 2.3.4).
const LONGEST_NAME: usize = 255;

/// Room for a name in lower case.
pub(super) fn buffer() -> [u8; LONGEST_NAME] {
    [0; LONGEST_NAME]
}

/// The name in lower case and without one trailing dot (RFC 6066 section 3); none where it is too long.
pub(super) fn canonical<'n>(sni: &'n str, buffer: &'n mut [u8; LONGEST_NAME]) -> Option<&'n str> {
    let name = sni.strip_suffix('.').unwrap_or(sni);
    if !name.bytes().any(|octet| octet.is_ascii_uppercase()) {
        return Some(name);
    }
    let lower = buffer.get_mut(..name.len())?;
    lower.copy_from_slice(name.as_bytes());
    lower.make_ascii_lowercase();
    std::str::from_utf8(lower).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_one_trailing_dot_do_not_count() {
        for (sni, want) in [
            ("a.example", "a.example"),
            ("A.Example", "a.example"),
            ("A.EXAMPLE.", "a.example"),
            ("a.example..", "a.example."),
            (".", ""),
            ("", ""),
        ] {
            assert_eq!(canonical(sni, &mut buffer()), Some(want), "{sni}");
        }
        assert_eq!(canonical(&"A".repeat(256), &mut buffer()), None);
    }
}
