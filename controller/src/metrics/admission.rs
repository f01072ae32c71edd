//! What the webhook has done, by the names of ingress-nginx.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::{Writer, number};
use crate::admission::Reviewed;
use crate::status::Status;

/// Nothing where there is no webhook.
#[derive(Debug)]
pub(super) struct AsNginx(pub(super) Arc<Status>);

impl Collector for AsNginx {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(counts) = self.0.reviewed() else { return Ok(()) };
        let Reviewed { by_ingress, translated, took, roundtrip } = counts.get();
        let mut write = Writer::new(encoder);
        let name = |name: &str| format!("nginx_ingress_controller_{name}");
        let series = |count: fn(&(u64, u64)) -> u64| {
            let counted = by_ingress.iter().map(move |(key, counts)| (key, count(counts)));
            counted.filter(|(_, count)| *count > 0).map(|(key, count)| {
                ([("namespace", key.namespace.to_string()), ("ingress", key.name.to_string())], number(count))
            })
        };
        let help = "Reviews that allowed an Ingress";
        write.gauges(&name("check_success"), help, series(|(allowed, _)| *allowed))?;
        let help = "Reviews that denied an Ingress";
        write.gauges(&name("check_errors"), help, series(|(_, denied)| *denied))?;
        let help = "Ingresses that were translated for the last review";
        write.gauge(&name("admission_tested_ingresses"), help, number(translated))?;
        let help = "Time that took, in seconds";
        write.gauge(&name("admission_tested_duration"), help, took.as_secs_f64())?;
        let help = "Time from the last request for a review to its answer, in seconds";
        write.gauge(&name("admission_roundtrip_duration"), help, roundtrip.as_secs_f64())
    }
}
