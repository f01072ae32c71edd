//! What a key of the ConfigMap is: one definition that the reader, `docs` and `lint` use.

use serde::Serialize;

use super::written::Written;
use crate::annotations::Support;
use crate::annotations::value::{self, Fault};

/// One key of the ConfigMap.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ConfigKey {
    /// Name.
    pub key: &'static str,
    /// Syntax of the value, for people.
    pub value: &'static str,
    /// What holds where the key is absent, as a value; empty where nothing does.
    pub default: &'static str,
    /// How far it is honoured.
    pub support: Support,
    /// Whether leaving it out would let requests in that it keeps out; then every path is closed while it is not supported.
    pub protects: bool,
    /// What it does, for people.
    pub doc: &'static str,
}

/// A key with what its value does.
pub(super) struct Entry {
    pub(super) key: ConfigKey,
    pub(super) action: Action,
}

/// What a value does.
pub(super) enum Action {
    /// Switches something.
    Flag(fn(&mut Written, bool)),
    /// Has effect.
    Set(fn(&mut Written, &str) -> Result<(), Problem>),
    /// Has effect, and its value is never shown.
    Secret(fn(&mut Written, &str) -> Result<(), Problem>),
    /// Will have effect later; the value is checked already.
    Later(fn(&str) -> Result<(), Fault>),
    /// Cannot have effect here.
    Nothing,
    /// Closes every path, since it protects and has no effect yet.
    Close,
    /// Is nginx configuration.
    Snippet,
}

/// What is wrong with a value.
#[derive(Debug)]
pub(super) enum Problem {
    /// It cannot be read, and the default stays.
    Default(Fault),
    /// It cannot be read as it stands, and this happens instead.
    Instead(Fault, String),
    /// It is used but for parts that are not offered here, which is worth knowing.
    Remark(String),
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::Default(fault)
    }
}

impl Entry {
    /// Checks the value, and uses it where it has effect.
    pub(super) fn apply(&self, written: &mut Written, text: &str) -> Result<(), Problem> {
        match self.action {
            Action::Flag(set) => {
                set(written, boolean(text)?);
                Ok(())
            }
            Action::Set(set) | Action::Secret(set) => set(written, text),
            Action::Later(check) => check(text).map_err(Problem::Default),
            Action::Nothing | Action::Close | Action::Snippet => Ok(()),
        }
    }
}

/// A boolean; nothing means `false`.
pub(super) fn boolean(text: &str) -> Result<bool, Fault> {
    if text.is_empty() { Ok(false) } else { value::boolean(text) }
}

/// A number in decimal, hexadecimal (`0x`) or octal (`0`).
pub(super) fn integer(text: &str) -> Result<i64, Fault> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let octal = digits.strip_prefix('0').filter(|rest| !rest.is_empty());
    let (digits, radix) = match (digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")), octal) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) => (digits.trim_start_matches(['o', 'O']), 8),
        (None, None) => (digits, 10),
    };
    let unsigned = !digits.starts_with(['+', '-']);
    let number = unsigned.then(|| i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()).flatten();
    number.ok_or(Fault::not(value::INTEGER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_notations_of_go() {
        for (text, want) in [
            ("10", Some(10)),
            ("-10", Some(-10)),
            ("0", Some(0)),
            ("0x1F", Some(31)),
            ("017", Some(15)),
            ("0o17", Some(15)),
            ("-0x10", Some(-16)),
            ("018", None),
            ("", None),
            ("--1", None),
            ("0x-1", None),
            ("many", None),
            (" 1", None),
        ] {
            assert_eq!(integer(text).ok(), want, "{text:?}");
        }
    }

    #[test]
    fn an_empty_boolean_is_false() {
        assert_eq!(boolean(""), Ok(false));
        assert_eq!(boolean("T"), Ok(true));
        assert!(boolean("perhaps").is_err());
    }
}
