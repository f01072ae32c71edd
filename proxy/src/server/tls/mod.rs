//! TLS with clients: each handshake is decided by the table of its moment, so what is published holds at once.

mod certificates;
mod configs;
mod sessions;
mod tickets;

use std::io;
use std::sync::Arc;

use rustls::server::Acceptor as HelloReader;
use rustls::{ProtocolVersion, ServerConnection};
use tokio::io::AsyncWriteExt;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::detect::HttpVersion;
use crate::pipeline::TlsFacts;
use crate::stream::Socket;
use crate::table::{HandshakeChoice, TableReader};
use configs::Configs;

pub(crate) use configs::{TLS13_SUITES, tls12_suite};

/// Accepts TLS connections. Shared by all workers: what it shares behind a lock, it uses in handshakes only.
#[derive(Clone)]
pub(super) struct Acceptor(Arc<Configs>);

/// The alert `unrecognized_name` as a record in the clear (RFC 6066 section 3; RFC 8446 section 6).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

impl Acceptor {
    /// Serves the certificates of `table` with its settings; HTTP/2 and HTTP/1.1 by ALPN (RFC 7301).
    pub(super) fn new(table: TableReader) -> Self {
        Self(Arc::new(Configs::new(table)))
    }

    pub(super) async fn accept(&self, socket: Socket) -> io::Result<(TlsStream<Socket>, TlsFacts, HttpVersion)> {
        let hello = LazyConfigAcceptor::new(HelloReader::default(), socket).await?;
        let (table, configs) = self.0.current().map_err(io::Error::other)?;
        let config = match table.handshake(hello.client_hello().server_name()) {
            HandshakeChoice::Serve(own) => Arc::clone(configs.of(own)),
            HandshakeChoice::Refuse => return refuse(hello.io).await,
        };
        drop((table, configs));
        let stream = hello.into_stream(config).await?;
        let (_, session) = stream.get_ref();
        let version = match session.alpn_protocol() {
            Some(b"h2") => HttpVersion::Http2,
            _ => HttpVersion::Http1,
        };
        let facts = facts(session);
        Ok((stream, facts, version))
    }
}

async fn refuse<T>(mut socket: Socket) -> io::Result<T> {
    socket.write_all(&UNRECOGNIZED_NAME).await?;
    socket.shutdown().await?;
    Err(io::Error::other("no host has the server name of the handshake"))
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
