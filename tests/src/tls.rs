//! A certificate for a host, as the program serves it and as a client trusts it.

use std::sync::Arc;

use portcullis::self_signed::{self, Pem};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::json;

/// A self-signed certificate with its key.
#[derive(Debug)]
pub struct HostCertificate {
    pem: Pem,
}

impl HostCertificate {
    /// A new one for this host.
    pub fn new(host: &str) -> Self {
        Self { pem: self_signed::certificate_for(&[host.to_owned()]).expect("a certificate can be made") }
    }

    /// The certificate in PEM form.
    pub fn certificate(&self) -> &str {
        &self.pem.certificate
    }

    /// The key in PEM form.
    pub fn key(&self) -> &str {
        &self.pem.key
    }

    /// A Secret of namespace `demo` with both.
    pub fn secret(&self, name: &str) -> String {
        self.secret_in("demo", name)
    }

    /// A Secret with both.
    pub fn secret_in(&self, namespace: &str, name: &str) -> String {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": name, "namespace": namespace},
            "stringData": {"tls.crt": self.pem.certificate, "tls.key": self.pem.key},
        });
        secret.to_string() + "\n"
    }

    /// What a client needs that trusts this certificate alone, and speaks these protocols.
    pub fn client(&self, alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(self.pem.certificate.as_bytes()).expect("a certificate");
        roots.add(certificate).expect("a certificate that can be trusted");
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().expect("versions of TLS");
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }
}
