//! One YAML document as a value of any shape, at a cost that its size suggests.

use serde_json::Value;
use serde_saphyr::{Budget, Options};

use super::documents::Document;

/// Nodes of one document: enough for a List of 50,000 Ingresses.
const MAX_NODES: usize = 4_000_000;

/// Why a document cannot be read.
pub(super) struct Broken {
    /// The line of the file, from 1.
    pub(super) line: usize,
    pub(super) reason: String,
}

/// Reads a document.
pub(super) fn value(document: Document<'_>) -> Result<Value, Broken> {
    serde_saphyr::from_str_with_options(document.text, options()).map_err(|error| {
        let inside = error.location().and_then(|location| usize::try_from(location.line()).ok()).unwrap_or(1);
        Broken { line: document.line + inside.max(1) - 1, reason: reason(&error) }
    })
}

/// What is parsed must cost no more than its size suggests: few aliases, and none that multiply.
fn options() -> Options {
    let mut options = Options::default();
    let mut budget = Budget::default();
    budget.max_nodes = MAX_NODES;
    budget.max_events = 2 * MAX_NODES;
    budget.max_aliases = 1000;
    options.budget = Some(budget);
    options.alias_limits.max_total_replayed_events = 100_000;
    // As in YAML 1.2: `on` and `n` are texts.
    options.strict_booleans = true;
    options.with_snippet = false;
    options.emit_comments = false;
    options
}

/// The message without its position, which the finding names already.
fn reason(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let text = text.lines().next().unwrap_or_default();
    let text = text.split(" (defined at ").next().unwrap_or(text);
    let text = text.split(" at line ").next().unwrap_or(text).trim_end_matches([',', ':', ' ']);
    if text.starts_with("budget breached") || text.starts_with("alias") {
        return format!("the document is too large, or its aliases multiply: {text}");
    }
    text.to_owned()
}
