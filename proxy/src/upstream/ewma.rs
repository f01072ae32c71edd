//! The moving average of an endpoint's connect and response time, by which the faster of two gets a request.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is known of an endpoint's speed. Workers write past each other: one lost measurement of many changes nothing.
#[derive(Debug, Default)]
pub(crate) struct Score {
    /// Seconds, as the bits of an `f64`.
    average: AtomicU64,
    /// Microseconds since [`now`] began to count, plus one; zero where nothing was measured yet.
    touched: AtomicU64,
}

/// How fast measurements lose their weight: to 1/e within this time (ingress-nginx: `DECAY_TIME`).
const DECAY: f64 = 10.0;

/// The time that averages count in.
pub(crate) fn now() -> Duration {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGAN.elapsed()
}

impl Score {
    /// A score that stands at `average` now.
    pub(crate) fn starting_at(average: f64, now: Duration) -> Self {
        Self { average: AtomicU64::new(average.to_bits()), touched: AtomicU64::new(stamp(now)) }
    }

    /// Seconds; the less, the better. What was measured long ago counts little, so that slow endpoints get their chance again.
    pub(crate) fn at(&self, now: Duration) -> f64 {
        self.average() * self.weight(now)
    }

    /// The average when it was last touched; none where nothing was measured.
    pub(crate) fn measured(&self) -> Option<f64> {
        (self.touched.load(Ordering::Relaxed) > 0).then(|| self.average())
    }

    /// Adds a measurement.
    pub(crate) fn add(&self, took: Duration, now: Duration) {
        let weight = self.weight(now);
        let average = self.average() * weight + took.as_secs_f64() * (1.0 - weight);
        self.average.store(average.to_bits(), Ordering::Relaxed);
        self.touched.store(stamp(now), Ordering::Relaxed);
    }

    fn average(&self) -> f64 {
        f64::from_bits(self.average.load(Ordering::Relaxed))
    }

    /// How much the average still counts, from 0 to 1.
    fn weight(&self, now: Duration) -> f64 {
        let Some(touched) = self.touched.load(Ordering::Relaxed).checked_sub(1) else { return 0.0 };
        let age = now.saturating_sub(Duration::from_micros(touched));
        (-age.as_secs_f64() / DECAY).exp()
    }
}

fn stamp(now: Duration) -> u64 {
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX).saturating_add(1)
}

/// What new endpoints start at, so that they do not get all requests at once; none where nothing was measured yet.
pub(crate) fn mean<'s>(scores: impl Iterator<Item = &'s Score>) -> Option<f64> {
    let (sum, count) =
        scores.filter_map(Score::measured).fold((0.0, 0_u32), |(sum, count), one| (sum + one, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn close(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-6
    }

    #[test]
    fn measurements_lose_their_weight_in_ten_seconds() {
        let score = Score::default();
        assert!(close(score.at(at(5)), 0.0) && score.measured().is_none());
        score.add(at(2), at(5));
        assert!(close(score.at(at(5)), 2.0), "the first counts in full");
        assert!(close(score.at(at(15)), 2.0 / std::f64::consts::E));
        score.add(at(4), at(15));
        let kept = 1.0 / std::f64::consts::E;
        assert!(close(score.at(at(15)), 2.0 * kept + 4.0 * (1.0 - kept)));
        score.add(at(9), at(15));
        assert!(close(score.at(at(15)), 2.0 * kept + 4.0 * (1.0 - kept)), "no time has passed");
        assert!(score.at(at(10_000)) < 1e-6);
    }

    #[test]
    fn new_endpoints_start_at_the_mean_of_those_measured() {
        assert_eq!(mean([&Score::default()].into_iter()), None);
        let (one, other) = (Score::starting_at(1.0, at(0)), Score::starting_at(2.0, at(0)));
        let scores = [&one, &other, &Score::default()];
        assert_eq!(mean(scores.into_iter()), Some(1.5));
    }
}
