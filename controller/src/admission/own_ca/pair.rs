//! A CA and the certificate that it has signed, as they stand in the Secret: reading, checking and making them.

use std::fmt;
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::aws_lc_rs;
use rustls::server::ParsedCertificate;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::admission::certificate::server_config;

/// How long a CA is valid.
const CA_LIFETIME: Duration = Duration::from_secs(3650 * DAY);

/// How long a certificate of the webhook is valid.
const LIFETIME: Duration = Duration::from_secs(365 * DAY);

/// Clocks of API servers may be behind by so much.
const SKEW: Duration = Duration::from_secs(3600);

const DAY: u64 = 24 * 60 * 60;

/// Its name is the same for ever, so that a CA that is renewed with its key stands for the former one, too.
const CA_NAME: &str = "portcullis admission webhook CA";

/// Entries of the Secret; the first three as the certgen of ingress-nginx names them.
const CA: &str = "ca";
const CERTIFICATE: &str = "cert";
const KEY: &str = "key";
const CA_KEY: &str = "ca-key";

/// What the Secret holds, in PEM form.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct Pair {
    /// Certificates of the CA.
    pub(super) ca: Vec<u8>,
    /// The webhook's chain.
    pub(super) certificate: Vec<u8>,
    /// Its key.
    pub(super) key: Vec<u8>,
    /// The CA's key: only where the CA is our own.
    pub(super) ca_key: Option<Vec<u8>>,
}

impl fmt::Debug for Pair {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Pair").finish_non_exhaustive()
    }
}

impl Pair {
    /// What is in the Secret.
    ///
    /// # Errors
    ///
    /// Which entry is missing.
    pub(super) fn of(secret: &Secret) -> Result<Self, String> {
        let entry = |name: &str| secret.data.as_ref()?.get(name).map(|ByteString(octets)| octets.clone());
        let needed = |name: &str| entry(name).ok_or_else(|| format!("it has no `{name}`"));
        Ok(Self { ca: needed(CA)?, certificate: needed(CERTIFICATE)?, key: needed(KEY)?, ca_key: entry(CA_KEY) })
    }

    /// Puts it into the Secret, beside what else is there.
    pub(super) fn put_into(self, secret: &mut Secret) {
        let data = secret.data.get_or_insert_default();
        let Self { ca, certificate, key, ca_key } = self;
        for (name, octets) in [(CA, Some(ca)), (CERTIFICATE, Some(certificate)), (KEY, Some(key)), (CA_KEY, ca_key)] {
            match octets {
                Some(octets) => drop(data.insert(name.to_owned(), ByteString(octets))),
                None => drop(data.remove(name)),
            }
        }
    }

    /// Makes a certificate for these Services (`name.namespace.svc`), signed by the CA of `former` where its key is known,
    /// by a new one otherwise.
    ///
    /// # Errors
    ///
    /// When a name cannot be in a certificate, or no key can be made.
    pub(super) fn make(former: Option<&Self>, services: &[String], now: SystemTime) -> Result<Self, rcgen::Error> {
        if let Some(former) = former
            && let Some(made) = former.renewed(services, now)
        {
            return Ok(made);
        }
        let key = KeyPair::generate()?;
        let ca = ca_params(now).self_signed(&key)?.pem();
        Self::signed(ca.into_bytes(), key, services, now)
    }

    /// The same CA with a new certificate. A CA that has had its time keeps its key and its name: what trusts either of
    /// the two trusts what both have signed.
    fn renewed(&self, services: &[String], now: SystemTime) -> Option<Self> {
        let text = std::str::from_utf8(self.ca_key.as_ref()?).ok()?;
        let key = KeyPair::from_pem(text).ok()?;
        let ca = match is_due(&self.ca, now) {
            Ok(false) => self.ca.clone(),
            _ => ca_params(now).self_signed(&key).ok()?.pem().into_bytes(),
        };
        let made = Self::signed(ca, key, services, now).ok()?;
        made.check(services, now).is_ok().then_some(made)
    }

    fn signed(ca: Vec<u8>, ca_key: KeyPair, services: &[String], now: SystemTime) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new(names(services))?;
        params.distinguished_name = named("portcullis admission webhook");
        last(&mut params, now, LIFETIME);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let ca_key_text = ca_key.serialize_pem();
        let certificate = params.signed_by(&key, &Issuer::new(ca_params(now), ca_key))?;
        Ok(Self {
            ca,
            certificate: certificate.pem().into_bytes(),
            key: key.serialize_pem().into_bytes(),
            ca_key: Some(ca_key_text.into_bytes()),
        })
    }

    /// Whether somebody who trusts the CA alone, and asks for any of these Services, takes the certificate now.
    ///
    /// # Errors
    ///
    /// What is wrong, in words that hold nothing of a key.
    pub(super) fn check(&self, services: &[String], now: SystemTime) -> Result<(), String> {
        let mut roots = RootCertStore::empty();
        for ca in &chain(&self.ca, "the certificate of its CA")? {
            if !lifetime(ca)?.contains(&now) {
                return Err("its CA is not valid now".to_owned());
            }
            roots.add(ca.clone()).map_err(|error| format!("the certificate of its CA: {error}"))?;
        }
        let chain = chain(&self.certificate, "its certificate")?;
        server_config(&self.certificate, &self.key)?;
        let (leaf, further) = chain.split_first().ok_or("it has no certificate")?;
        let leaf = ParsedCertificate::try_from(leaf).map_err(|error| format!("its certificate: {error}"))?;
        let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
        let now = UnixTime::since_unix_epoch(since_1970);
        verify_server_cert_signed_by_trust_anchor(&leaf, &roots, further, now, algorithms)
            .map_err(|error| format!("its certificate: {error}"))?;
        for name in services {
            let parsed = ServerName::try_from(name.as_str()).map_err(|_| format!("`{name}` is no host name"))?;
            verify_server_name(&leaf, &parsed).map_err(|_| format!("its certificate is not valid for {name}"))?;
        }
        Ok(())
    }

    /// Whether two thirds of the life of the certificate, or of its CA, are over.
    ///
    /// # Errors
    ///
    /// When one of them cannot be read.
    pub(super) fn is_due(&self, now: SystemTime) -> Result<bool, String> {
        Ok(is_due(&self.certificate, now)? || is_due(&self.ca, now)?)
    }
}

/// The API server asks for `name.namespace.svc`; others in the cluster may use any of the names in its DNS.
fn names(services: &[String]) -> Vec<String> {
    let mut names = Vec::new();
    for service in services {
        let short = service.strip_suffix(".svc").unwrap_or(service);
        names.extend(short.split('.').next().map(str::to_owned));
        names.extend([short.to_owned(), service.clone(), format!("{service}.cluster.local")]);
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn is_due(pem: &[u8], now: SystemTime) -> Result<bool, String> {
    let chain = chain(pem, "its certificate")?;
    let life = lifetime(chain.first().ok_or("it has no certificate")?)?;
    let whole = life.end().duration_since(*life.start()).unwrap_or_default();
    Ok(now >= *life.start() + whole / 3 * 2)
}

fn ca_params(now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(CA_NAME);
    last(&mut params, now, CA_LIFETIME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Two of the same name and key are told apart.
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    params.serial_number = Some(SerialNumber::from(since_1970.as_secs()));
    params
}

fn last(params: &mut CertificateParams, now: SystemTime, lifetime: Duration) {
    params.not_before = (now - SKEW).into();
    params.not_after = (now + lifetime).into();
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// At least one certificate; `what` is for messages.
fn chain(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| format!("{what} is not in PEM form"))
}

fn lifetime(certificate: &CertificateDer<'_>) -> Result<std::ops::RangeInclusive<SystemTime>, String> {
    let (_, read) = X509Certificate::from_der(certificate).map_err(|_| "its certificate cannot be read".to_owned())?;
    let time = |timestamp: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(timestamp).unwrap_or(0));
    let validity = read.validity();
    Ok(time(validity.not_before.timestamp())..=time(validity.not_after.timestamp()))
}
