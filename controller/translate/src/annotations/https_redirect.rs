//! When plain HTTP requests are sent to HTTPS, and how that `Location` is written.

use portcullis_model::policy::{HttpsRedirect, HttpsRedirectMode};

use super::reader::Reader;
use super::spec::{Group, Key, Spec};
use super::value;
use super::{Draft, Risk};

pub(super) const GROUP: Group = Group {
    name: "https_redirect",
    doc: "When plain HTTP requests are sent to HTTPS, and how that `Location` is written.",
    keys: &[&SSL_REDIRECT, &FORCE_SSL_REDIRECT, &PRESERVE_TRAILING_SLASH, &USE_PORT_IN_REDIRECTS],
    parse,
};

const SSL_REDIRECT: Key<bool> = Key {
    parse: value::boolean,
    spec: Spec {
        key: "ssl-redirect",
        value: value::BOOLEAN,
        default: "true",
        config_key: Some("ssl-redirect"),
        doc: "Sends plain HTTP requests to HTTPS where a certificate is registered for the host.",
        ..Spec::BASE
    },
};

const FORCE_SSL_REDIRECT: Key<bool> = Key {
    parse: value::boolean,
    spec: Spec {
        key: "force-ssl-redirect",
        value: value::BOOLEAN,
        default: "false",
        config_key: Some("force-ssl-redirect"),
        risk: Risk::Medium,
        doc: "Sends plain HTTP requests to HTTPS whether or not the host has a certificate; wins over `ssl-redirect`.",
        ..Spec::BASE
    },
};

const PRESERVE_TRAILING_SLASH: Key<bool> = Key {
    parse: value::boolean,
    spec: Spec {
        key: "preserve-trailing-slash",
        value: value::BOOLEAN,
        default: "false",
        config_key: Some("preserve-trailing-slash"),
        risk: Risk::Medium,
        doc: "Keeps the slash at the end of the request URI in the `Location`, which loses one otherwise.",
        ..Spec::BASE
    },
};

const USE_PORT_IN_REDIRECTS: Key<bool> = Key {
    parse: value::boolean,
    spec: Spec {
        key: "use-port-in-redirects",
        value: value::BOOLEAN,
        default: "false",
        config_key: Some("use-port-in-redirects"),
        doc: "Names the HTTPS port in the `Location`.",
        ..Spec::BASE
    },
};

fn parse(read: &mut Reader<'_>, draft: &mut Draft) {
    let ssl = read.value(&SSL_REDIRECT).unwrap_or(read.config.ssl_redirect);
    let force = read.value(&FORCE_SSL_REDIRECT).unwrap_or(read.config.force_ssl_redirect);
    let default = draft.https_redirect;
    draft.https_redirect = HttpsRedirect {
        mode: mode(ssl, force),
        keep_trailing_slash: read.value(&PRESERVE_TRAILING_SLASH).unwrap_or(default.keep_trailing_slash),
        with_port: read.value(&USE_PORT_IN_REDIRECTS).unwrap_or(default.with_port),
    };
}

/// What `ssl-redirect` and `force-ssl-redirect` mean together.
pub(crate) fn mode(ssl: bool, force: bool) -> HttpsRedirectMode {
    match (force, ssl) {
        (true, _) => HttpsRedirectMode::Always,
        (false, true) => HttpsRedirectMode::WithCertificate,
        (false, false) => HttpsRedirectMode::Never,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use portcullis_model::policy::HttpsRedirectMode::{Always, Never, WithCertificate};

    use super::super::testing::{read, read_with};
    use crate::Config;

    #[test]
    fn force_wins_over_ssl_redirect() {
        for (annotations, want) in [
            (&[][..], WithCertificate),
            (&[("ssl-redirect", "false")], Never),
            (&[("ssl-redirect", "F")], Never),
            (&[("ssl-redirect", "no")], WithCertificate),
            (&[("force-ssl-redirect", "true")], Always),
            (&[("force-ssl-redirect", "true"), ("ssl-redirect", "false")], Always),
            (&[("force-ssl-redirect", "yes")], WithCertificate),
            (&[("ssl-redirect", "")], WithCertificate),
        ] {
            assert_eq!(read(annotations).draft.https_redirect.mode, want, "{annotations:?}");
        }
    }

    #[test]
    fn the_config_map_gives_the_defaults() {
        let data = [
            ("ssl-redirect", "false"),
            ("force-ssl-redirect", "true"),
            ("preserve-trailing-slash", "true"),
            ("use-port-in-redirects", "true"),
        ];
        let data: BTreeMap<String, String> = data.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let config = Config::read(None, Some(&data), &mut Vec::new());
        for (annotations, mode, slash, port) in [
            (&[][..], Always, true, true),
            (&[("force-ssl-redirect", "false")], Never, true, true),
            (&[("force-ssl-redirect", "false"), ("ssl-redirect", "true")], WithCertificate, true, true),
            (&[("preserve-trailing-slash", "false"), ("use-port-in-redirects", "x")], Always, false, true),
        ] {
            let got = read_with(annotations, &config).draft.https_redirect;
            assert_eq!((got.mode, got.keep_trailing_slash, got.with_port), (mode, slash, port), "{annotations:?}");
        }
    }

    #[test]
    fn a_bad_value_is_told_with_key_and_value() {
        let got = read(&[("ssl-redirect", "no")]);
        let finding = &got.findings[0];
        assert_eq!(finding.field, "nginx.ingress.kubernetes.io/ssl-redirect");
        assert_eq!(finding.message, "`no` is not a boolean, such as `true` or `false`; the default is used");
        assert_eq!(finding.help, "expected: `true` or `false`");
    }
}
