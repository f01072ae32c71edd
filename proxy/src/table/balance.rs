//! The balancing of clusters that differs from the default, and which hosts it concerns when it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portcullis_model::{ClusterId, ClusterPolicy, Snapshot};

use super::CompiledHost;
use crate::upstream::Upstream;

/// Policies of clusters that are not the default. Usually none or few, so that looking them up costs next to nothing.
#[derive(Default)]
pub(super) struct Policies<'s>(BTreeMap<&'s ClusterId, &'s Arc<ClusterPolicy>>);

/// Clusters whose policy is another than before.
#[derive(Default)]
pub(super) struct Changed<'s>(BTreeSet<&'s ClusterId>);

impl<'s> Policies<'s> {
    pub(super) fn of(snapshot: &'s Snapshot) -> Self {
        Self(snapshot.policies().collect())
    }

    /// The policy of a cluster; none where it is the default.
    pub(super) fn get(&self, id: &ClusterId) -> Option<Arc<ClusterPolicy>> {
        self.0.get(id).map(|policy| Arc::clone(policy))
    }

    pub(super) fn changed_since(&self, before: &Self) -> Changed<'s> {
        let all = self.0.keys().chain(before.0.keys());
        Changed(all.filter(|id| self.0.get(*id) != before.0.get(*id)).copied().collect())
    }
}

impl Changed<'_> {
    /// Whether a route of the host uses one of them.
    pub(super) fn concern(&self, host: &CompiledHost) -> bool {
        let is_changed =
            |upstream: &Option<Arc<Upstream>>| upstream.as_ref().is_some_and(|upstream| self.0.contains(upstream.id()));
        !self.0.is_empty() && host.routes().iter().any(|route| is_changed(&route.upstream) || is_changed(&route.canary))
    }
}
