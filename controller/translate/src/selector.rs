//! Label selectors as kubectl writes them (Kubernetes: Labels and Selectors).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::quoted;

/// Requirements on labels, all of which must hold: `a=b`, `a==b`, `a!=b`, `a in (b, c)`, `a notin (b, c)`, `a`, `!a`, `a>1`, `a<1`,
/// divided by commas.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug, Eq, PartialEq)]
struct Requirement {
    key: String,
    rule: Rule,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Rule {
    Exists,
    Missing,
    In(BTreeSet<String>),
    /// Also holds where there is no such label.
    NotIn(BTreeSet<String>),
    Above(i64),
    Below(i64),
}

/// Why a text is no selector.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSelector(String);

/// Longest name of a label, and longest value.
const MAX_NAME: usize = 63;

/// Longest prefix of a label's name (RFC 1123 subdomain).
const MAX_PREFIX: usize = 253;

impl LabelSelector {
    /// Whether labels fulfil it.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|Requirement { key, rule }| rule.holds(labels.get(key)))
    }
}

impl Rule {
    fn holds(&self, value: Option<&String>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match self {
            Self::Exists => value.is_some(),
            Self::Missing => value.is_none(),
            Self::In(values) => value.is_some_and(|value| values.contains(value)),
            Self::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Self::Above(bound) => number().is_some_and(|number| number > *bound),
            Self::Below(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

impl FromStr for LabelSelector {
    type Err = InvalidSelector;

    /// Reads a selector. The empty one has no requirement, so that all labels fulfil it.
    fn from_str(text: &str) -> Result<Self, InvalidSelector> {
        let mut parser = Parser(tokens(text));
        let mut requirements = Vec::new();
        if parser.0.is_empty() {
            return Ok(Self(requirements));
        }
        loop {
            requirements.push(parser.requirement()?);
            match parser.next() {
                None => return Ok(Self(requirements)),
                Some(Token::Sign(",")) => {}
                other => return Err(unexpected(other.as_ref(), "`,` or the end")),
            }
        }
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Token {
    Sign(&'static str),
    Word(String),
}

impl fmt::Display for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Sign(sign) => sign,
            Self::Word(word) => word,
        })
    }
}

/// Longer signs first.
const SIGNS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"];

/// The tokens in backward order, so that the next one is the last.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let sign = SIGNS.into_iter().find_map(|sign| Some((sign, rest.strip_prefix(sign)?)));
        rest = match sign {
            Some((sign, after)) => {
                tokens.push(Token::Sign(sign));
                after
            }
            None => {
                let is_end = |letter: char| letter.is_whitespace() || "=!(),><".contains(letter);
                let (word, after) =
                    rest.split_at_checked(rest.find(is_end).unwrap_or(rest.len())).unwrap_or((rest, ""));
                tokens.push(Token::Word(word.to_owned()));
                after
            }
        }
        .trim_start();
    }
    tokens.reverse();
    tokens
}

struct Parser(Vec<Token>);

impl Parser {
    fn next(&mut self) -> Option<Token> {
        self.0.pop()
    }

    fn take(&mut self, sign: &str) -> bool {
        let is_next = matches!(self.0.last(), Some(Token::Sign(next)) if *next == sign);
        if is_next {
            self.0.pop();
        }
        is_next
    }

    fn requirement(&mut self) -> Result<Requirement, InvalidSelector> {
        let is_missing = self.take("!");
        let key = match self.next() {
            Some(Token::Word(key)) => checked_key(key)?,
            other => return Err(unexpected(other.as_ref(), "the name of a label")),
        };
        let ends = matches!(self.0.last(), None | Some(Token::Sign(",")));
        let rule = match (is_missing, ends) {
            (true, _) => Rule::Missing,
            (false, true) => Rule::Exists,
            (false, false) => self.rule()?,
        };
        Ok(Requirement { key, rule })
    }

    fn rule(&mut self) -> Result<Rule, InvalidSelector> {
        let operator = self.next();
        match &operator {
            Some(Token::Sign("=" | "==")) => Ok(Rule::In(BTreeSet::from([self.value()?]))),
            Some(Token::Sign("!=")) => Ok(Rule::NotIn(BTreeSet::from([self.value()?]))),
            Some(Token::Sign(">")) => self.number().map(Rule::Above),
            Some(Token::Sign("<")) => self.number().map(Rule::Below),
            Some(Token::Word(word)) if word == "in" => self.values().map(Rule::In),
            Some(Token::Word(word)) if word == "notin" => self.values().map(Rule::NotIn),
            other => Err(unexpected(other.as_ref(), "one of = == != in notin > <")),
        }
    }

    /// One value; empty where the requirement ends.
    fn value(&mut self) -> Result<String, InvalidSelector> {
        match self.0.last() {
            None | Some(Token::Sign("," | ")")) => Ok(String::new()),
            Some(_) => match self.next() {
                Some(Token::Word(value)) => checked_value(value),
                other => Err(unexpected(other.as_ref(), "a value")),
            },
        }
    }

    fn number(&mut self) -> Result<i64, InvalidSelector> {
        let value = self.value()?;
        value.parse().map_err(|_| InvalidSelector(format!("{} is no whole number", quoted(&value))))
    }

    /// `(a, b)`; one of them may be empty, as in `(, a)`.
    fn values(&mut self) -> Result<BTreeSet<String>, InvalidSelector> {
        if !self.take("(") {
            return Err(unexpected(self.0.last(), "`(`"));
        }
        if self.take(")") {
            return Err(InvalidSelector("there is nothing between the brackets".to_owned()));
        }
        let mut values = BTreeSet::new();
        loop {
            values.insert(self.value()?);
            if self.take(")") {
                return Ok(values);
            }
            if !self.take(",") {
                return Err(unexpected(self.0.last(), "`,` or `)`"));
            }
        }
    }
}

fn unexpected(found: Option<&Token>, expected: &str) -> InvalidSelector {
    let found = found.map_or_else(|| "the end".to_owned(), |token| quoted(&token.to_string()));
    InvalidSelector(format!("found {found} where {expected} was expected"))
}

/// A label's name, with a prefix or without.
fn checked_key(key: String) -> Result<String, InvalidSelector> {
    let (prefix, name) = key.split_once('/').map_or((None, key.as_str()), |(prefix, name)| (Some(prefix), name));
    if is_name(name) && prefix.is_none_or(is_subdomain) {
        return Ok(key);
    }
    Err(InvalidSelector(format!("{} cannot be the name of a label", quoted(&key))))
}

fn checked_value(value: String) -> Result<String, InvalidSelector> {
    if value.is_empty() || is_name(&value) {
        return Ok(value);
    }
    Err(InvalidSelector(format!("{} cannot be the value of a label", quoted(&value))))
}

fn is_name(text: &str) -> bool {
    let is_inner = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
    let is_outer = |octet: Option<u8>| octet.is_some_and(|octet| octet.is_ascii_alphanumeric());
    text.len() <= MAX_NAME
        && text.bytes().all(is_inner)
        && is_outer(text.bytes().next())
        && is_outer(text.bytes().next_back())
}

fn is_subdomain(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_inner = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
        !label.is_empty() && label.bytes().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= MAX_PREFIX && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels written as `a=b c=d`.
    fn labels(text: &str) -> BTreeMap<String, String> {
        let pairs = text.split_whitespace().map(|pair| pair.split_once('=').unwrap());
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn labels_fulfil_all_requirements_or_not() {
        for (selector, fitting, others) in [
            ("", &["", "a=b"][..], &[][..]),
            (" ", &["", "a=b"], &[]),
            ("a=b", &["a=b", "a=b c=d"], &["", "a=c", "b=a", "A=b"]),
            ("a==b", &["a=b"], &["a=c"]),
            (" a = b ,\tc=d", &["a=b c=d"], &["a=b", "c=d"]),
            ("a=", &["a="], &["", "a=b"]),
            ("a=,b=c", &["a= b=c"], &["b=c"]),
            ("a!=b", &["", "a=c", "a="], &["a=b"]),
            ("a!=", &["", "a=b"], &["a="]),
            ("a", &["a=", "a=b"], &["", "b=a"]),
            ("!a", &["", "b=a"], &["a="]),
            ("! a , b", &["b=c"], &["b=c a=", ""]),
            ("a in (b,c)", &["a=b", "a=c"], &["", "a=d", "a="]),
            ("a in(b)", &["a=b"], &["a="]),
            ("a in (,b)", &["a=", "a=b"], &["", "a=c"]),
            ("a in (b,)", &["a=", "a=b"], &["", "a=c"]),
            ("a notin (b, c)", &["", "a=d"], &["a=b", "a=c"]),
            ("a in (b), a notin (c), !d", &["a=b"], &["a=c", "a=b d="]),
            ("a in (in, notin)", &["a=in", "a=notin"], &["a=b"]),
            ("in=b", &["in=b"], &[""]),
            ("in in (b)", &["in=b"], &[""]),
            ("a>1", &["a=2", "a=10"], &["", "a=1", "a=0", "a=x"]),
            ("a<1", &["a=0", "a=-1"], &["", "a=1", "a=x"]),
            ("example.com/a_b.c-d=E", &["example.com/a_b.c-d=E"], &["a_b.c-d=E"]),
        ] {
            let selector: LabelSelector = selector.parse().unwrap_or_else(|error| panic!("{selector}: {error}"));
            assert!(fitting.iter().all(|text| selector.matches(&labels(text))), "{selector:?}");
            assert!(!others.iter().any(|text| selector.matches(&labels(text))), "{selector:?}");
        }
    }

    #[test]
    fn what_kubectl_refuses_is_refused() {
        let long = format!("{}=b", "a".repeat(64));
        for (selector, reason) in [
            (",", "found `,` where the name of a label was expected"),
            ("a,", "found the end where the name of a label was expected"),
            ("a=b,,c", "found `,` where the name of a label was expected"),
            ("=b", "found `=` where the name of a label was expected"),
            ("!", "found the end where the name of a label was expected"),
            ("!a=b", "found `=` where `,` or the end was expected"),
            ("a=b c", "found `c` where `,` or the end was expected"),
            ("a=b)", "found `)` where `,` or the end was expected"),
            ("a b", "found `b` where one of = == != in notin > < was expected"),
            ("a=!b", "found `!` where a value was expected"),
            ("a in b", "found `b` where `(` was expected"),
            ("a in", "found the end where `(` was expected"),
            ("a in ()", "there is nothing between the brackets"),
            ("a in (b", "found the end where `,` or `)` was expected"),
            ("a in (b c)", "found `c` where `,` or `)` was expected"),
            ("a>x", "`x` is no whole number"),
            ("a>", "`` is no whole number"),
            ("-a=b", "`-a` cannot be the name of a label"),
            ("a/b/c=d", "`a/b/c` cannot be the name of a label"),
            ("A.example/b=c", "`A.example/b` cannot be the name of a label"),
            ("/b=c", "`/b` cannot be the name of a label"),
            ("a=b/c", "`b/c` cannot be the value of a label"),
            ("a=b.", "`b.` cannot be the value of a label"),
            (&long, &format!("`{}` cannot be the name of a label", "a".repeat(64))),
        ] {
            let error = selector.parse::<LabelSelector>().unwrap_err();
            assert_eq!(error.to_string(), reason, "{selector}");
        }
    }
}
