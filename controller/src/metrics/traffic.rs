//! What the workers of the data plane count.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use portcullis_proxy::metrics::{RequestLabels, RequestTotals, Totals};
use portcullis_proxy::server::RunningServer;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::{Writer, number};

/// The counts of a server, from the time it runs.
#[derive(Debug, Default)]
pub struct Traffic {
    server: OnceLock<Arc<RunningServer>>,
}

impl Traffic {
    /// Counts are those of `server` from now on.
    pub fn set(&self, server: Arc<RunningServer>) {
        if self.server.set(server).is_err() {
            tracing::debug!("there is a server already, its counts stay");
        }
    }

    /// What was counted by Ingress; see [`RunningServer::request_metrics`].
    pub(super) fn by_ingress(&self, wanted: impl Fn(&RequestLabels) -> bool) -> BTreeMap<RequestLabels, RequestTotals> {
        self.server.get().map(|server| server.request_metrics(wanted)).unwrap_or_default()
    }

    fn by_worker(&self) -> Vec<u64> {
        self.server.get().map(|server| server.requests_by_worker()).unwrap_or_default()
    }

    fn totals(&self) -> Option<Totals> {
        self.server.get().map(|server| server.metrics())
    }
}

/// The names under which ingress-nginx tells the same.
#[derive(Debug)]
pub(super) struct AsNginx(pub(super) Arc<Traffic>);

impl Collector for AsNginx {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(totals) = self.0.totals() else { return Ok(()) };
        let mut write = Writer::new(encoder);
        let name = |name: &str| format!("nginx_ingress_controller_nginx_process_{name}");
        let accepted = number(totals.connections_accepted);
        let active = [([("state", "active")], number(totals.connections_active))];
        let all = [([("state", "accepted")], accepted), ([("state", "handled")], accepted)];
        write.gauges(&name("connections"), "Client connections at the moment", active)?;
        // As a counter it would be of the family `connections` as well, which OpenMetrics does not allow.
        write.gauges(&name("connections_total"), "Client connections", all)?;
        write.counter(&name("requests"), "Client requests", number(totals.requests_total()))
    }
}

/// What ingress-nginx does not tell.
#[derive(Debug)]
pub(super) struct OwnNames(pub(super) Arc<Traffic>);

impl Collector for OwnNames {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(totals) = self.0.totals() else { return Ok(()) };
        let mut write = Writer::new(encoder);
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"].map(|class| [("class", class)]);
        let by_class = classes.into_iter().zip(totals.requests.map(number));
        write.counters("portcullis_requests", "Client requests by the class of their status", by_class)?;
        let by_worker = self.0.by_worker().into_iter().enumerate();
        let by_worker = by_worker.map(|(worker, count)| ([("worker", worker.to_string())], number(count)));
        write.counters("portcullis_worker_requests", "Client requests by the worker that answered them", by_worker)?;
        let by_reason = totals.reasons.iter().map(|(reason, count)| ([("reason", reason.code())], number(*count)));
        write.counters("portcullis_local_answers", "Answers that no backend gave, by their reason", by_reason)?;
        let help = "Tries at a backend that gave no response";
        write.counter("portcullis_upstream_failures", help, number(totals.upstream_failures))?;
        let help = "Connections made to backends";
        write.counter("portcullis_upstream_connections", help, number(totals.upstream_connections))?;
        let help = "Access log lines that could not be written fast enough";
        write.counter("portcullis_access_log_lines_dropped", help, number(totals.log_lines_dropped))
    }
}
