//! What stands in a Lease, and for how long it binds others (`coordination.k8s.io/v1`, as client-go's leader election
//! writes it).

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::LeaseConfig;

/// A Lease that claims to last longer binds nobody for longer.
const LONGEST: Duration = Duration::from_secs(3600);

/// What somebody else holds, and since when it has not changed before our eyes.
#[derive(Debug)]
pub(super) struct Holding {
    version: Option<String>,
    lasts: Duration,
    since: Instant,
}

impl Holding {
    /// Of a Lease that was read just now; it lasts for `ttl` at least.
    pub(super) fn of(lease: &Lease, ttl: Duration) -> Self {
        let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
        let lasts = Duration::from_secs(u64::try_from(seconds).unwrap_or_default()).clamp(ttl, LONGEST.max(ttl));
        Self { version: lease.metadata.resource_version.clone(), lasts, since: Instant::now() }
    }

    /// Whether nothing happened between the two.
    pub(super) fn is_same(&self, later: &Self) -> bool {
        self.version.is_some() && self.version == later.version
    }

    /// Whether others may take it.
    pub(super) fn is_over(&self) -> bool {
        self.remaining().is_zero()
    }

    /// How long until then.
    pub(super) fn remaining(&self) -> Duration {
        (self.since + self.lasts).saturating_duration_since(Instant::now())
    }
}

/// Whether nobody else holds it. A container that was started again finds its own name there.
pub(super) fn is_free_for(lease: &Lease, holder: &str) -> bool {
    let held = held_by(lease);
    held.is_empty() || held == holder
}

pub(super) fn is_held_by(lease: &Lease, holder: &str) -> bool {
    held_by(lease) == holder
}

fn held_by(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}

/// The Lease as its holder writes it: a new one where there is none, else with the version that was read.
pub(super) fn taken(current: Option<&Lease>, config: &LeaseConfig) -> Lease {
    let now = now();
    let mut lease = current.cloned().unwrap_or_else(|| Lease {
        metadata: ObjectMeta {
            name: Some(config.name.clone()),
            namespace: Some(config.namespace.clone()),
            ..ObjectMeta::default()
        },
        spec: None,
    });
    let is_new = current.is_none();
    let is_own = is_held_by(&lease, &config.holder);
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    if !is_own {
        spec.holder_identity = Some(config.holder.clone());
        spec.acquire_time = Some(now.clone());
        let former = spec.lease_transitions.unwrap_or_default();
        spec.lease_transitions = Some(if is_new { 0 } else { former.saturating_add(1) });
    }
    spec.lease_duration_seconds = Some(seconds(config.ttl));
    spec.renew_time = Some(now);
    lease
}

/// The same without a holder.
pub(super) fn released(current: &Lease) -> Lease {
    let mut lease = current.clone();
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    spec.holder_identity = Some(String::new());
    spec.lease_duration_seconds = Some(1);
    spec.renew_time = Some(now());
    lease
}

fn now() -> MicroTime {
    MicroTime(Timestamp::now())
}

/// Whole seconds, at least one, rounded up.
fn seconds(ttl: Duration) -> i32 {
    let whole = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    i32::try_from(whole.max(1)).unwrap_or(i32::MAX)
}
