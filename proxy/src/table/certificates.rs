//! Certificates by the server name of a TLS handshake.

use std::sync::Arc;

use portcullis_model::{Certificate, CertificateChoice, CertificateSet, HostMatch};
use serde::Serialize;

use super::hosts::{ByName, Name};
use super::server_name;

/// Certificates by server name: the name itself, else `*.` and the name without its first label, else the default one.
pub(super) struct CertificateIndex {
    names: ByName<CertificateChoice>,
    wildcards: ByName<CertificateChoice>,
    default: Arc<Certificate>,
}

/// Why a certificate was chosen.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateMatch {
    /// The server name has an entry.
    Exact,
    /// `*.` and the server name without its first label has one.
    Wildcard,
    /// Neither has, so the default certificate answers.
    NoEntry,
    /// The client sent no server name, so the default certificate answers.
    NoServerName,
}

impl CertificateIndex {
    pub(super) fn new(set: &CertificateSet) -> Self {
        let mut index = Self { names: ByName::new(), wildcards: ByName::new(), default: Arc::clone(&set.default) };
        for (host, choice) in &set.by_host {
            match host {
                HostMatch::Any => {}
                HostMatch::Wildcard(parent) => drop(index.wildcards.insert(parent.clone(), choice.clone())),
                HostMatch::Exact(name) => drop(index.names.insert(name.clone(), choice.clone())),
            }
        }
        index
    }

    /// Never none.
    pub(super) fn find(&self, sni: Option<&str>) -> (&[Arc<Certificate>], CertificateMatch) {
        let default = std::slice::from_ref(&self.default);
        let Some(sni) = sni else { return (default, CertificateMatch::NoServerName) };
        let mut buffer = server_name::buffer();
        let found = server_name::canonical(sni, &mut buffer).and_then(|name| self.find_name(name));
        match found {
            None => (default, CertificateMatch::NoEntry),
            Some((CertificateChoice::Default, why)) => (default, why),
            Some((own, why)) => (own.own(), why),
        }
    }

    fn find_name(&self, name: &str) -> Option<(&CertificateChoice, CertificateMatch)> {
        let exact = self.names.get(&Name(name)).map(|found| (found, CertificateMatch::Exact));
        exact.or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.wildcards.get(&Name(parent)).map(|found| (found, CertificateMatch::Wildcard))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::RoutingTable;
    use super::super::testing::{certificate, with_certificates};
    use super::CertificateMatch::{self, Exact, NoEntry, NoServerName, Wildcard};
    use crate::upstream::UpstreamRegistry;

    #[test]
    fn server_names_get_the_certificate_of_their_entry() {
        let own = certificate(&["a.example"]);
        let wild = certificate(&["*.w.example"]);
        let entries = [
            ("a.example", Some(&own)),
            ("*.w.example", Some(&wild)),
            ("pinned.w.example", None),
            ("*.pinned.example", None),
        ];
        let table = RoutingTable::compile(&with_certificates(&entries), &UpstreamRegistry::default(), None);
        let cases: &[(Option<&str>, &str, CertificateMatch)] = &[
            (Some("a.example"), "a.example", Exact),
            (Some("A.Example"), "a.example", Exact),
            (Some("a.example."), "a.example", Exact),
            (Some("A.EXAMPLE."), "a.example", Exact),
            (Some("b.a.example"), "default.example", NoEntry),
            (Some("x.w.example"), "*.w.example", Wildcard),
            (Some("X.W.example"), "*.w.example", Wildcard),
            (Some("y.x.w.example"), "default.example", NoEntry),
            (Some("w.example"), "default.example", NoEntry),
            (Some("pinned.w.example"), "default.example", Exact),
            (Some("x.pinned.example"), "default.example", Wildcard),
            (Some(""), "default.example", NoEntry),
            (Some("."), "default.example", NoEntry),
            (None, "default.example", NoServerName),
        ];
        for (sni, want, why) in cases {
            let (found, reason) = table.certificate_match(*sni);
            assert_eq!((found.names()[0].to_string().as_str(), reason), (*want, *why), "{sni:?}");
        }
        let long = "A".repeat(1000);
        assert_eq!(table.certificate_match(Some(&long)).1, NoEntry);
    }
}
