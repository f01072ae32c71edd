//! When the API server was last heard, and how often it was asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Shared by all requests to the API server, and told in metrics.
#[derive(Debug)]
pub struct Contact {
    start: Instant,
    /// Milliseconds after the start; 0 for never.
    heard: AtomicU64,
    requests: AtomicU64,
    failures: AtomicU64,
}

impl Default for Contact {
    fn default() -> Self {
        let (heard, requests, failures) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self { start: Instant::now(), heard, requests, failures }
    }
}

impl Contact {
    /// How long the server has been silent; since the start where it was never heard.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_millis(self.heard.load(Ordering::Relaxed)))
    }

    /// Requests, and those of them that failed: no answer, or one with a status from 500 on, or 429.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.requests.load(Ordering::Relaxed), self.failures.load(Ordering::Relaxed))
    }

    /// Something came from the server.
    pub(super) fn hear(&self) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(millis, Ordering::Relaxed);
    }

    pub(super) fn ask(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn fail(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
}
