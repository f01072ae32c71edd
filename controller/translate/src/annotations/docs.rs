//! The reference of all annotations, from their definitions.

use super::{OnError, Spec, Support, groups};

/// The reference as Markdown: one table per group.
#[must_use]
pub fn render_markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    for group in groups() {
        section(&mut text, group.name, group.doc);
        for spec in group.specs() {
            row(&mut text, spec);
        }
    }
    text
}

const INTRODUCTION: &str = "\
# Annotations

Names are relative to `nginx.ingress.kubernetes.io/`, or to the prefix that `--annotations-prefix` sets. A key marked with 🔒
keeps requests out: where it cannot be honoured, the paths it protects answer 503.

What a bad value does: *reject*: the Ingress is not served (a key that protects keeps its hosts and paths, which answer 503);
*deny*: every path of the Ingress answers 503; *ignore group*: the annotations of the feature act as absent; *default*: the
default holds. An empty value never rejects.
";

fn section(text: &mut String, name: &str, doc: &str) {
    text.push_str(&format!("\n## {name}\n\n{doc}\n\n"));
    text.push_str("| Key | Value | Default | Scope | Risk | Bad value | Supported | What it does |\n");
    text.push_str("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
}

fn row(text: &mut String, spec: &Spec) {
    let Spec { key, aliases, value, default, config_key, scope, risk, on_error, protects, support, chars: _, doc } =
        spec;
    let lock = if *protects { " 🔒" } else { "" };
    let names: Vec<String> = [key].into_iter().chain(*aliases).map(|name| format!("`{name}`")).collect();
    let default = match (default.is_empty(), config_key) {
        (true, None) => "–".to_owned(),
        (true, Some(config_key)) => format!("ConfigMap `{config_key}`"),
        (false, None) => format!("`{default}`"),
        (false, Some(config_key)) => format!("`{default}`, or ConfigMap `{config_key}`"),
    };
    let on_error = match on_error {
        OnError::Reject => "reject",
        OnError::DenyRoute => "deny",
        OnError::IgnoreGroup => "ignore group",
        OnError::UseDefault => "default",
    };
    let support = match support {
        Support::Full => "yes",
        Support::Partial => "partly",
        Support::NotYet => "not yet",
        Support::Never => "without effect",
    };
    let names = names.join(", ");
    let cells = [
        format!("{names}{lock}"),
        (*value).to_owned(),
        default,
        format!("{scope:?}").to_lowercase(),
        format!("{risk:?}").to_lowercase(),
        on_error.to_owned(),
        support.to_owned(),
        (*doc).to_owned(),
    ];
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    text.push_str(&format!("| {} |\n", cells.join(" | ")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_annotation_has_a_row() {
        let text = render_markdown();
        for (_, spec) in super::super::specs() {
            assert!(text.contains(&format!("\n| `{}`", spec.key)), "{}", spec.key);
        }
        let rows = text.lines().filter(|line| line.starts_with("| "));
        assert!(rows.clone().all(|line| line.replace("\\|", "").matches('|').count() == 9));
        assert_eq!(rows.count(), super::super::specs().count() + 2 * groups().len());
    }

    #[test]
    fn a_row_shows_the_definition() {
        let text = render_markdown();
        let row = |key: &str| text.lines().find(|line| line.starts_with(&format!("| `{key}`"))).unwrap().to_owned();
        assert!(row("ssl-redirect").contains("| `true`, or ConfigMap `ssl-redirect` | route | low | default | yes |"));
        assert!(row("allowlist-source-range").contains("`whitelist-source-range` 🔒"));
    }
}
