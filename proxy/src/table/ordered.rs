//! Routes that are tried in order: those of a host in regex mode.

use std::sync::Arc;

use portcullis_model::{PathMatch, Pattern, PatternCache};

use super::paths::{is_below, rule_path};
use super::virtual_host::CompiledRoute;

/// What can be said of each route without searching, in the order of the routes.
///
/// Most patterns begin with plain text, and most paths do not begin with it: comparing that first leaves a host with hundreds
/// of patterns with one search per request, and keeps the working memory of the others cold.
pub(super) struct OrderedPaths(Box<[Lead]>);

/// The plain text that a pattern begins with.
#[derive(Clone, Copy)]
struct Lead {
    /// How many octets of the source it is.
    length: usize,
    /// Whether the pattern is nothing else.
    whole: bool,
}

impl OrderedPaths {
    pub(super) fn new<'r>(routes: impl IntoIterator<Item = &'r PathMatch>) -> Self {
        Self(routes.into_iter().map(Lead::of).collect())
    }

    /// The first of `routes`, which this was made of, that answers `path`.
    pub(super) fn find<'r>(
        &self,
        routes: &'r [Arc<CompiledRoute>],
        path: &str,
        patterns: &mut PatternCache,
    ) -> Option<&'r Arc<CompiledRoute>> {
        let mut candidates = routes.iter().zip(&self.0);
        candidates.find(|(route, lead)| lead.matches(&route.route.path, path, patterns)).map(|(route, _)| route)
    }
}

impl Lead {
    fn of(route: &PathMatch) -> Self {
        match route {
            PathMatch::Pattern(pattern) => Self::of_source(pattern.source()),
            PathMatch::Exact(_) | PathMatch::Prefix(_) => Self { length: 0, whole: false },
        }
    }

    /// Says less than it could where that is simpler, never more.
    fn of_source(source: &str) -> Self {
        let length = source.find(|character| r"\.+*?()|[]{}^$".contains(character)).unwrap_or(source.len());
        let (text, rest) = source.split_at(length);
        if rest.is_empty() {
            return Self { length, whole: true };
        }
        if divides(rest) {
            return Self { length: 0, whole: false };
        }
        let repeated = rest.starts_with(['*', '?', '+', '{']);
        let last = text.chars().next_back().filter(|_| repeated).map_or(0, char::len_utf8);
        Self { length: length - last, whole: false }
    }

    fn matches(self, route: &PathMatch, path: &str, patterns: &mut PatternCache) -> bool {
        match route {
            PathMatch::Pattern(pattern) => {
                self.begins(pattern, path) && (self.whole || search(pattern, path, patterns))
            }
            PathMatch::Exact(rule) => rule_path(rule).is_some_and(|rule| rule == path),
            PathMatch::Prefix(rule) => rule_path(rule).is_some_and(|rule| is_below(path, &rule)),
        }
    }

    /// Whether `path` begins with the text, ignoring case as patterns of paths do.
    fn begins(self, pattern: &Pattern, path: &str) -> bool {
        let text = pattern.source().as_bytes().get(..self.length).unwrap_or_default();
        path.as_bytes().get(..self.length).is_some_and(|head| head.eq_ignore_ascii_case(text))
    }
}

fn search(pattern: &Pattern, path: &str, patterns: &mut PatternCache) -> bool {
    pattern.is_match(path.as_bytes(), patterns)
}

/// Whether the expression may be one of several alternatives, the first of which began before it.
fn divides(rest: &str) -> bool {
    let mut depth = 0_usize;
    let mut characters = rest.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => return true,
            // In brackets and comments, parentheses are plain.
            '[' | '#' => return characters.as_str().contains('|'),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_model::PatternSyntax;
    use proptest::prelude::*;

    fn pattern(source: &str) -> PathMatch {
        PathMatch::Pattern(Arc::new(Pattern::new(source, PatternSyntax::LOCATION).unwrap()))
    }

    #[test]
    fn plain_text_before_the_first_operator_is_known() {
        for (source, want, whole) in [
            ("/", "/", true),
            ("/foo", "/foo", true),
            ("", "", true),
            ("/something(/|$)(.*)", "/something", false),
            ("/foo$", "/foo", false),
            ("/foo\\.php", "/foo", false),
            ("/foo?", "/fo", false),
            ("/foo*/x", "/fo", false),
            ("/fä{2}", "/f", false),
            ("/foo|/bar", "", false),
            ("/foo(a|b)|/bar", "", false),
            ("/foo\\(|/bar", "", false),
            ("/foo[(]|/bar", "", false),
            ("/foo(?x)#(\n|/bar", "", false),
            ("/foo[0-9]+", "/foo", false),
            ("(?-i)/foo", "", false),
        ] {
            let lead = Lead::of_source(source);
            assert_eq!((source.get(..lead.length), lead.whole), (Some(want), whole), "{source}");
        }
    }

    #[test]
    fn routes_without_pattern_are_tried_by_their_own_rule() {
        for (route, path, want) in [
            (PathMatch::Exact("/a".into()), "/a", true),
            (PathMatch::Exact("/a".into()), "/a/", false),
            (PathMatch::Prefix("/a".into()), "/a/", true),
            (PathMatch::Prefix("/a".into()), "/ab", false),
            (pattern("/a"), "/AB", true),
        ] {
            assert_eq!(Lead::of(&route).matches(&route, path, &mut PatternCache::default()), want, "{route} {path}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn the_shortcut_never_changes_the_answer(source in "/[ab/ä|()*?+{}1\\[\\]\\\\.$^]{0,8}", path in "/[abAä/|(.]{0,6}") {
            if let Ok(pattern) = Pattern::new(&source, PatternSyntax::LOCATION) {
                let mut cache = PatternCache::default();
                let want = pattern.is_match(path.as_bytes(), &mut cache);
                let route = PathMatch::Pattern(Arc::new(pattern));
                prop_assert_eq!(Lead::of(&route).matches(&route, &path, &mut cache), want, "{} {}", source, path);
            }
        }
    }
}
