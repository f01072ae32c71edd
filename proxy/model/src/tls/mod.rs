//! TLS with clients: what the ConfigMap and hosts decide about handshakes, as checked values.

mod ciphers;
mod groups;
mod ticket_key;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

pub use ciphers::{CipherList, Tls12Cipher};
pub use groups::{GroupList, TlsGroup};
pub use ticket_key::{InvalidTicketKey, TicketKey};
pub use versions::TlsVersions;

/// Handshakes with clients of every host. Defaults are those of ingress-nginx.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct TlsSettings {
    /// `ssl-protocols`, default 1.2 and 1.3.
    pub versions: TlsVersions,
    /// `ssl-ciphers`: suites of TLS 1.2. Those of TLS 1.3 are always offered.
    pub ciphers: CipherList,
    /// `ssl-ecdh-curve`, default `auto`: groups of the key exchange.
    pub groups: GroupList,
    /// `ssl-session-cache`, default on: keep sessions here, to be resumed by their name.
    pub session_cache: bool,
    /// `ssl-session-timeout`, default 10 minutes: how long a session may be resumed, by cache or ticket.
    #[serde(serialize_with = "as_seconds")]
    pub session_timeout: Duration,
    /// `ssl-session-tickets` and `ssl-session-ticket-key`, default off.
    pub tickets: SessionTickets,
    /// `ssl-reject-handshake`, default off: end handshakes whose server name is missing or no host's, instead of showing the
    /// default certificate.
    pub reject_unknown_names: bool,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            versions: TlsVersions::default(),
            ciphers: CipherList::default(),
            groups: GroupList::default(),
            session_cache: true,
            session_timeout: Duration::from_secs(600),
            tickets: SessionTickets::Off,
            reject_unknown_names: false,
        }
    }
}

fn as_seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.as_secs())
}

/// Sessions that clients keep themselves (RFC 5077; RFC 8446 section 4.6.1).
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionTickets {
    /// None are handed out.
    #[default]
    Off,
    /// Sealed with keys of this process, which it replaces now and then.
    OwnKeys,
    /// Sealed with a key that replicas share, so that each resumes the sessions of the others.
    SharedKey(TicketKey),
}

/// What a virtual host changes of [`TlsSettings`], chosen by the server name of the handshake.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct HostTls {
    /// `ssl-ciphers`; those of [`TlsSettings::ciphers`] where it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ciphers: Option<CipherList>,
    /// `ssl-prefer-server-ciphers`, default on: the order of the list here decides, else the order of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_order: Option<bool>,
}

impl HostTls {
    /// None where nothing is changed, so that such hosts share the settings of all.
    #[must_use]
    pub fn shared(self) -> Option<Arc<Self>> {
        (self != Self::default()).then(|| Arc::new(self))
    }
}
