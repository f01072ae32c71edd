//! Annotations under our prefix that no group knows.

use super::reader::Reader;
use super::{find, specs};
use crate::quoted;

/// What ingress-nginx once had, and what took its place.
const REMOVED: &[(&str, &str)] = &[
    ("add-base-url", "remove it"),
    ("base-url-scheme", "remove it"),
    ("enable-dynamic-tls-records", "remove it"),
    ("enable-influxdb", "remove it"),
    ("enable-opentracing", "use enable-opentelemetry"),
    ("global-rate-limit", "use limit-rps or limit-rpm"),
    ("global-rate-limit-ignored-cidrs", "use limit-allowlist"),
    ("global-rate-limit-key", "remove it"),
    ("global-rate-limit-window", "use limit-rps or limit-rpm"),
    ("grpc-backend", "use backend-protocol: GRPC"),
    ("lua-resty-waf", "remove it"),
    ("opentracing-trust-incoming-span", "use opentelemetry-trust-incoming-span"),
    ("secure-backends", "use backend-protocol: HTTPS"),
    ("secure-verify-ca-secret", "use proxy-ssl-secret"),
    ("session-cookie-hash", "remove it"),
];

pub(super) fn report(read: &mut Reader<'_>) {
    let unknown: Vec<&str> = read.unread().map(|entry| entry.key).filter(|key| find(key).is_none()).collect();
    for key in unknown {
        match removed(key) {
            Some(help) => {
                let message =
                    format!("{} is deprecated: ingress-nginx no longer has it, and it has no effect", quoted(key));
                read.warn(key, "removed-annotation", message, help);
            }
            None => {
                let message = format!("{} is not an annotation of ingress-nginx, and has no effect", quoted(key));
                let names = specs().flat_map(|(_, spec)| spec.aliases.iter().copied().chain([spec.key]));
                let help = crate::annotations::nearest(key, names).map(|name| format!("did you mean {name}?"));
                read.warn(key, "unknown-annotation", message, &help.unwrap_or_default());
            }
        }
    }
}

fn removed(key: &str) -> Option<&'static str> {
    if key.starts_with("influxdb-") {
        return Some("remove it");
    }
    REMOVED.iter().find(|(name, _)| *name == key).map(|(_, help)| *help)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Outcome, read};
    use super::*;

    #[test]
    fn unknown_keys_are_told_with_the_nearest_known_one() {
        for (key, help) in [
            ("rewrite-targt", "did you mean rewrite-target?"),
            ("whitelist-source-rang", "did you mean whitelist-source-range?"),
            ("ssl_redirect", "did you mean ssl-redirect?"),
            ("no-such-annotation", ""),
        ] {
            let got = read(&[(key, "x")]);
            assert_eq!((got.codes(), got.findings[0].help.as_str()), (vec!["unknown-annotation"], help), "{key}");
            assert_eq!(got.outcome(), Outcome::Served);
        }
    }

    #[test]
    fn removed_keys_are_deprecated() {
        for key in ["enable-influxdb", "influxdb-host", "secure-verify-ca-secret", "secure-backends"] {
            let got = read(&[(key, "true")]);
            assert_eq!(got.codes(), ["removed-annotation"], "{key}");
            assert!(got.findings[0].message.contains("is deprecated"), "{key}");
        }
        assert!(REMOVED.iter().all(|(key, _)| find(key).is_none()));
    }
}
