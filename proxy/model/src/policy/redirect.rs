//! Answers that send clients elsewhere.

use http::HeaderValue;
use serde::{Serialize, Serializer};

use crate::RedirectCode;

/// `temporal-redirect` or `permanent-redirect`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Redirect {
    /// Status.
    pub code: RedirectCode,
    /// Target; path and query of the request are not appended.
    pub location: Location,
}

/// The target of a redirect, a valid header value that begins with neither `//` nor `/\`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Location(HeaderValue);

impl Location {
    /// Takes a URL or a path.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let elsewhere = text.starts_with("//") || text.starts_with("/\\");
        let printable = text.bytes().all(|octet| (0x21..=0x7e).contains(&octet));
        (!elsewhere && printable && !text.is_empty()).then(|| HeaderValue::from_str(text).ok()).flatten().map(Self)
    }

    /// As written.
    #[must_use]
    pub fn value(&self) -> &HeaderValue {
        &self.0
    }

    /// The path, where the target is no URL; it becomes absolute unless `relative-redirects` is on.
    #[must_use]
    pub fn as_path(&self) -> Option<&str> {
        self.0.to_str().ok().filter(|text| text.starts_with('/'))
    }
}

impl Serialize for Location {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.to_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_never_name_another_host_by_accident() {
        for (text, want) in [
            ("https://x.example", true),
            ("/new", true),
            ("//evil.example", false),
            ("/\\evil.example", false),
            ("", false),
            ("/a b", false),
            ("/a\r\nX: y", false),
        ] {
            assert_eq!(Location::new(text).is_some(), want, "{text:?}");
        }
    }
}
