//! The documents of a YAML stream, one by one, so that a broken one does not take the others with it.

/// One document.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Document<'t> {
    /// Its text, with the `---` that begins it.
    pub(super) text: &'t str,
    /// The line on which it begins, from 1.
    pub(super) line: usize,
}

/// Splits at the document markers of YAML 1.2 section 9.1.2, which stand in the first column and nowhere inside a document.
/// Documents without content are left out.
pub(super) fn split(text: &str) -> Vec<Document<'_>> {
    let mut found = Vec::new();
    let (mut begin, mut begin_line, mut at) = (0, 1, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if is_marker(line, "---") {
            found.push(document(text, begin, at, begin_line));
            (begin, begin_line) = (at, number + 1);
        } else if is_marker(line, "...") {
            found.push(document(text, begin, at, begin_line));
            (begin, begin_line) = (at + line.len(), number + 2);
        }
        at += line.len();
    }
    found.push(document(text, begin, at, begin_line));
    found.into_iter().flatten().collect()
}

fn document(text: &str, begin: usize, end: usize, line: usize) -> Option<Document<'_>> {
    let text = text.get(begin..end)?;
    let content = |line: &str| {
        let line = line.trim();
        !(line.is_empty() || line == "---" || line.starts_with(['#', '%']) || line.starts_with("--- #"))
    };
    text.lines().any(content).then_some(Document { text, line })
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_split_at_markers_in_the_first_column() {
        for (text, want) in [
            ("", vec![]),
            ("# only a comment\n", vec![]),
            ("---\n---\n", vec![]),
            ("a: 1", vec![(1, "a: 1")]),
            ("a: 1\n---\nb: 2\n", vec![(1, "a: 1\n"), (2, "---\nb: 2\n")]),
            ("---\na: 1\r\n---\r\nb: 2\n", vec![(1, "---\na: 1\r\n"), (3, "---\r\nb: 2\n")]),
            ("a: |\n  ---\n  b\n", vec![(1, "a: |\n  ---\n  b\n")]),
            ("---a: 1\n", vec![(1, "---a: 1\n")]),
            ("--- {a: 1}\n", vec![(1, "--- {a: 1}\n")]),
            ("a: 1\n...\nb: 2\n", vec![(1, "a: 1\n"), (3, "b: 2\n")]),
            ("%YAML 1.2\n---\na: 1\n", vec![(2, "---\na: 1\n")]),
        ] {
            let got: Vec<_> = split(text).into_iter().map(|document| (document.line, document.text)).collect();
            assert_eq!(got, want, "{text:?}");
        }
    }
}
