//! What a server is started with. Libraries read neither flags nor environment: the controller hands these down.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
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
    /// Where bodies wait that are received whole.
    pub buffers: BufferConfig,
    /// What is measured of requests by Ingress.
    pub request_metrics: RequestMetrics,
    /// Limits towards clients that are not settings. Those towards upstreams are the routes'.
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
            buffers: BufferConfig::new(PathBuf::from("/tmp")),
            request_metrics: RequestMetrics::default(),
            client: ClientTimeouts::default(),
        }
    }
}

/// Room of each worker for bodies that are received whole before they are sent on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BufferConfig {
    /// Where temporary files are made, default `/tmp`. They have no names, so that nothing is left behind.
    pub directory: PathBuf,
    /// Memory in octets, default 64 MiB. Where it is taken, bodies go to disk earlier.
    pub memory: u64,
    /// Files at one time, default 1024. Where they are taken, a request whose body needs one is answered with 503.
    pub files: u64,
    /// Octets of all files together, default 16 GiB, with the same effect.
    pub disk: u64,
}

impl BufferConfig {
    /// The defaults, with files in this directory.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, memory: 64 << 20, files: 1024, disk: 16 << 30 }
    }

    /// Makes a file and lets it go.
    ///
    /// # Errors
    ///
    /// When none can be made.
    pub fn probe(&self) -> io::Result<()> {
        tempfile::tempfile_in(&self.directory).map(drop)
    }
}

/// Limits towards clients that no setting changes; the others are `ClientSettings` of the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientTimeouts {
    /// For a TLS handshake, from accept, default 10 s.
    pub handshake: Duration,
    /// Without progress in writing, default 30 s; for a stream of HTTP/2, without room in its window for what is to be sent.
    pub write: Duration,
    /// HTTP/2 frames a second that carry neither fields nor data, default 1000; beyond it the connection is closed.
    pub control_frames: u64,
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        Self { handshake: Duration::from_secs(10), write: Duration::from_secs(30), control_frames: 1000 }
    }
}
