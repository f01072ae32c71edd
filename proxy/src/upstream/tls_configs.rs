//! The TLS configurations of one worker, made once for each setting that a routing table holds.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use portcullis_model::UpstreamTls;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tls::{configured, for_http2};

/// Tells the TLS settings of one worker apart. A number is not given twice. Small, since every request carries one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct TlsId(u32);

/// TLS configurations by setting.
pub(super) struct TlsConfigs {
    unverified: Pair,
    /// By the address of the setting, which the `Weak` keeps from being given to another one.
    own: RefCell<HashMap<usize, Entry>>,
    next: Cell<u32>,
}

struct Entry {
    id: TlsId,
    settings: Weak<UpstreamTls>,
    name: ServerName<'static>,
    pair: Option<Pair>,
}

/// One setting, with and without ALPN.
struct Pair {
    http1: TlsConnector,
    http2: TlsConnector,
}

impl TlsId {
    /// Without `proxy-ssl-secret`.
    pub(crate) const UNVERIFIED: Self = Self(0);
}

/// Settings at one time. Beyond that those that no table has are forgotten at once, not at the next sweep.
const SETTINGS: usize = 1024;

impl TlsConfigs {
    pub(super) fn new(unverified: ClientConfig) -> Self {
        Self { unverified: Pair::new(unverified), own: RefCell::default(), next: Cell::new(1) }
    }

    /// The number of these settings; a new one where they were not met before.
    pub(super) fn id(&self, settings: &Arc<UpstreamTls>) -> TlsId {
        let place = Arc::as_ptr(settings).addr();
        if let Some(entry) = self.own.borrow().get(&place) {
            return entry.id;
        }
        if self.own.borrow().len() >= SETTINGS {
            self.sweep();
        }
        let id = TlsId(self.next.replace(self.next.get().saturating_add(1)));
        let pair = configured(settings).map(Pair::new);
        if let Err(error) = &pair {
            tracing::error!(%error, "TLS to an upstream cannot be set up");
        }
        let (settings, name) = (Arc::downgrade(settings), settings.name().clone());
        self.own.borrow_mut().insert(place, Entry { id, settings, name, pair: pair.ok() });
        id
    }

    /// Shakes hands.
    ///
    /// # Errors
    ///
    /// When the handshake fails, or the settings are gone.
    pub(super) async fn handshake(
        &self,
        id: TlsId,
        http2: bool,
        (address, stream): (SocketAddr, TcpStream),
    ) -> io::Result<TlsStream<TcpStream>> {
        let (connector, name) = self.connector(id, http2, address).ok_or(io::ErrorKind::NotFound)?;
        connector.connect(name, stream).await
    }

    fn connector(&self, id: TlsId, http2: bool, address: SocketAddr) -> Option<(TlsConnector, ServerName<'static>)> {
        if id == TlsId::UNVERIFIED {
            return Some((self.unverified.of(http2), ServerName::IpAddress(address.ip().into())));
        }
        let own = self.own.borrow();
        let entry = own.values().find(|entry| entry.id == id)?;
        Some((entry.pair.as_ref()?.of(http2), entry.name.clone()))
    }

    /// Forgets settings that no table and no request has.
    pub(super) fn sweep(&self) {
        self.own.borrow_mut().retain(|_, entry| entry.settings.strong_count() > 0);
    }
}

impl Pair {
    fn new(config: ClientConfig) -> Self {
        let http2 = for_http2(&config);
        Self { http1: TlsConnector::from(Arc::new(config)), http2: TlsConnector::from(Arc::new(http2)) }
    }

    fn of(&self, http2: bool) -> TlsConnector {
        if http2 { self.http2.clone() } else { self.http1.clone() }
    }
}
