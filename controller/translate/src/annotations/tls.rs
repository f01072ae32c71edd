//! TLS handshakes of a host.

use portcullis_model::CipherList;

use super::chars::{Chars, Charset};
use super::reader::Reader;
use super::spec::{Group, Key, OnError, Spec, Support};
use super::value;
use super::{Draft, Scope};

pub(super) const GROUP: Group =
    Group { name: "tls", doc: "TLS handshakes of a host.", keys: &[&SSL_CIPHERS, &SSL_PREFER_SERVER_CIPHERS], parse };

const SSL_CIPHERS: Key<String> = Key {
    parse: |text| Ok(text.to_owned()),
    spec: Spec {
        key: "ssl-ciphers",
        value: "ciphers in the notation of OpenSSL",
        config_key: Some("ssl-ciphers"),
        scope: Scope::Host,
        on_error: OnError::Reject,
        support: Support::Partial,
        chars: Chars::OfSpaced(Charset::CIPHERS),
        doc: "Cipher suites of TLS 1.2, in order of preference. Those with ECDHE and AES-GCM or ChaCha20 are offered, others are \
              left out; where nothing is left, the key acts as absent. Suites of TLS 1.3 are not affected.",
        ..Spec::BASE
    },
};

const SSL_PREFER_SERVER_CIPHERS: Key<bool> = Key {
    parse: value::boolean,
    spec: Spec {
        key: "ssl-prefer-server-ciphers",
        value: value::BOOLEAN,
        default: "true",
        scope: Scope::Host,
        doc: "Whether the order of the list here decides on the cipher suite, or that of the client.",
        ..Spec::BASE
    },
};

fn parse(read: &mut Reader<'_>, draft: &mut Draft) {
    if let Some(text) = read.value(&SSL_CIPHERS) {
        let (list, others) = CipherList::parse(&text);
        let others = value::bounded(&others.join(", "));
        if list.is_none() {
            read.adjusted(&SSL_CIPHERS.spec, format!("no suite of it is offered here ({others}); it acts as absent"));
        } else if !others.is_empty() {
            read.remark(&SSL_CIPHERS.spec, "not-offered", format!("not offered here: {others}; the others are"));
        }
        draft.handshake.ciphers = list;
    }
    draft.handshake.server_order = read.value(&SSL_PREFER_SERVER_CIPHERS);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Outcome, read};

    #[test]
    fn suites_that_are_not_offered_are_left_out() {
        for (value, want, codes, outcome) in [
            ("ECDHE-RSA-AES256-GCM-SHA384", Some("ECDHE-RSA-AES256-GCM-SHA384"), &[][..], Outcome::Served),
            (
                "ECDHE-RSA-AES256-GCM-SHA384:AES256-SHA",
                Some("ECDHE-RSA-AES256-GCM-SHA384"),
                &["not-offered"],
                Outcome::Served,
            ),
            ("aRSA+CHACHA20:!aNULL:@STRENGTH", Some("ECDHE-RSA-CHACHA20-POLY1305"), &[], Outcome::Served),
            ("AES256-SHA", None, &["invalid-annotation"], Outcome::Served),
            ("ALL;x", None, &["invalid-annotation"], Outcome::TakenOut("ssl-ciphers")),
            ("", None, &["empty-annotation"], Outcome::Served),
        ] {
            let got = read(&[("ssl-ciphers", value)]);
            assert_eq!((got.codes(), got.outcome()), (codes.to_vec(), outcome), "{value}");
            assert_eq!(got.draft.handshake.ciphers.map(|list| list.to_string()).as_deref(), want, "{value}");
        }
    }

    #[test]
    fn the_order_of_the_server_is_a_boolean() {
        for (value, want) in [("true", Some(true)), ("false", Some(false)), ("off", None), ("", None)] {
            let got = read(&[("ssl-prefer-server-ciphers", value)]);
            assert_eq!((got.draft.handshake.server_order, got.outcome()), (want, Outcome::Served), "{value}");
        }
    }
}
