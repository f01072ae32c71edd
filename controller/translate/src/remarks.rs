//! Paths that are served, but not as their author may think, or not as ingress-nginx serves them.

use portcullis_model::{PathMode, PathType};

use crate::{Finding, ObjectRef, quoted};

/// What there is to say about a path that is served in `mode`; `field` is where it stands.
pub(crate) fn of_path(
    object: &ObjectRef,
    field: &str,
    path: &str,
    path_type: PathType,
    mode: PathMode,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let text = quoted(path);
    if mode == PathMode::Plain && has_unreachable_segment(path) {
        findings.push(Finding::warning(
            object,
            field,
            "unreachable-path",
            format!(
                "no request can match {text}: slashes are merged and dot segments resolved before paths are compared"
            ),
            "write the path as it is after that",
        ));
    }
    if path.contains('%') {
        findings.push(Finding::warning(
            object,
            field,
            "percent-in-path",
            format!("the `%` of {text} stands for itself: paths are compared with the decoded path of the request"),
            "write the character itself instead of its escape; for a percent sign in a regular expression write %25",
        ));
    }
    if mode == PathMode::Plain && path_type == PathType::Exact && path.len() > 1 && path.ends_with('/') {
        findings.push(Finding::info(
            object,
            field,
            "differs-exact-slash",
            format!("a request without the last slash of {text} is not matched; ingress-nginx answers it with 301"),
            "use pathType Prefix for the redirect",
        ));
    }
    if mode == PathMode::Regex && has_alternatives(path) {
        findings.push(Finding::info(
            object,
            field,
            "differs-alternatives",
            format!(
                "every alternative of {text} has to match from the start; in ingress-nginx only the first one has to"
            ),
            "put the alternatives in a group, such as /(a|b), which means the same in both",
        ));
    }
    findings
}

fn has_unreachable_segment(path: &str) -> bool {
    let segments = path.trim_end_matches('/').split('/').skip(1);
    path.ends_with("//") || segments.into_iter().any(|segment| matches!(segment, "" | "." | ".."))
}

/// Whether the expression has a `|` outside groups and classes.
pub(crate) fn has_alternatives(expression: &str) -> bool {
    let (mut depth, mut class, mut escaped) = (0_u32, false, false);
    for octet in expression.bytes() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b']' => class = false,
            _ if class => {}
            b'[' => class = true,
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'|' if depth == 0 => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ObjectKey;

    #[test]
    fn paths_that_mean_something_else_are_remarked() {
        let object = ObjectRef::new("Ingress", &ObjectKey::new("demo", "a"));
        for (path, path_type, mode, want) in [
            ("/", PathType::Exact, PathMode::Plain, &[][..]),
            ("/p", PathType::Exact, PathMode::Plain, &[]),
            ("/p/", PathType::Exact, PathMode::Plain, &["differs-exact-slash"]),
            ("/p/", PathType::Prefix, PathMode::Plain, &[]),
            ("/p/", PathType::Exact, PathMode::Regex, &[]),
            ("/a//b", PathType::Prefix, PathMode::Plain, &["unreachable-path"]),
            ("/a/../b", PathType::Prefix, PathMode::Plain, &["unreachable-path"]),
            ("/a/.b", PathType::Prefix, PathMode::Plain, &[]),
            ("/a%20b", PathType::Prefix, PathMode::Plain, &["percent-in-path"]),
            ("/a|/b", PathType::Prefix, PathMode::Regex, &["differs-alternatives"]),
            ("/(a|b)", PathType::Prefix, PathMode::Regex, &[]),
            (r"/[|]\|", PathType::Prefix, PathMode::Regex, &[]),
        ] {
            let codes: Vec<_> =
                of_path(&object, "", path, path_type, mode).iter().map(|finding| finding.code).collect();
            assert_eq!(codes, want, "{path}");
        }
    }
}
