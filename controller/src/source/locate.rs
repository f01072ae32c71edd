//! Finds the line of a field, for messages about values of a wrong type.

use serde_path_to_error::{Path, Segment};
use serde_saphyr::granit_parser::{Event, Parser, Span, StrInput};

type Events<'t> = Parser<'t, StrInput<'t>>;

/// The line of the field `path` in the YAML document `text`, from 1; of what is nearest to it where it has none of its own.
pub(super) fn line_of(text: &str, path: &Path) -> Option<usize> {
    let steps: Vec<&Segment> = path.iter().collect();
    find(&mut Parser::new_from_str(text), &steps)
}

fn find(events: &mut Events<'_>, steps: &[&Segment]) -> Option<usize> {
    let (event, span) = node(events)?;
    let here = Some(span.start.line());
    let Some((step, rest)) = steps.split_first() else { return here };
    match (event, step) {
        (Event::MappingStart(..), Segment::Map { key }) => find_key(events, key, rest).or(here),
        (Event::SequenceStart(..), Segment::Seq { index }) => find_item(events, *index, rest).or(here),
        _ => here,
    }
}

fn find_key(events: &mut Events<'_>, wanted: &str, rest: &[&Segment]) -> Option<usize> {
    loop {
        let (event, span) = node(events)?;
        let key = match event {
            Event::MappingEnd => return None,
            Event::Scalar(text, ..) if text == wanted && rest.is_empty() => return Some(span.start.line()),
            Event::Scalar(text, ..) => Some(text),
            other => skip(events, &other).and(None),
        };
        if key.is_some_and(|key| key == wanted) {
            return find(events, rest);
        }
        let (value, _) = node(events)?;
        skip(events, &value)?;
    }
}

fn find_item(events: &mut Events<'_>, wanted: usize, rest: &[&Segment]) -> Option<usize> {
    for _ in 0..wanted {
        match node(events)?.0 {
            Event::SequenceEnd => return None,
            item => skip(events, &item)?,
        }
    }
    find(events, rest)
}

/// The next event that belongs to the tree.
fn node<'t>(events: &mut Events<'t>) -> Option<(Event<'t>, Span)> {
    loop {
        match events.next()?.ok()? {
            (Event::StreamStart | Event::DocumentStart(..) | Event::Comment(..), _) => {}
            found => return Some(found),
        }
    }
}

/// Reads on to the end of the node that `event` began.
fn skip(events: &mut Events<'_>, event: &Event<'_>) -> Option<()> {
    let mut depth = usize::from(opens(event));
    while depth > 0 {
        let (event, _) = node(events)?;
        match event {
            Event::MappingEnd | Event::SequenceEnd => depth -= 1,
            event => depth += usize::from(opens(&event)),
        }
    }
    Some(())
}

fn opens(event: &Event<'_>) -> bool {
    matches!(event, Event::MappingStart(..) | Event::SequenceStart(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_named_field() {
        let text = "# comment\nmetadata:\n  name: a\nspec:\n  rules:\n  - host: a\n    list: [1, {b: 2}]\n  - host: b\n    port:\n    - 80\n";
        for (path, want) in [
            ("/metadata/name", 3),
            ("/spec/rules/1/port", 9),
            ("/spec/rules/1/host", 8),
            ("/spec/rules/0/list/1/b", 7),
            ("/spec/rules/7/host", 6),
            ("/nothing", 2),
        ] {
            assert_eq!(line_of(text, &path_of(path)), Some(want), "{path}");
        }
    }

    /// A path as an error about a value of that shape carries it.
    fn path_of(text: &str) -> Path {
        let mut value = serde_json::json!(null);
        for step in text.rsplit('/').filter(|step| !step.is_empty()) {
            value = match step.parse::<usize>() {
                Ok(index) => {
                    let mut items = vec![deep(); index];
                    items.push(value);
                    items.into()
                }
                Err(_) => serde_json::json!({ step: value }),
            };
        }
        serde_path_to_error::deserialize::<_, Refuse>(value).unwrap_err().path().clone()
    }

    fn deep() -> serde_json::Value {
        serde_json::json!([])
    }

    /// Takes maps and lists and refuses null.
    #[derive(Debug)]
    struct Refuse;

    impl<'de> serde::Deserialize<'de> for Refuse {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Refuse;

                fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    out.write_str("a map or list")
                }

                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Refuse, A::Error> {
                    while map.next_entry::<String, Refuse>()?.is_some() {}
                    Ok(Refuse)
                }

                fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Refuse, A::Error> {
                    while seq.next_element::<Refuse>()?.is_some() {}
                    Ok(Refuse)
                }
            }
            deserializer.deserialize_any(Visitor)
        }
    }
}
