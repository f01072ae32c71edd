//! Paths of a host in plain mode: exact match, else longest prefix by whole elements.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::num::NonZeroU32;

use matchit::Router;
use portcullis_model::PathMatch;

/// The longest path that a rule can be matched by: no request line is longer (nginx: `large_client_header_buffers`).
///
/// It also bounds how deep the tree can be, whose nodes are freed recursively.
const LONGEST_PATH: usize = 8192;

/// Trees of at most so many paths are trimmed.
const FEW_KEYS: usize = 64;

/// Paths by their text without a trailing slash, in a radix tree.
///
/// The tree holds fixed paths only, and a lookup asks it for the path of the request and then for each path above, longest
/// first, beginning with the first that is no longer than any rule: one step for most requests. Catch-all parameters
/// would find the longest prefix in one walk, but make the tree remember where to go back to on the heap, for each request.
pub(super) struct PathTree {
    tree: Router<Slot>,
    root: Slot,
    longest: usize,
    keys: usize,
}

/// What a lookup selects: the place of a route in the list the tree was made of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Selected {
    Route(usize),
    AddSlash(usize),
}

/// The routes of the paths `/p` and `/p/`.
#[derive(Clone, Copy, Default)]
struct Slot {
    /// `Exact /p`.
    exact: Option<Place>,
    /// `Prefix /p`.
    prefix: Option<Place>,
    /// `Exact /p/`.
    exact_slash: Option<Place>,
    /// `Prefix /p/`.
    prefix_slash: Option<Place>,
}

/// The place of a route, plus one.
#[derive(Clone, Copy)]
struct Place(NonZeroU32);

impl PathTree {
    /// A tree of these routes; where two claim the same, the first wins. Patterns and paths that no request can have are left out.
    pub(super) fn new<'r>(routes: impl IntoIterator<Item = &'r PathMatch>) -> Self {
        let mut paths = Self { tree: Router::new(), root: Slot::default(), longest: 0, keys: 0 };
        for (index, route) in routes.into_iter().enumerate() {
            if let Some(place) = Place::new(index) {
                paths.insert(route, place);
            }
        }
        paths.trim();
        paths
    }

    /// A copy has no spare room, which is a third of a small tree. Large ones stay: copying recurses, and they are few.
    fn trim(&mut self) {
        if self.keys <= FEW_KEYS {
            self.tree = self.tree.clone();
        }
    }

    fn insert(&mut self, route: &PathMatch, place: Place) {
        let (PathMatch::Exact(rule) | PathMatch::Prefix(rule)) = route else { return };
        let Some(path) = rule_path(rule) else { return };
        let (key, slash) = split_slash(&path);
        let Some(slot) = self.slot_mut(key) else { return };
        let field = match (route, slash) {
            (PathMatch::Exact(_), false) => &mut slot.exact,
            (PathMatch::Exact(_), true) => &mut slot.exact_slash,
            (_, false) => &mut slot.prefix,
            (_, true) => &mut slot.prefix_slash,
        };
        field.get_or_insert(place);
    }

    fn slot_mut(&mut self, key: &str) -> Option<&mut Slot> {
        if key.is_empty() {
            return Some(&mut self.root);
        }
        if self.tree.at(key).is_err() {
            self.tree.insert(escape_braces(key), Slot::default()).ok()?;
            self.longest = self.longest.max(key.len());
            self.keys += 1;
        }
        self.tree.at_mut(key).ok().map(|found| found.value)
    }

    /// What a canonical path selects.
    pub(super) fn find(&self, path: &str) -> Option<Selected> {
        let (mut key, slash) = split_slash(path);
        if let Some(slot) = self.slot(key) {
            let selected = if slash { slot.with_slash() } else { slot.without_slash() };
            if selected.is_some() {
                return selected;
            }
        }
        // Elements are short: a plain loop finds their beginning sooner than a search made for long texts.
        while let Some(above) = key.bytes().rposition(|octet| octet == b'/').and_then(|slash| key.get(..slash)) {
            key = above;
            if let Some(place) = self.slot(key).and_then(Slot::below) {
                return Some(Selected::Route(place.index()));
            }
        }
        None
    }

    fn slot(&self, key: &str) -> Option<&Slot> {
        match key.len() {
            0 => Some(&self.root),
            length if length > self.longest => None,
            _ => self.tree.at(key).ok().map(|found| found.value),
        }
    }
}

impl Slot {
    /// For a request of `/p/`.
    fn with_slash(&self) -> Option<Selected> {
        self.exact_slash.or_else(|| self.below()).map(|place| Selected::Route(place.index()))
    }

    /// For a request of `/p`.
    ///
    /// `Exact /p/` sends nobody to `/p/`: the Ingress API wants no match there, although nginx answers 301.
    fn without_slash(&self) -> Option<Selected> {
        let route = self.exact.or(self.prefix).map(|place| Selected::Route(place.index()));
        route.or_else(|| self.prefix_slash.map(|place| Selected::AddSlash(place.index())))
    }

    /// For a request of `/p/…`.
    fn below(&self) -> Option<Place> {
        self.prefix_slash.or(self.prefix)
    }
}

impl Place {
    fn new(index: usize) -> Option<Self> {
        u32::try_from(index).ok()?.checked_add(1).and_then(NonZeroU32::new).map(Self)
    }

    fn index(self) -> usize {
        usize::try_from(self.0.get() - 1).unwrap_or(usize::MAX)
    }
}

/// The canonical path that the path of a rule stands for, or nothing where no request can have it.
///
/// nginx compares a location with the decoded path octet by octet: a `%` in a rule is a percent sign, which the canonical path
/// writes `%25`, and a backslash is one, written `%5C`. A rule with `//`, `.` or `..` segments never matches, because decoded
/// paths have none; it must not match something else instead.
pub(super) fn rule_path(rule: &str) -> Option<Cow<'_, str>> {
    let segments = rule.strip_prefix('/')?;
    let last = segments.split('/').count() - 1;
    let reachable = |(place, segment): (usize, &str)| match segment {
        "" => place == last,
        "." | ".." => false,
        _ => true,
    };
    if segments.contains('\0') || !segments.split('/').enumerate().all(reachable) {
        return None;
    }
    let path = match rule.contains(['%', '\\']) {
        true => Cow::Owned(rule.replace('%', "%25").replace('\\', "%5C")),
        false => Cow::Borrowed(rule),
    };
    (path.len() <= LONGEST_PATH).then_some(path)
}

/// Whether `Prefix rule` answers `path`.
pub(super) fn is_below(path: &str, rule: &str) -> bool {
    path.strip_prefix(rule).is_some_and(|rest| rest.is_empty() || rule.ends_with('/') || rest.starts_with('/'))
}

fn split_slash(path: &str) -> (&str, bool) {
    path.strip_suffix('/').map_or((path, false), |key| (key, true))
}

/// matchit reads single braces as parameters.
fn escape_braces(path: &str) -> String {
    path.replace('{', "{{").replace('}', "}}")
}
