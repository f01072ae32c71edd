//! Regular expressions of users, matched in linear time.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use regex_automata::meta::{Cache, Regex};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;
use regex_automata::{Input, meta};
use serde::Serialize;

/// How a pattern is read; PCRE without UTF mode, as nginx: octets, ASCII classes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PatternSyntax {
    /// Whether `a` also matches `A`.
    pub ignore_case: bool,
    /// Whether a match must begin at the first octet.
    pub anchored: bool,
}

impl PatternSyntax {
    /// Paths of a host in regex mode: `~* "^<path>"`.
    pub const LOCATION: Self = Self { ignore_case: true, anchored: true };
    /// The search of a rewrite: `(?i)<path>`, anywhere in the path.
    pub const REWRITE: Self = Self { ignore_case: true, anchored: false };
    /// `server_name ~expression`.
    pub const HOST: Self = Self { ignore_case: true, anchored: false };
    /// `canary-by-header-pattern`.
    pub const HEADER: Self = Self { ignore_case: false, anchored: false };
}

/// The longest expression accepted, in octets.
const LONGEST: usize = 1024;
/// The largest automaton accepted, in octets. A usual path pattern needs some 2 KiB.
const LARGEST_NFA: usize = 512 * 1024;

/// A checked regular expression. Cheap to search from many threads: each brings its own [`PatternCache`].
pub struct Pattern {
    id: u64,
    source: Box<str>,
    syntax: PatternSyntax,
    regex: Regex,
}

/// Why an expression is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidPattern {
    /// Longer than 1 KiB.
    #[error("the expression has {0} octets; at most {LONGEST} are accepted")]
    TooLong(usize),
    /// Not an expression, or one that needs backtracking (look-around, back-references).
    #[error("the expression is not understood: {0}")]
    Syntax(String),
    /// Its automaton would be too large.
    #[error("the expression is too complex; use smaller repetition counts")]
    TooComplex,
}

impl Pattern {
    /// Compiles `source`.
    ///
    /// # Errors
    ///
    /// When it is too long, too complex, or uses what cannot be matched in linear time.
    pub fn new(source: &str, syntax: PatternSyntax) -> Result<Self, InvalidPattern> {
        if source.len() > LONGEST {
            return Err(InvalidPattern::TooLong(source.len()));
        }
        // Prefilters find where a match may begin. Paths are matched from their start, and hosts and header values are short:
        // all that one would do here is to make compiling seven times slower and patterns three times larger.
        let config = meta::Config::new()
            .auto_prefilter(false)
            .utf8_empty(false)
            .hybrid(false)
            .dfa(false)
            .onepass(false)
            .nfa_size_limit(Some(LARGEST_NFA));
        let reading = syntax::Config::new().unicode(false).utf8(false).case_insensitive(syntax.ignore_case);
        let regex = Regex::builder().configure(config).syntax(reading).build(source).map_err(|error| {
            if error.size_limit().is_some() {
                return InvalidPattern::TooComplex;
            }
            let cause = error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
            InvalidPattern::Syntax(last_line(&cause))
        })?;
        Ok(Self { id: next_id(), source: source.into(), syntax, regex })
    }

    /// The expression as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether `text` matches.
    #[must_use]
    pub fn is_match(&self, text: &[u8], cache: &mut PatternCache) -> bool {
        let input = self.input(text).earliest(true);
        self.regex.search_half_with(cache.of(self), &input).is_some()
    }

    /// The octet ranges of the whole match and of groups 1 to 9, or nothing where `text` does not match.
    #[must_use]
    pub fn captures<'t>(&self, text: &'t [u8], cache: &mut PatternCache) -> Option<[&'t [u8]; 10]> {
        let mut captures = self.regex.create_captures();
        self.regex.search_captures_with(cache.of(self), &self.input(text), &mut captures);
        captures.is_match().then(|| groups(&captures, text))
    }

    fn input<'t>(&self, text: &'t [u8]) -> Input<'t> {
        let anchored = if self.syntax.anchored { regex_automata::Anchored::Yes } else { regex_automata::Anchored::No };
        Input::new(text).anchored(anchored)
    }
}

fn groups<'t>(captures: &Captures, text: &'t [u8]) -> [&'t [u8]; 10] {
    let mut groups: [&[u8]; 10] = [&[]; 10];
    for (index, group) in groups.iter_mut().enumerate() {
        *group = captures.get_group(index).and_then(|span| text.get(span.range())).unwrap_or_default();
    }
    groups
}

/// The engine shows where the fault is in several lines; the last one says what it is.
fn last_line(text: &str) -> String {
    let line = text.lines().last().unwrap_or(text);
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl fmt::Debug for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Pattern({:?})", self.source)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.source)
    }
}

impl Serialize for Pattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && self.syntax == other.syntax
    }
}

impl Eq for Pattern {}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |pattern: &Self| (pattern.syntax.ignore_case, pattern.syntax.anchored);
        self.source.cmp(&other.source).then_with(|| key(self).cmp(&key(other)))
    }
}

/// Working memory of searches, one per worker, so that workers share no lock.
///
/// Keeps the memory of at most [`PatternCache::CAPACITY`] patterns (some 400 octets to 8 KiB each) and starts anew when full:
/// refilling costs an allocation per pattern, and only sites with more patterns in use at once ever pay it.
#[derive(Debug, Default)]
pub struct PatternCache(HashMap<u64, Cache>);

impl PatternCache {
    /// How many patterns' working memory is kept.
    pub const CAPACITY: usize = 4096;

    fn of(&mut self, pattern: &Pattern) -> &mut Cache {
        if self.0.len() >= Self::CAPACITY && !self.0.contains_key(&pattern.id) {
            self.0.clear();
        }
        self.0.entry(pattern.id).or_insert_with(|| pattern.regex.create_cache())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn location_patterns_ignore_case_and_match_from_the_start_only() {
        let mut cache = PatternCache::default();
        for (source, path, want) in [
            ("/foo", "/foobar", true),
            ("/foo", "/FOO", true),
            ("/foo", "/x/foo", false),
            ("/id/[0-9]+$", "/id/12", true),
            ("/id/[0-9]+$", "/id/12a", false),
            ("/a|/b", "/x/b", false),
            ("/a|/b", "/b", true),
            (r"/v\d/.*\.php", "/v1/x.PHP", true),
        ] {
            let pattern = Pattern::new(source, PatternSyntax::LOCATION).unwrap();
            assert_eq!(pattern.is_match(path.as_bytes(), &mut cache), want, "{source} {path}");
        }
    }

    #[test]
    fn captures_give_nine_groups_and_empty_ones_for_the_rest() {
        let pattern = Pattern::new("/something(/|$)(.*)", PatternSyntax::REWRITE).unwrap();
        let groups = pattern.captures(b"/something/new", &mut PatternCache::default()).unwrap();
        assert_eq!(groups[1..4], [&b"/"[..], b"new", b""]);
    }

    #[test]
    fn what_needs_backtracking_or_too_much_room_is_refused() {
        for source in ["(?!x)", r"(a)\1", "(", "a{1000}{1000}", &"x".repeat(1025)] {
            assert!(Pattern::new(source, PatternSyntax::LOCATION).is_err(), "{source}");
        }
    }

    #[test]
    fn the_cache_starts_anew_when_full() {
        let mut cache = PatternCache::default();
        for index in 0..=PatternCache::CAPACITY {
            let pattern = Pattern::new(&format!("/{index}"), PatternSyntax::LOCATION).unwrap();
            assert!(pattern.is_match(format!("/{index}").as_bytes(), &mut cache));
        }
        assert_eq!(cache.0.len(), 1);
    }
}
