//! Where an upstream sends clients (nginx: `proxy_redirect`).

use http::header::{Entry, LOCATION, REFRESH};
use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis_model::policy::PrefixChange;

/// Changes the start of `Location`, and of the URL in `Refresh`.
pub(super) fn rewrite(headers: &mut HeaderMap, change: &PrefixChange) {
    rewrite_field(headers, LOCATION, |_| Some(0), change);
    rewrite_field(headers, REFRESH, url_of_refresh, change);
}

fn rewrite_field(headers: &mut HeaderMap, name: HeaderName, url_at: fn(&[u8]) -> Option<usize>, change: &PrefixChange) {
    let Entry::Occupied(mut lines) = headers.entry(name) else { return };
    for line in lines.iter_mut() {
        let found = url_at(line.as_bytes()).and_then(|at| line.as_bytes().split_at_checked(at));
        if let Some(changed) = found.and_then(|(before, url)| rewritten(before, url, change)) {
            *line = changed;
        }
    }
}

/// Where the URL of `5; url=http://a.example/` begins.
fn url_of_refresh(value: &[u8]) -> Option<usize> {
    const MARK: &[u8] = b"url=";
    let at = value.windows(MARK.len()).position(|window| window.eq_ignore_ascii_case(MARK))?;
    Some(at.saturating_add(MARK.len()))
}

fn rewritten(before: &[u8], url: &[u8], change: &PrefixChange) -> Option<HeaderValue> {
    let (from, to) = (change.from().as_bytes(), change.to().as_bytes());
    let rest = url.strip_prefix(from)?;
    // What was a path of one host must not become the name of another: `//evil.example`.
    let slashes = rest.iter().take_while(|octet| to == b"/" && b"/\\".contains(octet)).count();
    let rest = rest.get(slashes..).unwrap_or_default();
    HeaderValue::from_bytes(&[before, to, rest].concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::super::testing::parts;
    use super::*;

    #[test]
    fn the_start_of_a_location_is_replaced() {
        for (from, to, location, want) in [
            ("http://a.example/", "https://b.example/in/", "http://a.example/x/y", "https://b.example/in/x/y"),
            ("http://a.example/", "https://b.example/in/", "http://other.example/x", "http://other.example/x"),
            ("http://a.example/", "https://b.example/", "HTTP://a.example/x", "HTTP://a.example/x"),
            ("http://a.example/", "https://b.example/", "http://a.example", "http://a.example"),
            ("http://a.example", "https://b.example", "http://a.example:80/x", "https://b.example:80/x"),
            ("/old/", "/", "/old/x", "/x"),
            ("/old/", "/", "/very/old/x", "/very/old/x"),
            ("http://a.example/", "/", "http://a.example//evil.example", "/evil.example"),
            ("http://a.example/", "/", "http://a.example/\\evil.example", "/evil.example"),
            ("http://a.example/", "//cdn.example/", "http://a.example/x", "//cdn.example/x"),
        ] {
            let change = PrefixChange::new(from, to).unwrap();
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, HeaderValue::from_static(location));
            rewrite(&mut headers, &change);
            assert_eq!(headers[LOCATION], want, "{from} -> {to}");
        }
    }

    #[test]
    fn so_is_that_of_the_url_in_refresh() {
        let change = PrefixChange::new("http://a.example/", "https://b.example/").unwrap();
        for (refresh, want) in [
            ("5; url=http://a.example/z", "5; url=https://b.example/z"),
            ("0;URL=http://a.example/", "0;URL=https://b.example/"),
            ("http://a.example/", "http://a.example/"),
            ("5", "5"),
            ("5; url=", "5; url="),
        ] {
            let mut headers = parts(&format!("GET / HTTP/1.1\nRefresh: {refresh}")).headers;
            rewrite(&mut headers, &change);
            assert_eq!(headers[REFRESH], want);
        }
    }
}
