//! Texts with nginx variables and capture groups, checked once and expanded per request.

use std::fmt;

use serde::Serialize;

use crate::Variable;

/// A text such as `/new/$1`, `$service_name.$namespace.svc` or a log format, as parts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Template(Vec<Part>);

/// One part of a [`Template`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Part {
    /// Text that stands for itself.
    Literal(Box<str>),
    /// `$1` to `$9`: a group of the rewrite pattern; empty when it took no part in the match.
    Capture(u8),
    /// A variable.
    Variable(Variable),
}

/// Why a text is not a template.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidTemplate {
    /// A name that stands for nothing here.
    #[error("`${0}` is not a variable known here")]
    Unknown(String),
    /// `$` before nothing, or `${` without an end.
    #[error("`$` is not followed by a name")]
    Unnamed,
}

impl Template {
    /// Reads `$name`, `${name}` and `$1` to `$9`.
    ///
    /// # Errors
    ///
    /// When a `$` is not followed by a known variable or one digit from 1 to 9.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            if !before.is_empty() {
                parts.push(Part::Literal(before.into()));
            }
            let (part, remaining) = reference(after)?;
            parts.push(part);
            rest = remaining;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.into()));
        }
        Ok(Self(parts))
    }

    /// The parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// The text, if it names neither variables nor groups.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }
}

fn reference(text: &str) -> Result<(Part, &str), InvalidTemplate> {
    if let Some(digit @ b'1'..=b'9') = text.bytes().next() {
        return Ok((Part::Capture(digit - b'0'), text.get(1..).unwrap_or_default()));
    }
    let (name, rest) = match text.strip_prefix('{') {
        Some(braced) => braced.split_once('}').ok_or(InvalidTemplate::Unnamed)?,
        None => {
            let end = text
                .find(|character: char| !character.is_ascii_alphanumeric() && character != '_')
                .unwrap_or(text.len());
            text.split_at(end)
        }
    };
    if name.is_empty() {
        return Err(InvalidTemplate::Unnamed);
    }
    let variable = Variable::parse(name).ok_or_else(|| InvalidTemplate::Unknown(name.to_owned()))?;
    Ok((Part::Variable(variable), rest))
}

impl fmt::Display for Template {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Literal(text) => out.write_str(text),
            Part::Capture(group) => write!(out, "${group}"),
            Part::Variable(variable) => write!(out, "${{{variable}}}"),
        })
    }
}

impl Serialize for Template {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_groups_are_told_apart() {
        for (text, want) in [
            ("/", Some("/")),
            ("/new/$1", Some("/new/$1")),
            ("$12", Some("$12")),
            ("$service_name.$namespace.svc", Some("${service_name}.${namespace}.svc")),
            ("${host}x", Some("${host}x")),
            ("$http_x_user", Some("${http_x_user}")),
            ("$nope", None),
            ("$", None),
            ("${host", None),
            ("$0", None),
        ] {
            assert_eq!(Template::parse(text).ok().map(|template| template.to_string()).as_deref(), want, "{text}");
        }
        assert_eq!(Template::parse("$12").unwrap().parts(), [Part::Capture(1), Part::Literal("2".into())]);
    }
}
