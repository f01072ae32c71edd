//! Self-signed certificates: the default one, and those of the demo.

use std::time::{Duration, SystemTime};

use portcullis_model::{Certificate, HostMatch, InvalidCertificate};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use rustls_pki_types::PrivateKeyDer;

/// How long a self-signed certificate is valid.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub enum SelfSignedError {
    /// The key or the certificate could not be made.
    #[error("making a certificate failed: {0}")]
    Make(#[from] rcgen::Error),
    /// What was made is not usable.
    #[error("the certificate that was made is not usable: {0}")]
    Use(#[from] InvalidCertificate),
}

/// The certificate that answers where no other fits, with the names that ingress-nginx gives it. Its key is RSA with 2048 bits,
/// for clients and cipher lists that know nothing else.
///
/// # Errors
///
/// When the key or the certificate cannot be made.
pub fn default_certificate() -> Result<Certificate, SelfSignedError> {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    let mut params = params(vec!["ingress.local".to_owned()])?;
    params.distinguished_name.push(DnType::OrganizationName, "Acme Co");
    params.distinguished_name.push(DnType::CommonName, "Kubernetes Ingress Controller Fake Certificate");
    let not_after = params.not_after.unix_timestamp();
    let certificate = params.self_signed(&key)?;
    let names = ["ingress.local".parse::<HostMatch>()].into_iter().flatten().collect();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    Ok(Certificate::new(vec![certificate.der().clone()], &key, names, not_after, None)?)
}

/// Certificate and key in PEM form.
#[derive(Debug)]
pub struct Pem {
    /// `tls.crt`.
    pub certificate: String,
    /// `tls.key`.
    pub key: String,
}

/// A certificate for these host names, with an ECDSA key.
///
/// # Errors
///
/// When a name cannot be in a certificate, or the key cannot be made.
pub fn certificate_for(names: &[String]) -> Result<Pem, SelfSignedError> {
    let key = KeyPair::generate()?;
    let mut params = params(names.to_vec())?;
    params.distinguished_name.push(DnType::CommonName, names.first().cloned().unwrap_or_default());
    let certificate = params.self_signed(&key)?;
    Ok(Pem { certificate: certificate.pem(), key: key.serialize_pem() })
}

fn params(names: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    let now = SystemTime::now();
    params.not_before = now.into();
    params.not_after = (now + LIFETIME).into();
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_certificate_is_usable_for_a_year() {
        let certificate = default_certificate().unwrap();
        assert!(certificate.covers(&"ingress.local".parse().unwrap()));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
        let days = (certificate.not_after() - now) / 86_400;
        assert!((364..=365).contains(&days), "{days}");
        assert!(certificate.source().is_none());
    }

    #[test]
    fn names_may_be_wildcards() {
        let pem = certificate_for(&["*.shop.example".to_owned(), "shop.example".to_owned()]).unwrap();
        assert!(pem.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(pem.key.starts_with("-----BEGIN PRIVATE KEY-----"));
    }
}
