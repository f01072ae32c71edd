//! Where to send: Service ports and their endpoints.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;

use crate::ClusterPolicy;

/// One Service port, shared by all routes that name it.
///
/// The parts are kept apart: joined names such as `a-b-c` would let one namespace collide with another.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClusterId {
    /// Namespace of the Service.
    pub namespace: Arc<str>,
    /// Name of the Service.
    pub service: Arc<str>,
    /// Port number or name as the Ingress writes it.
    pub port: Arc<str>,
}

/// `namespace-service-port`, the upstream name of ingress-nginx, for logs and metrics.
impl fmt::Display for ClusterId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}-{}", self.namespace, self.service, self.port)
    }
}

impl Serialize for ClusterId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}/{}:{}", self.namespace, self.service, self.port))
    }
}

/// A Service port to send to.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Cluster {
    /// Its identity.
    pub id: ClusterId,
    /// Where its addresses come from.
    pub endpoints: Endpoints,
    /// How its endpoints share requests. Shared: most clusters have the same.
    #[serde(skip_serializing_if = "is_default")]
    pub policy: Arc<ClusterPolicy>,
}

fn is_default(policy: &Arc<ClusterPolicy>) -> bool {
    policy.is_default()
}

/// Where the addresses of a [`Cluster`] come from.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoints {
    /// Known addresses, sorted, without duplicates; none answers 503.
    Known(Arc<[Endpoint]>),
    /// A name to resolve while running (Service type `ExternalName`).
    Dns(DnsTarget),
}

impl Endpoints {
    /// No addresses.
    #[must_use]
    pub fn none() -> Self {
        Self::Known(Arc::from([]))
    }
}

/// One address to send to.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Endpoint {
    /// Address and port.
    pub address: SocketAddr,
}

/// A name that the resolver follows.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct DnsTarget {
    /// The name as the Service gives it; one ending in a dot is not looked up in search domains.
    pub name: Arc<str>,
    /// The port of every address.
    pub port: u16,
}

/// How an upstream is spoken to (`backend-protocol`).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1 in the clear.
    #[default]
    Http,
    /// HTTP/1.1 over TLS, unverified and without server name unless told otherwise, as nginx.
    Https,
    /// As the client's connection: TLS where it is TLS (`AUTO_HTTP`).
    Auto,
    /// HTTP/2 in the clear, with prior knowledge (RFC 9113 section 3.3).
    Grpc,
    /// HTTP/2 over TLS, which is checked as far as that of [`Protocol::Https`].
    Grpcs,
}

impl Protocol {
    /// Whether both sides talk at the same time, so that no body is ever held back.
    #[must_use]
    pub fn streams_requests(self) -> bool {
        match self {
            Self::Http | Self::Https | Self::Auto => false,
            Self::Grpc | Self::Grpcs => true,
        }
    }
}
