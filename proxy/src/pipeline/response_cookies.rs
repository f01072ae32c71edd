//! `Domain` and `Path` of the cookies of an upstream (nginx: `proxy_cookie_domain`, `proxy_cookie_path`).

use http::header::{Entry, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use portcullis_model::policy::{CookieDomain, PrefixChange};

/// Changes the attributes of every cookie that is set.
pub(super) fn rewrite(headers: &mut HeaderMap, domain: Option<&CookieDomain>, path: Option<&PrefixChange>) {
    if domain.is_none() && path.is_none() {
        return;
    }
    let Entry::Occupied(mut cookies) = headers.entry(SET_COOKIE) else { return };
    for cookie in cookies.iter_mut() {
        if let Some(changed) = rewritten(cookie.as_bytes(), domain, path) {
            *cookie = changed;
        }
    }
}

/// A cookie with other attributes; none where it stays as it is.
fn rewritten(cookie: &[u8], domain: Option<&CookieDomain>, path: Option<&PrefixChange>) -> Option<HeaderValue> {
    let mut text = Vec::with_capacity(cookie.len().saturating_add(32));
    let mut changed = false;
    for (number, part) in cookie.split(|octet| *octet == b';').enumerate() {
        if number > 0 {
            text.push(b';');
        }
        // The first part is name and value of the cookie.
        let attribute = if number > 0 { Attribute::read(part) } else { None };
        let replaced = attribute.is_some_and(|attribute| attribute.replace(domain, path, &mut text));
        if !replaced {
            text.extend_from_slice(part);
        }
        changed |= replaced;
    }
    if changed { HeaderValue::from_bytes(&text).ok() } else { None }
}

/// `Name=value` (RFC 6265 section 5.2).
struct Attribute<'a> {
    /// Up to and with the `=`.
    start: &'a [u8],
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> Attribute<'a> {
    fn read(part: &'a [u8]) -> Option<Self> {
        let equals = part.iter().position(|octet| *octet == b'=')?;
        let (start, value) = part.split_at_checked(equals.saturating_add(1))?;
        Some(Self { start, name: part.get(..equals)?.trim_ascii(), value: value.trim_ascii() })
    }

    /// Writes the attribute with another value, if that is to be changed.
    fn replace(&self, domain: Option<&CookieDomain>, path: Option<&PrefixChange>, text: &mut Vec<u8>) -> bool {
        if self.name.eq_ignore_ascii_case(b"domain") {
            domain.is_some_and(|change| self.replace_domain(change, text))
        } else if self.name.eq_ignore_ascii_case(b"path") {
            path.is_some_and(|change| self.replace_path(change, text))
        } else {
            false
        }
    }

    fn replace_domain(&self, change: &CookieDomain, text: &mut Vec<u8>) -> bool {
        let bare = self.value.strip_prefix(b".");
        let found = bare.unwrap_or(self.value).eq_ignore_ascii_case(change.from().as_bytes());
        if found {
            text.extend_from_slice(self.start);
            text.extend_from_slice(if bare.is_some() { b"." } else { b"" });
            text.extend_from_slice(change.to().as_bytes());
        }
        found
    }

    fn replace_path(&self, change: &PrefixChange, text: &mut Vec<u8>) -> bool {
        let Some(rest) = self.value.strip_prefix(change.from().as_bytes()) else { return false };
        for piece in [self.start, change.to().as_bytes(), rest] {
            text.extend_from_slice(piece);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::parts;
    use super::*;

    #[test]
    fn attributes_change_and_nothing_else_does() {
        let domain = CookieDomain::new("localhost", ".example.org").unwrap();
        let path = PrefixChange::new("/one/", "/").unwrap();
        for (cookie, want) in [
            ("a=b; Domain=localhost; Path=/one/x", "a=b; Domain=example.org; Path=/x"),
            ("a=b;domain=.LOCALHOST;path=/one/;Secure", "a=b;domain=.example.org;path=/;Secure"),
            ("a=b; DOMAIN = localhost ; HttpOnly", "a=b; DOMAIN =example.org; HttpOnly"),
            ("a=b; Path=/one", "a=b; Path=/one"),
            ("a=b; Path=/One/x", "a=b; Path=/One/x"),
            ("a=b; Path=/two/one/", "a=b; Path=/two/one/"),
            ("a=b; Domain=www.localhost", "a=b; Domain=www.localhost"),
            ("a=b; Domain=localhost.example", "a=b; Domain=localhost.example"),
            ("domain=localhost; Path=/", "domain=localhost; Path=/"),
            ("a=Domain=localhost", "a=Domain=localhost"),
            ("a=b; Domain", "a=b; Domain"),
            ("a=b; XDomain=localhost", "a=b; XDomain=localhost"),
            ("", ""),
            (";;", ";;"),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(SET_COOKIE, HeaderValue::from_static(cookie));
            rewrite(&mut headers, Some(&domain), Some(&path));
            assert_eq!(headers[SET_COOKIE], want, "{cookie}");
        }
    }

    #[test]
    fn every_cookie_is_looked_at_and_other_fields_are_not() {
        let path = PrefixChange::new("/one", "/two").unwrap();
        let fields = "\nSet-Cookie: a=1; Path=/one\nSet-Cookie: b=2; Path=/x; Domain=d\nSet-Cookie: c=3; Path=/one/y\n\
                      X-Other: a=1; Path=/one";
        let mut headers = parts(&format!("GET / HTTP/1.1{fields}")).headers;
        rewrite(&mut headers, None, Some(&path));
        let cookies: Vec<_> = headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(cookies, ["a=1; Path=/two", "b=2; Path=/x; Domain=d", "c=3; Path=/two/y"]);
        assert_eq!(headers["x-other"], "a=1; Path=/one");
    }
}
