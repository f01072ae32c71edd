//! In which protocol the upstream is spoken to, and who answers where it cannot.

use std::sync::Arc;

use portcullis_model::Protocol;

use super::Draft;
use super::chars::Chars;
use super::reader::Reader;
use super::spec::{Group, Key, OnError, Spec, Support};
use super::value;
use crate::quoted;

pub(super) const GROUP: Group = Group {
    name: "backend",
    doc: "How the upstream is spoken to, and who answers where it cannot.",
    keys: &[&BACKEND_PROTOCOL, &PROXY_HTTP_VERSION, &DEFAULT_BACKEND],
    parse,
};

const PROTOCOLS: &[&str] = &["http", "https", "auto_http", "grpc", "grpcs", "fcgi"];

const BACKEND_PROTOCOL: Key<&'static str> = Key {
    parse: |text| value::word_ignoring_case(text, PROTOCOLS),
    spec: Spec {
        key: "backend-protocol",
        value: "`HTTP`, `HTTPS`, `AUTO_HTTP`, `GRPC` or `GRPCS`, in any case",
        default: "HTTP",
        support: Support::Partial,
        chars: Chars::Text,
        doc: "How the upstream is spoken to. `HTTPS` and `GRPCS` neither check its certificate nor send a server name without \
              `proxy-ssl-secret`; `AUTO_HTTP` is `HTTPS` for requests over TLS. `GRPC` and `GRPCS` are HTTP/2, in the clear and over \
              TLS. `FCGI` is not supported yet: every path of the Ingress answers 503.",
        ..Spec::BASE
    },
};

const PROXY_HTTP_VERSION: Key<bool> = Key {
    parse: |text| value::word(text, &["1.0", "1.1"]).map(|word| word == "1.0"),
    spec: Spec {
        key: "proxy-http-version",
        value: "`1.0` or `1.1`",
        default: "1.1",
        config_key: Some("proxy-http-version"),
        chars: Chars::Text,
        doc: "Version of HTTP to the upstream, where that is not HTTP/2. With `1.0` every request has a connection of its own.",
        ..Spec::BASE
    },
};

const DEFAULT_BACKEND: Key<Arc<str>> = Key {
    parse: |text| value::service_name(text).map(Arc::from),
    spec: Spec {
        key: "default-backend",
        value: "the name of a Service in the namespace of the Ingress",
        on_error: OnError::Reject,
        chars: Chars::Text,
        doc: "Takes all requests, on its first port, while the backend has no endpoints. Without effect where the Service does not exist.",
        ..Spec::BASE
    },
};

fn parse(read: &mut Reader<'_>, draft: &mut Draft) {
    draft.upstream.protocol = match read.value(&BACKEND_PROTOCOL) {
        None | Some("http") => Protocol::Http,
        Some("https") => Protocol::Https,
        Some("auto_http") => Protocol::Auto,
        Some("grpc") => Protocol::Grpc,
        Some("grpcs") => Protocol::Grpcs,
        Some(unsupported) => {
            let what = format!("the protocol {}", quoted(&unsupported.to_ascii_uppercase()));
            read.cannot_serve(&BACKEND_PROTOCOL.spec, &what);
            Protocol::Http
        }
    };
    if let Some(http10) = read.value(&PROXY_HTTP_VERSION) {
        draft.upstream.http10 = http10;
    }
    draft.default_backend = read.value(&DEFAULT_BACKEND);
}

#[cfg(test)]
mod tests {
    use portcullis_model::Protocol;

    use super::super::testing::{Outcome, read, read_with};

    #[test]
    fn protocols_are_read_in_any_case() {
        for (value, want, outcome) in [
            ("HTTP", Protocol::Http, Outcome::Served),
            ("https", Protocol::Https, Outcome::Served),
            (" HTTPS ", Protocol::Https, Outcome::Served),
            ("Auto_Http", Protocol::Auto, Outcome::Served),
            ("GRPC", Protocol::Grpc, Outcome::Served),
            ("Grpcs", Protocol::Grpcs, Outcome::Served),
            ("FCGI", Protocol::Http, Outcome::Closed("backend-protocol")),
            ("h2c", Protocol::Http, Outcome::Served),
            ("", Protocol::Http, Outcome::Served),
        ] {
            let got = read(&[("backend-protocol", value)]);
            assert_eq!((got.draft.upstream.protocol, got.outcome()), (want, outcome), "{value}");
        }
        assert_eq!(read(&[("backend-protocol", "h2c")]).codes(), ["invalid-annotation"]);
    }

    #[test]
    fn the_version_of_http_defaults_to_the_config_map() {
        let old = crate::Config { http10: true, ..crate::Config::default() };
        for (config, value, want) in [
            (&crate::Config::default(), None, false),
            (&crate::Config::default(), Some("1.0"), true),
            (&old, None, true),
            (&old, Some("1.1"), false),
            (&old, Some("2"), true),
        ] {
            let annotations: Vec<_> = value.map(|value| ("proxy-http-version", value)).into_iter().collect();
            assert_eq!(read_with(&annotations, config).draft.upstream.http10, want, "{value:?}");
        }
    }

    #[test]
    fn the_default_backend_is_a_service_of_the_namespace() {
        for (value, want, outcome) in [
            ("echo", Some("echo"), Outcome::Served),
            ("ns/echo", None, Outcome::TakenOut("default-backend")),
            ("Echo", None, Outcome::TakenOut("default-backend")),
            ("", None, Outcome::Served),
        ] {
            let got = read(&[("default-backend", value)]);
            assert_eq!((got.draft.default_backend.as_deref(), got.outcome()), (want, outcome), "{value}");
        }
    }
}
