//! What is logged of the requests of an Ingress.

use super::Draft;
use super::reader::Reader;
use super::spec::{Group, Key, Spec};
use super::value;

pub(super) const GROUP: Group =
    Group { name: "observe", doc: "What is logged of the requests of an Ingress.", keys: &[&ENABLE_ACCESS_LOG], parse };

const ENABLE_ACCESS_LOG: Key<bool> = Key {
    parse: value::boolean,
    spec: Spec {
        key: "enable-access-log",
        value: value::BOOLEAN,
        default: "true",
        doc: "Writes a line to the access log for each request.",
        ..Spec::BASE
    },
};

fn parse(read: &mut Reader<'_>, draft: &mut Draft) {
    draft.observe.access_log = read.value(&ENABLE_ACCESS_LOG).unwrap_or(true);
}

#[cfg(test)]
mod tests {
    use super::super::testing::read;

    #[test]
    fn the_access_log_is_on_unless_switched_off() {
        for (value, want) in [("true", true), ("false", false), ("0", false), ("off", true), ("", true)] {
            assert_eq!(read(&[("enable-access-log", value)]).draft.observe.access_log, want, "{value:?}");
        }
    }
}
