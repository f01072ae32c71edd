//! Certificates from Secrets.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use portcullis_model::{Certificate, CertificateOrigin, HostMatch, SecretName};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::oid_registry::OID_X509_SERIALNUMBER;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, GeneralName, X509Certificate};

use crate::ObjectKey;

/// Most characters of a name of an issuer that are kept (RFC 5280 appendix A.1 allows 64).
const MAX_NAME: usize = 128;

/// Reads `tls.crt` (leaf first, then its chain) and `tls.key` of a Secret; its type does not matter.
///
/// # Errors
///
/// What is wrong with it, in words that hold nothing of its content.
pub fn certificate_from_secret(key: &ObjectKey, secret: &Secret) -> Result<Certificate, String> {
    let entry = |name: &str| {
        let data = secret.data.as_ref().and_then(|data| data.get(name)).map(|ByteString(bytes)| bytes.clone());
        data.or_else(|| secret.string_data.as_ref()?.get(name).map(|text| text.clone().into_bytes()))
            .ok_or_else(|| format!("it has no `{name}`"))
    };
    let source = SecretName { namespace: key.namespace.clone(), name: key.name.clone() };
    certificate_from_pem(&entry("tls.crt")?, &entry("tls.key")?, Some(source))
}

/// Reads a chain and a key in PEM.
///
/// # Errors
///
/// What is wrong with them, in words that hold nothing of their content.
pub fn certificate_from_pem(chain: &[u8], key: &[u8], source: Option<SecretName>) -> Result<Certificate, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|_| "its certificate is not in PEM form".to_owned())?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "its private key is not in PEM form".to_owned())?;
    let leaf = chain.first().ok_or("it has no certificate in PEM form")?;
    let (names, not_after, origin) = {
        let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| "its certificate cannot be read".to_owned())?;
        (names(&leaf), leaf.validity().not_after.timestamp(), origin(&leaf))
    };
    let certificate = Certificate::new(chain, &key, names, not_after, source).map_err(|error| error.to_string())?;
    Ok(certificate.made_by(origin))
}

fn origin(certificate: &X509Certificate<'_>) -> CertificateOrigin {
    let issuer = certificate.issuer();
    let text = |part: Option<&AttributeTypeAndValue<'_>>| {
        part.and_then(|part| part.as_str().ok()).map(|text| text.chars().take(MAX_NAME).collect()).unwrap_or_default()
    };
    CertificateOrigin {
        organization: text(issuer.iter_organization().next()),
        common_name: text(issuer.iter_common_name().next()),
        issuer_serial: text(issuer.iter_by_oid(&OID_X509_SERIALNUMBER).next()),
        serial: certificate.tbs_certificate.serial.to_string(),
    }
}

/// DNS names of the subject alternative names; the common name only where there are none (RFC 6125 section 6.4.4).
fn names(certificate: &X509Certificate<'_>) -> Vec<HostMatch> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let listed: Vec<&str> = alternative
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        })
        .collect();
    let common = || certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok()).collect();
    let texts: Vec<&str> = if listed.is_empty() { common() } else { listed };
    texts.iter().filter_map(|text| text.parse().ok()).filter(|name| *name != HostMatch::Any).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A self-signed pair in PEM for these names.
    pub(crate) fn pair(names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    /// The same with an RSA key.
    pub(crate) fn rsa_pair(names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn a_certificate_covers_its_names_and_one_label_below_wildcards() {
        let (chain, key) = pair(&["a.example", "*.b.example"]);
        let certificate = certificate_from_pem(chain.as_bytes(), key.as_bytes(), None).unwrap();
        for (host, want) in [
            ("a.example", true),
            ("x.b.example", true),
            ("*.b.example", true),
            ("b.example", false),
            ("y.x.b.example", false),
            ("x.a.example", false),
        ] {
            assert_eq!(certificate.covers(&host.parse().unwrap()), want, "{host}");
        }
    }

    #[test]
    fn broken_pairs_are_refused() {
        let (chain, key) = pair(&["a.example"]);
        let (_, other_key) = pair(&["a.example"]);
        for (chain, key) in
            [("", key.as_str()), (&chain, ""), (&chain, &other_key), ("nonsense", &key), (&chain, "nonsense")]
        {
            assert!(certificate_from_pem(chain.as_bytes(), key.as_bytes(), None).is_err());
        }
    }
}
