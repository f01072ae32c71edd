//! What holds for every annotation.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::spec::Registered;
use super::testing::{Outcome, read, read_unchecked};
use super::*;

/// Every name of ingress-nginx 1.15.1, aliases included.
const NAMES: &str = "affinity affinity-canary-behavior affinity-mode allowlist-source-range whitelist-source-range app-root \
    auth-always-set-cookie auth-cache-duration auth-cache-key auth-keepalive auth-keepalive-requests auth-keepalive-share-vars \
    auth-keepalive-timeout auth-method auth-proxy-set-headers auth-realm auth-request-redirect auth-response-headers auth-secret \
    auth-secret-type auth-signin auth-signin-redirect-param auth-snippet auth-tls-error-page auth-tls-match-cn \
    auth-tls-pass-certificate-to-upstream auth-tls-secret auth-tls-verify-client auth-tls-verify-depth auth-type auth-url \
    backend-protocol canary canary-by-cookie canary-by-header canary-by-header-pattern canary-by-header-value canary-weight \
    canary-weight-total client-body-buffer-size configuration-snippet connection-proxy-header cors-allow-credentials \
    cors-allow-headers cors-allow-methods cors-allow-origin cors-expose-headers cors-max-age custom-headers custom-http-errors \
    default-backend denylist-source-range disable-proxy-intercept-errors enable-access-log enable-cors enable-global-auth \
    enable-modsecurity enable-opentelemetry enable-owasp-core-rules enable-rewrite-log fastcgi-index fastcgi-params-configmap \
    force-ssl-redirect from-to-www-redirect http2-push-preload limit-allowlist limit-whitelist limit-burst-multiplier \
    limit-connections limit-rate limit-rate-after limit-rpm limit-rps load-balance mirror-host mirror-request-body mirror-target \
    modsecurity-snippet modsecurity-transaction-id opentelemetry-operation-name opentelemetry-trust-incoming-span \
    permanent-redirect permanent-redirect-code preserve-trailing-slash proxy-body-size proxy-buffer-size proxy-buffering \
    proxy-buffers-number proxy-busy-buffers-size proxy-connect-timeout proxy-cookie-domain proxy-cookie-path proxy-http-version \
    proxy-max-temp-file-size proxy-next-upstream proxy-next-upstream-timeout proxy-next-upstream-tries proxy-read-timeout \
    proxy-redirect-from proxy-redirect-to proxy-request-buffering proxy-send-timeout proxy-ssl-ciphers proxy-ssl-name \
    proxy-ssl-protocols proxy-ssl-secret proxy-ssl-server-name proxy-ssl-verify proxy-ssl-verify-depth relative-redirects \
    rewrite-target satisfy server-alias server-snippet service-upstream session-cookie-change-on-failure \
    session-cookie-conditional-samesite-none session-cookie-domain session-cookie-expires session-cookie-max-age \
    session-cookie-name session-cookie-path session-cookie-samesite session-cookie-secure ssl-ciphers ssl-passthrough \
    ssl-prefer-server-ciphers ssl-redirect stream-snippet temporal-redirect temporal-redirect-code upstream-hash-by \
    upstream-hash-by-subset upstream-hash-by-subset-size upstream-vhost use-port-in-redirects use-regex x-forwarded-prefix";

/// For each key that protects, a value with which it keeps requests out.
const PROTECTION: &[(&str, &str)] = &[
    ("allowlist-source-range", "10.0.0.0/8"),
    ("auth-secret", "demo/users"),
    ("auth-snippet", "proxy_set_header A b;"),
    ("auth-tls-match-cn", "CN=client"),
    ("auth-tls-secret", "demo/ca"),
    ("auth-tls-verify-client", "on"),
    ("auth-type", "basic"),
    ("auth-url", "http://auth.example/"),
    ("denylist-source-range", "10.0.0.0/8"),
    ("limit-connections", "10"),
    ("limit-rpm", "10"),
    ("limit-rps", "10"),
    ("modsecurity-snippet", "SecRuleEngine On"),
    ("proxy-ssl-secret", "elsewhere/ca"),
    ("satisfy", "any"),
];

fn keys() -> impl Iterator<Item = &'static &'static dyn Registered> {
    GROUPS.iter().flat_map(|group| group.keys)
}

fn is_closed(outcome: Outcome<'_>) -> bool {
    matches!(outcome, Outcome::Closed(_) | Outcome::Rejected(_))
}

#[test]
fn every_name_of_ingress_nginx_is_known_once() {
    let mut known: Vec<&str> = specs().flat_map(|(_, spec)| spec.aliases.iter().copied().chain([spec.key])).collect();
    let mut names: Vec<&str> = NAMES.split_whitespace().collect();
    known.sort_unstable();
    names.sort_unstable();
    assert_eq!(known, names);
    assert_eq!(known.iter().collect::<BTreeSet<_>>().len(), known.len());
    for name in names {
        assert!(find(name).is_some(), "{name}");
    }
}

#[test]
fn every_key_is_documented() {
    for (group, spec) in specs() {
        assert!(spec.doc.ends_with('.') && spec.doc.len() > 10, "{group} {}", spec.key);
        assert!(!spec.value.is_empty(), "{}", spec.key);
    }
    assert!(groups().iter().all(|group| !group.doc.is_empty()));
}

#[test]
fn every_default_is_a_value_of_its_key() {
    for key in keys() {
        let spec = key.spec();
        if !spec.default.is_empty() {
            assert_eq!(spec.chars.admit(spec.default), Ok(()), "{}", spec.key);
            assert_eq!(key.check(spec.default), Ok(()), "{}", spec.key);
        }
    }
}

#[test]
fn config_keys_that_give_defaults_exist() {
    for (_, spec) in specs() {
        if let Some(key) = spec.config_key {
            assert!(crate::config_keys().any(|known| known.key == key), "{key}");
        }
    }
}

#[test]
fn what_protects_is_never_ignored() {
    let protecting: BTreeSet<&str> = specs().filter(|(_, spec)| spec.protects).map(|(_, spec)| spec.key).collect();
    assert_eq!(protecting, PROTECTION.iter().map(|(key, _)| *key).collect());
    for (_, spec) in specs().filter(|(_, spec)| spec.protects) {
        assert!(matches!(spec.on_error, OnError::Reject | OnError::DenyRoute), "{}", spec.key);
        for value in ["", "  ", "\r\n", "a;b{}", "\u{7f}", "$("] {
            assert!(is_closed(read(&[(spec.key, value)]).outcome()), "{} {value:?}", spec.key);
        }
    }
    for (key, value) in PROTECTION {
        assert!(is_closed(read(&[(key, value)]).outcome()), "{key}");
        assert!(is_closed(read_unchecked(&[(key, value)]).outcome()), "{key}");
        assert!(is_closed(read_unchecked(&[(key, "")]).outcome()), "{key}");
    }
}

#[test]
fn aliases_protect_as_their_keys_do() {
    for (_, spec) in specs().filter(|(_, spec)| spec.protects) {
        let (_, value) = PROTECTION.iter().find(|(key, _)| *key == spec.key).unwrap();
        for alias in spec.aliases {
            assert!(is_closed(read(&[(alias, value)]).outcome()), "{alias}");
        }
    }
}

#[test]
fn every_key_is_read_by_its_group() {
    let (object, options, config) = (ObjectKey::new("a", "b"), testing::options(), Config::default());
    for group in GROUPS {
        for spec in group.specs() {
            let annotations =
                BTreeMap::from([(format!("{}/{}", options.annotations_prefix, spec.key), "1".to_owned())]);
            let mut findings = Vec::new();
            let mut reader = Reader::new(&object, &annotations, &options, &config, &mut findings);
            (group.parse)(&mut reader, &mut Draft::new(&config));
            // A status without its redirect is passed over, as ingress-nginx does.
            let passed_over = spec.key == "temporal-redirect-code";
            assert_eq!(reader.unread().next().is_some(), passed_over, "{}", spec.key);
        }
    }
}

#[test]
fn without_annotations_of_ours_the_draft_is_that_of_the_config_map() {
    let annotations = BTreeMap::from([
        ("kubernetes.io/ingress.class".to_owned(), "nginx".to_owned()),
        ("nginx.ingress.kubernetes.io.example/auth-type".to_owned(), "basic".to_owned()),
    ]);
    let got = testing::read_with_options(&annotations, |_| {});
    assert_eq!(got.draft, Draft::new(&Config::default()));
    assert!(got.findings.is_empty());
}

#[test]
fn the_config_map_closes_before_any_annotation() {
    let closed = portcullis_model::policy::Closed { key: "block-cidrs".into() };
    let config = Config { closed: Some(closed), ..Config::default() };
    for annotations in [&[][..], &[("auth-type", "basic")], &[("canary", "true")]] {
        assert_eq!(testing::read_with(annotations, &config).outcome(), Outcome::Closed("block-cidrs"));
    }
}

#[test]
fn findings_are_short_and_show_no_control_characters() {
    let long = "\u{1b}[31m\n".repeat(5_000);
    for (_, spec) in specs() {
        for finding in read(&[(spec.key, &long)]).findings.iter().chain(&read_unchecked(&[(spec.key, &long)]).findings)
        {
            assert!(finding.message.len() < 1_500, "{}", spec.key);
            assert!(!finding.message.chars().any(char::is_control), "{}", spec.key);
        }
    }
}

fn any_key() -> impl Strategy<Value = &'static str> {
    let names: Vec<&str> = NAMES.split_whitespace().collect();
    prop::sample::select(names)
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        ".*",
        "[-a-z0-9$/.,:;=~^(){}*+ \n]{0,24}",
        "true|false|on|off|[0-9]{1,20}|basic|10\\.0\\.0\\.0/[0-9]{1,2}"
    ]
}

proptest! {
    #[test]
    fn no_value_panics_and_reading_is_deterministic(pairs in prop::collection::vec((any_key(), any_value()), 0..6)) {
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (*key, value.as_str())).collect();
        for read in [read, read_unchecked] {
            let (one, other) = (read(&pairs), read(&pairs));
            prop_assert_eq!(one.draft, other.draft);
            prop_assert_eq!(one.findings, other.findings);
        }
    }

    #[test]
    fn every_key_takes_every_value(value in any_value()) {
        for (_, spec) in specs() {
            let got = read(&[(spec.key, &value)]);
            let served_open = matches!(got.outcome(), Outcome::Served);
            // A protecting key that is there, has an effect and is not honoured never leaves the door open.
            if spec.protects && served_open {
                prop_assert!(["all", "off"].contains(&value.trim()) || value.trim().parse::<i64>().is_ok_and(|number| number <= 0), "{} {:?}", spec.key, value);
            }
        }
    }
}
