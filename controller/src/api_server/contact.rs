//! When the API server was last heard, how often it was asked, and how soon its news are served.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Propagation;

/// Shared by all requests to the API server, and told in metrics.
#[derive(Debug)]
pub struct Contact {
    start: Instant,
    /// Milliseconds after the start; 0 for never.
    heard: AtomicU64,
    requests: AtomicU64,
    failures: AtomicU64,
    /// Paths of watches that the server has taken.
    watches: Mutex<HashSet<String>>,
    propagation: Propagation,
}

impl Default for Contact {
    fn default() -> Self {
        let (heard, requests, failures) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let (watches, propagation) = (Mutex::default(), Propagation::default());
        Self { start: Instant::now(), heard, requests, failures, watches, propagation }
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

    /// Whether the last watch of a path was taken by the server.
    #[must_use]
    pub fn is_watching(&self, path: &str) -> bool {
        self.watches().contains(path)
    }

    /// How long changes take until they are served.
    #[must_use]
    pub fn propagation(&self) -> &Propagation {
        &self.propagation
    }

    /// A watch is asked for.
    pub(super) fn begin_watch(&self, path: &str) {
        self.watches().remove(path);
    }

    /// The server has taken it. Paths are those of the kinds that are watched, and so few.
    pub(super) fn take_watch(&self, path: String) {
        self.watches().insert(path);
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

    fn watches(&self) -> MutexGuard<'_, HashSet<String>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
