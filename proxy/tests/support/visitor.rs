//! A TLS client that trusts everybody and whose offers can be chosen.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, ClientConnection};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{DigitallySignedStruct, Error, HandshakeKind, SignatureScheme, StreamOwned, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// A client with its sessions: a second handshake may resume the first.
pub(crate) struct Visitor(Arc<ClientConfig>);

/// What a client offers.
pub(crate) struct Offer {
    pub(crate) versions: Vec<&'static SupportedProtocolVersion>,
    pub(crate) provider: CryptoProvider,
    pub(crate) schemes: Vec<SignatureScheme>,
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) sni: bool,
}

impl Default for Offer {
    fn default() -> Self {
        let provider = aws_lc_rs::default_provider();
        Self {
            versions: rustls::ALL_VERSIONS.to_vec(),
            schemes: provider.signature_verification_algorithms.supported_schemes(),
            provider,
            alpn: Vec::new(),
            sni: true,
        }
    }
}

impl Offer {
    /// One version and everything that rustls has for it.
    pub(crate) fn version(version: &'static SupportedProtocolVersion) -> Self {
        Self { versions: vec![version], ..Self::default() }
    }

    /// TLS 1.2 with the suites of these names, in this order.
    pub(crate) fn tls12(suites: &[&str]) -> Self {
        let mut offer = Self::version(&rustls::version::TLS12);
        let all = aws_lc_rs::ALL_CIPHER_SUITES.iter();
        let named = |name: &str| *all.clone().find(|suite| format!("{:?}", suite.suite()) == name).unwrap();
        offer.provider.cipher_suites = suites.iter().map(|name| named(name)).collect();
        offer
    }

    pub(crate) fn visitor(self) -> Visitor {
        Visitor(Arc::new(self.config()))
    }

    pub(crate) fn config(self) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(self.provider));
        let builder = builder.with_protocol_versions(&self.versions).unwrap().dangerous();
        let mut config =
            builder.with_custom_certificate_verifier(Arc::new(Anybody(self.schemes))).with_no_client_auth();
        config.enable_sni = self.sni;
        config.alpn_protocols = self.alpn;
        config
    }
}

/// A connection after its handshake.
pub(crate) struct Visit(StreamOwned<ClientConnection, TcpStream>);

impl Visitor {
    /// Shakes hands.
    pub(crate) fn visit(&self, address: SocketAddr, name: &str) -> io::Result<Visit> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let session = ClientConnection::new(Arc::clone(&self.0), name).unwrap();
        let socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut stream = StreamOwned::new(session, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Visit(stream))
    }

    /// The alert that a handshake ends with.
    pub(crate) fn alert(&self, address: SocketAddr, name: &str) -> String {
        let error = self.visit(address, name).err().expect("the handshake fails");
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::AlertReceived(alert)) => format!("{alert:?}"),
            _ => panic!("{error}"),
        }
    }

    /// Shakes hands, asks once, and tells whether an earlier session was resumed. Tickets come with the answer.
    pub(crate) fn resumes(&self, address: SocketAddr, name: &str) -> bool {
        let mut visit = self.visit(address, name).unwrap();
        visit.get();
        matches!(visit.0.conn.handshake_kind(), Some(HandshakeKind::Resumed))
    }
}

impl Visit {
    /// Version, suite and group.
    pub(crate) fn terms(&self) -> (String, String, String) {
        let conn = &self.0.conn;
        let group = conn.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
        (
            format!("{:?}", conn.protocol_version().unwrap()),
            format!("{:?}", conn.negotiated_cipher_suite().unwrap().suite()),
            group.unwrap_or_default(),
        )
    }

    pub(crate) fn suite(&self) -> String {
        self.terms().1
    }

    pub(crate) fn leaf(&self) -> &[u8] {
        &self.0.conn.peer_certificates().unwrap()[0]
    }

    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.0.conn.alpn_protocol()
    }

    /// The answer to `GET /` of host `a.example`.
    pub(crate) fn get(&mut self) -> String {
        self.0.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        let mut octets = [0; 4096];
        while !answer.windows(4).any(|window| window == b"\r\n\r\n") || !answer.ends_with(b"ok") {
            let count = self.0.read(&mut octets).unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&octets[..count]);
        }
        String::from_utf8(answer).unwrap()
    }
}

/// Takes any certificate, signed by any of these schemes.
#[derive(Debug)]
pub(crate) struct Anybody(pub(crate) Vec<SignatureScheme>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
