//! TLS to upstreams out of annotations and the Secret they name.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use portcullis_model::policy::Closed;
use portcullis_model::{SecretName, UpstreamTls, UpstreamTlsParts};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::annotations::UpstreamTlsRules;
use crate::ingress::Parsed;
use crate::memo::Secrets;
use crate::{Finding, ObjectKey, Options, Resources, quoted};

/// What an Ingress has instead of TLS settings where its Secret cannot be used.
pub(crate) type Resolved = Result<Arc<UpstreamTls>, Closed>;

/// What was resolved, by Ingress. Equal settings are one, so that routes with the same settings share connections.
#[derive(Debug, Default)]
pub(crate) struct Known {
    by_ingress: BTreeMap<ObjectKey, Entry>,
    by_secret: BTreeMap<ObjectKey, Vec<Weak<UpstreamTls>>>,
}

#[derive(Debug)]
struct Entry {
    parsed: Weak<Parsed>,
    /// Hash of the Secret.
    secret: Option<u64>,
    resolved: Resolved,
    finding: Option<Finding>,
}

impl Known {
    /// The TLS settings of an Ingress with `proxy-ssl-secret`.
    pub(crate) fn resolve(
        &mut self,
        parsed: &Arc<Parsed>,
        (resources, options): (&Resources, &Options),
        secrets: &mut Secrets,
        findings: &mut Vec<Finding>,
    ) -> Option<Resolved> {
        let rules = parsed.draft.upstream_tls.as_ref()?;
        let secret = resources.secrets.get(&rules.secret).map(|secret| secret.hash);
        let known = self.by_ingress.get(&parsed.key);
        let known = known.filter(|entry| entry.secret == secret && entry.parsed.as_ptr() == Arc::as_ptr(parsed));
        if let Some(entry) = known {
            findings.extend(entry.finding.clone());
            return Some(entry.resolved.clone());
        }
        let made = made(rules, resources, secrets);
        let finding = made.as_ref().err().map(|reason| {
            Finding::error(
                &parsed.object(),
                &format!("{}/proxy-ssl-secret", options.annotations_prefix),
                if secret.is_some() { "upstream-tls-unusable" } else { "secret-not-found" },
                format!("{reason}; every path of the Ingress answers 503"),
                "create a Secret with `tls.crt` and `tls.key`, with `ca.crt`, or with all of them",
            )
        });
        findings.extend(finding.clone());
        let closed = |_| Closed { key: "proxy-ssl-secret".into() };
        let resolved = made.map(|made| self.share(&rules.secret, made)).map_err(closed);
        let entry = Entry { parsed: Arc::downgrade(parsed), secret, resolved: resolved.clone(), finding };
        self.by_ingress.insert(parsed.key.clone(), entry);
        Some(resolved)
    }

    fn share(&mut self, secret: &ObjectKey, made: UpstreamTls) -> Arc<UpstreamTls> {
        let known = self.by_secret.entry(secret.clone()).or_default();
        if let Some(same) = known.iter().filter_map(Weak::upgrade).find(|known| **known == made) {
            return same;
        }
        known.retain(|known| known.strong_count() > 0);
        let made = Arc::new(made);
        known.push(Arc::downgrade(&made));
        made
    }

    /// Forgets what no Ingress has any more.
    pub(crate) fn forget(&mut self) {
        self.by_ingress.retain(|_, entry| entry.parsed.strong_count() > 0);
        self.by_secret.retain(|_, known| known.iter().any(|known| known.strong_count() > 0));
    }
}

fn made(rules: &UpstreamTlsRules, resources: &Resources, secrets: &mut Secrets) -> Result<UpstreamTls, String> {
    let UpstreamTlsRules { secret: key, verify, depth, name, send_name, versions, ciphers } = rules;
    let secret =
        resources.secrets.get(key).ok_or_else(|| format!("the Secret {} does not exist", quoted(&key.name)))?;
    let unusable = |reason: String| format!("the Secret {} cannot be used: {reason}", quoted(&key.name));
    let has_pair = entry(&secret.value, "tls.crt").is_some() || entry(&secret.value, "tls.key").is_some();
    let client = has_pair.then(|| secrets.certificate(key, secret)).transpose().map_err(unusable)?;
    let authorities = entry(&secret.value, "ca.crt");
    if client.is_none() && authorities.is_none() {
        return Err(unusable("it has neither `tls.crt` with `tls.key` nor `ca.crt`".to_owned()));
    }
    let authorities = authorities.map_or_else(|| Ok(Vec::new()), |pem| certificates(&pem).map_err(unusable))?;
    let parts = UpstreamTlsParts {
        source: SecretName { namespace: Arc::clone(&key.namespace), name: Arc::clone(&key.name) },
        client,
        authorities,
        verify: *verify,
        depth: *depth,
        name: name.clone(),
        send_name: *send_name,
        versions: *versions,
        ciphers: ciphers.clone(),
    };
    UpstreamTls::new(parts).map_err(|error| unusable(error.to_string()))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.ok().filter(|found| !found.is_empty());
    found.ok_or_else(|| "its `ca.crt` is not in PEM form".to_owned())
}

fn entry(secret: &Secret, name: &str) -> Option<Vec<u8>> {
    let data = secret.data.as_ref().and_then(|data| data.get(name)).map(|ByteString(octets)| octets.clone());
    data.or_else(|| secret.string_data.as_ref()?.get(name).map(|text| text.clone().into_bytes()))
}
