//! Everything to serve at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::{
    CertificateSet, Cluster, ClusterId, ClusterPolicy, HostAlias, HostMatch, HostName, HostTls, Route, Settings,
    StreamPort, StreamService,
};

/// A complete, valid description of what to serve. Cheap to clone: parts are shared.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Snapshot {
    /// By host, [`HostMatch::Any`] among them.
    pub hosts: BTreeMap<HostMatch, Arc<VirtualHost>>,
    /// TCP and UDP services that have somewhere to go, by the ports that are listened on for them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub streams: BTreeMap<StreamPort, Arc<StreamService>>,
    /// Every Service port that a route, canary, default backend, or TCP or UDP service names.
    pub clusters: BTreeMap<ClusterId, Arc<Cluster>>,
    /// Certificates by server name.
    pub certificates: Arc<CertificateSet>,
    /// `--default-backend-service`; the built-in 404 where there is none or it has no endpoints.
    pub default_backend: Option<ClusterId>,
    /// `--health-check-path`: answered with 200 on the default server.
    pub health_path: Arc<str>,
    /// What the ConfigMap decides.
    pub settings: Arc<Settings>,
}

impl Snapshot {
    /// The policies of clusters that are not the default, in the order of their names.
    pub fn policies(&self) -> impl Iterator<Item = (&ClusterId, &Arc<ClusterPolicy>)> {
        let clusters = self.clusters.iter().map(|(id, cluster)| (id, &cluster.policy));
        clusters.filter(|(_, policy)| !policy.is_default())
    }
}

/// One host, fed by all Ingresses that name it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct VirtualHost {
    /// Its name.
    pub host: HostMatch,
    /// Further names; none of them is the name of another virtual host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Alias>,
    /// Whether plain HTTP requests of [`VirtualHost::host`] may be redirected: a certificate is registered for it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
    /// What it changes of the settings of TLS handshakes for its names; none where nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake: Option<Arc<HostTls>>,
    /// What it does.
    pub action: HostAction,
}

/// A further name of a virtual host.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Alias {
    /// The name or pattern.
    pub name: HostAlias,
    /// Whether the certificate of the host covers it; else HTTPS answers with the default one and HTTP is not redirected.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
}

/// What a virtual host does.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HostAction {
    /// Looks up a route.
    Serve {
        /// How paths are compared.
        mode: PathMode,
        /// Routes; in [`PathMode::Regex`] in the order they are tried.
        routes: Vec<Arc<Route>>,
        /// `app-root`: where a request for exactly `/` is sent.
        #[serde(skip_serializing_if = "Option::is_none")]
        app_root: Option<Arc<str>>,
    },
    /// Sends every request to another host (`from-to-www-redirect`).
    RedirectTo(HostName),
}

/// How a virtual host compares paths.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PathMode {
    /// Exact match, else longest prefix; case counts.
    Plain,
    /// Every route is a pattern; the first in order that matches wins; case does not count.
    Regex,
}
