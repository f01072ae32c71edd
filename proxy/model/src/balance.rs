//! How the endpoints of a cluster share its requests.

use std::num::NonZeroUsize;

use serde::Serialize;

use crate::{Affinity, Template};

/// What Ingresses decide for a Service port, wherever it is used. Changes with the routing table, not with endpoints.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct ClusterPolicy {
    /// `load-balance`, `upstream-hash-by*`.
    pub balance: Balance,
    /// `affinity: cookie`; goes before [`ClusterPolicy::balance`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
}

impl ClusterPolicy {
    /// Whether requests simply take turns.
    #[must_use]
    pub fn is_default(&self) -> bool {
        matches!(self, Self { balance: Balance::RoundRobin, affinity: None })
    }
}

/// Which endpoint takes a request (ingress-nginx: `load-balance`, `upstream-hash-by`).
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// In turn, from a random start, each worker for itself.
    #[default]
    RoundRobin,
    /// Of two at random, the one with the lower moving average of connect and response time.
    Ewma,
    /// By a consistent hash.
    Hash {
        /// What is hashed; names variables of the request only.
        key: Template,
        /// `upstream-hash-by-subset`: the hash selects a set of so many endpoints, chance one of them.
        #[serde(skip_serializing_if = "Option::is_none")]
        subset: Option<NonZeroUsize>,
    },
}
