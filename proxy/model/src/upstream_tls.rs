//! TLS to upstreams: whom to trust, who to be, and what to speak (`proxy-ssl-*`).

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, ServerName};
use serde::{Serialize, Serializer};

use crate::{Certificate, CipherList, SecretName, TlsVersions};

/// How TLS is spoken to an upstream, checked to be possible.
///
/// `Debug` and `Serialize` show names and switches, never the key of the client certificate.
#[derive(Clone)]
pub struct UpstreamTls {
    parts: UpstreamTlsParts,
    verification: Option<Verification>,
}

/// What [`UpstreamTls`] is made of.
#[derive(Clone)]
pub struct UpstreamTlsParts {
    /// The Secret that `proxy-ssl-secret` names.
    pub source: SecretName,
    /// `tls.crt` and `tls.key`: the certificate shown to the upstream.
    pub client: Option<Arc<Certificate>>,
    /// `ca.crt`: authorities that are trusted.
    pub authorities: Vec<CertificateDer<'static>>,
    /// `proxy-ssl-verify`, default off.
    pub verify: bool,
    /// `proxy-ssl-verify-depth`, default 1: how many intermediate certificates may stand between the upstream's and an authority.
    pub depth: u32,
    /// `proxy-ssl-name`: whom the certificate must name.
    pub name: ServerName<'static>,
    /// `proxy-ssl-server-name`, default off: tell the upstream the name (RFC 6066 section 3).
    pub send_name: bool,
    /// `proxy-ssl-protocols`, default TLS 1.2 alone.
    pub versions: TlsVersions,
    /// `proxy-ssl-ciphers`, for TLS 1.2.
    pub ciphers: CipherList,
}

/// The authorities that an upstream's certificate is checked by.
#[derive(Clone, Debug)]
pub struct Verification {
    /// At least one.
    pub authorities: Arc<RootCertStore>,
    /// Most intermediate certificates between the upstream's and an authority.
    pub depth: u32,
}

/// Why TLS to an upstream cannot be set up.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidUpstreamTls {
    /// Verification is on, and there is nobody to trust.
    #[error("proxy-ssl-verify is on, and there is no usable certificate of an authority in `ca.crt`")]
    NoAuthority,
    /// `ca.crt` holds something else than certificates of authorities.
    #[error("`ca.crt` holds a certificate that cannot be read")]
    Authority,
}

impl UpstreamTls {
    /// Checks that a handshake is possible.
    ///
    /// # Errors
    ///
    /// When nobody could ever be verified, or an authority cannot be read.
    pub fn new(parts: UpstreamTlsParts) -> Result<Self, InvalidUpstreamTls> {
        let mut authorities = RootCertStore::empty();
        for authority in &parts.authorities {
            authorities.add(authority.clone()).map_err(|_| InvalidUpstreamTls::Authority)?;
        }
        if parts.verify && authorities.is_empty() {
            return Err(InvalidUpstreamTls::NoAuthority);
        }
        let authorities = Arc::new(authorities);
        let verification = parts.verify.then_some(Verification { authorities, depth: parts.depth });
        Ok(Self { parts, verification })
    }

    /// How the certificate of the upstream is checked; none where it is not (`proxy-ssl-verify: off`).
    #[must_use]
    pub fn verification(&self) -> Option<&Verification> {
        self.verification.as_ref()
    }

    /// The certificate shown to the upstream.
    #[must_use]
    pub fn client(&self) -> Option<&Arc<Certificate>> {
        self.parts.client.as_ref()
    }

    /// Whom the certificate of the upstream must name.
    #[must_use]
    pub fn name(&self) -> &ServerName<'static> {
        &self.parts.name
    }

    /// Whether the upstream is told that name.
    #[must_use]
    pub fn sends_name(&self) -> bool {
        self.parts.send_name
    }

    /// Versions of TLS.
    #[must_use]
    pub fn versions(&self) -> TlsVersions {
        self.parts.versions
    }

    /// Cipher suites of TLS 1.2.
    #[must_use]
    pub fn ciphers(&self) -> &CipherList {
        &self.parts.ciphers
    }
}

/// Equal settings are interchangeable: connections made with one may be used with the other.
impl PartialEq for UpstreamTls {
    fn eq(&self, other: &Self) -> bool {
        let UpstreamTlsParts { source, client, authorities, verify, depth, name, send_name, versions, ciphers } =
            &self.parts;
        let parts = &other.parts;
        *source == parts.source
            && *client == parts.client
            && *authorities == parts.authorities
            && *verify == parts.verify
            && *depth == parts.depth
            && *name == parts.name
            && *send_name == parts.send_name
            && *versions == parts.versions
            && *ciphers == parts.ciphers
    }
}

impl Eq for UpstreamTls {}

impl fmt::Debug for UpstreamTls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("UpstreamTls")
            .field("source", &self.parts.source)
            .field("client", &self.parts.client.is_some())
            .field("verify", &self.parts.verify)
            .field("name", &self.parts.name)
            .finish_non_exhaustive()
    }
}

impl Serialize for UpstreamTls {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let UpstreamTlsParts { source, client, authorities, verify, depth, name, send_name, versions, ciphers } =
            &self.parts;
        let mut fields = serializer.serialize_struct("UpstreamTls", 9)?;
        fields.serialize_field("secret", &source.to_string())?;
        fields.serialize_field("client", client)?;
        fields.serialize_field("authorities", &authorities.len())?;
        fields.serialize_field("verify", verify)?;
        fields.serialize_field("depth", depth)?;
        fields.serialize_field("name", &name.to_str())?;
        fields.serialize_field("send_name", send_name)?;
        fields.serialize_field("versions", versions)?;
        fields.serialize_field("ciphers", ciphers)?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> UpstreamTlsParts {
        UpstreamTlsParts {
            source: SecretName { namespace: "demo".into(), name: "ca".into() },
            client: None,
            authorities: Vec::new(),
            verify: false,
            depth: 1,
            name: ServerName::try_from("upstream_balancer").unwrap(),
            send_name: false,
            versions: TlsVersions::Tls12,
            ciphers: CipherList::default(),
        }
    }

    #[test]
    fn only_handshakes_that_can_succeed_are_set_up() {
        assert!(UpstreamTls::new(parts()).unwrap().verification().is_none());
        let error = |change: fn(&mut UpstreamTlsParts)| {
            let mut parts = parts();
            change(&mut parts);
            UpstreamTls::new(parts).err()
        };
        for (change, want) in [
            ((|parts| parts.verify = true) as fn(&mut UpstreamTlsParts), Some(InvalidUpstreamTls::NoAuthority)),
            (|parts| parts.authorities = vec![CertificateDer::from(vec![1])], Some(InvalidUpstreamTls::Authority)),
        ] {
            assert_eq!(error(change), want);
        }
    }

    #[test]
    fn settings_are_equal_when_nothing_differs() {
        let one = UpstreamTls::new(parts()).unwrap();
        assert_eq!(one, UpstreamTls::new(parts()).unwrap());
        for change in [
            (|parts| parts.send_name = true) as fn(&mut UpstreamTlsParts),
            |parts| parts.depth = 2,
            |parts| parts.name = ServerName::try_from("other").unwrap(),
            |parts| parts.versions = TlsVersions::Both,
            |parts| parts.ciphers = CipherList::parse("CHACHA20").0.unwrap(),
            |parts| parts.source.name = "other".into(),
        ] {
            let mut parts = parts();
            change(&mut parts);
            assert_ne!(one, UpstreamTls::new(parts).unwrap());
        }
    }
}
