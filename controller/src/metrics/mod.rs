//! Prometheus text: names of ingress-nginx where the meaning is the same, `portcullis_` for the rest.

mod admission;
mod certificates;
mod events;
mod hash;
mod leader;
mod orphans;
mod process;
mod requests;
mod traffic;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_proxy::metrics::Distribution;
use portcullis_translate::Severity;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

pub use requests::RequestExport;
pub use traffic::Traffic;

use crate::api_server::{Contact, PROPAGATION_BOUNDS};
use crate::duties::Duties;
use crate::status::{Latest, Phase, Status};
use crate::telemetry;
use hash::ConfigHash;

/// The media type of what [`Metrics::text`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// Metrics of the loop, the process and the data plane; `labels` are those of all that ingress-nginx has, too.
    #[must_use]
    pub fn new(
        status: Arc<Status>,
        traffic: &Arc<Traffic>,
        labels: &[(&'static str, String)],
        export: RequestExport,
    ) -> Self {
        let class = labels.iter().find(|(name, _)| *name == "controller_class");
        let class = class.map(|(_, value)| value.clone()).unwrap_or_default();
        let labels = labels.iter().map(|(name, value)| ((*name).into(), value.clone().into()));
        let mut registry = Registry::default();
        let controller = registry.sub_registry_with_labels(labels);
        controller
            .register_collector(Box::new(ControllerMetrics { status: status.clone(), hash: ConfigHash::default() }));
        controller.register_collector(Box::new(admission::AsNginx(status.clone())));
        controller.register_collector(Box::new(process::AsNginx));
        controller.register_collector(Box::new(traffic::AsNginx(traffic.clone())));
        let by_ingress = requests::ByIngress { traffic: traffic.clone(), status: status.clone(), export };
        controller.register_collector(Box::new(by_ingress));
        registry.register_collector(Box::new(certificates::AsNginx { status: status.clone(), class }));
        registry.register_collector(Box::new(LoopMetrics { status }));
        registry.register_collector(Box::new(process::OwnNames));
        registry.register_collector(Box::new(traffic::OwnNames(traffic.clone())));
        Self { registry }
    }

    /// Adds those of the election and of what the leader writes.
    pub fn add_duties(&mut self, labels: &[(&'static str, String)], duties: &Duties) {
        if let Some(name) = duties.election() {
            let labels = labels.iter().map(|(name, value)| ((*name).into(), value.clone().into()));
            let leader = leader::AsNginx { name: name.to_owned(), leading: duties.leadership() };
            self.registry.sub_registry_with_labels(labels).register_collector(Box::new(leader));
        }
        self.registry.register_collector(Box::new(leader::OwnNames(duties.writes())));
        self.registry.register_collector(Box::new(events::OwnNames(duties.told())));
    }

    /// All metrics as they are at the moment.
    ///
    /// # Errors
    ///
    /// When a metric cannot be written.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// One metric with any number of series.
pub(crate) struct Writer<'e> {
    encoder: DescriptorEncoder<'e>,
}

impl<'e> Writer<'e> {
    pub(crate) fn new(encoder: DescriptorEncoder<'e>) -> Self {
        Self { encoder }
    }

    /// A value that goes up and down. Also for counters of ingress-nginx whose names do not end in `_total`.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    /// One value for each set of labels.
    pub(crate) fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        values.into_iter().try_for_each(|(labels, value)| metric.encode_family(&labels)?.encode_gauge(&value))
    }

    /// A value that only grows; its name gets the ending `_total`.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, f64, f64>(&value, None)
    }

    /// One growing value for each set of labels.
    pub(crate) fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        values.into_iter().try_for_each(|(labels, value)| {
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, f64, f64>(&value, None)
        })
    }
}

impl Writer<'_> {
    /// A histogram for each set of labels, all with the same bounds of buckets.
    pub(crate) fn histograms<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        bounds: &[f64],
        values: impl IntoIterator<Item = (L, Distribution)>,
    ) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        values.into_iter().try_for_each(|(labels, values)| {
            let ends = bounds.iter().copied().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = ends.zip(values.buckets.iter().copied()).collect();
            let mut series = metric.encode_family(&labels)?;
            series.encode_histogram::<NoLabelSet>(values.sum, values.count(), &buckets, None)
        })
    }
}

/// Numbers are written as floats; counts stay exact up to 2^53.
pub(crate) fn number(value: impl TryInto<u64>) -> f64 {
    value.try_into().map_or(0.0, |value: u64| value as f64)
}

/// What ingress-nginx tells of its configuration.
#[derive(Debug)]
struct ControllerMetrics {
    status: Arc<Status>,
    hash: ConfigHash,
}

impl Collector for ControllerMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut write = Writer::new(encoder);
        let Latest { snapshot, findings, published, builds, failures, failed, .. } = self.status.latest();
        let kind = if cfg!(debug_assertions) { "debug" } else { "" };
        let build = [("release", env!("CARGO_PKG_VERSION")), ("build", kind), ("repository", "")];
        write.gauges("nginx_ingress_controller_build_info", "Version of the controller", [(build, 1.0)])?;
        let successful = if builds > 0 && !failed { 1.0 } else { 0.0 };
        let help = "Whether the last configuration was taken over";
        write.gauge("nginx_ingress_controller_config_last_reload_successful", help, successful)?;
        let help = "When a configuration was last taken over";
        write.gauge(
            "nginx_ingress_controller_config_last_reload_successful_timestamp_seconds",
            help,
            seconds(published),
        )?;
        write.gauge("nginx_ingress_controller_success", "Configurations that were taken over", number(builds))?;
        write.gauge("nginx_ingress_controller_errors", "Configurations that were not taken over", number(failures))?;
        let Some(snapshot) = snapshot else { return Ok(()) };
        let hash = if failed { 0.0 } else { self.hash.of(&snapshot) };
        write.gauge("nginx_ingress_controller_config_hash", "The same for the same rules and settings", hash)?;
        orphans::write(&snapshot, &findings, &mut write)
    }
}

/// What only this controller has.
#[derive(Debug)]
struct LoopMetrics {
    status: Arc<Status>,
}

impl Collector for LoopMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut write = Writer::new(encoder);
        let Latest { snapshot, findings, took, files, .. } = self.status.latest();
        let snapshot = snapshot.as_deref();
        let ready = if self.status.phase() == Phase::Ready { 1.0 } else { 0.0 };
        write.gauge("portcullis_ready", "Whether a complete table is served", ready)?;
        write.gauge(
            "portcullis_generation",
            "Grows with every published table or set of endpoints",
            number(self.status.generation()),
        )?;
        write.gauge("portcullis_build_seconds", "Time the last build took", took.as_secs_f64())?;
        write.gauge("portcullis_manifest_files", "Files that are read", number(files))?;
        write.gauge(
            "portcullis_hosts",
            "Virtual hosts",
            number(snapshot.map_or(0, |snapshot| snapshot.hosts.len())),
        )?;
        write.gauge(
            "portcullis_clusters",
            "Service ports that are sent to",
            number(snapshot.map_or(0, |snapshot| snapshot.clusters.len())),
        )?;
        let of = |severity: Severity| number(findings.iter().filter(|finding| finding.severity == severity).count());
        let counts = [Severity::Error, Severity::Warning, Severity::Info]
            .map(|severity| ([("severity", severity.to_string())], of(severity)));
        write.gauges("portcullis_findings", "What users should know about their objects", counts)?;
        if let Some(contact) = self.status.contact() {
            api_server(contact, &mut write)?;
        }
        write.counter("portcullis_panics", "Faults of ours that were caught", number(telemetry::panics()))
    }
}

fn api_server(contact: &Contact, write: &mut Writer<'_>) -> fmt::Result {
    let (requests, failures) = contact.counts();
    write.gauge(
        "portcullis_api_server_silence_seconds",
        "Time since the API server was last heard",
        contact.silence().as_secs_f64(),
    )?;
    write.counter("portcullis_api_server_requests", "Requests to the API server", number(requests))?;
    write.counter("portcullis_api_server_failures", "Of these, those that failed", number(failures))?;
    let times = contact.propagation().by_kind().into_iter().map(|(kind, times)| ([("kind", kind)], times));
    write.histograms(
        "portcullis_propagation_seconds",
        "Time from the event of a watch until requests see its change",
        &PROPAGATION_BOUNDS,
        times,
    )
}

fn seconds(time: Option<SystemTime>) -> f64 {
    let since = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.unwrap_or(Duration::ZERO).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_the_names_that_dashboards_ask_for() {
        let status = Arc::new(Status::default());
        status.update(|latest| latest.builds = 3);
        let labels = [("controller_class", "k8s.io/ingress-nginx".to_owned())];
        let contact = Arc::new(Contact::default());
        contact.propagation().note("Ingress", Duration::from_millis(3));
        status.set_contact(contact);
        let text = Metrics::new(status, &Arc::default(), &labels, RequestExport::default()).text().unwrap();
        for line in [
            "nginx_ingress_controller_config_last_reload_successful{controller_class=\"k8s.io/ingress-nginx\"} 1.0",
            "nginx_ingress_controller_success{controller_class=\"k8s.io/ingress-nginx\"} 3.0",
            "nginx_ingress_controller_nginx_process_resident_memory_bytes{controller_class=",
            "nginx_ingress_controller_nginx_process_cpu_seconds_total{controller_class=",
            "portcullis_panics_total ",
            "portcullis_findings{severity=\"error\"} 0.0",
            "portcullis_api_server_silence_seconds ",
            "portcullis_api_server_requests_total 0.0",
            "portcullis_propagation_seconds_bucket{le=\"0.005\",kind=\"Ingress\"} 1",
            "portcullis_propagation_seconds_count{kind=\"Ingress\"} 1",
            "process_resident_memory_bytes ",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found.starts_with(line)), "{line} in\n{text}");
        }
    }
}
