//! What is measured of requests, and into which buckets.

use std::sync::Arc;

/// What is measured of requests (ingress-nginx: `--enable-metrics` and its family).
#[derive(Clone, Debug, PartialEq)]
pub struct RequestMetrics {
    /// Whether anything is, default on.
    pub enabled: bool,
    /// `--metrics-per-host`, default on: requests of different hosts are counted apart.
    pub per_host: bool,
    /// `--metrics-per-undefined-host`, default off: requests whose host no rule and no alias names literally are counted, too.
    pub undefined_hosts: bool,
    /// `--time-buckets`, in seconds, ascending.
    pub time_buckets: Arc<[f64]>,
    /// `--length-buckets`, in octets, ascending.
    pub length_buckets: Arc<[f64]>,
    /// `--size-buckets`, in octets, ascending.
    pub size_buckets: Arc<[f64]>,
}

impl Default for RequestMetrics {
    fn default() -> Self {
        Self {
            enabled: true,
            per_host: true,
            undefined_hosts: false,
            time_buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0].into(),
            length_buckets: [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0].into(),
            size_buckets: [10.0, 100.0, 1000.0, 10_000.0, 100_000.0, 1_000_000.0, 10_000_000.0].into(),
        }
    }
}
