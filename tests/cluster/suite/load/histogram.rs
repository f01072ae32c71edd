//! A histogram among metrics in Prometheus text.

use std::fmt;

/// Upper bounds in seconds, and how many values are not above them.
#[derive(Debug)]
pub(super) struct Histogram(Vec<(f64, u64)>);

impl Histogram {
    /// The series that has this label.
    pub(super) fn read(text: &str, name: &str, label: &str) -> Self {
        let start = format!("{name}_bucket{{");
        let series = text.lines().filter(|line| line.starts_with(&start) && line.contains(label));
        let buckets: Option<Vec<(f64, u64)>> = series
            .map(|line| {
                let (_, rest) = line.split_once("le=\"")?;
                let (bound, _) = rest.split_once('"')?;
                Some((bound.parse().ok()?, line.rsplit(' ').next()?.parse().ok()?))
            })
            .collect();
        Self(buckets.unwrap_or_else(|| panic!("{name} cannot be read")))
    }

    /// How many values there are.
    pub(super) fn count(&self) -> u64 {
        self.0.last().map_or(0, |(_, count)| *count)
    }

    /// A bound that this share of the values is not above.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let least = self.count() as f64 * share;
        self.0.iter().find(|(_, count)| *count as f64 >= least).map_or(f64::NAN, |(bound, _)| *bound)
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [half, most, all] = [0.5, 0.99, 1.0].map(|share| self.quantile(share) * 1000.0);
        write!(f, "{} times, p50 up to {half} ms, p99 up to {most} ms, all up to {all} ms", self.count())
    }
}
