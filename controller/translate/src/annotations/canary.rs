//! A second backend for a share of another Ingress' requests.

use std::sync::Arc;

use http::HeaderName;
use portcullis_model::policy::{CanaryHeader, CanaryHeaderName};
use portcullis_model::{Pattern, PatternSyntax};

use super::chars::{Chars, Charset};
use super::reader::Reader;
use super::spec::{Group, Key, Spec};
use super::value::{self, Fault};
use super::{CanaryRules, Draft, Risk, Scope};

pub(super) const GROUP: Group = Group {
    name: "canary",
    doc: "A second backend for a share of another Ingress' requests: by header, else by cookie, else by weight. A canary Ingress \
          has no hosts of its own; other settings are those of the Ingress it belongs to.",
    keys: &[
        &CANARY,
        &CANARY_BY_HEADER,
        &CANARY_BY_HEADER_VALUE,
        &CANARY_BY_HEADER_PATTERN,
        &CANARY_BY_COOKIE,
        &CANARY_WEIGHT,
        &CANARY_WEIGHT_TOTAL,
    ],
    parse,
};

const CANARY: Key<bool> = Key {
    parse: value::boolean,
    spec: Spec {
        key: "canary",
        value: value::BOOLEAN,
        default: "false",
        scope: Scope::Ingress,
        doc: "Makes this a canary of the Ingress with the same host, path and path type.",
        ..Spec::BASE
    },
};

const CANARY_BY_HEADER: Key<HeaderName> = Key {
    parse: header_name,
    spec: Spec {
        key: "canary-by-header",
        value: "the name of a header",
        scope: Scope::Ingress,
        risk: Risk::Medium,
        chars: Chars::OfSpaced(Charset::BASIC),
        doc: "With the value `always` in this header a request goes to the canary, with `never` to the primary; with another value \
              cookie and weight decide.",
        ..Spec::BASE
    },
};

const CANARY_BY_HEADER_VALUE: Key<Arc<str>> = Key {
    parse: text,
    spec: Spec {
        key: "canary-by-header-value",
        value: "the value of a header",
        scope: Scope::Ingress,
        risk: Risk::Medium,
        chars: Chars::OfSpaced(Charset::BASIC),
        doc: "With exactly this value in the header of `canary-by-header` a request goes to the canary; `always` and `never` mean \
              nothing then.",
        ..Spec::BASE
    },
};

/// The expression, or why it cannot be used.
const CANARY_BY_HEADER_PATTERN: Key<Result<Arc<Pattern>, String>> = Key {
    parse: pattern,
    spec: Spec {
        key: "canary-by-header-pattern",
        value: "a regular expression without look-around and back-references",
        scope: Scope::Ingress,
        risk: Risk::Medium,
        chars: Chars::Of(Charset::REGEX),
        doc: "As `canary-by-header-value`, which wins over it, with an expression that is searched in the value. An expression that \
              cannot be used keeps requests that send the header on the primary.",
        ..Spec::BASE
    },
};

const CANARY_BY_COOKIE: Key<Arc<str>> = Key {
    parse: text,
    spec: Spec {
        key: "canary-by-cookie",
        value: "the name of a cookie",
        scope: Scope::Ingress,
        risk: Risk::Medium,
        chars: Chars::OfSpaced(Charset::BASIC),
        doc: "With the value `always` in this cookie a request goes to the canary, with `never` to the primary; else the weight \
              decides.",
        ..Spec::BASE
    },
};

const CANARY_WEIGHT: Key<i64> = Key {
    parse: value::integer,
    spec: Spec {
        key: "canary-weight",
        value: value::INTEGER,
        default: "0",
        scope: Scope::Ingress,
        doc: "How many of `canary-weight-total` requests go to the canary, at random.",
        ..Spec::BASE
    },
};

const CANARY_WEIGHT_TOTAL: Key<i64> = Key {
    parse: value::integer,
    spec: Spec {
        key: "canary-weight-total",
        value: "a whole number, at least 100",
        default: "100",
        scope: Scope::Ingress,
        doc: "What `canary-weight` is a share of. Less than 100 means 100.",
        ..Spec::BASE
    },
};

/// Read first, because a canary takes most other settings from its primary.
fn parse(read: &mut Reader<'_>, draft: &mut Draft) {
    let enabled = read.value(&CANARY).unwrap_or(false);
    let written = Written {
        header: read.value(&CANARY_BY_HEADER),
        value: read.value(&CANARY_BY_HEADER_VALUE),
        pattern: read.value(&CANARY_BY_HEADER_PATTERN),
        cookie: read.value(&CANARY_BY_COOKIE),
        weight: read.value(&CANARY_WEIGHT).unwrap_or(0),
        total: read.value(&CANARY_WEIGHT_TOTAL).unwrap_or(100),
    };
    if !enabled {
        if written.asks_for_a_canary() {
            let message = "canary rules without `canary: \"true\"` are dropped; this is an ordinary Ingress".to_owned();
            read.warn("canary", "canary-not-enabled", message, "set it to \"true\", or remove the other canary keys");
        }
        return;
    }
    read.on_canary = true;
    draft.canary = Some(written.rules(read));
}

struct Written {
    header: Option<HeaderName>,
    value: Option<Arc<str>>,
    pattern: Option<Result<Arc<Pattern>, String>>,
    cookie: Option<Arc<str>>,
    weight: i64,
    total: i64,
}

impl Written {
    fn asks_for_a_canary(&self) -> bool {
        let by_request =
            self.header.is_some() || self.value.is_some() || self.pattern.is_some() || self.cookie.is_some();
        by_request || self.weight > 0
    }

    fn rules(self, read: &mut Reader<'_>) -> CanaryRules {
        if self.header.is_none() && (self.value.is_some() || self.pattern.is_some()) {
            read.no_effect("canary-by-header", "a value or pattern needs the name of a header");
        }
        if self.total < 100 && read.has(&CANARY_WEIGHT_TOTAL.spec) {
            read.adjusted(&CANARY_WEIGHT_TOTAL.spec, format!("{} is less than 100; 100 is used", self.total));
        }
        let weight = bounded(self.weight);
        let total = bounded(self.total).max(100);
        let header = match (self.header, self.value, self.pattern) {
            (None, _, _) => None,
            (Some(name), Some(value), _) => Some((name, CanaryHeader::Value(value))),
            (Some(name), None, Some(Ok(pattern))) => Some((name, CanaryHeader::Pattern(pattern))),
            (Some(name), None, Some(Err(reason))) => {
                let reason = Fault::Because(reason).verdict();
                let message = format!("the expression {reason}; requests that send the header stay on the primary");
                read.left_out(&CANARY_BY_HEADER_PATTERN.spec, message);
                Some((name, CanaryHeader::Unusable))
            }
            (Some(name), None, None) => Some((name, CanaryHeader::AlwaysOrNever)),
        };
        let header = header.map(|(name, rule)| (CanaryHeaderName(name), rule));
        CanaryRules { header, cookie: self.cookie, weight, total }
    }
}

/// Nothing for what is negative.
fn bounded(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

fn header_name(text: &str) -> Result<HeaderName, Fault> {
    text.parse().map_err(|_| Fault::not("the name of a header, such as `X-Canary`"))
}

fn text(text: &str) -> Result<Arc<str>, Fault> {
    let plain = !text.chars().any(char::is_control);
    if plain { Ok(text.into()) } else { Err(Fault::not("text without control characters")) }
}

/// Never a [`Fault`]: an expression that cannot be used is no reason to read the header as if there were none.
fn pattern(text: &str) -> Result<Result<Arc<Pattern>, String>, Fault> {
    Ok(Pattern::new(text, PatternSyntax::HEADER).map(Arc::new).map_err(|error| error.to_string()))
}

#[cfg(test)]
mod tests {
    use portcullis_model::policy::CanaryHeader;

    use super::super::testing::{Outcome, read};
    use super::super::{CanaryRules, Risk};
    use crate::Config;

    fn rules(annotations: &[(&str, &str)]) -> Option<CanaryRules> {
        let annotations: Vec<_> = [("canary", "true")].iter().chain(annotations).copied().collect();
        read(&annotations).draft.canary
    }

    #[test]
    fn weights_are_bounded_numbers() {
        for (weight, total, want) in [
            ("50", None, (50, 100)),
            ("0", None, (0, 100)),
            ("10", Some("10"), (10, 100)),
            ("1000", Some("1000"), (1000, 1000)),
            ("-5", None, (0, 100)),
            ("many", Some("all"), (0, 100)),
            ("99999999999", Some("-1"), (u32::MAX, 100)),
            ("5%", None, (0, 100)),
        ] {
            let mut annotations = vec![("canary-weight", weight)];
            annotations.extend(total.map(|total| ("canary-weight-total", total)));
            let got = rules(&annotations).unwrap();
            assert_eq!((got.weight, got.total), want, "{weight} {total:?}");
        }
    }

    #[test]
    fn the_value_wins_over_the_pattern_and_both_over_always() {
        let header = ("canary-by-header", "X-Canary");
        let value = ("canary-by-header-value", "DoCanary");
        let pattern = ("canary-by-header-pattern", "^Do[A-Z][a-z]+y$");
        for (annotations, want) in [
            (&[header][..], "always"),
            (&[header, value], "value DoCanary"),
            (&[header, pattern], "pattern ^Do[A-Z][a-z]+y$"),
            (&[header, pattern, value], "value DoCanary"),
            (&[value, pattern], "none"),
        ] {
            let got = match rules(annotations).unwrap().header {
                None => "none".to_owned(),
                Some((name, rule)) => {
                    assert_eq!(name.0, "x-canary");
                    match rule {
                        CanaryHeader::AlwaysOrNever => "always".to_owned(),
                        CanaryHeader::Value(value) => format!("value {value}"),
                        CanaryHeader::Pattern(pattern) => format!("pattern {pattern}"),
                        CanaryHeader::Unusable => "unusable".to_owned(),
                    }
                }
            };
            assert_eq!(got, want, "{annotations:?}");
        }
    }

    #[test]
    fn an_unusable_pattern_decides_where_the_header_is_sent_and_nowhere_else() {
        for pattern in ["[][**da?$&*", "(?=x)", "(a)\\1"] {
            let rules = rules(&[
                ("canary-by-header", "X-Canary"),
                ("canary-by-header-pattern", pattern),
                ("canary-by-cookie", "c"),
                ("canary-weight", "50"),
            ]);
            let rules = rules.unwrap();
            assert_eq!(rules.header.map(|(_, rule)| rule), Some(CanaryHeader::Unusable), "{pattern}");
            assert_eq!((rules.cookie.as_deref(), rules.weight, rules.total), (Some("c"), 50, 100), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_outside_the_characters_is_as_none() {
        let got = rules(&[("canary-by-header", "X-Canary"), ("canary-by-header-pattern", "a;b")]).unwrap();
        assert_eq!(got.header.map(|(_, rule)| rule), Some(CanaryHeader::AlwaysOrNever));
    }

    #[test]
    fn rules_without_canary_make_an_ordinary_ingress() {
        for (annotations, codes) in [
            (&[("canary-weight", "100")][..], &["canary-not-enabled"][..]),
            (&[("canary", "false"), ("canary-by-header", "X")], &["canary-not-enabled"]),
            (&[("canary", "yes"), ("canary-by-cookie", "c")], &["canary-not-enabled", "invalid-annotation"]),
            (&[("canary-weight", "0"), ("canary-weight-total", "200")], &[]),
            (&[("canary", "false")], &[]),
        ] {
            let got = read(annotations);
            assert_eq!(got.draft.canary, None, "{annotations:?}");
            assert_eq!(got.codes(), codes, "{annotations:?}");
            assert_eq!(got.outcome(), Outcome::Served, "{annotations:?}");
        }
    }

    #[test]
    fn a_canary_takes_protection_from_its_primary_and_closes_nothing() {
        for annotation in
            [("auth-type", "basic"), ("limit-rps", "5"), ("backend-protocol", "GRPC"), ("auth-tls-secret", "a/b")]
        {
            let got = read(&[("canary", "true"), annotation]);
            assert_eq!(got.outcome(), Outcome::Served, "{annotation:?}");
        }
        let risky = Config { risk_level: Risk::Low, ..Config::default() };
        let got = super::super::testing::read_with(&[("canary", "true"), ("auth-url", "http://a/b")], &risky);
        assert_eq!(got.outcome(), Outcome::TakenOut("auth-url"));
    }

    #[test]
    fn names_that_cannot_be_headers_decide_nothing() {
        for name in ["a/b", "a:b", "X Canary"] {
            assert_eq!(rules(&[("canary-by-header", name)]).unwrap().header, None, "{name}");
        }
    }
}
