//! The path tree against tables and against a model of the contract.

use super::*;
use portcullis_model::{CanonicalPath, escape_path};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

fn rule(text: &str) -> PathMatch {
    match text.split_once(' ').unwrap() {
        ("Exact", path) => PathMatch::Exact(path.into()),
        (_, path) => PathMatch::Prefix(path.into()),
    }
}

/// The rule that answers; behind `+/` where a slash is missing.
fn find(rules: &[&str], path: &str) -> Option<String> {
    let routes: Vec<_> = rules.iter().map(|text| rule(text)).collect();
    PathTree::new(&routes).find(path).map(|selected| match selected {
        Selected::Route(index) => rules[index].to_owned(),
        Selected::AddSlash(index) => format!("+/ {}", rules[index]),
    })
}

#[test]
fn exact_beats_prefix_and_the_longest_prefix_wins_by_whole_elements() {
    for (rules, cases) in [
        (
            &["Prefix /foo"][..],
            &[
                ("/foo", Some("Prefix /foo")),
                ("/foo/", Some("Prefix /foo")),
                ("/foo/x", Some("Prefix /foo")),
                ("/foobar", None),
                ("/Foo", None),
                ("/fo", None),
                ("/", None),
            ][..],
        ),
        (&["Prefix /foo", "Exact /foo"], &[("/foo", Some("Exact /foo")), ("/foo/", Some("Prefix /foo"))]),
        (
            &["Prefix /", "Prefix /api"],
            &[("/apiv2", Some("Prefix /")), ("/api/v2", Some("Prefix /api")), ("/", Some("Prefix /"))],
        ),
        (&["Exact /"], &[("/", Some("Exact /")), ("/x", None)]),
        (&["Prefix /", "Exact /"], &[("/", Some("Exact /")), ("/x", Some("Prefix /"))]),
        (&["Exact /foo"], &[("/foo", Some("Exact /foo")), ("/foo/", None), ("/foo/x", None)]),
        (
            &["Prefix /a", "Prefix /a/b/c"],
            &[("/a/b/c/d", Some("Prefix /a/b/c")), ("/a/b/cd", Some("Prefix /a")), ("/a/b", Some("Prefix /a"))],
        ),
        (
            &["Prefix /p", "Prefix /p/", "Exact /p/"],
            &[("/p", Some("Prefix /p")), ("/p/", Some("Exact /p/")), ("/p/x", Some("Prefix /p/"))],
        ),
        (
            &["Prefix /{id}", "Prefix /{*rest}/x"],
            &[("/7", None), ("/{id}/x", Some("Prefix /{id}")), ("/{*rest}/x", Some("Prefix /{*rest}/x"))],
        ),
        (&["Prefix /ä", "Prefix /ö"], &[("/ö/x", Some("Prefix /ö")), ("/ü", None)]),
    ] {
        for (path, want) in cases {
            assert_eq!(find(rules, path).as_deref(), *want, "{rules:?} {path}");
        }
    }
}

#[test]
fn a_missing_slash_is_added_only_where_nothing_else_matches_the_path_exactly() {
    for (rules, path, want) in [
        (&["Prefix /p/"][..], "/p", Some("+/ Prefix /p/")),
        (&["Prefix /p/"], "/p/", Some("Prefix /p/")),
        (&["Prefix /p/"], "/p/x", Some("Prefix /p/")),
        (&["Prefix /p/"], "/px", None),
        (&["Exact /p/"], "/p", None),
        (&["Exact /p/", "Prefix /"], "/p", Some("Prefix /")),
        (&["Exact /p/"], "/p/x", None),
        (&["Prefix /p/", "Exact /p/"], "/p", Some("+/ Prefix /p/")),
        (&["Prefix /p/", "Prefix /"], "/p", Some("+/ Prefix /p/")),
        (&["Prefix /p/", "Prefix /p"], "/p", Some("Prefix /p")),
        (&["Prefix /p/", "Exact /p"], "/p", Some("Exact /p")),
        (&["Prefix /a/p/", "Prefix /a"], "/a/p", Some("+/ Prefix /a/p/")),
        (&["Prefix /"], "/", Some("Prefix /")),
    ] {
        assert_eq!(find(rules, path).as_deref(), want, "{rules:?} {path}");
    }
}

#[test]
fn the_first_of_equal_rules_wins() {
    let routes = [rule("Prefix /a"), rule("Prefix /a"), rule("Exact /a"), rule("Exact /a")];
    let tree = PathTree::new(&routes);
    assert_eq!(tree.find("/a/x"), Some(Selected::Route(0)));
    assert_eq!(tree.find("/a"), Some(Selected::Route(2)));
}

#[test]
fn rules_are_compared_with_the_decoded_path_octet_by_octet() {
    for (text, want) in [
        ("/", Some("/")),
        ("/a b", Some("/a b")),
        ("/a%20b", Some("/a%2520b")),
        ("/100%", Some("/100%25")),
        ("/a%2Fb", Some("/a%252Fb")),
        ("/a\\b", Some("/a%5Cb")),
        ("/a?b#c", Some("/a?b#c")),
        ("/a/...", Some("/a/...")),
        ("/a/..;/b", Some("/a/..;/b")),
        ("", None),
        ("a", None),
        ("//x", None),
        ("/x//", None),
        ("/a/../b", None),
        ("/a/.", None),
        ("/..", None),
        ("/a\0", None),
    ] {
        assert_eq!(rule_path(text).as_deref(), want, "{text:?}");
    }
    assert_eq!(rule_path(&format!("/{}", "x".repeat(LONGEST_PATH))), None);
    assert_eq!(find(&["Prefix //x", "Prefix /x/../y"], "/x"), None);
    assert_eq!(find(&["Prefix /100%"], "/100%25/x").as_deref(), Some("Prefix /100%"));
    assert_eq!(find(&["Prefix /p//"], "/p/"), None);
}

#[test]
fn a_long_chain_of_paths_needs_little_stack_to_build_search_and_free() {
    let path = |length: usize| format!("/{}", "a".repeat(length));
    let routes: Vec<_> = (1..4096).map(|length| PathMatch::Prefix(path(length).into())).collect();
    let tree = PathTree::new(&routes);
    assert_eq!(tree.find(&format!("{}/x", path(4095))), Some(Selected::Route(4094)));
    std::thread::Builder::new().stack_size(1 << 20).spawn(move || drop(tree)).unwrap().join().unwrap();
}

/// The contract in the plainest words there are.
fn model(rules: &[(bool, String)], path: &str) -> Option<Selected> {
    let reachable =
        |rule: &str| !rule.contains("//") && !rule.split('/').any(|segment| segment == "." || segment == "..");
    let rules: Vec<_> =
        rules.iter().map(|(exact, rule)| (*exact, reachable(rule).then(|| rule.replace('%', "%25")))).collect();
    let equal = |want_exact: bool, path: &str| {
        rules.iter().position(|(exact, rule)| *exact == want_exact && rule.as_deref() == Some(path))
    };
    if let Some(index) = equal(true, path).or_else(|| equal(false, path)) {
        return Some(Selected::Route(index));
    }
    let slash = format!("{path}/");
    if let Some(index) = equal(false, &slash) {
        return Some(Selected::AddSlash(index));
    }
    let under = |rule: &str| path.starts_with(rule) && (rule.ends_with('/') || path.starts_with(&format!("{rule}/")));
    let prefixes =
        rules.iter().enumerate().filter_map(|(index, (exact, rule))| (!exact).then_some((rule.as_deref()?, index)));
    let longest =
        prefixes.filter(|(rule, _)| under(rule)).max_by_key(|(rule, index)| (rule.len(), std::cmp::Reverse(*index)));
    longest.map(|(_, index)| Selected::Route(index))
}

fn path(segments: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    (vec(select(segments), 0..=most), any::<bool>()).prop_map(|(segments, slash)| {
        let text: String = segments.iter().map(|segment| format!("/{segment}")).collect();
        if slash || text.is_empty() { format!("{text}/") } else { text }
    })
}

const RULE_SEGMENTS: &[&str] = &["a", "b", "ab", "abc", "{", "}", "}}", "{a}", "{*a}", "ä", "ö", "%", "%20", "", ".."];
const REQUEST_SEGMENTS: &[&str] =
    &["a", "b", "ab", "abc", "{", "}", "}}", "{a}", "{*a}", "ä", "ö", "%25", "%2520", "c"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_tree_agrees_with_the_contract(
        rules in vec((any::<bool>(), path(RULE_SEGMENTS, 4)), 0..12),
        requests in vec(path(REQUEST_SEGMENTS, 5), 1..8),
        near in vec((any::<Index>(), select(&["", "/", "/a", "/b/", "b"][..])), 1..8),
    ) {
        let routes: Vec<_> = rules.iter().map(|(exact, rule)| match exact {
            true => PathMatch::Exact(rule.as_str().into()),
            false => PathMatch::Prefix(rule.as_str().into()),
        }).collect();
        let tree = PathTree::new(&routes);
        let near = near.iter().filter(|_| !rules.is_empty()).map(|(index, more)| {
            let (_, rule) = index.get(&rules);
            format!("{}{more}", rule.replace('%', "%25"))
        });
        let canonical = |path: &String| CanonicalPath::parse(&escape_path(path.as_bytes())).is_ok_and(|read| read.as_str() == path);
        for path in requests.into_iter().chain(near).filter(canonical) {
            prop_assert_eq!(tree.find(&path), model(&rules, &path), "{}", path);
        }
    }

    #[test]
    fn a_rule_stands_for_a_path_that_requests_can_have(rule in "/[a/.%\\\\{ ä?;2F\u{1}]{0,10}") {
        if let Some(path) = rule_path(&rule) {
            let sent = escape_path(path.as_bytes());
            let read = CanonicalPath::parse(&sent).map(|read| read.as_str().to_owned());
            prop_assert_eq!(read.as_deref(), Ok(&*path));
        }
    }
}
