//! Counters: each worker writes its own, whoever asks adds them up.

mod config;
mod histogram;
mod recent;
mod requests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portcullis_model::Reason;

pub use config::RequestMetrics;
pub use histogram::Distribution;
pub(crate) use recent::SeriesKey;
pub(crate) use requests::{Finished, Measured, RequestCounts, UpstreamTimes, method_label, sum};
pub use requests::{RequestLabels, RequestTotals};

/// What all workers counted since they started.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Totals {
    /// Client connections accepted.
    pub connections_accepted: u64,
    /// Client connections open at the moment, tunnels included.
    pub connections_active: u64,
    /// Requests by class of the status that was logged, `1xx` first; 499 counts as `4xx`.
    pub requests: [u64; 5],
    /// Answers made here, by reason, in the order of [`Reason::ALL`].
    pub reasons: Vec<(Reason, u64)>,
    /// Tries at an upstream that gave no response.
    pub upstream_failures: u64,
    /// Connections made to upstreams.
    pub upstream_connections: u64,
    /// Access log lines lost because they could not be written fast enough.
    pub log_lines_dropped: u64,
    /// Tasks that ended in a panic. Anything but zero is a bug.
    pub panics: u64,
}

impl Totals {
    /// Requests of all classes.
    #[must_use]
    pub fn requests_total(&self) -> u64 {
        self.requests.iter().sum()
    }

    /// How often `reason` was the reason of an answer made here.
    #[must_use]
    pub fn reason(&self, reason: Reason) -> u64 {
        self.reasons.iter().find(|(known, _)| *known == reason).map_or(0, |(_, count)| *count)
    }

    pub(crate) fn sum<'c>(workers: impl Iterator<Item = &'c Arc<Counters>>) -> Self {
        let mut totals = Self { reasons: Reason::ALL.iter().map(|reason| (*reason, 0)).collect(), ..Self::default() };
        for worker in workers {
            totals.connections_accepted += worker.accepted.value();
            totals.connections_active += worker.active();
            totals.upstream_failures += worker.upstream_failures.value();
            totals.upstream_connections += worker.upstream_connections.value();
            totals.log_lines_dropped += worker.log_lines_dropped.value();
            totals.panics += worker.panics.value();
            totals.requests.iter_mut().zip(&worker.requests).for_each(|(sum, class)| *sum += class.value());
            totals.reasons.iter_mut().zip(&worker.reasons).for_each(|((_, sum), reason)| *sum += reason.value());
        }
        totals
    }
}

/// The counters of one worker. Only that worker adds to them.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) accepted: Counter,
    pub(crate) closed: Counter,
    pub(crate) upstream_failures: Counter,
    pub(crate) upstream_connections: Counter,
    pub(crate) log_lines_dropped: Counter,
    pub(crate) panics: Counter,
    /// Where the worker shows what it counts by Ingress.
    pub(crate) by_ingress: Arc<requests::SharedSeries>,
    requests: [Counter; 5],
    reasons: [Counter; Reason::ALL.len()],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            accepted: Counter::default(),
            closed: Counter::default(),
            upstream_failures: Counter::default(),
            upstream_connections: Counter::default(),
            log_lines_dropped: Counter::default(),
            panics: Counter::default(),
            by_ingress: Arc::default(),
            requests: Default::default(),
            reasons: std::array::from_fn(|_| Counter::default()),
        }
    }
}

impl Counters {
    /// Counts one request by the status logged and, for an answer made here, by its reason.
    pub(crate) fn request(&self, status: u16, reason: Option<Reason>) {
        let class = usize::from(status / 100).saturating_sub(1);
        if let Some(counter) = self.requests.get(class) {
            counter.add(1);
        }
        if let Some(counter) = reason.and_then(|reason| self.reasons.get(reason as usize)) {
            counter.add(1);
        }
    }

    /// Client connections open at the moment, as far as another thread can know.
    pub(crate) fn active(&self) -> u64 {
        self.accepted.value().saturating_sub(self.closed.value())
    }
}

/// A number that one thread writes and others may read. Without a locked instruction: there is no second writer.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_added_up() {
        let workers = [Arc::new(Counters::default()), Arc::new(Counters::default())];
        workers[0].accepted.add(3);
        workers[0].closed.add(1);
        workers[0].request(200, None);
        workers[1].request(404, Some(Reason::NoHost));
        workers[1].request(499, Some(Reason::ClientGone));
        let totals = Totals::sum(workers.iter());
        assert_eq!((totals.connections_accepted, totals.connections_active), (3, 2));
        assert_eq!(totals.requests, [0, 1, 0, 2, 0]);
        assert_eq!((totals.reason(Reason::NoHost), totals.reason(Reason::NoPath)), (1, 0));
        assert_eq!(totals.requests_total(), 3);
    }

    #[test]
    fn every_reason_has_its_counter() {
        for (place, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, place, "{reason}");
        }
    }
}
