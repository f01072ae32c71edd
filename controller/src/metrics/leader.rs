//! The election, and what the leader writes.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::Writer;
use crate::ingress_status::Writes;
use crate::leader::Leadership;

/// The name of ingress-nginx.
#[derive(Debug)]
pub(super) struct AsNginx {
    pub(super) name: String,
    pub(super) leading: Leadership,
}

impl Collector for AsNginx {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let leads = if *self.leading.borrow() { 1.0 } else { 0.0 };
        Writer::new(encoder).gauges(
            "nginx_ingress_controller_leader_election_status",
            "Whether this replica leads",
            [([("name", self.name.clone())], leads)],
        )
    }
}

/// Those that only this controller has.
#[derive(Debug)]
pub(super) struct OwnNames(pub(super) Arc<Writes>);

impl Collector for OwnNames {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (written, failed) = self.0.counts();
        let mut write = Writer::new(encoder);
        let name = "portcullis_ingress_status_writes";
        write.counter(name, "Ingresses whose status was written", super::number(written))?;
        let name = "portcullis_ingress_status_write_failures";
        write.counter(name, "Failed attempts to write the status of an Ingress", super::number(failed))
    }
}
