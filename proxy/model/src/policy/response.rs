//! What is changed in the fields that an upstream answers with.

use serde::Serialize;

/// `proxy-cookie-domain`, `proxy-cookie-path`, `proxy-redirect-from` with `proxy-redirect-to`.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct ResponseRewrite {
    /// Changes `Domain` of each `Set-Cookie`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie_domain: Option<CookieDomain>,
    /// Changes the start of `Path` of each `Set-Cookie`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie_path: Option<PrefixChange>,
    /// Changes the start of `Location`, and of the URL in `Refresh`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<PrefixChange>,
}

impl ResponseRewrite {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One domain for another. A dot before them does not count (nginx: `proxy_cookie_domain`).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct CookieDomain {
    from: Box<str>,
    to: Box<str>,
}

impl CookieDomain {
    /// Takes two domains of visible characters other than those that end an attribute or begin an expression.
    #[must_use]
    pub fn new(from: &str, to: &str) -> Option<Self> {
        let valid = is_plain(from) && is_plain(to);
        let undotted = |domain: &str| Box::from(domain.strip_prefix('.').unwrap_or(domain));
        valid.then(|| Self { from: undotted(from), to: undotted(to) }).filter(|change| !change.from.is_empty())
    }

    /// The domain that is replaced, whatever its case.
    #[must_use]
    pub fn from(&self) -> &str {
        &self.from
    }

    /// What takes its place.
    #[must_use]
    pub fn to(&self) -> &str {
        &self.to
    }
}

/// One start of a text for another, case counting (nginx: `proxy_cookie_path`, `proxy_redirect`).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct PrefixChange {
    from: Box<str>,
    to: Box<str>,
}

impl PrefixChange {
    /// Takes two texts of visible characters other than those that end an attribute or begin an expression.
    #[must_use]
    pub fn new(from: &str, to: &str) -> Option<Self> {
        let valid = is_plain(from) && is_plain(to);
        valid.then(|| Self { from: from.into(), to: to.into() })
    }

    /// The start that is replaced.
    #[must_use]
    pub fn from(&self) -> &str {
        &self.from
    }

    /// What takes its place.
    #[must_use]
    pub fn to(&self) -> &str {
        &self.to
    }
}

/// No quoting, no variables, no regular expression: what nginx reads otherwise is not taken for plain text.
fn is_plain(text: &str) -> bool {
    let plain = |octet: u8| octet.is_ascii_graphic() && !b"\";$\\".contains(&octet);
    !text.is_empty() && !text.starts_with('~') && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_texts_are_taken() {
        for (from, to, want) in [
            ("/one/", "/", true),
            ("http://a.example:8080/x?y=", "https://b.example/", true),
            ("~^/one", "/", false),
            ("/one", "$host", false),
            ("/", "/; Secure", false),
            ("/", "\"/\"", false),
            ("", "/", false),
            ("/", "", false),
            ("/ä", "/", false),
        ] {
            assert_eq!(PrefixChange::new(from, to).is_some(), want, "{from} {to}");
        }
    }

    #[test]
    fn dots_before_domains_do_not_count() {
        let change = CookieDomain::new(".a.example", ".b.example").unwrap();
        assert_eq!((change.from(), change.to()), ("a.example", "b.example"));
        assert_eq!(CookieDomain::new(".", "b"), None);
        assert_eq!(CookieDomain::new("~a", "b"), None);
    }
}
