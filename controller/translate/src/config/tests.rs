//! Every ConfigMap key: read, refused, or not supported yet.

use std::collections::BTreeSet;

use portcullis_model::LogEscape;
use portcullis_model::policy::HttpsRedirectMode;
use proptest::prelude::*;

use super::*;
use crate::Severity;

fn read(data: &[(&str, &str)]) -> (Config, Vec<Finding>) {
    let data = data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mut findings = Vec::new();
    let config = Config::read(Some(&ObjectKey::new("ingress-nginx", "controller")), Some(&data), &mut findings);
    (config, findings)
}

fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code).collect()
}

/// What a change of the defaults gives.
fn changed(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

#[test]
fn keys_are_unique_and_documented() {
    let keys: Vec<&str> = config_keys().map(|key| key.key).collect();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    for key in config_keys() {
        assert!(key.doc.ends_with('.') && !key.value.is_empty(), "{}", key.key);
    }
    let text = Config::render_markdown();
    assert!(keys.iter().all(|key| text.contains(&format!("\n| `{key}`"))));
}

#[test]
fn every_default_is_a_value_that_changes_nothing() {
    for key in config_keys().filter(|key| !key.default.is_empty()) {
        let (config, findings) = read(&[(key.key, key.default)]);
        assert_eq!(config, Config::default(), "{}", key.key);
        assert!(findings.is_empty(), "{}: {findings:?}", key.key);
    }
    assert_eq!(read(&[]), (Config::default(), Vec::new()));
}

#[test]
fn every_supported_key_has_an_effect() {
    for (key, value) in [
        ("ssl-redirect", "false"),
        ("proxy-body-size", "8m"),
        ("client-body-buffer-size", "1m"),
        ("proxy-request-buffering", "off"),
        ("proxy-buffering", "on"),
        ("proxy-buffers-number", "8"),
        ("proxy-buffer-size", "16k"),
        ("proxy-max-temp-file-size", "0"),
        ("force-ssl-redirect", "true"),
        ("http-redirect-code", "301"),
        ("relative-redirects", "true"),
        ("preserve-trailing-slash", "1"),
        ("use-port-in-redirects", "T"),
        ("no-tls-redirect-locations", "/a, /b"),
        ("hsts", "false"),
        ("hsts-max-age", "1"),
        ("hsts-include-subdomains", "false"),
        ("hsts-preload", "true"),
        ("server-tokens", "true"),
        ("allow-backend-server-header", "true"),
        ("hide-headers", "X-Powered-By"),
        ("enable-underscores-in-headers", "true"),
        ("ignore-invalid-headers", "false"),
        ("generate-request-id", "false"),
        ("proxy-add-original-uri-header", "true"),
        ("use-forwarded-headers", "true"),
        ("enable-real-ip", "true"),
        ("proxy-real-ip-cidr", "10.0.0.0/8"),
        ("forwarded-for-header", "CF-Connecting-IP"),
        ("forwarded-host-header", "X-Host"),
        ("keep-alive", "0"),
        ("keep-alive-requests", "10"),
        ("client-header-timeout", "1"),
        ("client-body-timeout", "1"),
        ("large-client-header-buffers", "4 16k"),
        ("http2-max-concurrent-streams", "10"),
        ("use-proxy-protocol", "true"),
        ("proxy-protocol-header-timeout", "1s"),
        ("log-format-upstream", "$host"),
        ("log-format-escape-json", "true"),
        ("disable-access-log", "true"),
        ("disable-http-access-log", "true"),
        ("enable-access-log-for-default-backend", "true"),
        ("log-format-stream", "$remote_addr $proxy_upstream_name"),
        ("disable-stream-access-log", "true"),
        ("proxy-stream-timeout", "1h30m"),
        ("proxy-stream-next-upstream", "false"),
        ("proxy-stream-next-upstream-timeout", "0"),
        ("proxy-stream-next-upstream-tries", "0"),
        ("proxy-stream-responses", "0"),
        ("service-upstream", "true"),
        ("add-headers", "demo/add"),
        ("proxy-set-headers", "demo/set"),
        ("global-allowed-response-headers", "X-A, X-B"),
        ("proxy-cookie-domain", "localhost example.org"),
        ("proxy-cookie-path", "/one/ /"),
        ("proxy-redirect-from", "http://a.example/"),
        ("proxy-redirect-to", "https://b.example/"),
        ("allow-cross-namespace-resources", "true"),
        ("proxy-connect-timeout", "1"),
        ("proxy-send-timeout", "0x10"),
        ("proxy-read-timeout", "3600"),
        ("proxy-next-upstream", "off"),
        ("proxy-next-upstream-timeout", "10"),
        ("proxy-next-upstream-tries", "1"),
        ("retry-non-idempotent", "true"),
        ("annotations-risk-level", "Low"),
        ("annotation-value-word-blocklist", "root"),
        ("allow-snippet-annotations", "true"),
        ("strict-validate-path-type", "false"),
        ("use-http2", "false"),
        ("ssl-protocols", "TLSv1.3"),
        ("ssl-ciphers", "ECDHE-RSA-AES256-GCM-SHA384"),
        ("ssl-ecdh-curve", "X25519"),
        ("ssl-session-cache", "false"),
        ("ssl-session-timeout", "1d"),
        ("ssl-session-tickets", "true"),
        ("ssl-reject-handshake", "true"),
    ] {
        let (config, findings) = read(&[(key, value)]);
        assert_ne!(config, Config::default(), "{key}");
        assert!(findings.is_empty(), "{key}: {findings:?}");
    }
}

#[test]
fn bad_values_leave_the_default_and_are_told() {
    for (key, value) in [
        ("ssl-redirect", "maybe"),
        ("http-redirect-code", "303"),
        ("http-redirect-code", "soon"),
        ("hsts-max-age", "1y"),
        ("hsts-max-age", "-1"),
        ("forwarded-for-header", "X Forwarded"),
        ("add-headers", "no-namespace"),
        ("proxy-set-headers", "a/b/c"),
        ("proxy-cookie-domain", "one"),
        ("proxy-cookie-path", "/ \"/; Secure\""),
        ("proxy-redirect-from", "~^http"),
        ("proxy-redirect-to", "$scheme://$host/"),
        ("log-format-upstream", "$nope"),
        ("log-format-upstream", ""),
        ("log-format-stream", "$request"),
        ("log-format-stream", ""),
        ("proxy-stream-timeout", "0"),
        ("proxy-stream-timeout", "long"),
        ("proxy-stream-next-upstream", "error"),
        ("proxy-stream-next-upstream-timeout", "-1s"),
        ("proxy-stream-next-upstream-tries", "-1"),
        ("proxy-stream-responses", "many"),
        ("proxy-read-timeout", "soon"),
        ("proxy-read-timeout", "0"),
        ("proxy-connect-timeout", "50k"),
        ("proxy-send-timeout", "-1"),
        ("proxy-next-upstream", "http_999"),
        ("proxy-next-upstream", ""),
        ("proxy-next-upstream-timeout", "-1"),
        ("proxy-next-upstream-tries", "few"),
        ("use-gzip", "perhaps"),
        ("keep-alive", "many"),
    ] {
        let (config, findings) = read(&[(key, value)]);
        assert_eq!((config, codes(&findings)), (Config::default(), vec!["invalid-config-value"]), "{key} {value}");
        assert_eq!((findings[0].field.as_str(), findings[0].severity), (key, Severity::Warning));
    }
}

#[test]
fn an_empty_boolean_is_false() {
    let (config, findings) = read(&[("ssl-redirect", ""), ("server-tokens", "")]);
    assert_eq!(config.https_redirect.mode, HttpsRedirectMode::Never);
    assert!(!config.settings.server_tokens && findings.is_empty());
}

#[test]
fn keys_that_belong_together_make_one_setting() {
    let (config, _) = read(&[("hsts-max-age", "60"), ("hsts-include-subdomains", "false"), ("hsts-preload", "true")]);
    assert_eq!(config.settings.hsts.unwrap().value(), "max-age=60; preload");
    assert_eq!(read(&[("hsts", "false"), ("hsts-max-age", "60")]).0.settings.hsts, None);

    for (data, fields, address, append) in [
        (&[("use-forwarded-headers", "true")][..], true, true, false),
        (&[("enable-real-ip", "true")], false, true, false),
        (&[("compute-full-forwarded-for", "true")], false, false, false),
        (&[("use-forwarded-headers", "true"), ("compute-full-forwarded-for", "true")], true, true, true),
    ] {
        let forwarded = read(data).0.settings.forwarded;
        let got = (forwarded.fields, forwarded.client_address, forwarded.append);
        assert_eq!(got, (fields, address, append), "{data:?}");
    }

    let (config, _) = read(&[("log-format-escape-json", "true"), ("log-format-upstream", r#"{"host": "$host"}"#)]);
    assert_eq!(config.settings.access_log.escape, LogEscape::Json);
    assert_eq!(config.settings.access_log.format.to_string(), r#"{"host": "${host}"}"#);
}

#[test]
fn nobody_is_believed_by_mistake() {
    for (value, want, told) in [
        ("10.0.0.0/8, 192.0.2.1", &["10.0.0.0/8", "192.0.2.1/32"][..], false),
        ("10.0.0.0/8, nonsense", &["10.0.0.0/8"], true),
        ("nonsense", &[], true),
        ("", &[], true),
    ] {
        let (config, findings) = read(&[("proxy-real-ip-cidr", value)]);
        let peers: Vec<String> = config.settings.forwarded.peers.iter().map(ToString::to_string).collect();
        assert_eq!(
            (peers.iter().map(String::as_str).collect::<Vec<_>>(), !findings.is_empty()),
            (want.to_vec(), told),
            "{value:?}"
        );
    }
}

#[test]
fn an_unknown_risk_level_means_low() {
    for (value, want) in [
        ("Critical", Risk::Critical),
        ("high", Risk::High),
        ("MEDIUM", Risk::Medium),
        ("Low", Risk::Low),
        ("Extreme", Risk::Low),
        ("", Risk::Low),
    ] {
        assert_eq!(read(&[("annotations-risk-level", value)]).0.risk_level, want, "{value:?}");
    }
}

#[test]
fn lists_lose_blanks_and_empty_entries() {
    let config = changed(|config| config.word_blocklist = vec!["{".to_owned(), "_by_lua".to_owned()]);
    assert_eq!(read(&[("annotation-value-word-blocklist", " {, _by_lua ,,")]).0, config);
    assert!(read(&[("no-tls-redirect-locations", "")]).0.no_tls_redirect_locations.is_empty());
    let (config, findings) = read(&[("hide-headers", "X-A, b c,X-B")]);
    assert_eq!(read(&[("global-allowed-response-headers", "X-A, b c,x_B")]).0.allowed_response_headers, ["X-A", "x_B"]);
    assert_eq!((config.settings.hide_headers.len(), codes(&findings)), (2, vec!["invalid-config-value"]));
}

#[test]
fn what_protects_closes_everything() {
    for key in config_keys().filter(|key| key.protects) {
        let (config, findings) = read(&[(key.key, "10.0.0.0/8")]);
        assert_eq!(config.closed.map(|closed| closed.key.to_string()).as_deref(), Some(key.key));
        assert_eq!((codes(&findings), findings[0].severity), (vec!["not-yet-supported"], Severity::Error));
        assert_eq!(read(&[(key.key, " ")]).0.closed, None);
    }
    let protecting: Vec<&str> = config_keys().filter(|key| key.protects).map(|key| key.key).collect();
    let want =
        "block-cidrs block-user-agents block-referers denylist-source-range whitelist-source-range global-auth-url";
    assert_eq!(protecting.join(" "), want);
}

#[test]
fn keys_without_effect_are_told_by_what_they_are() {
    for (key, value, want) in [
        ("gzip-level", "9", "not-yet-supported"),
        ("use-gzip", "true", "not-yet-supported"),
        ("limit-conn-status-code", "0x10", "not-yet-supported"),
        ("reuse-port", "false", "no-effect"),
        ("jaeger-endpoint", "x", "no-effect"),
        ("http-snippet", "map $a $b {}", "snippet-refused"),
        ("no-such-key", "x", "unknown-key"),
        ("zipkin-sample-rate", "1", "unknown-key"),
    ] {
        let (config, findings) = read(&[(key, value)]);
        assert_eq!((config, codes(&findings)), (Config::default(), vec![want]), "{key}");
    }
    assert!(read(&[("http-snippet", "# nothing"), ("use-gzip", ""), ("proxy-buffering", "off")]).1.is_empty());
    assert_eq!(read(&[("use-forwarded-header", "true")]).1[0].help, "did you mean use-forwarded-headers?");
}

proptest! {
    #[test]
    fn no_value_panics(value in ".*") {
        for key in config_keys() {
            let (one, other) = (read(&[(key.key, &value)]), read(&[(key.key, &value)]));
            prop_assert_eq!(&one, &other);
            prop_assert!(one.1.iter().all(|finding| !finding.message.chars().any(char::is_control)));
        }
    }
}
