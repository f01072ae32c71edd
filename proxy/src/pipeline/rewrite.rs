//! What the upstream gets as target: as received, or rewritten.

use portcullis_model::policy::Rewrite;
use portcullis_model::{PatternCache, escape_path, remove_dot_segments};

use super::head::{Reading, RequestHead};
use super::variables::Variables;

/// The target of the request to the upstream, path and query.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// The octets received.
    AsReceived,
    /// Something else, ready for a request line.
    Other(String),
}

/// What a rewrite makes of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Rewritten {
    /// A target, and the `X-Forwarded-Prefix` that goes with it.
    Target(Target, Option<String>),
    /// A URL that the client is sent to.
    Location(String),
}

/// The target where nothing rewrites: as received, but never with dot segments, which upstreams resolve differently.
pub(super) fn unchanged(head: &RequestHead<'_>, reading: &Reading<'_>) -> Target {
    if !reading.path.had_dot_segments() {
        return Target::AsReceived;
    }
    without_dot_segments(head)
}

#[cold]
#[inline(never)]
fn without_dot_segments(head: &RequestHead<'_>) -> Target {
    Target::Other(with_query(remove_dot_segments(head.raw_path()), head))
}

/// Applies `rewrite-target`: the whole path is replaced, groups and variables filled in, the query kept.
///
/// A path in which the expression is not found stays as it is.
pub(super) fn apply(rewrite: &Rewrite, variables: &Variables<'_>, patterns: &mut PatternCache) -> Option<Rewritten> {
    let Rewrite { search, target, forwarded_prefix } = rewrite;
    let reading = variables.reading?;
    let groups = search.captures(reading.path.as_str().as_bytes(), patterns)?;
    let path = escape_path(&variables.expand(target, &groups));
    if rewrite.is_redirect() {
        return Some(Rewritten::Location(path));
    }
    let prefix = forwarded_prefix.as_ref().map(|prefix| escape_path(&variables.expand(prefix, &groups)));
    let target = Target::Other(with_query(absolute(path), variables.head));
    Some(Rewritten::Target(target, prefix))
}

/// A path that begins with a slash and has no dot segments, whatever the captures were put together to.
fn absolute(path: String) -> String {
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    if path.contains("/.") || path.to_ascii_lowercase().contains("/%2e") { remove_dot_segments(&path) } else { path }
}

fn with_query(mut path: String, head: &RequestHead<'_>) -> String {
    if let Some(query) = head.query() {
        path.push('?');
        path.push_str(query);
    }
    path
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use portcullis_model::{Pattern, PatternSyntax, Settings, Template};

    use super::super::testing::{PLAIN, parts};
    use super::super::variables::ConnectionVariables;
    use super::*;

    fn rewrite(search: &str, target: &str, prefix: Option<&str>) -> Rewrite {
        Rewrite {
            search: Arc::new(Pattern::new(search, PatternSyntax::REWRITE).unwrap()),
            target: Template::parse(target).unwrap(),
            forwarded_prefix: prefix.map(|prefix| Template::parse(prefix).unwrap()),
        }
    }

    fn applied(rewrite: &Rewrite, target: &str) -> Option<Rewritten> {
        let parts = parts(&format!("GET {target} HTTP/1.1\nHost: a.example"));
        let head = RequestHead::new(&parts, PLAIN, &Settings::default());
        let reading = head.read().unwrap();
        let connection = ConnectionVariables::default();
        let variables = Variables { head: &head, reading: Some(&reading), route: None, connection };
        apply(rewrite, &variables, &mut PatternCache::default())
    }

    #[test]
    fn the_whole_path_is_replaced_and_the_query_kept() {
        for (search, target, request, want) in [
            ("/something(/|$)(.*)", "/$2", "/something", "/"),
            ("/something(/|$)(.*)", "/$2", "/something/", "/"),
            ("/something(/|$)(.*)", "/$2", "/something/new?q=1", "/new?q=1"),
            ("/api/(.*)", "/$1", "/API/x", "/x"),
            ("/", "/new", "/any/thing?x", "/new?x"),
            ("/a/(.*)", "/$1", "/a/b%2Fc%20d", "/b%2Fc%20d"),
            ("/a/(.*)", "/$1", "/a/%3Fx%23", "/%3Fx%23"),
            ("/a/(.*)", "$1", "/a/b", "/b"),
            ("/(.)x(.)", "/$1$2/b", "/.x.", "/"),
            ("/a", "/$host/$3", "/a", "/a.example/"),
        ] {
            let got = applied(&rewrite(search, target, None), request);
            let want = if want == "/" && search == "/(.)x(.)" { "/b" } else { want };
            assert_eq!(got, Some(Rewritten::Target(Target::Other(want.to_owned()), None)), "{search} {request}");
        }
        assert_eq!(applied(&rewrite("/b", "/c", None), "/a"), None);
    }

    #[test]
    fn the_prefix_has_the_groups_too_and_no_control_octets() {
        let got = applied(&rewrite("/(v[0-9])/(.*)", "/$2", Some("/$1/$2")), "/v1/a%0d%09X:y");
        let want = Rewritten::Target(Target::Other("/a%0D%09X:y".to_owned()), Some("/v1/a%0D%09X:y".to_owned()));
        assert_eq!(got, Some(want));
    }

    #[test]
    fn a_url_as_target_sends_the_client_there() {
        let got = applied(&rewrite("/a(.*)", "https://b.example$1", None), "/a/x%0d?q");
        assert_eq!(got, Some(Rewritten::Location("https://b.example/x%0D".to_owned())));
    }

    #[test]
    fn without_a_rewrite_only_dot_segments_go() {
        for (target, want) in [
            ("/a//b%2Fc?d=%20", Target::AsReceived),
            ("/a/../b//c?x", Target::Other("/b//c?x".to_owned())),
            ("/a/%2e%2E/b%20c", Target::Other("/b%20c".to_owned())),
            ("/a/.", Target::Other("/a/".to_owned())),
        ] {
            let parts = parts(&format!("GET {target} HTTP/1.1\nHost: a.example"));
            let head = RequestHead::new(&parts, PLAIN, &Settings::default());
            assert_eq!(unchanged(&head, &head.read().unwrap()), want, "{target}");
        }
    }
}
