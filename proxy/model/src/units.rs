//! Units as nginx writes them.

use std::str::FromStr;

use serde::Serialize;

/// A size in bytes, written as nginx writes it: a number with an optional `k`, `m` or `g`, in any case.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct ByteSize(u64);

/// Why a text is not a size.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidByteSize {
    /// Not digits and one optional letter.
    #[error("`{0}` is not a size; write a number with an optional k, m or g, such as 8m")]
    NotANumber(String),
    /// More than 64 bits.
    #[error("`{0}` does not fit in 64 bits")]
    TooLarge(String),
}

impl ByteSize {
    /// The number of bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = InvalidByteSize;

    fn from_str(text: &str) -> Result<Self, InvalidByteSize> {
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let shift = match text.strip_prefix(digits).unwrap_or_default() {
            "" | "b" | "B" => 0,
            "k" | "K" => 10,
            "m" | "M" => 20,
            "g" | "G" => 30,
            _ => return Err(InvalidByteSize::NotANumber(text.to_owned())),
        };
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(InvalidByteSize::NotANumber(text.to_owned()));
        }
        let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
        number.map(Self).ok_or_else(|| InvalidByteSize::TooLarge(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_nginx_reads_them() {
        for (raw, want) in [
            ("0", Some(0)),
            ("8m", Some(8 << 20)),
            ("16K", Some(16 << 10)),
            ("1g", Some(1 << 30)),
            ("5b", Some(5)),
            ("8mb", None),
            ("", None),
            ("m", None),
            ("-1", None),
            ("99999999999999999999", None),
            ("99999999999g", None),
        ] {
            assert_eq!(raw.parse::<ByteSize>().ok().map(ByteSize::bytes), want, "{raw:?}");
        }
    }
}
