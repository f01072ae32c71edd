//! How long it takes from a watch event to requests that see it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_proxy::metrics::Distribution;

/// Upper bounds of the buckets, in seconds; close to each other around the tenth of a second that it may take at most.
pub const BOUNDS: [f64; 15] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.5, 1.0, 2.0, 5.0];

/// Times by the kind of the object that changed: from the moment at which a watch brought the change until a table or
/// endpoints with it were published. Written by the loop, read by metrics.
#[derive(Debug, Default)]
pub struct Propagation {
    by_kind: Mutex<BTreeMap<&'static str, Distribution>>,
}

impl Propagation {
    /// A change to an object of this kind is served after this time.
    pub fn note(&self, kind: &'static str, time: Duration) {
        let mut by_kind = self.lock();
        let times = by_kind.entry(kind).or_default();
        times.buckets.resize(BOUNDS.len() + 1, 0);
        let seconds = time.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = times.buckets.get_mut(bucket) {
            *count += 1;
        }
        times.sum += seconds;
    }

    /// The times of each kind of which an object has changed; buckets as in [`BOUNDS`], and one for what is above.
    #[must_use]
    pub fn by_kind(&self) -> BTreeMap<&'static str, Distribution> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Distribution>> {
        self.by_kind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_falls_into_the_first_bucket_that_is_not_below_it() {
        let times = Propagation::default();
        for millis in [0, 1, 2, 100, 101, 5000, 5001] {
            times.note("Ingress", Duration::from_millis(millis));
        }
        times.note("Service", Duration::ZERO);
        let by_kind = times.by_kind();
        assert_eq!(by_kind["Ingress"].buckets, [2, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1]);
        assert!((by_kind["Ingress"].sum - 10.205).abs() < 1e-9);
        assert_eq!(by_kind["Service"].count(), 1);
    }
}
