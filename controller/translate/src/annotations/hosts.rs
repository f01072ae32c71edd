//! Further names of a host.

use portcullis_model::HostAlias;

use super::chars::{Chars, Charset};
use super::reader::Reader;
use super::spec::{Group, Key, OnError, Spec};
use super::value::{self, Fault};
use super::{Draft, Risk, Scope};
use crate::quoted;

pub(super) const GROUP: Group = Group { name: "hosts", doc: "Further names of a host.", keys: &[&SERVER_ALIAS], parse };

const SERVER_ALIAS: Key<Vec<String>> = Key {
    parse: entries,
    spec: Spec {
        key: "server-alias",
        value: "names divided by commas: `name`, `*.name`, `.name`, `name.*` or `~regular-expression`",
        scope: Scope::Host,
        risk: Risk::High,
        on_error: OnError::Reject,
        chars: Chars::EachOf(Charset::REGEX),
        doc: "Further names under which the host answers. `*.name` matches several labels. A name that is a host of its own stays \
              with that host. A name that cannot be read is left out, the others stay.",
        ..Spec::BASE
    },
};

fn parse(read: &mut Reader<'_>, draft: &mut Draft) {
    let mut aliases = Vec::new();
    for entry in read.value(&SERVER_ALIAS).unwrap_or_default() {
        match entry.parse::<HostAlias>() {
            Ok(alias) => aliases.push(alias),
            Err(error) => {
                read.left_out(
                    &SERVER_ALIAS.spec,
                    format!("{} is left out: {}", quoted(&entry), value::bounded(&error.to_string())),
                );
            }
        }
    }
    aliases.sort();
    aliases.dedup();
    draft.aliases = aliases;
}

fn entries(text: &str) -> Result<Vec<String>, Fault> {
    Ok(value::list(text).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Outcome, read};

    #[test]
    fn aliases_are_sorted_and_single() {
        for (value, want) in [
            ("bar", &["bar"][..]),
            (" b.example, a.example ,b.example,,", &["a.example", "b.example"]),
            ("B.example,b.example", &["b.example"]),
            (r"*.x.example, ~^www\d+\.x$, www.*", &["*.x.example", "www.*", r"~^www\d+\.x$"]),
        ] {
            let got = read(&[("server-alias", value)]);
            let names: Vec<String> = got.draft.aliases.iter().map(ToString::to_string).collect();
            assert_eq!(names, want, "{value}");
            assert!(got.codes().is_empty(), "{value}");
        }
    }

    #[test]
    fn a_name_that_cannot_be_read_is_left_out() {
        let got = read(&[("server-alias", "a.example, *x, ~(, b..c")]);
        assert_eq!(got.draft.aliases.len(), 1);
        assert_eq!(got.codes(), ["invalid-annotation"; 3]);
        assert_eq!(got.outcome(), Outcome::Served);
    }

    #[test]
    fn other_characters_reject_the_ingress() {
        for value in ["a.example;", "a b", "a.example\\ {", "ä.example"] {
            let got = read(&[("server-alias", value)]);
            assert_eq!(got.outcome(), Outcome::TakenOut("server-alias"), "{value}");
            assert!(got.draft.aliases.is_empty());
        }
        assert_eq!(read(&[("server-alias", "")]).outcome(), Outcome::Served);
    }
}
