//! What holds for the process as a whole, and is read when it starts or ends.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::Serialize;

/// Workers, their room, and how long the end may take. Defaults are those of ingress-nginx.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct ProcessSettings {
    /// `worker-processes`: worker threads, read at the start; none for as many as there are CPUs to use (`auto`).
    pub workers: Option<NonZeroUsize>,
    /// `max-worker-connections`, default 16384: client connections per worker, read at the start; none for three quarters of
    /// the files that may be open, shared by the workers (0).
    pub connections: Option<NonZeroUsize>,
    /// `worker-shutdown-timeout`, default 240 s: how long requests may take when the process ends.
    pub shutdown_timeout: Duration,
}

impl Default for ProcessSettings {
    fn default() -> Self {
        Self {
            workers: None,
            connections: Some(NonZeroUsize::MIN.saturating_add(16_383)),
            shutdown_timeout: Duration::from_secs(240),
        }
    }
}
