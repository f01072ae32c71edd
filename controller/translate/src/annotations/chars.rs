//! Character rules of ingress-nginx, which `--enable-annotation-validation` switches on.

use std::borrow::Cow;

use super::value::Fault;

/// Letters and digits of ASCII, and some more characters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Charset(&'static str);

impl Charset {
    /// Hosts, ports, paths, `namespace/name`.
    pub(crate) const BASIC: Self = Self("-._~/:");
    /// [`Charset::BASIC`] and spaces.
    pub(crate) const BASIC_SPACE: Self = Self("-._~/: ");
    /// [`Charset::BASIC`] in lists.
    pub(crate) const EXTENDED: Self = Self("-._~/:, ");
    /// URLs with a query.
    pub(crate) const URL: Self = Self("-._~/:,?&=");
    /// URLs with a query and nginx variables.
    pub(crate) const URL_VARIABLES: Self = Self("-._~/:, ?&=$");
    /// Paths with capture groups.
    pub(crate) const CAPTURE: Self = Self("-._~/:$");
    /// Server names and regular expressions.
    pub(crate) const REGEX: Self = Self("-._~/:^$[](){}*+?|&=\\");
    /// nginx variables, joined to a key.
    pub(crate) const VARIABLES: Self = Self("-_${}");
    /// Lists of header names.
    pub(crate) const HEADERS: Self = Self("-_, ");
    /// Cipher names in the notation of OpenSSL.
    pub(crate) const CIPHERS: Self = Self("!:+-_@=");
    /// Pages for clients without a certificate.
    pub(crate) const ERROR_PAGE: Self = Self("-._~/:@?&=");
    /// Names of files.
    pub(crate) const FILE: Self = Self("-_.");
    /// Names of spans.
    pub(crate) const WORD: Self = Self("-_");

    fn holds(self, text: &str) -> bool {
        text.chars().all(|character| character.is_ascii_alphanumeric() || self.0.contains(character))
    }

    fn fault(self) -> Fault {
        let mut list = String::from("made of letters, digits and");
        for character in self.0.chars().filter(|character| *character != ' ') {
            list.push(' ');
            list.push(character);
        }
        if self.0.contains(' ') {
            list.push_str(" or spaces");
        }
        Fault::Not(Cow::Owned(list))
    }
}

/// How a value is looked at before it is parsed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Chars {
    /// Numbers and booleans: read as written, the parser alone decides.
    Typed,
    /// Text: each line without the blanks around it.
    Text,
    /// Text of these characters.
    Of(Charset),
    /// Text of these characters, with blanks around it.
    Trimmed(Charset),
    /// Text of these characters and spaces, which ingress-nginx passes over when it checks.
    OfSpaced(Charset),
    /// Entries divided by commas, each of these characters and with blanks around it.
    EachOf(Charset),
}

impl Chars {
    /// The rule of ingress-nginx. None of the sets holds a line break.
    pub(crate) fn admit(self, raw: &str) -> Result<(), Fault> {
        let (set, holds) = match self {
            Self::Typed | Self::Text => return Ok(()),
            Self::Of(set) => (set, set.holds(raw)),
            Self::Trimmed(set) => (set, set.holds(raw.trim())),
            Self::OfSpaced(set) => (set, raw.split(' ').all(|piece| set.holds(piece))),
            Self::EachOf(set) => (set, raw.split(',').all(|entry| set.holds(entry.trim()))),
        };
        if holds { Ok(()) } else { Err(set.fault()) }
    }

    /// The text that is parsed.
    pub(crate) fn normalise(self, raw: &str) -> Cow<'_, str> {
        if self == Self::Typed {
            Cow::Borrowed(raw)
        } else if raw.contains('\n') {
            let lines: Vec<&str> = raw.split('\n').map(str::trim).collect();
            Cow::Owned(lines.join("\n"))
        } else {
            Cow::Borrowed(raw.trim())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_outside_the_set_are_refused() {
        for (chars, text, want) in [
            (Chars::Of(Charset::CAPTURE), "/new/$1", true),
            (Chars::Of(Charset::CAPTURE), "/b;return 200", false),
            (Chars::Of(Charset::CAPTURE), "/a b", false),
            (Chars::Of(Charset::CAPTURE), "/a\n", false),
            (Chars::Of(Charset::URL), "https://x.example/a?b=c&d", true),
            (Chars::Of(Charset::URL), "https://x.example/$host", false),
            (Chars::Of(Charset::URL), "https://x.example/a%20b", false),
            (Chars::OfSpaced(Charset::BASIC), "X-My Canary", true),
            (Chars::OfSpaced(Charset::BASIC), "X-My\tCanary", false),
            (Chars::OfSpaced(Charset::BASIC), "a\r\nb", false),
            (Chars::EachOf(Charset::REGEX), " a.example , ~^www\\d+\\.b$", true),
            (Chars::EachOf(Charset::REGEX), "a.example;", false),
            (Chars::Trimmed(Charset::REGEX), " a.example\n", true),
            (Chars::Trimmed(Charset::REGEX), "a.example,b", false),
            (Chars::Of(Charset::BASIC), "ä", false),
            (Chars::Text, "any; thing\n", true),
        ] {
            assert_eq!(chars.admit(text).is_ok(), want, "{chars:?} {text:?}");
        }
    }

    #[test]
    fn lines_of_text_lose_the_blanks_around_them_and_typed_values_do_not() {
        assert_eq!(Chars::Text.normalise(" a \n\t b c "), "a\nb c");
        assert_eq!(Chars::Of(Charset::BASIC).normalise("  "), "");
        assert_eq!(Chars::Typed.normalise(" true"), " true");
    }
}
