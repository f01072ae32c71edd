//! Making connections to endpoints.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use portcullis_model::{UpstreamKeepalive, UpstreamTls};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::connection::{Connection, Http1Connection, Peer, Transport};
use super::http1::{Exchanges, Spares};
use super::http2::{Http2Pool, Place};
use super::shape::Shapes;
use super::tls_configs::{TlsConfigs, TlsId};
use crate::error::ProxyError;
use crate::stream::{Meter, Patience, Timed, UpstreamStream};

/// Makes connections. One per worker, so that TLS sessions are not shared behind a lock.
pub(crate) struct Connector {
    tls: TlsConfigs,
    http2: Http2Pool,
    spares: Rc<Spares>,
    shapes: Shapes,
}

/// How long a connection that many exchanges share may take nothing. One of its own goes by its exchange.
const STALL: Duration = Duration::from_secs(60);

impl Connector {
    pub(crate) fn new(tls: ClientConfig) -> Self {
        Self { tls: TlsConfigs::new(tls), http2: Http2Pool::new(), spares: Rc::default(), shapes: Shapes::default() }
    }

    /// The number of TLS settings, by which a [`Transport`] names them.
    pub(crate) fn tls_id(&self, settings: &Arc<UpstreamTls>) -> TlsId {
        self.tls.id(settings)
    }

    /// Buffers for exchanges of HTTP/1.
    pub(super) fn spares(&self) -> &Spares {
        &self.spares
    }

    /// How requests go out over HTTP/2.
    pub(crate) fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// Goes by these limits from now on.
    pub(crate) fn follow(&self, limits: UpstreamKeepalive) {
        self.http2.follow(limits);
    }

    /// Lets go of what is not needed any more.
    pub(crate) fn sweep(&self, now: Instant) {
        self.http2.sweep(now);
        self.tls.sweep();
    }

    /// A share in a connection that is there.
    pub(crate) fn open(&self, peer: Peer, now: Instant) -> Option<Box<Connection>> {
        if !peer.1.is_http2() {
            return None;
        }
        self.http2.open(peer, now).map(|stream| Box::new(Connection::Http2(stream, peer)))
    }

    /// Connects within `limit`, TLS included. Exchanges of HTTP/2 share connections.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Connect`], [`ProxyError::ConnectTimeout`] or [`ProxyError::Tls`].
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        transport: Transport,
        limit: Duration,
    ) -> Result<Box<Connection>, ProxyError> {
        let peer = (address, transport);
        let connected =
            async { if transport.is_http2() { Box::pin(self.share(peer)).await } else { self.http1(peer).await } };
        let connected = tokio::time::timeout(limit, connected);
        // Boxed, because it is handed from one to the next for every request.
        connected.await.map_err(|_elapsed| ProxyError::ConnectTimeout)?.map(Box::new)
    }

    /// A share in a connection of HTTP/2. Of exchanges that find none, one makes it and the others wait for it.
    async fn share(&self, peer: Peer) -> Result<Connection, ProxyError> {
        loop {
            let stream = match self.http2.place(peer) {
                Place::Open(stream) => stream,
                Place::Soon(made) => {
                    made.notified().await;
                    continue;
                }
                Place::None(connecting) => {
                    let stream = Timed::new(self.stream(peer).await?, meter());
                    connecting.begin(stream).await?
                }
            };
            return Ok(Connection::Http2(stream, peer));
        }
    }

    async fn http1(&self, peer: Peer) -> Result<Connection, ProxyError> {
        let stream = self.stream(peer).await?;
        let exchanges = Exchanges::new(stream, meter(), Rc::clone(&self.spares));
        Ok(Connection::Http1(Http1Connection::new(exchanges, peer)))
    }

    async fn stream(&self, (address, transport): Peer) -> Result<UpstreamStream, ProxyError> {
        let stream = TcpStream::connect(address).await.map_err(not_connected)?;
        stream.set_nodelay(true).map_err(ProxyError::Connect)?;
        match transport.tls() {
            None => Ok(UpstreamStream::Plain(stream)),
            Some(id) => {
                let stream = self.tls.handshake(id, transport.is_http2(), (address, stream)).await;
                Ok(UpstreamStream::Tls(Box::new(stream.map_err(ProxyError::Tls)?)))
            }
        }
    }
}

/// Limits that say nothing yet: each exchange brings its own along.
fn meter() -> Rc<Meter> {
    Rc::new(Meter::new(Patience::Unlimited, STALL, STALL))
}

/// A host that does not answer to its address was waited for by the system: that is a matter of time, too.
fn not_connected(error: io::Error) -> ProxyError {
    match error.kind() {
        io::ErrorKind::HostUnreachable | io::ErrorKind::TimedOut => ProxyError::ConnectTimeout,
        _ => ProxyError::Connect(error),
    }
}
