//! The canonical path: one reading of a request path for routing, policy, rewriting and logs.

use std::borrow::Cow;

/// A request path in the one form that every decision sees.
///
/// Percent-decoded once, repeated slashes merged, dot segments resolved. `%2F` and `%5C` are data inside a segment and stay
/// encoded, as do `%25` and octets that are not UTF-8, so that a `%` here always begins an escape and the form has one meaning.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CanonicalPath<'a> {
    text: Cow<'a, str>,
    dot_segments: bool,
    two_readings: bool,
}

/// Why a request path is refused with 400.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidPath {
    /// Not in origin form (RFC 9112 section 3.2.1).
    #[error("the path does not begin with a slash")]
    NoSlash,
    /// An octet outside printable ASCII, a backslash or a fragment.
    #[error("the path has an octet that is not allowed")]
    Octet,
    /// `%` without two hexadecimal digits, or `%00`.
    #[error("the path has a broken escape")]
    Escape,
    /// `..` at the root.
    #[error("the path rises above the root")]
    AboveRoot,
}

impl<'a> CanonicalPath<'a> {
    /// Reads the path of a request target, without query.
    ///
    /// # Errors
    ///
    /// When the path holds what no reading of it can make safe.
    pub fn parse(raw: &'a str) -> Result<Self, InvalidPath> {
        if !raw.starts_with('/') {
            return Err(InvalidPath::NoSlash);
        }
        match survey(raw.as_bytes()) {
            Survey::Canonical => Ok(Self { text: Cow::Borrowed(raw), dot_segments: false, two_readings: false }),
            Survey::Refused => Err(InvalidPath::Octet),
            Survey::Other => Self::parse_other(raw),
        }
    }

    #[cold]
    #[inline(never)]
    fn parse_other(raw: &str) -> Result<Self, InvalidPath> {
        let decoded = decode(raw)?;
        let two_readings = has_two_readings(&decoded);
        let (text, dot_segments) = resolve(&decoded)?;
        Ok(Self { text: Cow::Owned(text), dot_segments, two_readings })
    }

    /// The canonical text; begins with `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether dot segments were resolved, so that the raw path may not be forwarded.
    #[must_use]
    pub fn had_dot_segments(&self) -> bool {
        self.dot_segments
    }

    /// Whether a less careful server may read it in another way: [`CanonicalPath::other_reading`].
    #[must_use]
    pub fn has_other_reading(&self) -> bool {
        self.two_readings
    }

    /// The reading of a less careful server, in which `%2F` and `%5C` divide segments and `..;` is `..`.
    ///
    /// `None` where there is no second reading, `Some(Err)` where that reading rises above the root. A request whose second
    /// reading selects another route is ambiguous and refused.
    #[must_use]
    pub fn other_reading(&self) -> Option<Result<CanonicalPath<'static>, InvalidPath>> {
        self.two_readings.then(|| {
            let divided = self.text.replace("%2F", "/").replace("%5C", "/");
            let plain: Vec<&str> =
                divided.split('/').map(|segment| if segment.starts_with("..;") { ".." } else { segment }).collect();
            let (text, dot_segments) = resolve(plain.join("/").as_bytes())?;
            Ok(CanonicalPath { text: Cow::Owned(text), dot_segments, two_readings: false })
        })
    }
}

enum Survey {
    Canonical,
    Other,
    Refused,
}

/// One pass that lets usual paths through unchanged.
fn survey(raw: &[u8]) -> Survey {
    let mut canonical = true;
    let mut previous = 0;
    for &octet in raw {
        match octet {
            b'\\' | b'#' => return Survey::Refused,
            b'%' => canonical = false,
            b'/' | b'.' if previous == b'/' => canonical = false,
            0x21..=0x7e => {}
            _ => return Survey::Refused,
        }
        previous = octet;
    }
    if canonical { Survey::Canonical } else { Survey::Other }
}

/// Decodes every escape but those that stay (see [`CanonicalPath`]), which come out in upper case.
fn decode(raw: &str) -> Result<Vec<u8>, InvalidPath> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut octets = raw.bytes();
    while let Some(octet) = octets.next() {
        if octet != b'%' {
            decoded.push(octet);
            continue;
        }
        let digits = octets.next().and_then(hex_value).zip(octets.next().and_then(hex_value));
        match digits.map(|(high, low)| high << 4 | low) {
            None | Some(0) => return Err(InvalidPath::Escape),
            Some(kept @ (b'/' | b'\\' | b'%')) => push_escape(&mut decoded, kept),
            Some(plain) => decoded.push(plain),
        }
    }
    Ok(decoded)
}

fn has_two_readings(decoded: &[u8]) -> bool {
    let contains = |needle: &[u8]| decoded.windows(needle.len()).any(|window| window == needle);
    contains(b"%2F") || contains(b"%5C") || contains(b"/..;")
}

/// Merges slashes, resolves dot segments, and escapes what is not UTF-8.
fn resolve(decoded: &[u8]) -> Result<(String, bool), InvalidPath> {
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut dots = false;
    let mut directory = false;
    for segment in decoded.split(|octet| *octet == b'/') {
        directory = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" => {}
            b"." => dots = true,
            b".." => {
                dots = true;
                segments.pop().ok_or(InvalidPath::AboveRoot)?;
            }
            name => segments.push(name),
        }
    }
    let mut text = String::with_capacity(decoded.len());
    for segment in &segments {
        text.push('/');
        push_utf8(&mut text, segment);
    }
    if directory || text.is_empty() {
        text.push('/');
    }
    Ok((text, dots))
}

fn push_utf8(text: &mut String, octets: &[u8]) {
    for chunk in octets.utf8_chunks() {
        text.push_str(chunk.valid());
        for &octet in chunk.invalid() {
            text.extend(escape_of(octet));
        }
    }
}

/// The raw path without its dot segments, everything else (escapes, repeated slashes) as received.
///
/// For paths that [`CanonicalPath::parse`] accepted; what is forwarded then names the same resource as the canonical path.
#[must_use]
pub fn remove_dot_segments(raw: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut directory = false;
    for segment in raw.split('/').skip(1) {
        let dots = dot_count(segment);
        directory = dots.is_some();
        match dots {
            None => kept.push(segment),
            Some(1) => {}
            Some(_) => {
                while kept.pop_if(|segment| segment.is_empty()).is_some() {}
                kept.pop();
            }
        }
    }
    let mut text = String::with_capacity(raw.len());
    for segment in &kept {
        text.push('/');
        text.push_str(segment);
    }
    if directory || text.is_empty() {
        text.push('/');
    }
    text
}

/// 1 for `.`, 2 for `..`, in any mixture of plain and encoded dots.
fn dot_count(segment: &str) -> Option<usize> {
    let mut rest = segment;
    let mut dots = 0;
    while !rest.is_empty() {
        rest = rest.strip_prefix('.').or_else(|| rest.strip_prefix("%2e")).or_else(|| rest.strip_prefix("%2E"))?;
        dots += 1;
    }
    (dots == 1 || dots == 2).then_some(dots)
}

/// Encodes a canonical (decoded) path for a request line.
///
/// Escapes what nginx escapes in a rewritten URI (control octets, blanks, `"#<>?\^{|}` and the backtick, octets from 7Fh on).
/// Escapes that a canonical path holds stay as they are; a `%` that begins none becomes `%25`.
#[must_use]
pub fn escape_path(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for (index, &octet) in path.iter().enumerate() {
        let is_escape = || path.get(index + 1..index + 3).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit));
        match octet {
            b'%' if is_escape() => text.push('%'),
            b'%' | b'"' | b'#' | b'<' | b'>' | b'?' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                text.extend(escape_of(octet))
            }
            0x21..=0x7e => text.push(char::from(octet)),
            _ => text.extend(escape_of(octet)),
        }
    }
    text
}

fn push_escape(into: &mut Vec<u8>, octet: u8) {
    into.extend(escape_of(octet).map(|character| character as u8));
}

fn escape_of(octet: u8) -> [char; 3] {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).map_or('0', |digit| digit.to_ascii_uppercase());
    ['%', digit(octet >> 4), digit(octet & 15)]
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(raw: &str) -> Result<String, InvalidPath> {
        CanonicalPath::parse(raw).map(|path| path.as_str().to_owned())
    }

    #[test]
    fn paths_have_one_canonical_form() {
        for (raw, want) in [
            ("/", "/"),
            ("/foo", "/foo"),
            ("/foo/", "/foo/"),
            ("//foo///bar/x", "/foo/bar/x"),
            ("/foo/../bar/x", "/bar/x"),
            ("/foo/./x", "/foo/x"),
            ("/foo/x/..", "/foo/"),
            ("/foo/.", "/foo/"),
            ("/a//../b", "/b"),
            ("/%66oo", "/foo"),
            ("/a%20b", "/a b"),
            ("/%2e%2E/x", "above"),
            ("/a/%2e%2e/b", "/b"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%5Cb", "/a%5Cb"),
            ("/a%252fb", "/a%252fb"),
            ("/100%25", "/100%25"),
            ("/%C3%A4", "/ä"),
            ("/%ff", "/%FF"),
            ("/.hidden", "/.hidden"),
            ("/...", "/..."),
            ("/a..b", "/a..b"),
        ] {
            match want {
                "above" => assert_eq!(canonical(raw), Err(InvalidPath::AboveRoot), "{raw}"),
                _ => assert_eq!(canonical(raw).as_deref(), Ok(want), "{raw}"),
            }
        }
    }

    #[test]
    fn paths_that_no_reading_makes_safe_are_refused() {
        for raw in [
            "",
            "x",
            "/a\\b",
            "/a#b",
            "/%",
            "/%2",
            "/%zz",
            "/%u0041",
            "/%00",
            "/../x",
            "/a/../../x",
            "/ä",
            "/a b",
            "/a\u{7f}",
        ] {
            assert!(canonical(raw).is_err(), "{raw:?}");
        }
    }

    #[test]
    fn encoded_separators_have_a_second_reading() {
        for (raw, other) in [
            ("/group%2Fproject", Some(Some("/group/project"))),
            ("/x%2f..%2fadmin", Some(Some("/admin"))),
            ("/x/..;/admin", Some(Some("/admin"))),
            ("/x/..;a=1/admin", Some(Some("/admin"))),
            ("/x%5c..%5cadmin", Some(Some("/admin"))),
            ("/..%2fadmin", Some(None)),
            ("/plain", None),
            ("/a%252Fb", None),
        ] {
            let path = CanonicalPath::parse(raw).unwrap();
            let got = path.other_reading().map(|reading| reading.ok().map(|path| path.as_str().to_owned()));
            assert_eq!(got.as_ref().map(Option::as_deref), other, "{raw}");
        }
    }

    #[test]
    fn forwarded_paths_lose_their_dot_segments_only() {
        for (raw, want) in [
            ("/foo/../bar/x", "/bar/x"),
            ("/foo/./x%20y", "/foo/x%20y"),
            ("/a//../b", "/b"),
            ("/a//b/./c", "/a//b/c"),
            ("/a/%2E%2e/b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/..", "/"),
        ] {
            assert_eq!(remove_dot_segments(raw), want, "{raw}");
        }
    }

    #[test]
    fn escapes_survive_and_unsafe_octets_are_escaped() {
        for (path, want) in [
            ("/a b", "/a%20b"),
            ("/a%2Fb", "/a%2Fb"),
            ("/100%", "/100%25"),
            ("/ä?#", "/%C3%A4%3F%23"),
            ("/a:@!$&'()*+,;=b", "/a:@!$&'()*+,;=b"),
        ] {
            assert_eq!(escape_path(path.as_bytes()), want, "{path}");
        }
    }

    proptest! {
        #[test]
        fn reading_the_encoded_canonical_path_again_changes_nothing(raw in "/([a-c./%25F;]|%2[0-9A-F]|%[c-f][0-9a-f]){0,12}") {
            if let Ok(path) = CanonicalPath::parse(&raw) {
                let encoded = escape_path(path.as_str().as_bytes());
                let again = canonical(&encoded);
                prop_assert_eq!(again.as_deref(), Ok(path.as_str()));
            }
        }

        #[test]
        fn a_forwarded_path_names_the_same_resource(raw in "/([ab./]|%2e|%2f|%61){0,14}") {
            if let Ok(path) = CanonicalPath::parse(&raw) {
                let forwarded = canonical(&remove_dot_segments(&raw));
                prop_assert_eq!(forwarded.as_deref(), Ok(path.as_str()));
            }
        }

        #[test]
        fn parsing_never_panics(raw in "/?\\PC{0,40}") {
            drop(canonical(&raw));
            drop(remove_dot_segments(&raw));
        }
    }
}
