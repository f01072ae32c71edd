//! Making connections to endpoints.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use portcullis_model::{UpstreamKeepalive, UpstreamTls};
use rustls::ClientConfig;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::connection::{Connection, Http1Connection, Peer, Transport};
use super::exchange_error::ExchangeError;
use super::http2::{Http2Pool, Place};
use super::tls_configs::{TlsConfigs, TlsId};
use crate::error::ProxyError;
use crate::stream::{Meter, Patience, Timed, UpstreamStream};

/// Makes connections. One per worker, so that TLS sessions are not shared behind a lock.
pub(crate) struct Connector {
    tls: TlsConfigs,
    http: http1::Builder,
    http2: Http2Pool,
}

/// Largest response head; one over it is refused with 502.
const LARGEST_HEAD: usize = 64 * 1024;
/// Octets that may wait in a connection in either direction.
const BUFFER: usize = 128 * 1024;
/// How long a connection that many exchanges share may take nothing. One of its own goes by its exchange.
const STALL: Duration = Duration::from_secs(60);
/// How long ending TLS properly may take.
const GOODBYE: Duration = Duration::from_secs(1);

impl Connector {
    pub(crate) fn new(tls: ClientConfig) -> Self {
        let mut http = http1::Builder::new();
        http.max_header_size(LARGEST_HEAD).max_buf_size(BUFFER);
        Self { tls: TlsConfigs::new(tls), http, http2: Http2Pool::new() }
    }

    /// The number of TLS settings, by which a [`Transport`] names them.
    pub(crate) fn tls_id(&self, settings: &Arc<UpstreamTls>) -> TlsId {
        self.tls.id(settings)
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
    pub(crate) fn open(&self, peer: Peer) -> Option<Box<Connection>> {
        if !peer.1.is_http2() {
            return None;
        }
        self.http2.open(peer).map(|stream| Box::new(Connection::Http2(stream, peer)))
    }

    /// Connects within `limit`, TLS included; the connection is driven by a task of its own on this worker. Exchanges of HTTP/2 share connections.
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
                    let (stream, _) = self.timed(peer).await?;
                    connecting.begin(stream).await?
                }
            };
            return Ok(Connection::Http2(stream, peer));
        }
    }

    async fn http1(&self, peer: Peer) -> Result<Connection, ProxyError> {
        let (stream, meter) = self.timed(peer).await?;
        let (sender, driver) = self.http.handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let (upgraded, taker) = oneshot::channel();
        let drive = async move {
            // An error reaches whoever waits for the exchange; on an idle connection it only means that it is gone.
            let Ok(parts) = driver.without_shutdown().await else { return };
            if let Err(parts) = upgraded.send(parts) {
                tokio::time::timeout(GOODBYE, parts.io.into_inner().shutdown()).await.ok();
            }
        };
        drop(tokio::task::spawn_local(drive));
        Ok(Connection::Http1(Http1Connection::new(sender, meter, taker, peer)))
    }

    async fn timed(&self, peer: Peer) -> Result<(Timed<UpstreamStream>, Rc<Meter>), ProxyError> {
        let stream = self.stream(peer).await?;
        // Heads have no limit of their own on this side: each exchange brings its limits along.
        let meter = Rc::new(Meter::new(Patience::Unlimited, STALL, STALL));
        Ok((Timed::new(stream, Rc::clone(&meter)), meter))
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

fn failed(error: hyper::Error) -> ProxyError {
    ProxyError::Upstream(ExchangeError::Http1(error))
}

/// A host that does not answer to its address was waited for by the system: that is a matter of time, too.
fn not_connected(error: io::Error) -> ProxyError {
    match error.kind() {
        io::ErrorKind::HostUnreachable | io::ErrorKind::TimedOut => ProxyError::ConnectTimeout,
        _ => ProxyError::Connect(error),
    }
}
