//! The `Location` of each kind of redirect.

use portcullis_model::{HostName, escape_path};

use super::head::{Reading, RequestHead};

/// `app-root`: the scheme of the connection, the host as received; the query is dropped.
///
/// Relative where the client named no host.
pub(super) fn app_root(head: &RequestHead<'_>, reading: &Reading<'_>, path: &str) -> String {
    match &reading.authority {
        Some(authority) => format!("{}://{}{path}", head.facts.scheme(), authority.as_received()),
        None => path.to_owned(),
    }
}

/// `from-to-www-redirect`: always with a port; scheme and port may come from a trusted peer.
pub(super) fn www(head: &RequestHead<'_>, target: &HostName) -> String {
    let own = head.facts.port.to_string();
    let port = head.forwarded_port().unwrap_or(&own);
    format!("{}://{target}:{port}{}", head.scheme(), without_slash(rooted(head.target())))
}

/// HTTPS: the host without its port, and one trailing slash of the whole request URI removed unless `keep_slash`.
///
/// None where the client named no host: there is nowhere to send it.
pub(super) fn https(
    head: &RequestHead<'_>,
    reading: &Reading<'_>,
    keep_slash: bool,
    with_port: bool,
) -> Option<String> {
    let own = || reading.authority.as_ref().map(|authority| authority.as_received());
    let host = without_port(head.forwarded_host().or_else(own)?);
    let uri = rooted(head.target());
    let uri = if keep_slash { uri } else { without_slash(uri) };
    let port = if with_port { format!(":{}", head.facts.https_port) } else { String::new() };
    Some(format!("https://{host}{port}{uri}"))
}

/// A path that only lacks its trailing slash, with the query.
pub(super) fn with_slash(head: &RequestHead<'_>, reading: &Reading<'_>, relative: bool) -> String {
    let query = head.query().map_or_else(String::new, |query| format!("?{query}"));
    let path = format!("{}/{query}", escape_path(reading.path.as_str().as_bytes()));
    on_this_host(head, reading, &path, relative)
}

/// A path on the host of the request; absolute unless `relative` (nginx: `absolute_redirect on`, `port_in_redirect off`).
pub(super) fn on_this_host(head: &RequestHead<'_>, reading: &Reading<'_>, path: &str, relative: bool) -> String {
    match &reading.authority {
        Some(authority) if !relative => format!("{}://{}{path}", head.facts.scheme(), authority.host()),
        _ => path.to_owned(),
    }
}

/// The target without further slashes before its path: a client that reads `//name` as a host must not be sent there. A
/// backslash cannot be among them, since such targets are refused.
fn rooted(target: &str) -> &str {
    let mut rooted = target;
    while let Some(rest) = rooted.strip_prefix('/').filter(|rest| rest.starts_with('/')) {
        rooted = rest;
    }
    rooted
}

fn without_slash(uri: &str) -> &str {
    uri.strip_suffix('/').unwrap_or(uri)
}

/// `host:port` without the port; an IPv6 address keeps its brackets.
fn without_port(host: &str) -> &str {
    let from = host.rfind(']').unwrap_or(0);
    match host.get(from..).and_then(|rest| rest.find(':')) {
        Some(colon) => host.get(..from + colon).unwrap_or(host),
        None => host,
    }
}

#[cfg(test)]
mod tests {
    use portcullis_model::Settings;

    use super::super::head::ConnectionFacts;
    use super::super::testing::{PLAIN, TLS, parts};
    use super::*;

    fn with<T>(
        lines: &str,
        facts: ConnectionFacts,
        trust: bool,
        make: impl Fn(&RequestHead<'_>, &Reading<'_>) -> T,
    ) -> T {
        let mut settings = Settings::default();
        settings.forwarded.fields = trust;
        let parts = parts(lines);
        let head = RequestHead::new(&parts, facts, &settings);
        make(&head, &head.read().unwrap())
    }

    #[test]
    fn https_redirects_lose_the_port_and_one_slash() {
        for (target, host, keep, port, want) in [
            ("/", "a.example", false, false, "https://a.example"),
            ("/", "a.example", true, false, "https://a.example/"),
            ("/a/b/", "a.example:8080", false, false, "https://a.example/a/b"),
            ("/a/?x=/", "A.example", false, false, "https://A.example/a/?x="),
            ("/a?b=c", "a.example", false, false, "https://a.example/a?b=c"),
            ("/a", "a.example", false, true, "https://a.example:8443/a"),
            ("//b.example/x", "a.example", false, false, "https://a.example/b.example/x"),
            ("///b.example//x", "a.example", true, false, "https://a.example/b.example//x"),
            ("//", "a.example", true, false, "https://a.example/"),
            ("//", "a.example", false, false, "https://a.example"),
            ("//?//x", "a.example", false, false, "https://a.example/?//x"),
            ("/x", "[::1]:8080", false, false, "https://[::1]/x"),
            ("/x", "[::1]", false, false, "https://[::1]/x"),
        ] {
            let lines = format!("GET {target} HTTP/1.1\nHost: {host}");
            let got = with(&lines, PLAIN, false, |head, reading| https(head, reading, keep, port));
            assert_eq!(got.as_deref(), Some(want), "{lines}");
        }
        assert_eq!(with("GET / HTTP/1.0", PLAIN, false, |head, reading| https(head, reading, false, false)), None);
        let forwarded = "GET /x HTTP/1.1\nHost: a.example\nX-Forwarded-Host: b.example:99, c.example";
        for (trust, want) in [(true, "https://b.example/x"), (false, "https://a.example/x")] {
            let got = with(forwarded, PLAIN, trust, |head, reading| https(head, reading, false, false));
            assert_eq!(got.as_deref(), Some(want));
        }
    }

    #[test]
    fn www_redirects_always_name_a_port() {
        let target: HostName = "www.a.example".parse().unwrap();
        let forwarded = "\nX-Forwarded-Proto: https\nX-Forwarded-Port: 443";
        for (target_uri, facts, extra, trust, want) in [
            ("/foo", PLAIN, "", false, "http://www.a.example:8080/foo"),
            ("/", TLS, "", false, "https://www.a.example:8443"),
            ("/a/?b=1", PLAIN, "", false, "http://www.a.example:8080/a/?b=1"),
            ("/a/", PLAIN, "", false, "http://www.a.example:8080/a"),
            ("//b.example/", PLAIN, "", false, "http://www.a.example:8080/b.example"),
            ("/a/", PLAIN, forwarded, false, "http://www.a.example:8080/a"),
            ("/a/", PLAIN, forwarded, true, "https://www.a.example:443/a"),
        ] {
            let lines = format!("GET {target_uri} HTTP/1.1\nHost: a.example{extra}");
            assert_eq!(with(&lines, facts, trust, |head, _| www(head, &target)), want, "{lines}");
        }
    }

    #[test]
    fn app_root_keeps_the_host_as_received_and_drops_the_query() {
        for (lines, facts, want) in [
            ("GET /?a=b HTTP/1.1\nHost: A.example:8080", PLAIN, "http://A.example:8080/foo"),
            ("GET / HTTP/1.1\nHost: a.example\nX-Forwarded-Proto: https", PLAIN, "http://a.example/foo"),
            ("GET / HTTP/1.1\nHost: a.example", TLS, "https://a.example/foo"),
            ("GET / HTTP/1.0", PLAIN, "/foo"),
        ] {
            assert_eq!(with(lines, facts, true, |head, reading| app_root(head, reading, "/foo")), want, "{lines}");
        }
    }

    #[test]
    fn a_missing_slash_is_added_on_the_same_host() {
        for (target, host, relative, want) in [
            ("/aaa/bbb?x=1", "Slash.example:8080", false, "http://slash.example/aaa/bbb/?x=1"),
            ("/dir", "a.example", true, "/dir/"),
            ("/a%20b%0d%0aX:y", "a.example", true, "/a%20b%0D%0AX:y/"),
            ("//evil.example", "a.example", true, "/evil.example/"),
        ] {
            let lines = format!("GET {target} HTTP/1.1\nHost: {host}");
            assert_eq!(
                with(&lines, PLAIN, false, |head, reading| with_slash(head, reading, relative)),
                want,
                "{lines}"
            );
        }
    }
}
