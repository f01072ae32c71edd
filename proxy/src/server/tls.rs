//! TLS with clients: the certificate of each handshake comes from the table of that moment, so a new one is served at once.

use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::{ConfigBuilder, ProtocolVersion, ServerConfig, ServerConnection, server};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::detect::HttpVersion;
use crate::pipeline::TlsFacts;
use crate::stream::Socket;
use crate::table::TableReader;

/// TLS 1.2 and 1.3 without client certificates, still without certificates of ours.
pub(super) type Prepared = ConfigBuilder<ServerConfig, server::WantsServerCert>;

/// Sessions that can be resumed, all workers together (nginx: `ssl_session_cache shared`).
const SESSIONS: usize = 10_240;

/// Prepares what does not depend on a table.
///
/// # Errors
///
/// When the protocol versions are not supported by the build.
pub(super) fn prepare() -> Result<Prepared, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    Ok(ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?.with_no_client_auth())
}

/// Accepts TLS connections. Shared by all workers: what it shares behind a lock, it uses in handshakes only.
#[derive(Clone)]
pub(super) struct Acceptor(TlsAcceptor);

impl Acceptor {
    /// Serves the certificates of `table`; HTTP/2 and HTTP/1.1 by ALPN (RFC 7301).
    pub(super) fn new(prepared: Prepared, table: TableReader) -> Self {
        let mut config = prepared.with_cert_resolver(Arc::new(TableCertificates(table)));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        config.max_early_data_size = 0;
        Self(TlsAcceptor::from(Arc::new(config)))
    }

    pub(super) async fn accept(&self, socket: Socket) -> io::Result<(TlsStream<Socket>, TlsFacts, HttpVersion)> {
        let stream = self.0.accept(socket).await?;
        let (_, session) = stream.get_ref();
        let version = match session.alpn_protocol() {
            Some(b"h2") => HttpVersion::Http2,
            _ => HttpVersion::Http1,
        };
        let facts = facts(session);
        Ok((stream, facts, version))
    }
}

fn facts(session: &ServerConnection) -> TlsFacts {
    let cipher = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    TlsFacts {
        protocol: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        },
        // rustls tells the suites of TLS 1.3 apart by a prefix of its own.
        cipher: cipher.unwrap_or_default().replace("TLS13_", "TLS_"),
        server_name: session.server_name().map(str::to_owned),
    }
}

/// Asks the table published last.
#[derive(Debug)]
struct TableCertificates(TableReader);

impl ResolvesServerCert for TableCertificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.0.load().certificate(hello.server_name()).key()))
    }
}
