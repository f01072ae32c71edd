//! What a server is started with. Libraries read neither flags nor environment: the controller hands these down.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::metrics::RequestMetrics;

/// Addresses, workers and time limits of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// Where HTTP in the clear is served. Port 0 takes a free one.
    pub http: Vec<SocketAddr>,
    /// Where HTTPS is served. Port 0 takes a free one. The port of the first is what redirects name that name one
    /// (`use-port-in-redirects`); upstreams are told 443 (`X-Forwarded-Port`), as ingress-nginx does for its `--https-port`.
    pub https: Vec<SocketAddr>,
    /// Worker threads; one per core of the quota.
    pub workers: NonZeroUsize,
    /// Connections per worker at one time, default 16384 (nginx: `max-worker-connections`). More wait to be accepted.
    pub connections: NonZeroUsize,
    /// Requests per client connection, default 1000 (nginx: `keep-alive-requests`).
    pub requests_per_connection: u64,
    /// What is measured of requests by Ingress.
    pub request_metrics: RequestMetrics,
    /// Limits towards clients. Those towards upstreams are the routes'.
    pub client: ClientTimeouts,
}

impl ServerConfig {
    /// The defaults, for these addresses.
    #[must_use]
    pub fn new(http: Vec<SocketAddr>, https: Vec<SocketAddr>, workers: NonZeroUsize) -> Self {
        Self {
            http,
            https,
            workers,
            connections: NonZeroUsize::MIN.saturating_add(16_383),
            requests_per_connection: 1000,
            request_metrics: RequestMetrics::default(),
            client: ClientTimeouts::default(),
        }
    }
}

/// Time limits towards clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientTimeouts {
    /// For a TLS handshake, from accept, default 10 s.
    pub handshake: Duration,
    /// For a request head, default 60 s (nginx: `client-header-timeout`): the first from accept or handshake, later ones from
    /// their first octet.
    pub head: Duration,
    /// Between two reads of a request body, default 60 s (nginx: `client-body-timeout`).
    pub body: Duration,
    /// Until the next request, default 75 s (nginx: `keep-alive`).
    pub idle: Duration,
    /// Without progress in writing, default 30 s.
    pub write: Duration,
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(60),
            body: Duration::from_secs(60),
            idle: Duration::from_secs(75),
            write: Duration::from_secs(30),
        }
    }
}
