//! Times in the notation of nginx: numbers with units, largest first (`1h30m`, `500ms`); a number alone is seconds.

use std::time::Duration;

use crate::annotations::value::Fault;

/// Milliseconds per unit, in the order in which units may follow each other.
const UNITS: &[(&str, u64)] = &[
    ("y", 31_536_000_000),
    ("M", 2_592_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Reads a time (nginx: configuration file measurement units). Spaces may stand between the parts.
pub(super) fn parse(text: &str) -> Result<Duration, Fault> {
    milliseconds(text).map(Duration::from_millis).ok_or(Fault::not("a time, such as 30s or 1h30m"))
}

fn milliseconds(text: &str) -> Option<u64> {
    let mut sum = 0_u64;
    let mut rest = text.trim();
    let mut units = UNITS;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after.len() - after.trim_start_matches(|letter: char| letter.is_ascii_alphabetic()).len();
        let (unit, after) = after.split_at_checked(letters)?;
        let unit = if unit.is_empty() && after.trim().is_empty() { "s" } else { unit };
        let place = units.iter().position(|(name, _)| *name == unit)?;
        let (_, factor) = units.get(place)?;
        sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(*factor)?)?;
        units = units.get(place + 1..)?;
        rest = after.trim_start();
    }
    // Longer times than a century are mistakes, and clocks cannot add them.
    (sum <= 3_153_600_000_000).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_nginx_reads_them() {
        for (text, want) in [
            ("240s", Some(240_000)),
            ("10", Some(10_000)),
            ("0", Some(0)),
            ("1h30m", Some(5_400_000)),
            ("1h 30m", Some(5_400_000)),
            ("1m 30", Some(90_000)),
            ("500ms", Some(500)),
            ("1d", Some(86_400_000)),
            ("30m1h", None),
            ("1s1s", None),
            ("1.5h", None),
            ("-1s", None),
            ("s", None),
            ("5x", None),
            ("", None),
            ("99999999999999999999", None),
            ("200y", None),
        ] {
            assert_eq!(milliseconds(text), want, "{text:?}");
        }
    }
}
