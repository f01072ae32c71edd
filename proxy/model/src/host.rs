//! Names a virtual host answers to.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

use crate::{InvalidPattern, Pattern, PatternSyntax};

/// A host name: lower case, without port and trailing dot.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct HostName(Arc<str>);

/// Why a text is not a host name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidHost {
    /// The text is empty, too long or has an empty label.
    #[error("`{0}` is not a host name; write labels divided by dots, such as shop.example.com")]
    Name(String),
    /// A `*` elsewhere than as the first label.
    #[error("`{0}` has a `*` in the wrong place; a wildcard host is `*.` and a name, such as *.example.com")]
    Wildcard(String),
    /// A `~` alias whose expression is not understood.
    #[error("`{0}` is not a usable expression: {1}")]
    Pattern(String, #[source] InvalidPattern),
}

impl HostName {
    /// The name, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without its first label: `b.c` for `a.b.c`.
    #[must_use]
    pub fn parent(&self) -> Option<&str> {
        self.0.split_once('.').map(|(_, parent)| parent)
    }
}

impl FromStr for HostName {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let valid = name.len() <= 253
            && name.split('.').all(|label| !label.is_empty() && label.len() <= 63 && label.bytes().all(is_label_octet));
        if !valid {
            let fault = if name.contains('*') { InvalidHost::Wildcard } else { InvalidHost::Name };
            return Err(fault(text.to_owned()));
        }
        Ok(Self(name.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Letters, digits, `-`, and `_`, which names in use have although host names may not (RFC 1123 section 2.1).
fn is_label_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_'
}

/// The host of an Ingress rule.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum HostMatch {
    /// No host in the rule: every request whose host no other virtual host answers (nginx: server `_`).
    Any,
    /// `*.name`: exactly one label before the name (Kubernetes: hostname wildcards).
    Wildcard(HostName),
    /// One name.
    Exact(HostName),
}

impl FromStr for HostMatch {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        match text.strip_prefix("*.") {
            _ if text.is_empty() => Ok(Self::Any),
            Some(parent) => parent.parse().map(Self::Wildcard).map_err(|_| InvalidHost::Wildcard(text.to_owned())),
            None => text.parse().map(Self::Exact),
        }
    }
}

impl fmt::Display for HostMatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => out.write_str("_"),
            Self::Wildcard(parent) => write!(out, "*.{parent}"),
            Self::Exact(name) => write!(out, "{name}"),
        }
    }
}

impl Serialize for HostMatch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A further name of a virtual host (`server-alias`), in the forms of nginx's `server_name`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum HostAlias {
    /// One name.
    Exact(HostName),
    /// `*.name`: one label or more before the name. Unlike the host of a rule, this matches several labels.
    Suffix(HostName),
    /// `.name`: the name itself, and one label or more before it.
    SuffixOrApex(HostName),
    /// `name.*`: one label or more behind the name.
    Prefix(HostName),
    /// `~expression`: searched in the host, ignoring case.
    Pattern(Arc<Pattern>),
}

impl FromStr for HostAlias {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        if let Some(expression) = text.strip_prefix('~') {
            return Pattern::new(expression, PatternSyntax::HOST)
                .map(|pattern| Self::Pattern(Arc::new(pattern)))
                .map_err(|error| InvalidHost::Pattern(text.to_owned(), error));
        }
        let misplaced = |_| InvalidHost::Wildcard(text.to_owned());
        if let Some(name) = text.strip_prefix("*.") {
            name.parse().map(Self::Suffix).map_err(misplaced)
        } else if let Some(name) = text.strip_prefix('.') {
            name.parse().map(Self::SuffixOrApex)
        } else if let Some(name) = text.strip_suffix(".*") {
            name.parse().map(Self::Prefix).map_err(misplaced)
        } else {
            text.parse().map(Self::Exact)
        }
    }
}

impl fmt::Display for HostAlias {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => write!(out, "{name}"),
            Self::Suffix(name) => write!(out, "*.{name}"),
            Self::SuffixOrApex(name) => write!(out, ".{name}"),
            Self::Prefix(name) => write!(out, "{name}.*"),
            Self::Pattern(pattern) => write!(out, "~{pattern}"),
        }
    }
}

impl Serialize for HostAlias {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_hosts_are_names_wildcards_or_nothing() {
        for (text, want) in [
            ("", Some("_")),
            ("Shop.Example.com", Some("shop.example.com")),
            ("foo", Some("foo")),
            ("*.Foo.com", Some("*.foo.com")),
            ("*.com", Some("*.com")),
            ("*", None),
            ("a.*.com", None),
            ("*.", None),
            ("a..b", None),
            ("a b", None),
            ("a/b", None),
        ] {
            assert_eq!(text.parse::<HostMatch>().ok().map(|host| host.to_string()).as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn aliases_have_the_forms_of_server_name() {
        for text in ["a.example", "*.a.example", ".a.example", "www.a.*", r"~^www\d+\.a\.example$"] {
            assert_eq!(text.parse::<HostAlias>().unwrap().to_string(), text);
        }
        for text in ["*", "a.*.b", "", "~(", "a b"] {
            assert!(text.parse::<HostAlias>().is_err(), "{text:?}");
        }
    }
}
