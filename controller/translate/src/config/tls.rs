//! Keys of the ConfigMap about TLS with clients.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_model::{CipherList, GroupList, TicketKey, TlsSettings, TlsVersions};

use super::key::{Action, ConfigKey, Entry, Problem};
use super::supported::{entry, flag};
use super::time;
use super::written::Written;
use crate::annotations::Support;
use crate::annotations::value::{Fault, bounded};

/// The default of ingress-nginx. Its finite-field suites are not offered here, which is no news to who writes it.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
    ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES256-GCM-SHA384:\
    DHE-RSA-AES128-GCM-SHA256";

#[rustfmt::skip]
pub(super) static KEYS: &[Entry] = &[
    flag("use-http2", "true", "Offers HTTP/2 in TLS handshakes, and takes it in the clear with prior knowledge.", |w, on| w.settings.http2 = on),
    entry("ssl-protocols", "`TLSv1.2` and `TLSv1.3`, divided by spaces", "TLSv1.2 TLSv1.3", "Versions of TLS. Others are left out; where nothing is left, the default holds.", versions),
    partial("ssl-ciphers", "ciphers in the notation of OpenSSL", CIPHERS, "Cipher suites of TLS 1.2, in order of preference. Those with ECDHE and AES-GCM or ChaCha20 are offered, others are left out; where nothing is left, the default holds. Suites of TLS 1.3 are not affected.", ciphers),
    partial("ssl-ecdh-curve", "`auto`, or names of groups divided by colons", "auto", "Groups of the key exchange, of `X25519MLKEM768`, `X25519`, `prime256v1` (`P-256`) and `secp384r1` (`P-384`); `auto` is all of them. Of those offered here, a client gets the one it names first.", groups),
    flag("ssl-session-cache", "true", "Keeps TLS sessions, 10240 of them.", |w, on| tls(w).session_cache = on),
    entry("ssl-session-timeout", "a time", "10m", "How long a TLS session may be resumed, by cache or ticket; at most 7 days.", session_timeout),
    flag("ssl-session-tickets", "false", "Hands sessions to clients as tickets.", |w, on| w.session_tickets = on),
    secret("ssl-session-ticket-key", "48 or 80 bytes in base64", "Key of the tickets, by which replicas resume sessions of each other; each has random ones if absent.", ticket_key),
    flag("ssl-reject-handshake", "false", "Ends handshakes without a name, and for names that no host has.", |w, on| tls(w).reject_unknown_names = on),
];

fn tls(written: &mut Written) -> &mut TlsSettings {
    Arc::make_mut(&mut written.settings.tls)
}

const fn partial(
    key: &'static str,
    value: &'static str,
    default: &'static str,
    doc: &'static str,
    set: fn(&mut Written, &str) -> Result<(), Problem>,
) -> Entry {
    let key = ConfigKey { key, value, default, support: Support::Partial, protects: false, doc };
    Entry { key, action: Action::Set(set) }
}

const fn secret(
    key: &'static str,
    value: &'static str,
    doc: &'static str,
    set: fn(&mut Written, &str) -> Result<(), Problem>,
) -> Entry {
    let key = ConfigKey { key, value, default: "", support: Support::Full, protects: false, doc };
    Entry { key, action: Action::Secret(set) }
}

fn versions(written: &mut Written, text: &str) -> Result<(), Problem> {
    let fault = Fault::not("made of TLSv1.2 and TLSv1.3 alone");
    let (versions, others) = TlsVersions::parse(text);
    tls(written).versions = versions.ok_or(Problem::Default(fault.clone()))?;
    match others.as_slice() {
        [] => Ok(()),
        others => Err(Problem::Instead(fault, format!("{} never offered", are(others)))),
    }
}

fn ciphers(written: &mut Written, text: &str) -> Result<(), Problem> {
    let (list, others) = CipherList::parse(text);
    tls(written).ciphers = list.ok_or(Fault::not("a list with a suite that is offered here"))?;
    let others = if text == CIPHERS { &[] } else { others.as_slice() };
    not_offered(others)
}

fn groups(written: &mut Written, text: &str) -> Result<(), Problem> {
    let (list, others) = GroupList::parse(text);
    tls(written).groups = list.ok_or(Fault::not("a list with a group that is offered here"))?;
    not_offered(&others)
}

fn not_offered(names: &[&str]) -> Result<(), Problem> {
    if names.is_empty() {
        Ok(())
    } else {
        Err(Problem::Remark(format!("{} not offered here; the others are", are(names))))
    }
}

fn are(names: &[&str]) -> String {
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", bounded(&names.join(", ")))
}

/// The longest time for which a session may be resumed (RFC 8446 section 4.6.1).
const LONGEST_SESSION: Duration = Duration::from_secs(7 * 24 * 3600);

fn session_timeout(written: &mut Written, text: &str) -> Result<(), Problem> {
    tls(written).session_timeout = time::parse(text)?.min(LONGEST_SESSION);
    Ok(())
}

/// A bad key is no reason to do without tickets: random ones are as safe, only that no other replica knows them.
fn ticket_key(written: &mut Written, text: &str) -> Result<(), Problem> {
    if text.is_empty() {
        return Ok(());
    }
    // Go passes over line breaks in base64.
    let text: String = text.chars().filter(|character| !matches!(character, '\r' | '\n')).collect();
    let key = STANDARD.decode(text).ok().and_then(|octets| TicketKey::new(&octets).ok());
    let fault = || Problem::Instead(Fault::not("48 or 80 bytes in base64"), "random keys are used".to_owned());
    written.ticket_key = Some(key.ok_or_else(fault)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use portcullis_model::{SessionTickets, Settings};

    use super::*;
    use crate::{Config, Finding};

    fn read(data: &[(&str, &str)]) -> (Settings, Vec<Finding>) {
        let data: BTreeMap<_, _> = data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut findings = Vec::new();
        (Config::read(None, Some(&data), &mut findings).settings, findings)
    }

    #[test]
    fn what_is_not_offered_is_left_out_and_told() {
        let both = TlsSettings::default();
        let tls12 = || TlsSettings { versions: TlsVersions::Tls12, ..TlsSettings::default() };
        let aes256 = || CipherList::parse("ECDHE-RSA-AES256-GCM-SHA384").0.unwrap();
        let x25519 = || GroupList::parse("X25519").0.unwrap();
        for (key, value, want, told) in [
            ("ssl-protocols", "TLSv1.2", tls12(), None),
            ("ssl-protocols", "TLSv1 TLSv1.1 TLSv1.2", tls12(), Some("TLSv1, TLSv1.1 are never offered")),
            ("ssl-protocols", "TLSv1.1", both.clone(), Some("the default `TLSv1.2 TLSv1.3` is used")),
            ("ssl-protocols", "", both.clone(), Some("the default `TLSv1.2 TLSv1.3` is used")),
            ("ssl-ciphers", "ECDHE-RSA-AES256-GCM-SHA384", TlsSettings { ciphers: aes256(), ..both.clone() }, None),
            (
                "ssl-ciphers",
                "ECDHE-RSA-AES256-GCM-SHA384:AES256-SHA",
                TlsSettings { ciphers: aes256(), ..both.clone() },
                Some("AES256-SHA is not offered here; the others are"),
            ),
            ("ssl-ciphers", "AES256-SHA", both.clone(), Some("is not a list with a suite that is offered here")),
            ("ssl-ciphers", CIPHERS, both.clone(), None),
            ("ssl-ecdh-curve", "X25519", TlsSettings { groups: x25519(), ..both.clone() }, None),
            (
                "ssl-ecdh-curve",
                "X448:X25519",
                TlsSettings { groups: x25519(), ..both.clone() },
                Some("X448 is not offered here; the others are"),
            ),
            ("ssl-ecdh-curve", "X448", both, Some("the default `auto` is used")),
        ] {
            let (settings, findings) = read(&[(key, value)]);
            assert_eq!(*settings.tls, want, "{key} {value}");
            assert_eq!(findings.len(), usize::from(told.is_some()), "{key} {value}");
            assert!(findings.iter().all(|finding| finding.message.contains(told.unwrap())), "{findings:?}");
        }
    }

    #[test]
    fn sessions_are_kept_as_written() {
        let (settings, findings) = read(&[("ssl-session-cache", "false"), ("ssl-session-timeout", "1h 30m")]);
        assert_eq!((settings.tls.session_cache, settings.tls.session_timeout), (false, Duration::from_secs(5400)));
        assert!(findings.is_empty());
        let (settings, _) = read(&[("ssl-session-timeout", "30d")]);
        assert_eq!(settings.tls.session_timeout, Duration::from_secs(7 * 24 * 3600), "by the cache, too");
    }

    #[test]
    fn tickets_have_the_shared_key_or_random_ones() {
        let key = |length| STANDARD.encode(vec![b'k'; length]);
        let broken = key(48).replacen("a2tra2", "a2t\nra2\r\n", 3) + "\n";
        assert!(broken.lines().count() > 3);
        for (value, shared, told) in [
            (key(48), true, 0),
            (key(80), true, 0),
            (broken, true, 0),
            (String::new(), false, 0),
            (key(32), false, 1),
            ("no base64, really".to_owned(), false, 1),
        ] {
            let (settings, findings) = read(&[("ssl-session-tickets", "true"), ("ssl-session-ticket-key", &value)]);
            let is_shared = matches!(settings.tls.tickets, SessionTickets::SharedKey(_));
            assert_eq!((is_shared, findings.len()), (shared, told), "{value}");
            assert!(is_shared || settings.tls.tickets == SessionTickets::OwnKeys);
            let shown = format!("{settings:?} {findings:?} {}", serde_json::to_string(&settings).unwrap());
            assert!(value.is_empty() || !shown.contains(value.trim()), "{shown}");
        }
        let (settings, _) = read(&[("ssl-session-ticket-key", &key(48))]);
        assert_eq!(settings.tls.tickets, SessionTickets::Off);
    }

    #[test]
    fn early_data_is_never_accepted_and_that_is_told() {
        let (settings, findings) = read(&[("ssl-early-data", "true")]);
        assert_eq!((settings, findings.len(), findings[0].code), (Settings::default(), 1, "no-effect"));
        assert!(read(&[("ssl-early-data", "false")]).1.is_empty());
    }
}
