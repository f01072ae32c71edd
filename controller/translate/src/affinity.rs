//! The session affinity of each Service port, out of all Ingresses that use it.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_model::{Affinity, AffinityMode, ClusterId};

use crate::canary::Follower;
use crate::ingress::Parsed;

/// Affinity by cluster. `ingresses` are in order of age.
///
/// Cookie attributes are those of the youngest Ingress with affinity, the mode that of the oldest that sets one. A canary has the
/// affinity of its primary.
pub(crate) fn merge(ingresses: &[Arc<Parsed>], followers: &[Follower]) -> BTreeMap<ClusterId, Affinity> {
    let mut merged = BTreeMap::<ClusterId, Affinity>::new();
    let mut modes = BTreeMap::<&ClusterId, AffinityMode>::new();
    for parsed in ingresses.iter().filter(|parsed| parsed.draft.canary.is_none()) {
        let rules = &parsed.draft.session;
        if let Some(mode) = rules.mode {
            parsed.clusters().for_each(|id| {
                modes.entry(id).or_insert(mode);
            });
        }
        if let Some(affinity) = &rules.affinity {
            parsed.clusters().for_each(|id| {
                merged.insert(id.clone(), affinity.clone());
            });
        }
    }
    for (id, affinity) in &mut merged {
        affinity.mode = modes.get(id).copied().unwrap_or_default();
    }
    let of_ingresses: Vec<ClusterId> = merged.keys().cloned().collect();
    for Follower { primary, canary } in followers {
        let own = of_ingresses.binary_search(canary).is_ok();
        if let Some(affinity) = merged.get(primary).filter(|_| !own).cloned() {
            merged.insert(canary.clone(), affinity);
        }
    }
    merged
}
