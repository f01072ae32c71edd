//! Certificates by server name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;

use crate::{HostMatch, HostName};

/// Namespace and name of a Secret.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct SecretName {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl fmt::Display for SecretName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.namespace, self.name)
    }
}

/// A certificate chain with its key, checked to belong together.
///
/// `Debug` and `Serialize` show names and dates, never the key.
#[derive(Clone)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    fingerprint: u64,
    names: Box<[HostMatch]>,
    not_after: i64,
    source: Option<SecretName>,
    origin: Option<Arc<CertificateOrigin>>,
}

/// Who made a certificate, for metrics.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CertificateOrigin {
    /// First organization of the issuer; empty for none.
    pub organization: String,
    /// Common name of the issuer; empty for none.
    pub common_name: String,
    /// Serial number in the issuer's own name (RFC 5280 section 4.1.2.4), which is rare; empty for none.
    pub issuer_serial: String,
    /// Serial number of the certificate, decimal.
    pub serial: String,
}

/// Why a key pair is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidCertificate {
    /// No certificate in the chain.
    #[error("there is no certificate")]
    Empty,
    /// A key that is not understood.
    #[error("the private key is not understood: {0}")]
    Key(String),
    /// A key of another certificate.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
}

impl Certificate {
    /// Checks that `key` belongs to the first certificate of `chain`.
    ///
    /// `names` are the names it is valid for, `not_after` is in seconds since 1970, `source` the Secret it came from.
    ///
    /// # Errors
    ///
    /// When the chain is empty, the key is not understood, or both do not match.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'static>,
        names: Vec<HostMatch>,
        not_after: i64,
        source: Option<SecretName>,
    ) -> Result<Self, InvalidCertificate> {
        use std::hash::{Hash, Hasher};
        if chain.is_empty() {
            return Err(InvalidCertificate::Empty);
        }
        let mut hasher = std::hash::DefaultHasher::new();
        chain.hash(&mut hasher);
        key.secret_der().hash(&mut hasher);
        let signing =
            aws_lc_rs::sign::any_supported_type(key).map_err(|error| InvalidCertificate::Key(error.to_string()))?;
        let key = CertifiedKey::new(chain, signing);
        match key.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(_) => return Err(InvalidCertificate::Mismatch),
        }
        Ok(Self {
            key: Arc::new(key),
            fingerprint: hasher.finish(),
            names: names.into(),
            not_after,
            source,
            origin: None,
        })
    }

    /// Tells who made it.
    #[must_use]
    pub fn made_by(mut self, origin: CertificateOrigin) -> Self {
        self.origin = Some(Arc::new(origin));
        self
    }

    /// Who made it; none where nobody told.
    #[must_use]
    pub fn origin(&self) -> Option<&CertificateOrigin> {
        self.origin.as_deref()
    }

    /// The pair as rustls takes it.
    #[must_use]
    pub fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// What its key signs with.
    #[must_use]
    pub fn key_kind(&self) -> KeyKind {
        match self.key.key.algorithm() {
            SignatureAlgorithm::ECDSA => KeyKind::Ecdsa,
            SignatureAlgorithm::RSA => KeyKind::Rsa,
            _ => KeyKind::Other,
        }
    }

    /// The names it is valid for.
    #[must_use]
    pub fn names(&self) -> &[HostMatch] {
        &self.names
    }

    /// End of validity, in seconds since 1970.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// The Secret it came from; none for the self-signed default.
    #[must_use]
    pub fn source(&self) -> Option<&SecretName> {
        self.source.as_ref()
    }

    /// Whether it is valid for `host`: an equal name, or a wildcard for its first label (RFC 6125 section 6.4.3).
    ///
    /// For a wildcard host the same wildcard must be listed.
    #[must_use]
    pub fn covers(&self, host: &HostMatch) -> bool {
        self.names.iter().any(|name| match (name, host) {
            (HostMatch::Wildcard(parent), HostMatch::Exact(host)) => host.parent() == Some(parent.as_str()),
            _ => name == host,
        })
    }
}

/// What a key signs with. The order is that of preference where a client can check several.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// On an elliptic curve of NIST.
    Ecdsa,
    /// Ed25519.
    Other,
    /// RSA.
    Rsa,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Certificate")
            .field("source", &self.source)
            .field("names", &self.names)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint && self.source == other.source
    }
}

impl Eq for Certificate {}

impl Serialize for Certificate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut fields = serializer.serialize_struct("Certificate", 3)?;
        fields.serialize_field("secret", &self.source.as_ref().map(ToString::to_string))?;
        fields.serialize_field("names", &self.names)?;
        fields.serialize_field("not_after", &self.not_after)?;
        fields.end()
    }
}

/// Which certificate a server name gets.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateChoice {
    /// The one of a Secret.
    Own(Arc<Certificate>),
    /// Several Secrets with keys of different kinds, best first: each client gets the first that it can check.
    ByKeyKind(Arc<[Arc<Certificate>]>),
    /// The default certificate, although a wildcard entry may cover the name: the host has a TLS section whose Secret is unusable.
    Default,
}

impl CertificateChoice {
    /// One certificate of each kind of key, those with shorter signatures first (nginx: several `ssl_certificate`).
    ///
    /// Of several with the same kind of key the first counts; without any it is the default certificate.
    #[must_use]
    pub fn of(certificates: impl IntoIterator<Item = Arc<Certificate>>) -> Self {
        let mut kept: Vec<Arc<Certificate>> = Vec::new();
        for certificate in certificates {
            if kept.iter().all(|other| other.key_kind() != certificate.key_kind()) {
                kept.push(certificate);
            }
        }
        kept.sort_by_key(|certificate| certificate.key_kind());
        match kept.len() {
            0 => Self::Default,
            1 => kept.pop().map_or(Self::Default, Self::Own),
            _ => Self::ByKeyKind(kept.into()),
        }
    }

    /// The certificates of Secrets, best first; empty for the default one.
    #[must_use]
    pub fn own(&self) -> &[Arc<Certificate>] {
        match self {
            Self::Own(certificate) => std::slice::from_ref(certificate),
            Self::ByKeyKind(certificates) => certificates,
            Self::Default => &[],
        }
    }

    /// Whether one of its certificates is valid for `host`.
    #[must_use]
    pub fn covers(&self, host: &HostMatch) -> bool {
        self.own().iter().any(|certificate| certificate.covers(host))
    }

    /// The same with those certificates only that are valid for `host`; none where there are none.
    #[must_use]
    pub fn covering(&self, host: &HostMatch) -> Option<Self> {
        let fitting = self.own().iter().filter(|certificate| certificate.covers(host));
        Some(Self::of(fitting.cloned())).filter(|choice| *choice != Self::Default)
    }
}

/// All certificates, by server name.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct CertificateSet {
    /// What answers where no entry fits and where no server name was sent.
    pub default: Arc<Certificate>,
    /// By exact or wildcard host.
    pub by_host: BTreeMap<HostMatch, CertificateChoice>,
}

impl CertificateSet {
    /// The entry of `host`: its own, else the one of the wildcard above it. Hosts with an entry are redirected to HTTPS.
    #[must_use]
    pub fn entry(&self, host: &HostName) -> Option<&CertificateChoice> {
        self.by_host.get(&HostMatch::Exact(host.clone())).or_else(|| {
            let parent = host.parent()?.parse().ok()?;
            self.by_host.get(&HostMatch::Wildcard(parent))
        })
    }
}
