//! The routing table: what a request's host, path and server name select. Compiled from a snapshot, immutable, swapped whole.

mod balance;
mod certificates;
mod compile;
pub mod explain;
mod handshakes;
mod hosts;
mod ordered;
mod paths;
mod server_name;
mod streams;
mod swap;
mod virtual_host;

#[cfg(test)]
pub(crate) mod testing;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use portcullis_model::{Alias, Certificate, HostAction, Settings, Snapshot, StreamPort};

use crate::upstream::Upstream;
use certificates::CertificateIndex;
use hosts::HostIndex;
use streams::Streams;

pub use certificates::CertificateMatch;
pub use handshakes::{HandshakeChoice, HandshakePlan};
pub use streams::CompiledStream;
pub use swap::{LocalTable, TableReader, TableWriter, WorkerTable, channel};
pub use virtual_host::{CompiledHost, CompiledRoute, PathLookup, Rule};

/// Everything that selects a route or a certificate, at one moment.
pub struct RoutingTable {
    snapshot: Snapshot,
    hosts: HostIndex,
    certificates: Arc<CertificateIndex>,
    handshakes: Arc<HandshakePlan>,
    default_backend: Option<Arc<Upstream>>,
    streams: Streams,
}

impl RoutingTable {
    /// The virtual host of a canonical host name ([`portcullis_model::Authority::host`]); `""` where a request has none.
    ///
    /// In this order: the name of a virtual host, its further names (exact, longest `*.name`, longest `name.*`, expressions),
    /// `*.name` of a rule for one more label, the default server. Allocates nothing, but for expressions on their first use by
    /// a thread.
    #[must_use]
    pub fn host(&self, host: &str) -> HostLookup<'_> {
        self.hosts.find(host)
    }

    /// The certificate for the server name of a TLS handshake, in any case, with or without a trailing dot (RFC 6066 section 3).
    #[must_use]
    pub fn certificate(&self, sni: Option<&str>) -> &Arc<Certificate> {
        self.certificate_match(sni).0
    }

    /// The same where a host has several, with keys of different kinds: best first, never none.
    #[must_use]
    pub fn certificates(&self, sni: Option<&str>) -> &[Arc<Certificate>] {
        self.certificates.find(sni).0
    }

    /// The same with the reason of the choice.
    #[must_use]
    pub fn certificate_match(&self, sni: Option<&str>) -> (&Arc<Certificate>, CertificateMatch) {
        let (certificates, why) = self.certificates.find(sni);
        (certificates.first().unwrap_or(&self.snapshot.certificates.default), why)
    }

    /// What the ConfigMap decides.
    #[must_use]
    pub fn settings(&self) -> &Arc<Settings> {
        &self.snapshot.settings
    }

    /// The upstream of `--default-backend-service`; the built-in 404 where there is none.
    #[must_use]
    pub fn default_backend(&self) -> Option<&Arc<Upstream>> {
        self.default_backend.as_ref()
    }

    /// Where what comes in on a port goes, if it is one of a TCP or UDP service.
    #[must_use]
    pub fn stream(&self, port: StreamPort) -> Option<&Arc<CompiledStream>> {
        self.streams.get(port)
    }

    /// The ports that are listened on for TCP and UDP services.
    pub fn stream_ports(&self) -> impl Iterator<Item = StreamPort> {
        self.snapshot.streams.keys().copied()
    }

    /// `--health-check-path`: answered with 200 on the default server.
    #[must_use]
    pub fn health_path(&self) -> &str {
        &self.snapshot.health_path
    }

    /// Namespace and name of every Ingress that has a route.
    #[must_use]
    pub fn ingresses(&self) -> BTreeSet<(&str, &str)> {
        let routes = self.snapshot.hosts.values().flat_map(|host| match &host.action {
            HostAction::Serve { routes, .. } => routes.as_slice(),
            HostAction::RedirectTo(_) => &[],
        });
        routes.map(|route| (&*route.source.namespace, &*route.source.ingress)).collect()
    }

    /// What the table was compiled from.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl fmt::Debug for RoutingTable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RoutingTable").field("hosts", &self.snapshot.hosts.len()).finish_non_exhaustive()
    }
}

/// The virtual host of a request.
#[derive(Clone, Copy, Debug)]
pub struct HostLookup<'t> {
    /// The virtual host.
    pub host: &'t Arc<CompiledHost>,
    /// Whether plain HTTP may be redirected to HTTPS: a certificate is registered for the name. Never on the default server.
    pub tls: bool,
    /// Which kind of name matched.
    pub choice: HostChoice,
    /// The further name that matched; set with [`HostChoice::Alias`] only.
    pub alias: Option<&'t Alias>,
}

/// Which kind of name led to a virtual host.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HostChoice {
    /// The host of a rule.
    Exact,
    /// A further name (`server-alias`).
    Alias,
    /// `*.name` of a rule.
    Wildcard,
    /// No name: the default server (nginx: server `_`).
    Default,
}
