//! Requests by Ingress, under the names and labels of ingress-nginx.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use portcullis_proxy::metrics::{Distribution, RequestLabels, RequestMetrics, RequestTotals};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::{Traffic, number};
use crate::status::Status;

/// What is told of requests, and how.
#[derive(Clone, Debug, Default)]
pub struct RequestExport {
    /// Into which buckets values fall.
    pub measured: RequestMetrics,
    /// `--report-status-classes`: `2xx` instead of `200`.
    pub status_classes: bool,
    /// `--exclude-socket-metrics`: names that are left out, without their prefix.
    pub excluded: Vec<String>,
}

/// The metrics of requests.
#[derive(Debug)]
pub(super) struct ByIngress {
    pub(super) traffic: Arc<Traffic>,
    pub(super) status: Arc<Status>,
    pub(super) export: RequestExport,
}

/// Before every name.
const PREFIX: &str = "nginx_ingress_controller_";

/// Picks the values of a metric.
type Pick = fn(&RequestTotals) -> &Distribution;

/// Picks its bounds.
type Bounds = fn(&RequestMetrics) -> &[f64];

/// Name, help, values and bounds of every histogram.
const HISTOGRAMS: &[(&str, &str, Pick, Bounds)] = &[
    ("request_duration_seconds", "Time from the first octet of a request to its end", |t| &t.request, time),
    ("response_duration_seconds", "Time until the end of the response of the backend", |t| &t.response, time),
    ("header_duration_seconds", "Time until the response head of the backend", |t| &t.head, time),
    ("connect_duration_seconds", "Time until there was a connection to the backend", |t| &t.connect, time),
    ("request_size", "Octets of requests, heads included", |t| &t.received, length),
    ("response_size", "Octets of responses, heads included", |t| &t.sent, length),
    ("bytes_sent", "Octets of responses, heads included; response_size has the same", |t| &t.sent_by_size, size),
];

fn time(measured: &RequestMetrics) -> &[f64] {
    &measured.time_buckets
}

fn length(measured: &RequestMetrics) -> &[f64] {
    &measured.length_buckets
}

fn size(measured: &RequestMetrics) -> &[f64] {
    &measured.size_buckets
}

/// The labels of ingress-nginx for one series.
type Labels = Vec<(&'static str, String)>;

impl Collector for ByIngress {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let totals = self.totals();
        if totals.is_empty() {
            return Ok(());
        }
        if self.tells("requests") {
            // Counters of OpenMetrics end in `_total`, which the name that dashboards ask for does not.
            let name = format!("{PREFIX}requests");
            let mut metric = encoder.encode_descriptor(&name, "Client requests", None, MetricType::Unknown)?;
            for (labels, totals) in &totals {
                metric.encode_family(labels)?.encode_gauge(&number(totals.requests))?;
            }
        }
        for (name, help, pick, bounds) in HISTOGRAMS.iter().filter(|(name, ..)| self.tells(name)) {
            let name = format!("{PREFIX}{name}");
            let mut metric = encoder.encode_descriptor(&name, help, None, MetricType::Histogram)?;
            for (labels, totals) in &totals {
                let values = pick(totals);
                let ends = bounds(&self.export.measured).iter().copied().chain([f64::INFINITY]);
                let buckets: Vec<(f64, u64)> = ends.zip(values.buckets.iter().copied()).collect();
                let mut series = metric.encode_family(labels)?;
                series.encode_histogram::<NoLabelSet>(values.sum, values.count(), &buckets, None)?;
            }
        }
        Ok(())
    }
}

impl ByIngress {
    fn tells(&self, name: &str) -> bool {
        !self.export.excluded.iter().any(|excluded| excluded == name)
    }

    fn totals(&self) -> BTreeMap<Labels, RequestTotals> {
        let Some(table) = self.status.table().map(|table| table.load()) else { return BTreeMap::new() };
        let known = table.ingresses();
        let wanted = |labels: &RequestLabels| known.contains(&(&*labels.namespace, &*labels.ingress));
        let mut shown: BTreeMap<Labels, RequestTotals> = BTreeMap::new();
        for (labels, totals) in self.traffic.by_ingress(wanted) {
            let entry = shown.entry(self.labels(&labels)).or_default();
            *entry = std::mem::take(entry).plus(&totals);
        }
        shown
    }

    fn labels(&self, labels: &RequestLabels) -> Labels {
        let RequestLabels { namespace, ingress, service, path, host, canary, method, status } = labels;
        let status = if self.export.status_classes { format!("{}xx", status / 100) } else { status.to_string() };
        let mut all = vec![
            ("canary", canary.to_string()),
            ("ingress", ingress.to_string()),
            ("method", (*method).to_owned()),
            ("namespace", namespace.to_string()),
            ("path", path.to_string()),
            ("service", service.to_string()),
            ("status", status),
        ];
        if self.export.measured.per_host {
            all.push(("host", host.to_string()));
        }
        all
    }
}
