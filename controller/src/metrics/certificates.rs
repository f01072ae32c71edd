//! What certificates are served, by the names of ingress-nginx and without the labels of the controller, as there.

use std::fmt;
use std::sync::Arc;

use portcullis_model::{Certificate, CertificateOrigin, HostMatch, KeyKind, Snapshot};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::{Writer, number};
use crate::status::Status;

/// Nothing before the first table.
#[derive(Debug)]
pub(super) struct AsNginx {
    pub(super) status: Arc<Status>,
    /// `--controller-class`.
    pub(super) class: String,
}

impl Collector for AsNginx {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(snapshot) = self.status.latest().snapshot else { return Ok(()) };
        let mut write = Writer::new(encoder);
        // A time before 1970 is as good as 1970: long over.
        let ends = |certificate: &Certificate| number(u64::try_from(certificate.not_after()).unwrap_or(0));
        let series = own(&snapshot).map(|(host, certificate)| (self.labels(host, certificate), ends(certificate)));
        write.gauges("nginx_ingress_controller_ssl_expire_time_seconds", "End of validity of a certificate", series)?;
        let about = own(&snapshot).filter_map(|(host, certificate)| {
            let origin = certificate.origin()?;
            Some((self.about(host, certificate, origin), 1.0))
        });
        write.gauges("nginx_ingress_controller_ssl_certificate_info", "Who issued a certificate", about)
    }
}

/// Every certificate of a Secret that a host has.
fn own(snapshot: &Snapshot) -> impl Iterator<Item = (&HostMatch, &Arc<Certificate>)> {
    let by_host = snapshot.certificates.by_host.iter();
    by_host.flat_map(|(host, choice)| choice.own().iter().map(move |certificate| (host, certificate)))
}

type Label = (&'static str, String);

impl AsNginx {
    fn labels(&self, host: &HostMatch, certificate: &Certificate) -> [Label; 5] {
        let source = certificate.source();
        let part = |part: Option<&Arc<str>>| part.map(ToString::to_string).unwrap_or_default();
        let identifier = certificate.origin().map(|origin| format!("{}-{}", origin.issuer_serial, origin.serial));
        [
            ("namespace", part(source.map(|source| &source.namespace))),
            ("class", self.class.clone()),
            ("host", host.to_string()),
            ("secret_name", part(source.map(|source| &source.name))),
            ("identifier", identifier.unwrap_or_default()),
        ]
    }

    fn about(&self, host: &HostMatch, certificate: &Certificate, origin: &CertificateOrigin) -> Vec<Label> {
        // The names that ingress-nginx takes from Go's crypto/x509.
        let algorithm = match certificate.key_kind() {
            KeyKind::Ecdsa => "ECDSA",
            KeyKind::Rsa => "RSA",
            KeyKind::Other => "Ed25519",
        };
        let mut labels = self.labels(host, certificate).to_vec();
        labels.extend([
            ("issuer_organization", origin.organization.clone()),
            ("issuer_common_name", origin.common_name.clone()),
            ("serial_number", origin.serial.clone()),
            ("public_key_algorithm", algorithm.to_owned()),
        ]);
        labels
    }
}
