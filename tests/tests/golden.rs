//! Golden cases: what translation makes of manifests. `UPDATE_GOLDEN=1 cargo test -p portcullis-tests --test golden` rewrites them.

use std::sync::Arc;

use portcullis::self_signed;
use portcullis_tests::Golden;

/// A case that needs more is two cases.
const MAX_LINES: usize = 40;

#[test]
fn every_case_is_translated_as_expected() {
    let default = Arc::new(self_signed::default_certificate().expect("a certificate can be made"));
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let cases = Golden::all();
    assert!(cases.len() >= 15, "the cases are found");
    let mut failures = String::new();
    for case in &cases {
        let (expected, actual) = (case.expected(), case.actual(&default));
        assert!(actual.lines().count() <= MAX_LINES, "{} has more than {MAX_LINES} lines:\n{actual}", case.name());
        assert!(!actual.contains("PRIVATE KEY"), "{} shows a key", case.name());
        if update {
            case.expect(&actual);
        } else if expected != actual {
            failures.push_str(&format!("\n{}:\n{}", case.name(), difference(&expected, &actual)));
        }
    }
    assert!(
        failures.is_empty(),
        "{failures}\nif this is as it should be: UPDATE_GOLDEN=1 cargo test -p portcullis-tests --test golden"
    );
}

/// Lines that are missing and lines that are new.
fn difference(expected: &str, actual: &str) -> String {
    let missing =
        expected.lines().filter(|line| !actual.lines().any(|other| other == *line)).map(|line| format!("- {line}\n"));
    let new =
        actual.lines().filter(|line| !expected.lines().any(|other| other == *line)).map(|line| format!("+ {line}\n"));
    let lines: String = missing.chain(new).collect();
    if lines.is_empty() { "the lines are in another order\n".to_owned() } else { lines }
}
