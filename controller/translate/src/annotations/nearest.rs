//! The known name that a mistyped one may mean.

/// The nearest of `names`, if it is near enough to be meant: one edit in three letters.
pub(crate) fn nearest<'n>(written: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    const LONGEST: usize = 64;
    let written: Vec<char> = written.chars().take(LONGEST + 1).collect();
    if written.len() > LONGEST {
        return None;
    }
    let near = names.map(|name| (distance(&written, name), name)).min()?;
    (near.0 <= written.len().div_ceil(3).min(4)).then_some(near.1)
}

/// Levenshtein's distance: how many letters to add, remove or change.
fn distance(one: &[char], other: &str) -> usize {
    let mut row: Vec<usize> = (0..=one.len()).collect();
    for (index, letter) in other.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        let (first, rest) = row.split_at_mut(1);
        first.fill(left);
        for (cell, known) in rest.iter_mut().zip(one) {
            let above = *cell;
            let changed = diagonal + usize::from(*known != letter);
            left = changed.min(above + 1).min(left + 1);
            *cell = left;
            diagonal = above;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (one, other, want) in
            [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("a", "a", 0)]
        {
            assert_eq!(distance(&one.chars().collect::<Vec<_>>(), other), want, "{one} {other}");
        }
    }

    #[test]
    fn only_near_names_are_offered() {
        let names = || ["ssl-redirect", "use-regex", "canary"].into_iter();
        assert_eq!(nearest("ssl-redirct", names()), Some("ssl-redirect"));
        assert_eq!(nearest("canry", names()), Some("canary"));
        assert_eq!(nearest("something-else", names()), None);
        assert_eq!(nearest(&"x".repeat(10_000), names()), None);
        assert_eq!(nearest("", names()), None);
    }
}
