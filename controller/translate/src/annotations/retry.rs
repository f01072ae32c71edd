//! When and how often a request is tried again.

use portcullis_model::policy::{Limit, Retry, RetryCondition, RetryConditions};

use super::chars::Chars;
use super::reader::Reader;
use super::spec::{Group, Key, Spec};
use super::value::{self, Fault};
use super::{Draft, Risk};

pub(super) const GROUP: Group = Group {
    name: "retry",
    doc: "When and how often a request is tried again, at another endpoint where there is one. What the last try gives is \
          the answer.",
    keys: &[&CONDITIONS, &TIME, &TRIES],
    parse,
};

const CONDITIONS: Key<RetryConditions> = Key {
    parse: conditions,
    spec: Spec {
        key: "proxy-next-upstream",
        value: "words of `error`, `timeout`, `invalid_header`, `http_500`, `http_502`, `http_503`, `http_504`, `http_403`, \
                `http_404`, `http_429`, `non_idempotent` and `off`, divided by spaces",
        default: "error timeout",
        config_key: Some("proxy-next-upstream"),
        risk: Risk::Medium,
        chars: Chars::Text,
        doc: "Which failures are tried again; with `off` among the words none is. A request with another method than GET, HEAD, \
              OPTIONS, PUT or DELETE that was sent is not, unless `non_idempotent` is listed.",
        ..Spec::BASE
    },
};

const TIME: Key<Option<Limit>> = Key {
    parse: |text| time(value::integer(text)?),
    spec: Spec {
        key: "proxy-next-upstream-timeout",
        value: TIME_VALUE,
        default: "0",
        config_key: Some("proxy-next-upstream-timeout"),
        doc: "How long after the first try another one may begin; 0 sets no limit.",
        ..Spec::BASE
    },
};

const TRIES: Key<u8> = Key {
    parse: |text| tries(value::integer(text)?),
    spec: Spec {
        key: "proxy-next-upstream-tries",
        value: TRIES_VALUE,
        default: "3",
        config_key: Some("proxy-next-upstream-tries"),
        doc: "How often a request is tried, the first time included, at most 32 times; with 0 as often as there are endpoints, \
              and at least 3 times.",
        ..Spec::BASE
    },
};

/// Syntax of [`time`], for people.
pub(crate) const TIME_VALUE: &str = "a number of seconds";
/// Syntax of [`tries`], for people.
pub(crate) const TRIES_VALUE: &str = "a number of tries";

/// The words of `proxy-next-upstream`. `off` outdoes the others.
pub(crate) fn conditions(text: &str) -> Result<RetryConditions, Fault> {
    let words: Vec<&'static str> = RetryCondition::ALL.iter().map(|condition| condition.word()).chain([OFF]).collect();
    let mut conditions = RetryConditions::OFF;
    let mut is_off = false;
    for entry in text.split_ascii_whitespace() {
        let word = value::word(entry, &words)?;
        is_off |= word == OFF;
        let condition = RetryCondition::ALL.iter().find(|condition| condition.word() == word);
        conditions = condition.map_or(conditions, |condition| conditions.with(*condition));
    }
    match (is_off, conditions == RetryConditions::OFF) {
        (true, _) => Ok(RetryConditions::OFF),
        (false, true) => Err(Fault::not("a list of conditions")),
        (false, false) => Ok(conditions),
    }
}

const OFF: &str = "off";

/// The time for further tries; none for 0.
pub(crate) fn time(number: i64) -> Result<Option<Limit>, Fault> {
    let seconds = u64::try_from(number).map_err(|_| Fault::not(TIME_VALUE))?;
    Ok((seconds > 0).then(|| Limit::from_secs(seconds)))
}

/// The number of tries, cut to what is ever made.
pub(crate) fn tries(number: i64) -> Result<u8, Fault> {
    let tries = u64::try_from(number).map_err(|_| Fault::not(TRIES_VALUE))?;
    Ok(u8::try_from(tries).unwrap_or(Retry::MOST_TRIES).min(Retry::MOST_TRIES))
}

/// `retry-non-idempotent` of the ConfigMap: it holds for every path, whatever its annotation lists.
pub(crate) fn with_non_idempotent(conditions: RetryConditions, listed: bool) -> RetryConditions {
    let counts = listed && conditions != RetryConditions::OFF;
    if counts { conditions.with(RetryCondition::NonIdempotent) } else { conditions }
}

fn parse(read: &mut Reader<'_>, draft: &mut Draft) {
    let retry = &mut draft.retry;
    if let Some(conditions) = read.value(&CONDITIONS) {
        retry.conditions = with_non_idempotent(conditions, read.config.retry_non_idempotent);
    }
    retry.within = read.value(&TIME).unwrap_or(retry.within);
    retry.tries = read.value(&TRIES).unwrap_or(retry.tries);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Outcome, read, read_with};
    use super::*;
    use crate::Config;

    #[test]
    fn conditions_are_words_and_off_outdoes_them() {
        for (value, want, codes) in [
            ("error timeout http_502", "error timeout http_502", &[][..]),
            ("  http_404   error ", "error http_404", &[]),
            ("error\ntimeout", "error timeout", &[]),
            ("error error", "error", &[]),
            ("error non_idempotent", "error non_idempotent", &[]),
            ("off", "off", &[]),
            ("error off", "off", &[]),
            ("http_999", "error timeout", &["invalid-annotation"]),
            ("error,timeout", "error timeout", &["invalid-annotation"]),
            ("error http_501", "error timeout", &["invalid-annotation"]),
            ("Error", "error timeout", &["invalid-annotation"]),
            ("error; return 200", "error timeout", &["invalid-annotation"]),
            (" ", "error timeout", &["empty-annotation"]),
        ] {
            let got = read(&[("proxy-next-upstream", value)]);
            let words = got.draft.retry.conditions.to_string();
            assert_eq!((words.as_str(), got.codes()), (want, codes.to_vec()), "{value:?}");
            assert_eq!(got.outcome(), Outcome::Served);
        }
    }

    #[test]
    fn tries_and_time_are_numbers_from_zero() {
        for (key, value, tries, within, codes) in [
            ("proxy-next-upstream-tries", "5", 5, None, &[][..]),
            ("proxy-next-upstream-tries", "0", 0, None, &[]),
            ("proxy-next-upstream-tries", "32", 32, None, &[]),
            ("proxy-next-upstream-tries", "33", 32, None, &[]),
            ("proxy-next-upstream-tries", "888888", 32, None, &[]),
            ("proxy-next-upstream-tries", "-1", 3, None, &["invalid-annotation"]),
            ("proxy-next-upstream-tries", "two", 3, None, &["invalid-annotation"]),
            ("proxy-next-upstream-timeout", "0", 3, None, &[]),
            ("proxy-next-upstream-timeout", "10", 3, Some("10s"), &[]),
            ("proxy-next-upstream-timeout", "10s", 3, None, &["invalid-annotation"]),
            ("proxy-next-upstream-timeout", "-5", 3, None, &["invalid-annotation"]),
        ] {
            let got = read(&[(key, value)]);
            let retry = got.draft.retry;
            let limit = retry.within.map(|within| within.to_string());
            assert_eq!((retry.tries, limit.as_deref(), got.codes()), (tries, within, codes.to_vec()), "{key} {value}");
        }
    }

    #[test]
    fn the_config_map_has_the_defaults_and_may_repeat_anything() {
        let mut config = Config { retry_non_idempotent: true, ..Config::default() };
        config.retry = Retry { conditions: RetryConditions::OFF, tries: 7, within: Some(Limit::from_secs(2)) };
        for (annotations, want) in [
            (&[][..], "off 7 2s"),
            (
                &[("proxy-next-upstream", "http_503"), ("proxy-next-upstream-tries", "2")],
                "http_503 non_idempotent 2 2s",
            ),
            (&[("proxy-next-upstream", "off")], "off 7 2s"),
            (&[("proxy-next-upstream-timeout", "0")], "off 7 none"),
            (&[("proxy-next-upstream-tries", "x"), ("proxy-next-upstream", "x")], "off 7 2s"),
        ] {
            let Retry { conditions, tries, within } = read_with(annotations, &config).draft.retry;
            let within = within.map_or("none".to_owned(), |within| within.to_string());
            assert_eq!(format!("{conditions} {tries} {within}"), want, "{annotations:?}");
        }
    }
}
