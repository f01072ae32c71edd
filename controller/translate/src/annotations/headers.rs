//! Header fields that an Ingress sets.

use std::sync::Arc;

use portcullis_model::policy::ConnectionHeader;

use super::chars::{Chars, Charset};
use super::reader::Reader;
use super::spec::{Group, Key, OnError, Spec};
use super::value::{self, Fault};
use super::{Draft, Risk};

pub(super) const GROUP: Group = Group {
    name: "headers",
    doc: "Header fields that are set on requests and responses.",
    keys: &[&CONNECTION_PROXY_HEADER, &CUSTOM_HEADERS],
    parse,
};

const CONNECTION_PROXY_HEADER: Key<ConnectionHeader> = Key {
    parse: connection,
    spec: Spec {
        key: "connection-proxy-header",
        value: "`close` or `keep-alive`",
        on_error: OnError::Reject,
        chars: Chars::Text,
        doc: "`Connection` as the upstream receives it. It replaces the `upgrade` of WebSockets, which do not work then.",
        ..Spec::BASE
    },
};

const CUSTOM_HEADERS: Key<Arc<str>> = Key {
    parse: |text| Ok(text.into()),
    spec: Spec {
        key: "custom-headers",
        value: "`namespace/name` of a ConfigMap",
        risk: Risk::Medium,
        chars: Chars::OfSpaced(Charset::BASIC),
        doc: "Headers that are set on responses of every status, in place of those of the same name: each entry of the \
              ConfigMap is one. Every name must be listed in `global-allowed-response-headers` of the ConfigMap of the \
              controller, spelt the same, and `$` stands for itself. The ConfigMap must be in the namespace of the Ingress \
              unless `allow-cross-namespace-resources` is set. If it is missing or refused, every path answers 503.",
        ..Spec::BASE
    },
};

fn parse(read: &mut Reader<'_>, draft: &mut Draft) {
    draft.connection = read.value(&CONNECTION_PROXY_HEADER);
    draft.custom_headers = read.value(&CUSTOM_HEADERS);
}

fn connection(text: &str) -> Result<ConnectionHeader, Fault> {
    value::word(text, &["close", "keep-alive"]).map(|word| match word {
        "close" => ConnectionHeader::Close,
        _ => ConnectionHeader::KeepAlive,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Outcome, read};
    use super::*;

    #[test]
    fn connection_is_one_of_two_words_or_takes_the_ingress_out() {
        for (value, want, outcome) in [
            ("close", Some(ConnectionHeader::Close), Outcome::Served),
            (" keep-alive ", Some(ConnectionHeader::KeepAlive), Outcome::Served),
            ("", None, Outcome::Served),
            ("upgrade", None, Outcome::TakenOut("connection-proxy-header")),
            ("Close", None, Outcome::TakenOut("connection-proxy-header")),
            ("close\r\nX: y", None, Outcome::TakenOut("connection-proxy-header")),
        ] {
            let got = read(&[("connection-proxy-header", value)]);
            assert_eq!((got.draft.connection, got.outcome()), (want, outcome), "{value:?}");
        }
    }

    #[test]
    fn custom_headers_name_a_config_map() {
        for (value, want) in [
            ("demo/headers", Some("demo/headers")),
            ("headers", Some("headers")),
            ("", None),
            ("a;b", None),
            ("demo/headers\nx", None),
        ] {
            let got = read(&[("custom-headers", value)]);
            assert_eq!((got.draft.custom_headers.as_deref(), got.outcome()), (want, Outcome::Served), "{value:?}");
        }
    }
}
