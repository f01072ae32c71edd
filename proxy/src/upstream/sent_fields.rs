//! The fields of a request that hyper was given, kept as text, so that it can be sent once more.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The fields of a request that is under way.
///
/// hyper takes the fields and never gives them back. A text costs less than a second map whose names and values are all
/// counted: most requests are sent once.
pub(crate) struct SentFields(Vec<u8>);

/// Octets that most requests come out with, in one piece that allocators have at hand.
const USUAL: usize = 1000;

impl SentFields {
    /// Writes down what is about to be sent.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut text = Vec::with_capacity(USUAL);
        for (name, value) in headers {
            text.extend_from_slice(name.as_str().as_bytes());
            text.push(b':');
            text.extend_from_slice(value.as_bytes());
            text.push(b'\n');
        }
        Self(text)
    }

    /// The same fields, in the same order.
    pub(super) fn again(&self) -> HeaderMap {
        // No name has a colon, no value a line feed (RFC 9110 sections 5.1 and 5.5).
        let lines = self.0.split(|octet| *octet == b'\n');
        let fields = lines.filter_map(|line| {
            let colon = line.iter().position(|octet| *octet == b':')?;
            let (name, value) = line.split_at_checked(colon)?;
            let value = HeaderValue::from_bytes(value.strip_prefix(b":")?).ok()?;
            Some((HeaderName::from_bytes(name).ok()?, value))
        });
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, value);
        }
        headers
    }
}

/// Fields may be secret.
impl fmt::Debug for SentFields {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SentFields({} octets)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static [u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn fields_come_back_as_they_were() {
        const LONG: &[u8] = &[b'x'; 3 * USUAL];
        for fields in [
            &[("host", &b"a.example:80"[..]), ("x-empty", b""), ("x-bytes", b"\xff\t: x:\x80"), ("accept", b"*/*")][..],
            &[("cookie", b"a=1"), ("x-long", LONG), ("cookie", b"b=2")],
            &[],
        ] {
            let headers = map(fields);
            let again = SentFields::of(&headers).again();
            assert_eq!(again, headers);
            assert!(again.keys().eq(headers.keys()), "{fields:?}");
        }
    }

    #[test]
    fn fields_are_not_shown() {
        let sent = SentFields::of(&map(&[("authorization", b"secret")]));
        assert_eq!(format!("{sent:?}"), "SentFields(21 octets)");
    }
}
