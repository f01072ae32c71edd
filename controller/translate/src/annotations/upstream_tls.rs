//! TLS to the upstream: the certificate shown to it, and what is asked of its own.

use portcullis_model::{CipherList, TlsVersions};
use rustls_pki_types::ServerName;

use super::chars::{Chars, Charset};
use super::draft::UpstreamTlsRules;
use super::reader::Reader;
use super::spec::{Group, Key, OnError, Spec};
use super::value::{self, Fault};
use super::{Draft, Risk};
use crate::{ObjectKey, quoted};

pub(super) const GROUP: Group = Group {
    name: "upstream-tls",
    doc: "TLS to the upstream: the certificate shown to it, and what is asked of its own. All of it counts only with `proxy-ssl-secret`, \
          and only where `backend-protocol` is TLS.",
    keys: &[&SECRET, &VERIFY, &DEPTH, &NAME, &SERVER_NAME, &PROTOCOLS, &CIPHERS],
    parse,
};

const SECRET: Key<String> = Key {
    parse: |text| Ok(text.to_owned()),
    spec: Spec {
        key: "proxy-ssl-secret",
        value: "`namespace/name` of a Secret",
        risk: Risk::Medium,
        on_error: OnError::Reject,
        protects: true,
        chars: Chars::Of(Charset::BASIC),
        doc: "The certificate shown to the upstream (`tls.crt`, `tls.key`), and the authorities its own is checked by (`ca.crt`). \
              The Secret must be in the namespace of the Ingress unless `allow-cross-namespace-resources` is set. Where it \
              cannot be used, every path of the Ingress answers 503.",
        ..Spec::BASE
    },
};

const VERIFY: Key<bool> = Key {
    parse: value::switch,
    spec: Spec {
        key: "proxy-ssl-verify",
        value: "`on` or `off`",
        default: "off",
        chars: Chars::Text,
        doc: "Checks the certificate of the upstream: by `ca.crt`, and by its name, which needs `proxy-ssl-name`. Without `ca.crt` \
              every path of the Ingress answers 503.",
        ..Spec::BASE
    },
};

const DEPTH: Key<u32> = Key {
    parse: |text| {
        let depth = u32::try_from(value::integer(text)?);
        depth.map(|depth| depth.max(1)).map_err(|_| Fault::not("a number of certificates"))
    },
    spec: Spec {
        key: "proxy-ssl-verify-depth",
        value: "a number of certificates",
        default: "1",
        doc: "How many intermediate certificates may stand between that of the upstream and an authority; 0 means 1.",
        ..Spec::BASE
    },
};

const NAME: Key<ServerName<'static>> = Key {
    parse: |text| ServerName::try_from(text.to_owned()).map_err(|_| Fault::not("a host name or an address")),
    spec: Spec {
        key: "proxy-ssl-name",
        value: "a host name, without variables",
        risk: Risk::High,
        chars: Chars::Trimmed(Charset::REGEX),
        doc: "The name that the certificate of the upstream must have, and that `proxy-ssl-server-name` sends. Without it that is \
              `upstream_balancer`, which no certificate has.",
        ..Spec::BASE
    },
};

const SERVER_NAME: Key<bool> = Key {
    parse: value::switch,
    spec: Spec {
        key: "proxy-ssl-server-name",
        value: "`on` or `off`",
        default: "off",
        chars: Chars::Text,
        doc: "Sends `proxy-ssl-name` in the handshake (SNI).",
        ..Spec::BASE
    },
};

const PROTOCOLS: Key<TlsVersions> = Key {
    parse: versions,
    spec: Spec {
        key: "proxy-ssl-protocols",
        value: "`TLSv1.2` and `TLSv1.3`, divided by spaces",
        default: "TLSv1.2",
        chars: Chars::Text,
        doc: "Versions of TLS.",
        ..Spec::BASE
    },
};

const CIPHERS: Key<String> = Key {
    parse: |text| Ok(text.to_owned()),
    spec: Spec {
        key: "proxy-ssl-ciphers",
        value: "cipher suites in the notation of OpenSSL",
        default: "DEFAULT",
        risk: Risk::Medium,
        chars: Chars::Of(Charset::CIPHERS),
        doc: "Cipher suites of TLS 1.2: those with ECDHE and AES-GCM or ChaCha20, which are all there are here.",
        ..Spec::BASE
    },
};

/// What ingress-nginx calls its upstreams (`proxy_pass http://upstream_balancer`), which is the default of `proxy_ssl_name`.
const INTERNAL_NAME: &str = "upstream_balancer";

fn parse(read: &mut Reader<'_>, draft: &mut Draft) {
    let written = read.has(&SECRET.spec);
    let reference = read.value(&SECRET);
    let verify = read.value(&VERIFY);
    let depth = read.value(&DEPTH);
    let name = read.value(&NAME);
    let send_name = read.value(&SERVER_NAME);
    let versions = read.value(&PROTOCOLS).unwrap_or(TlsVersions::Tls12);
    let list = read.value(&CIPHERS);
    let Some(reference) = reference else {
        if !written {
            for key in [&VERIFY.spec, &DEPTH.spec, &NAME.spec, &SERVER_NAME.spec, &PROTOCOLS.spec, &CIPHERS.spec] {
                if read.has(key) {
                    read.no_effect(key.key, "it needs proxy-ssl-secret");
                }
            }
        }
        return;
    };
    let Some(secret) = secret(read, &reference) else { return };
    if let Ok(name) = name.map_or_else(|| ServerName::try_from(INTERNAL_NAME), Ok) {
        draft.upstream_tls = Some(UpstreamTlsRules {
            secret,
            verify: verify.unwrap_or(false),
            depth: depth.unwrap_or(1),
            name,
            send_name: send_name.unwrap_or(false),
            versions,
            ciphers: ciphers(read, list.as_deref().unwrap_or(CIPHERS.spec.default)),
        });
    }
}

/// A Secret of the Ingress' own namespace, or of any where `allow-cross-namespace-resources` says so; anything else closes the
/// Ingress.
fn secret(read: &mut Reader<'_>, reference: &str) -> Option<ObjectKey> {
    let help = "write namespace/name, with the namespace of the Ingress";
    let Some(key) = ObjectKey::parse(reference) else {
        let reason = format!("{} is not namespace/name", quoted(reference));
        read.deny(&SECRET.spec, "invalid-annotation", &reason, help);
        return None;
    };
    if key.namespace != read.ingress().namespace && !read.config.allow_cross_namespace {
        let reason = format!("the Secret {} is of another namespace", quoted(reference));
        read.deny(&SECRET.spec, "other-namespace", &reason, help);
        return None;
    }
    Some(key)
}

/// The suites that are there. Where none of the list is, the default holds: without any there is no connection at all.
fn ciphers(read: &mut Reader<'_>, text: &str) -> CipherList {
    let (list, others) = CipherList::parse(text);
    let others = value::bounded(&others.join(", "));
    if list.is_none() {
        let default = CIPHERS.spec.default;
        read.adjusted(
            &CIPHERS.spec,
            format!("no suite of it is offered here ({others}); the default {default} is used"),
        );
    } else if !others.is_empty() {
        read.remark(&CIPHERS.spec, "not-offered", format!("not offered here: {others}; the others are"));
    }
    list.or_else(|| CipherList::parse(CIPHERS.spec.default).0).unwrap_or_default()
}

/// A value of spaces alone means the default, as there.
fn versions(text: &str) -> Result<TlsVersions, Fault> {
    match TlsVersions::parse(text) {
        (versions, others) if others.is_empty() => Ok(versions.unwrap_or(TlsVersions::Tls12)),
        _ => Err(Fault::not("made of `TLSv1.2` and `TLSv1.3`")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Outcome, read, read_with};
    use super::*;
    use crate::Config;

    fn rules(annotations: &[(&str, &str)]) -> UpstreamTlsRules {
        let all: Vec<_> = annotations.iter().copied().chain([("proxy-ssl-secret", "demo/ca")]).collect();
        read(&all).draft.upstream_tls.unwrap()
    }

    #[test]
    fn the_secret_is_of_the_own_namespace_and_bad_ones_close() {
        for (value, codes, outcome) in [
            ("demo/ca", &[][..], Outcome::Served),
            ("other/ca", &["other-namespace"], Outcome::Closed("proxy-ssl-secret")),
            ("ca", &["invalid-annotation"], Outcome::Closed("proxy-ssl-secret")),
            ("demo/ca/x", &["invalid-annotation"], Outcome::Closed("proxy-ssl-secret")),
            ("demo/ca;", &["invalid-annotation"], Outcome::Rejected("proxy-ssl-secret")),
            ("", &["empty-annotation"], Outcome::Closed("proxy-ssl-secret")),
        ] {
            let got = read(&[("proxy-ssl-secret", value)]);
            assert_eq!((got.codes(), got.outcome()), (codes.to_vec(), outcome), "{value}");
            assert_eq!(got.draft.upstream_tls.is_some(), codes.is_empty(), "{value}");
        }
    }

    #[test]
    fn a_secret_of_another_namespace_may_be_allowed() {
        let config = Config { allow_cross_namespace: true, ..Config::default() };
        let got = read_with(&[("proxy-ssl-secret", "other/ca")], &config);
        assert_eq!((got.codes(), got.outcome()), (vec![], Outcome::Served));
        assert_eq!(got.draft.upstream_tls.unwrap().secret, ObjectKey::new("other", "ca"));
        let got = read_with(&[("proxy-ssl-secret", "ca")], &config);
        assert_eq!(got.outcome(), Outcome::Closed("proxy-ssl-secret"), "a namespace is always named");
    }

    #[test]
    fn the_other_keys_count_with_the_secret_only() {
        let got = read(&[("proxy-ssl-verify", "on"), ("proxy-ssl-name", "a.example"), ("proxy-ssl-ciphers", "HIGH")]);
        assert_eq!((got.codes(), got.outcome()), (vec!["no-effect"; 3], Outcome::Served));
        assert!(got.draft.upstream_tls.is_none());
    }

    #[test]
    fn bad_values_leave_the_defaults() {
        let defaults = rules(&[]);
        assert_eq!((defaults.verify, defaults.depth, defaults.send_name), (false, 1, false));
        assert_eq!((defaults.name.to_str().as_ref(), defaults.versions), (INTERNAL_NAME, TlsVersions::Tls12));
        for (key, value) in [
            ("proxy-ssl-verify", "yes"),
            ("proxy-ssl-verify-depth", "-1"),
            ("proxy-ssl-verify-depth", "many"),
            ("proxy-ssl-name", "$host"),
            ("proxy-ssl-name", "a b"),
            ("proxy-ssl-server-name", "true"),
            ("proxy-ssl-protocols", "TLSv1.1"),
            ("proxy-ssl-protocols", "SSLv3 TLSv1.2"),
            ("proxy-ssl-ciphers", "AES;x"),
            ("proxy-ssl-ciphers", "DHE-RSA-AES256-SHA"),
        ] {
            assert_eq!(rules(&[(key, value)]), defaults, "{key} {value}");
            let got = read(&[(key, value), ("proxy-ssl-secret", "demo/ca")]);
            assert_eq!((got.codes(), got.outcome()), (vec!["invalid-annotation"], Outcome::Served), "{key} {value}");
        }
    }

    #[test]
    fn values_are_read() {
        let rules = rules(&[
            ("proxy-ssl-verify", "on"),
            ("proxy-ssl-verify-depth", "3"),
            ("proxy-ssl-name", "a.example"),
            ("proxy-ssl-server-name", "on"),
            ("proxy-ssl-protocols", " TLSv1.3  TLSv1.2"),
            ("proxy-ssl-ciphers", "AES128+ECDHE:!aECDSA"),
        ]);
        assert_eq!((rules.verify, rules.depth, rules.send_name), (true, 3, true));
        assert_eq!(rules.name.to_str(), "a.example");
        assert_eq!(rules.versions, TlsVersions::Both);
        assert_eq!(rules.ciphers.to_string(), "ECDHE-RSA-AES128-GCM-SHA256");
        assert_eq!(self::rules(&[("proxy-ssl-verify-depth", "0")]).depth, 1);
    }
}
