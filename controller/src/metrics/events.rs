//! What became of Events.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::{Writer, number};
use crate::events::Counts;

/// By outcome: `created`, `repeated` (counted up), `known` (there before), `limited` (too many about one object), `dropped`
/// (too many waited), `refused` (by the role), `failed`.
#[derive(Debug)]
pub(super) struct OwnNames(pub(super) Arc<Counts>);

impl Collector for OwnNames {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let series = self.0.by_outcome().map(|(outcome, count)| ([("outcome", outcome)], number(count)));
        Writer::new(encoder).counters("portcullis_events", "Events about objects, and what became of them", series)
    }
}
