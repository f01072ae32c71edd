//! Connections to upstreams that are kept for further requests.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// How long and how often a worker uses its connections to upstreams. Defaults are those of ingress-nginx.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct UpstreamKeepalive {
    /// `upstream-keepalive-connections`, default 320: idle connections per worker; 0 for a connection per request.
    pub connections: usize,
    /// `upstream-keepalive-timeout`, default 60 s: how long one may be idle.
    #[serde(serialize_with = "seconds")]
    pub idle: Duration,
    /// `upstream-keepalive-time`, default 1 h: how old one may be when it takes a request.
    #[serde(serialize_with = "seconds")]
    pub age: Duration,
    /// `upstream-keepalive-requests`, default 10000: requests on one.
    pub requests: u32,
    /// `grpc-buffer-size-kb`: octets that the head of a gRPC response may have, names and values; default 64 KiB.
    pub grpc_head: usize,
}

impl UpstreamKeepalive {
    /// [`UpstreamKeepalive::grpc_head`] where nothing is configured, and the most it can be: 64 KiB.
    pub const LARGEST_HEAD: usize = 64 * 1024;

    /// Whether connections are used more than once.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.connections > 0
    }
}

impl Default for UpstreamKeepalive {
    fn default() -> Self {
        Self {
            connections: 320,
            idle: Duration::from_secs(60),
            age: Duration::from_secs(3600),
            requests: 10_000,
            grpc_head: Self::LARGEST_HEAD,
        }
    }
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
