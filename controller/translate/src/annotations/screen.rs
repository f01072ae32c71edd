//! What keeps an Ingress out before its values are read: risk, forbidden words, the wrong prefix.

use std::collections::BTreeMap;

use super::reader::{Reader, Rejection};
use super::{Risk, find, snippet};
use crate::{Options, quoted};

/// The prefix of ingress-nginx.
const STOCK_PREFIX: &str = "nginx.ingress.kubernetes.io";

pub(super) fn screen(read: &mut Reader<'_>) {
    let entries: Vec<(&str, &str)> = read.entries().collect();
    for (key, value) in entries {
        risk(read, key, value);
        words(read, key, value);
    }
}

/// `annotations-risk-level`, which counts with validation off, too.
fn risk(read: &mut Reader<'_>, key: &str, value: &str) {
    let level = read.config.risk_level;
    let Some((_, spec)) = find(key).filter(|(_, spec)| spec.risk > level) else { return };
    let reason = format!("its risk {:?} is above the accepted {level:?}", spec.risk);
    let rejection = if spec.risk == Risk::Critical {
        snippet::rejection(spec, value, &reason)
    } else {
        Rejection {
            key: spec.key,
            closing: spec.protects.then_some(spec),
            code: "risk-too-high",
            message: reason,
            help: "remove it, or raise annotations-risk-level in the ConfigMap",
        }
    };
    read.reject(key, &rejection);
}

/// `annotation-value-word-blocklist`.
fn words(read: &mut Reader<'_>, key: &str, value: &str) {
    let words = &read.config.word_blocklist;
    let Some(word) = words.iter().find(|word| !word.is_empty() && value.contains(word.as_str())) else { return };
    let spec = find(key).map(|(_, spec)| spec);
    let rejection = Rejection {
        key: spec.map_or("annotation-value-word-blocklist", |spec| spec.key),
        closing: spec.filter(|spec| spec.protects),
        code: "forbidden-word",
        message: format!("the annotation contains invalid word {}", quoted(word)),
        help: "remove the word, or take it from annotation-value-word-blocklist in the ConfigMap",
    };
    read.reject(key, &rejection);
}

/// Annotations under the prefix of ingress-nginx where another one is configured: they look as if they counted.
pub(super) fn stock_prefix<'a>(
    annotations: &'a BTreeMap<String, String>,
    options: &Options,
) -> impl Iterator<Item = &'a str> {
    let stock = options.annotations_prefix == STOCK_PREFIX;
    let keys = annotations.keys().filter(move |_| !stock).map(String::as_str);
    keys.filter(|key| key.strip_prefix(STOCK_PREFIX).is_some_and(|rest| rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Outcome, read, read_with, read_with_options};
    use super::*;
    use crate::Config;

    #[test]
    fn keys_above_the_accepted_risk_reject_the_ingress() {
        for (level, key, value, outcome) in [
            (Risk::High, "server-alias", "a.example", Outcome::Served),
            (Risk::Medium, "server-alias", "a.example", Outcome::TakenOut("server-alias")),
            (Risk::Low, "rewrite-target", "/", Outcome::TakenOut("rewrite-target")),
            (Risk::Low, "ssl-redirect", "false", Outcome::Served),
            (Risk::Low, "denylist-source-range", "1.1.1.1/32", Outcome::Rejected("denylist-source-range")),
            (Risk::Low, "whitelist-source-range", "1.1.1.1/32", Outcome::Rejected("allowlist-source-range")),
        ] {
            let config = Config { risk_level: level, ..Config::default() };
            assert_eq!(read_with(&[(key, value)], &config).outcome(), outcome, "{level:?} {key}");
        }
    }

    #[test]
    fn forbidden_words_reject_the_ingress() {
        let config = Config { word_blocklist: vec!["}".to_owned(), "_by_lua".to_owned()], ..Config::default() };
        for (key, value, outcome) in [
            ("connection-proxy-header", "a;}", Outcome::TakenOut("connection-proxy-header")),
            ("upstream-vhost", "x_by_lua", Outcome::TakenOut("upstream-vhost")),
            ("no-such-annotation", "x_by_lua", Outcome::TakenOut("annotation-value-word-blocklist")),
            ("auth-url", "http://a/}", Outcome::Rejected("auth-url")),
            ("upstream-vhost", "x", Outcome::Served),
        ] {
            let got = read_with(&[(key, value)], &config);
            assert_eq!(got.outcome(), outcome, "{key} {value}");
            let told = got.findings.iter().any(|finding| finding.message.contains("annotation contains invalid word"));
            assert_eq!(told, outcome != Outcome::Served, "{key} {value}");
        }
    }

    #[test]
    fn the_stock_prefix_beside_another_one_is_told() {
        let full = |key: &str| format!("{STOCK_PREFIX}/{key}");
        let annotations: BTreeMap<String, String> =
            [(full("auth-type"), "basic".to_owned()), ("kubernetes.io/ingress.class".to_owned(), "nginx".to_owned())]
                .into();
        let got = read_with_options(&annotations, |options| options.annotations_prefix = "shop.example".to_owned());
        assert_eq!((got.codes(), got.outcome()), (vec!["stock-prefix"], Outcome::Served));
        assert_eq!(got.findings[0].field, full("auth-type"));
        assert!(read(&[("ssl-redirect", "true")]).codes().is_empty());
    }
}
