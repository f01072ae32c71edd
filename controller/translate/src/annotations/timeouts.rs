//! How long an upstream may take.

use portcullis_model::policy::Limit;

use super::Draft;
use super::reader::Reader;
use super::spec::{Group, Key, Spec};
use super::value::{self, Fault};

pub(super) const GROUP: Group = Group {
    name: "timeouts",
    doc: "How long an upstream may take, for each try. What ends by it is tried again as the next group says, or a 504.",
    keys: &[&CONNECT, &SEND, &READ],
    parse,
};

/// Syntax of [`at_least_one_second`], for people.
pub(crate) const SECONDS: &str = "a number of seconds, at least 1";
/// The longest wait for a connection, in seconds. nginx documents that no more can be expected of it.
const LONGEST_CONNECT: u64 = 75;

const CONNECT: Key<Limit> = Key {
    parse: |text| connect(value::integer(text)?),
    spec: Spec {
        key: "proxy-connect-timeout",
        value: SECONDS,
        default: "5",
        config_key: Some("proxy-connect-timeout"),
        doc: "How long a connection to the upstream may take, TLS included. More than 75 counts as 75.",
        ..Spec::BASE
    },
};

const SEND: Key<Limit> = Key {
    parse: |text| at_least_one_second(value::integer(text)?),
    spec: Spec {
        key: "proxy-send-timeout",
        value: SECONDS,
        default: "60",
        config_key: Some("proxy-send-timeout"),
        doc: "How long the upstream may take nothing of a request.",
        ..Spec::BASE
    },
};

const READ: Key<Limit> = Key {
    parse: |text| at_least_one_second(value::integer(text)?),
    spec: Spec {
        key: "proxy-read-timeout",
        value: SECONDS,
        default: "60",
        config_key: Some("proxy-read-timeout"),
        doc: "How long the upstream may send nothing of a response. A WebSocket ends when nothing passed in either direction \
              for as long.",
        ..Spec::BASE
    },
};

/// A time limit. nginx reads 0 as a limit that is over at once, with which no request succeeds.
pub(crate) fn at_least_one_second(number: i64) -> Result<Limit, Fault> {
    match u64::try_from(number) {
        Ok(seconds @ 1..) => Ok(Limit::from_secs(seconds)),
        Ok(0) | Err(_) => Err(Fault::not(SECONDS)),
    }
}

/// The limit for connecting.
pub(crate) fn connect(number: i64) -> Result<Limit, Fault> {
    Ok(at_least_one_second(number)?.min(Limit::from_secs(LONGEST_CONNECT)))
}

fn parse(read: &mut Reader<'_>, draft: &mut Draft) {
    let timeouts = &mut draft.timeouts;
    timeouts.connect = read.value(&CONNECT).unwrap_or(timeouts.connect);
    timeouts.send = read.value(&SEND).unwrap_or(timeouts.send);
    timeouts.read = read.value(&READ).unwrap_or(timeouts.read);
}

#[cfg(test)]
mod tests {
    use portcullis_model::policy::Timeouts;

    use super::super::testing::{Outcome, read, read_with};
    use super::*;
    use crate::Config;

    fn limits(timeouts: &Timeouts) -> String {
        let Timeouts { connect, send, read } = timeouts;
        format!("{connect} {send} {read}")
    }

    #[test]
    fn whole_seconds_are_read_and_anything_else_leaves_the_default() {
        for (key, value, want, codes) in [
            ("proxy-connect-timeout", "50", "50s 60s 60s", &[][..]),
            ("proxy-connect-timeout", "600", "75s 60s 60s", &[]),
            ("proxy-send-timeout", "20", "5s 20s 60s", &[]),
            ("proxy-read-timeout", "3600", "5s 60s 3600s", &[]),
            ("proxy-read-timeout", "+7", "5s 60s 7s", &[]),
            ("proxy-read-timeout", "9223372036854775807", "5s 60s 4294967.295s", &[]),
            ("proxy-read-timeout", "9223372036854775808", "5s 60s 60s", &["invalid-annotation"]),
            ("proxy-read-timeout", "0", "5s 60s 60s", &["invalid-annotation"]),
            ("proxy-read-timeout", "-1", "5s 60s 60s", &["invalid-annotation"]),
            ("proxy-read-timeout", "30s", "5s 60s 60s", &["invalid-annotation"]),
            ("proxy-read-timeout", " 30", "5s 60s 60s", &["invalid-annotation"]),
            ("proxy-read-timeout", "1.5", "5s 60s 60s", &["invalid-annotation"]),
            ("proxy-read-timeout", "", "5s 60s 60s", &["empty-annotation"]),
        ] {
            let got = read(&[(key, value)]);
            assert_eq!((limits(&got.draft.timeouts).as_str(), got.codes()), (want, codes.to_vec()), "{key} {value:?}");
            assert_eq!(got.outcome(), Outcome::Served);
        }
    }

    #[test]
    fn the_config_map_has_the_defaults() {
        let mut config = Config::default();
        config.timeouts.read = Limit::from_secs(9);
        for (annotations, want) in [
            (&[][..], "5s 60s 9s"),
            (&[("proxy-read-timeout", "0")], "5s 60s 9s"),
            (&[("proxy-read-timeout", "8"), ("proxy-send-timeout", "7")], "5s 7s 8s"),
        ] {
            assert_eq!(limits(&read_with(annotations, &config).draft.timeouts), want, "{annotations:?}");
        }
    }
}
