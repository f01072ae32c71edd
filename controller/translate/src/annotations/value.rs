//! Parsers of values, for annotations and ConfigMap keys alike.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;
use portcullis_model::{ByteSize, Template};

/// Syntax of [`boolean`], for people.
pub(crate) const BOOLEAN: &str = "`true` or `false`";
/// Syntax of [`integer`], for people.
pub(crate) const INTEGER: &str = "a whole number";

/// Why a value is refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// What it should have been.
    Not(Cow<'static, str>),
    /// What is wrong with it, where that says more.
    Because(String),
}

impl Fault {
    /// It should have been this.
    pub(crate) const fn not(expected: &'static str) -> Self {
        Self::Not(Cow::Borrowed(expected))
    }

    /// What to say about the value, which stands before it: "is not a whole number".
    pub(crate) fn verdict(&self) -> String {
        match self {
            Self::Not(expected) => format!("is not {expected}"),
            Self::Because(reason) => format!("is refused: {}", bounded(reason)),
        }
    }
}

/// A reason that may repeat what a user wrote: control characters escaped, and cut where it gets long.
pub(crate) fn bounded(reason: &str) -> String {
    const LONGEST: usize = 160;
    let escape = |character: char| {
        let escaped = character.is_control().then(|| character.escape_default());
        escaped.into_iter().flatten().chain((!character.is_control()).then_some(character))
    };
    let mut shown: String = reason.chars().take(LONGEST).flat_map(escape).collect();
    if reason.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// The words of Go's `strconv.ParseBool`.
pub(crate) fn boolean(text: &str) -> Result<bool, Fault> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(Fault::not("a boolean, such as `true` or `false`")),
    }
}

/// Decimal digits with an optional sign, as Go's `strconv.Atoi`.
pub(crate) fn integer(text: &str) -> Result<i64, Fault> {
    text.parse().map_err(|_| Fault::not(INTEGER))
}

/// One of these words.
pub(crate) fn word(text: &str, words: &[&'static str]) -> Result<&'static str, Fault> {
    let found = words.iter().find(|word| **word == text);
    found.copied().ok_or_else(|| Fault::Not(Cow::Owned(format!("one of {}", words.join(", ")))))
}

/// One of these words, which are in lower case, in any case.
pub(crate) fn word_ignoring_case(text: &str, words: &[&'static str]) -> Result<&'static str, Fault> {
    word(&text.to_ascii_lowercase(), words)
}

/// `on` or `off`.
pub(crate) fn switch(text: &str) -> Result<bool, Fault> {
    word(text, &["on", "off"]).map(|word| word == "on")
}

/// A size in the notation of nginx; spaces do not count.
pub(crate) fn size(text: &str) -> Result<ByteSize, Fault> {
    text.replace(' ', "").parse().map_err(|error: portcullis_model::InvalidByteSize| Fault::Because(error.to_string()))
}

/// Text with nginx variables and capture groups.
pub(crate) fn template(text: &str) -> Result<Template, Fault> {
    Template::parse(text).map_err(|error| Fault::Because(error.to_string()))
}

/// Entries divided by commas, without blanks around them and without empty ones.
pub(crate) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

/// An address, or a network in CIDR notation, without its host bits.
pub(crate) fn network(text: &str) -> Result<IpNet, Fault> {
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    parsed.map(|net| net.trunc()).map_err(|_| Fault::not("an address or a network such as `10.0.0.0/8`"))
}

/// A list of [`network`]s.
pub(crate) fn networks(text: &str) -> Result<Vec<IpNet>, Fault> {
    text.split(',').map(|entry| network(entry.trim())).collect()
}

/// The name of a Service: a label of RFC 1035.
pub(crate) fn service_name(text: &str) -> Result<&str, Fault> {
    let octets = text.as_bytes();
    let inner = |octet: &u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || *octet == b'-';
    let valid = octets.len() <= 63
        && octets.first().is_some_and(u8::is_ascii_lowercase)
        && octets.last().is_some_and(|octet| *octet != b'-')
        && octets.iter().all(inner);
    if valid { Ok(text) } else { Err(Fault::not("the name of a Service, such as `shop-errors`")) }
}

/// Whether two values mean the same: equal text, booleans, numbers or sizes.
pub(crate) fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.trim(), other.trim());
    let equal = |left: Option<u64>, right: Option<u64>| left.is_some() && left == right;
    one == other
        || equal(boolean(one).ok().map(u64::from), boolean(other).ok().map(u64::from))
        || integer(one).is_ok_and(|number| integer(other) == Ok(number))
        || equal(size(one).ok().map(ByteSize::bytes), size(other).ok().map(ByteSize::bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_the_words_of_go() {
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(boolean(text), Ok(true), "{text}");
        }
        for text in ["0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(boolean(text), Ok(false), "{text}");
        }
        for text in ["", " true", "true\n", "tRUE", "yes", "on", "2", "truee"] {
            assert!(boolean(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn integers_have_a_sign_and_digits_only() {
        for (text, want) in [
            ("0", Some(0)),
            ("+5", Some(5)),
            ("-5", Some(-5)),
            ("007", Some(7)),
            ("", None),
            ("-", None),
            (" 5", None),
            ("5s", None),
            ("1.0", None),
            ("1_000", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(integer(text).ok(), want, "{text:?}");
        }
    }

    #[test]
    fn reasons_are_short_and_without_control_characters() {
        assert_eq!(bounded("`a\u{1b}[31m` is \"odd\""), "`a\\u{1b}[31m` is \"odd\"");
        assert_eq!(bounded(&"x".repeat(500)).chars().count(), 161);
    }

    #[test]
    fn networks_are_masked_and_addresses_are_networks_of_one() {
        for (text, want) in [
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("10.1.2.3, 2001:db8::1", Some("10.1.2.3/32,2001:db8::1/128")),
            ("10.0.0.0/33", None),
            ("10.0.0.0/8,", None),
            ("host", None),
        ] {
            let got =
                networks(text).ok().map(|nets| nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
            assert_eq!(got.as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn service_names_are_labels() {
        for (text, want) in [
            ("echo", true),
            ("a", true),
            ("a-1", true),
            ("1a", false),
            ("-a", false),
            ("a-", false),
            ("A", false),
            ("a.b", false),
            ("ns/a", false),
            ("", false),
        ] {
            assert_eq!(service_name(text).is_ok(), want, "{text:?}");
        }
        assert!(service_name(&"a".repeat(63)).is_ok());
        assert!(service_name(&"a".repeat(64)).is_err());
    }

    #[test]
    fn values_are_the_same_when_they_mean_the_same() {
        for (one, other, want) in [
            ("false", "F", true),
            ("60", "060", true),
            ("1m", "1024k", true),
            (" off ", "off", true),
            ("", "", true),
            ("60", "61", false),
            ("true", "false", false),
            ("round_robin", "ewma", false),
        ] {
            assert_eq!(same(one, other), want, "{one:?} {other:?}");
        }
    }
}
