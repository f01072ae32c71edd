//! TLS to upstreams: unverified as ingress-nginx does it without `proxy-ssl-secret`, or as an [`UpstreamTls`] says.

use std::sync::Arc;

use portcullis_model::{UpstreamTls, Verification};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use crate::server::{TLS13_SUITES, tls12_suite};

/// Sessions kept for resumption, per worker and setting.
const SESSIONS: usize = 256;

/// TLS 1.2 and 1.3, no server name, any certificate (nginx: `proxy_ssl_verify off`, `proxy_ssl_server_name off`).
///
/// # Errors
///
/// When the protocol versions are not supported by the build.
pub(crate) fn unverified() -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(UpstreamCertificate { provider, check: None }))
        .with_no_client_auth();
    config.enable_sni = false;
    Ok(config)
}

/// What `settings` say.
///
/// # Errors
///
/// When versions and cipher suites do not go together, which [`UpstreamTls`] has checked.
pub(super) fn configured(settings: &UpstreamTls) -> Result<ClientConfig, Error> {
    let cipher_suites = TLS13_SUITES.into_iter().chain(settings.ciphers().iter().map(tls12_suite)).collect();
    let provider = Arc::new(CryptoProvider { cipher_suites, ..aws_lc_rs::default_provider() });
    let wanted = settings.versions();
    let both = [(wanted.has_tls12(), &TLS12), (wanted.has_tls13(), &TLS13)];
    let versions: Vec<_> = both.into_iter().filter(|(on, _)| *on).map(|(_, version)| version).collect();
    let check = settings.verification().map(|authorities| (authorities.clone(), settings.name().clone()));
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(UpstreamCertificate { provider, check }));
    let mut config = match settings.client() {
        Some(client) => builder.with_client_cert_resolver(Arc::new(OneCertificate(Arc::clone(client.key())))),
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = settings.sends_name();
    Ok(config)
}

/// The same, for HTTP/2: the upstream is asked for it (RFC 9113 section 3.2).
pub(super) fn for_http2(config: &ClientConfig) -> ClientConfig {
    let mut config = config.clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    // Sessions of other protocols are of no use.
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    config
}

/// Shows the same certificate to whoever asks.
#[derive(Debug)]
struct OneCertificate(Arc<CertifiedKey>);

impl ResolvesClientCert for OneCertificate {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.key.choose_scheme(schemes).map(|_| Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Insists that the other side holds its key, and that its certificate is the right one where there is a check.
#[derive(Debug)]
struct UpstreamCertificate {
    provider: Arc<CryptoProvider>,
    /// Whom to trust, and whom the certificate must name: not always who is named in the handshake.
    check: Option<(Verification, ServerName<'static>)>,
}

impl ServerCertVerifier for UpstreamCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some((Verification { authorities, depth }, name)) = &self.check else {
            return Ok(ServerCertVerified::assertion());
        };
        let certificate = EndEntityCert::try_from(end_entity).map_err(refused)?;
        let within_depth = |path: &VerifiedPath<'_>| {
            let count = path.intermediate_certificates().count();
            if usize::try_from(*depth).is_ok_and(|most| count <= most) {
                Ok(())
            } else {
                Err(webpki::Error::UnknownIssuer)
            }
        };
        certificate
            .verify_for_usage(
                self.provider.signature_verification_algorithms.all,
                &authorities.roots,
                intermediates,
                now,
                KeyUsage::server_auth(),
                None,
                Some(&within_depth),
            )
            .map_err(refused)?;
        certificate.verify_is_valid_for_subject_name(name).map_err(refused)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The alerts that upstreams expect, and words for the log.
fn refused(error: webpki::Error) -> Error {
    Error::InvalidCertificate(match error {
        webpki::Error::CertExpired { .. } => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        webpki::Error::CertNotValidForName(_) => CertificateError::NotValidForName,
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        webpki::Error::BadDer => CertificateError::BadEncoding,
        other => CertificateError::Other(rustls::OtherError(Arc::new(other))),
    })
}
