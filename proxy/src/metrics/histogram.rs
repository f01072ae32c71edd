//! Histograms that one thread writes and others add up.

use std::time::Duration;

use super::Counter;

/// Upper bounds of buckets in whole units: microseconds or octets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Bounds(Box<[u64]>);

/// What a bound of 1 is in whole units.
pub(super) const MICROSECONDS: f64 = 1e6;
pub(super) const OCTETS: f64 = 1.0;

impl Bounds {
    pub(super) fn new(bounds: &[f64], unit: f64) -> Self {
        // Negative bounds and fractions of a unit count as the unit below; what is larger than all fits in no number of units.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates, which is what is wanted"
        )]
        Self(bounds.iter().map(|bound| (bound * unit) as u64).collect())
    }

    /// The bucket of a value; the one after all where it is above every bound.
    fn bucket(&self, value: u64) -> usize {
        match self.0.last() {
            // Nearly all requests and responses are larger than all usual bounds of `--length-buckets`.
            Some(last) if value > *last => self.0.len(),
            _ => self.0.iter().position(|bound| value <= *bound).unwrap_or(self.0.len()),
        }
    }
}

/// How often values fell into each bucket, and their sum.
#[derive(Debug)]
pub(super) struct Histogram {
    buckets: Box<[Counter]>,
    sum: Counter,
}

impl Histogram {
    pub(super) fn new(bounds: &Bounds) -> Self {
        Self { buckets: (0..=bounds.0.len()).map(|_| Counter::default()).collect(), sum: Counter::default() }
    }

    pub(super) fn add(&self, value: u64, bounds: &Bounds) {
        if let Some(bucket) = self.buckets.get(bounds.bucket(value)) {
            bucket.add(1);
        }
        self.sum.add(value);
    }

    pub(super) fn add_time(&self, time: Duration, bounds: &Bounds) {
        self.add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), bounds);
    }
}

/// The values of a histogram, of one worker or of several.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// How often values fell into each bucket; the last is for what is above every bound. Not cumulative.
    pub buckets: Vec<u64>,
    /// Sum of all values, in seconds or octets.
    pub sum: f64,
}

impl Distribution {
    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Both together; the buckets must be the same.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(sum, bucket)| *sum += bucket);
        self.sum += other.sum;
        self
    }

    pub(super) fn add(&mut self, histogram: &Histogram, unit: f64) {
        self.buckets.resize(histogram.buckets.len(), 0);
        for (sum, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += bucket.value();
        }
        self.sum += histogram.sum.value() as f64 / unit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_into_the_first_bucket_that_is_not_below_it() {
        let bounds = Bounds::new(&[0.005, 0.1, 10.0], MICROSECONDS);
        let histogram = Histogram::new(&bounds);
        for micros in [0, 5000, 5001, 100_000, 9_000_000, 10_000_001] {
            histogram.add_time(Duration::from_micros(micros), &bounds);
        }
        let mut sum = Distribution::default();
        sum.add(&histogram, MICROSECONDS);
        assert_eq!(sum.buckets, [2, 2, 1, 1]);
        assert_eq!(sum.count(), 6);
        assert!((sum.sum - 19.110_002).abs() < 1e-9, "{}", sum.sum);
    }
}
