//! The page of the reference about class parameters: what they are for, and their fields.

use serde_json::Value;

use crate::Definition;

/// What stands before the fields.
const HEAD: &str = include_str!("page.md");

/// The page as Markdown; the fields are those of a definition.
#[must_use]
pub fn render_markdown(definition: &Definition) -> String {
    let mut text = format!("{HEAD}\n| Field | Type | What it does |\n| --- | --- | --- |\n");
    for (name, schema) in definition.settings() {
        let doc = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        text.push_str(&format!("| `{name}` | {} | {doc} |\n", kind(schema)));
    }
    text
}

/// The type of a value, for people.
fn kind(schema: &Value) -> String {
    let number = |name: &str| schema.get(name).and_then(Value::as_f64);
    let words = schema.get("enum").and_then(Value::as_array);
    let of = schema.get("type").and_then(Value::as_str).unwrap_or("integer or string");
    match (of, words, number("minimum"), number("maximum")) {
        (_, Some(words), ..) => {
            let words: Vec<String> = words.iter().map(|word| format!("`{}`", plain(word))).collect();
            words.join(", ")
        }
        ("array", ..) => match schema.get("items") {
            Some(entry) => format!("list of {}", kind(entry)),
            None => "list".to_owned(),
        },
        (of, _, Some(least), Some(most)) => format!("{of}, {least} to {most}"),
        (of, _, Some(least), None) => format!("{of}, at least {least}"),
        (of, ..) => of.to_owned(),
    }
}

fn plain(word: &Value) -> String {
    word.as_str().map_or_else(|| word.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use crate::definitions;

    use super::*;

    #[test]
    fn every_field_is_on_the_page_with_its_type() {
        let [cluster, namespaced] = definitions().unwrap();
        let page = render_markdown(&cluster);
        assert_eq!(page, render_markdown(&namespaced));
        for row in [
            "| `sslRedirect` | boolean |",
            "| `keepAlive` | integer, at least 0 |",
            "| `http2MaxConcurrentStreams` | integer, 1 to 10000 |",
            "| `hideHeaders` | list of string |",
            "| `sslProtocols` | list of `TLSv1.2`, `TLSv1.3` |",
            "| `httpRedirectCode` | `301`, `302`, `307`, `308` |",
            "| `workerProcesses` | integer or string |",
        ] {
            assert!(page.contains(row), "{row}");
        }
    }
}
