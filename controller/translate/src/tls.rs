//! Which certificates a host gets.

use std::sync::Arc;

use portcullis_model::{Certificate, CertificateChoice, HostMatch};

use crate::ingress::{Parsed, TlsEntry};
use crate::memo::Secrets;
use crate::{Finding, ObjectKey, Resources, quoted};

/// Decides by the oldest Ingress of the host that has a TLS section; younger ones are not asked.
///
/// A Secret that is missing, unusable or of other names pins the default certificate. `None` where no Ingress has a TLS section.
pub(crate) fn choose<'p>(
    host: &HostMatch,
    ingresses: impl IntoIterator<Item = &'p Arc<Parsed>>,
    resources: &Resources,
    secrets: &mut Secrets,
    findings: &mut Vec<Finding>,
) -> Option<CertificateChoice> {
    let deciding = ingresses.into_iter().find(|parsed| !parsed.tls.is_empty())?;
    let mut listed = deciding.tls.iter().filter(|entry| entry.hosts.contains(host));
    let chosen = match listed.next() {
        Some(entry) => of_entry(entry, host, resources, secrets),
        None => covering(&deciding.tls, host, resources, secrets)
            .ok_or_else(|| format!("no entry lists the host {host} and no Secret named here has a certificate for it")),
    };
    Some(match chosen {
        Ok(certificate) => with_others(certificate, listed, host, deciding, resources, secrets, findings),
        Err(reason) => {
            findings.push(Finding::warning(
                &deciding.object(),
                "spec.tls",
                "default-certificate",
                format!("{reason}; {host} is served with the default certificate"),
                "create a Secret with a certificate for the host in `tls.crt` and its key in `tls.key`",
            ));
            CertificateChoice::Default
        }
    })
}

/// Further entries of the same host add certificates with keys of another kind, for clients that cannot check the first.
fn with_others<'p>(
    first: Arc<Certificate>,
    others: impl Iterator<Item = &'p TlsEntry>,
    host: &HostMatch,
    deciding: &Parsed,
    resources: &Resources,
    secrets: &mut Secrets,
    findings: &mut Vec<Finding>,
) -> CertificateChoice {
    let mut kept = vec![first];
    for entry in others {
        let of_another_kind = of_entry(entry, host, resources, secrets).and_then(|certificate| {
            let twin = kept.iter().find(|other| other.key_kind() == certificate.key_kind());
            match twin {
                None => Ok(Some(certificate)),
                Some(same) if *same == certificate => Ok(None),
                Some(_) => Err("an entry before has a certificate with the same kind of key".to_owned()),
            }
        });
        match of_another_kind {
            Ok(certificate) => kept.extend(certificate),
            Err(reason) => findings.push(Finding::info(
                &deciding.object(),
                "spec.tls",
                "certificate-not-used",
                format!("a further entry for {host} is not used: {reason}"),
                "list a host more than once only for certificates with keys of different kinds, such as ECDSA and RSA",
            )),
        }
    }
    CertificateChoice::of(kept)
}

fn of_entry(
    entry: &TlsEntry,
    host: &HostMatch,
    resources: &Resources,
    secrets: &mut Secrets,
) -> Result<Arc<Certificate>, String> {
    let secret = entry.secret.as_ref().ok_or("the TLS entry of the host names no Secret")?;
    let certificate = load(secret, resources, secrets)?;
    if certificate.covers(host) {
        return Ok(certificate);
    }
    Err(format!("the certificate of Secret {} is not valid for the host", quoted(&secret.name)))
}

fn covering(
    entries: &[TlsEntry],
    host: &HostMatch,
    resources: &Resources,
    secrets: &mut Secrets,
) -> Option<Arc<Certificate>> {
    let mut loaded = entries.iter().filter_map(|entry| load(entry.secret.as_ref()?, resources, secrets).ok());
    loaded.find(|certificate| certificate.covers(host))
}

/// The certificate of a Secret.
pub(crate) fn load(key: &ObjectKey, resources: &Resources, secrets: &mut Secrets) -> Result<Arc<Certificate>, String> {
    let secret =
        resources.secrets.get(key).ok_or_else(|| format!("the Secret {} does not exist", quoted(&key.name)))?;
    secrets
        .certificate(key, secret)
        .map_err(|reason| format!("the Secret {} cannot be used: {reason}", quoted(&key.name)))
}
