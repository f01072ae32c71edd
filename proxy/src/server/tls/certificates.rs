//! The certificate of a handshake.

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::table::TableReader;

/// Asks the table published last.
#[derive(Debug)]
pub(super) struct TableCertificates(pub(super) TableReader);

impl ResolvesServerCert for TableCertificates {
    /// Where a host has several, the first whose signatures the client can check. If it can check none, the handshake fails
    /// with the last as with any other.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.0.load();
        let (last, better) = table.certificates(hello.server_name()).split_last()?;
        let schemes = hello.signature_schemes();
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        let key = better.iter().map(|certificate| certificate.key()).find(fits).unwrap_or_else(|| last.key());
        Some(Arc::clone(key))
    }
}
