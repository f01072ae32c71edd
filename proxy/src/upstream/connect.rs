//! Making connections to endpoints.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

use super::connection::{Connection, Transport};
use crate::error::ProxyError;
use crate::stream::{Meter, Patience, Timed, UpstreamStream};

/// Makes connections. One per worker, so that TLS sessions are not shared behind a lock.
pub(crate) struct Connector {
    tls: TlsConnector,
    http: http1::Builder,
}

/// Largest response head; one over it is refused with 502.
const LARGEST_HEAD: usize = 64 * 1024;
/// Octets that may wait in a connection in either direction.
const BUFFER: usize = 128 * 1024;
/// How long ending TLS properly may take.
const GOODBYE: Duration = Duration::from_secs(1);

impl Connector {
    pub(crate) fn new(tls: ClientConfig) -> Self {
        let mut http = http1::Builder::new();
        http.max_header_size(LARGEST_HEAD).max_buf_size(BUFFER);
        Self { tls: TlsConnector::from(Arc::new(tls)), http }
    }

    /// Connects within `limit`, TLS included; the connection is driven by a task of its own on this worker.
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
        let made = tokio::time::timeout(limit, self.stream(address, transport));
        let stream = made.await.map_err(|_elapsed| ProxyError::ConnectTimeout)??;
        // Heads have no limit of their own on this side: each exchange brings its limits along.
        let meter = Rc::new(Meter::new(Patience::Unlimited, limit, limit));
        let stream = TokioIo::new(Timed::new(stream, Rc::clone(&meter)));
        let (sender, driver) = self.http.handshake(stream).await.map_err(ProxyError::Upstream)?;
        let (upgraded, taker) = oneshot::channel();
        let drive = async move {
            // An error reaches whoever waits for the exchange; on an idle connection it only means that it is gone.
            let Ok(parts) = driver.without_shutdown().await else { return };
            if let Err(parts) = upgraded.send(parts) {
                tokio::time::timeout(GOODBYE, parts.io.into_inner().shutdown()).await.ok();
            }
        };
        drop(tokio::task::spawn_local(drive));
        let connection = Connection::new(sender, meter, taker, (address, transport));
        // Boxed, because it is handed from one to the next for every request.
        Ok(Box::new(connection))
    }

    async fn stream(&self, address: SocketAddr, transport: Transport) -> Result<UpstreamStream, ProxyError> {
        let stream = TcpStream::connect(address).await.map_err(ProxyError::Connect)?;
        stream.set_nodelay(true).map_err(ProxyError::Connect)?;
        match transport {
            Transport::Plain => Ok(UpstreamStream::Plain(stream)),
            Transport::Tls => {
                let name = ServerName::IpAddress(address.ip().into());
                let stream = self.tls.connect(name, stream).await.map_err(ProxyError::Tls)?;
                Ok(UpstreamStream::Tls(Box::new(stream)))
            }
        }
    }
}
