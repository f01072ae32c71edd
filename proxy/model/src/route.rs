//! Routes: one path of a virtual host, where it leads and by which policy.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::{ClusterId, Pattern, RoutePolicy};

/// One path of a virtual host (nginx: location).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Route {
    /// Which paths it answers.
    #[serde(rename = "match")]
    pub path: PathMatch,
    /// The rule it comes from.
    pub source: RouteSource,
    /// Where it leads.
    pub backend: Backend,
    /// What annotations decide for it. Shared: most routes have the same.
    #[serde(skip_serializing_if = "is_default")]
    pub policy: Arc<RoutePolicy>,
}

fn is_default(policy: &Arc<RoutePolicy>) -> bool {
    policy.is_default()
}

/// Which canonical paths a route answers.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PathMatch {
    /// This path only.
    Exact(Arc<str>),
    /// This path and everything below it, by whole elements; `/p/` answers what begins with it.
    Prefix(Arc<str>),
    /// Anchored at the start, ignoring case; all routes of a host in regex mode.
    Pattern(Arc<Pattern>),
}

impl fmt::Display for PathMatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => write!(out, "Exact {path}"),
            Self::Prefix(path) => write!(out, "Prefix {path}"),
            Self::Pattern(pattern) => write!(out, "regex ^{pattern}"),
        }
    }
}

/// `pathType` of an Ingress path.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum PathType {
    /// `Exact`.
    Exact,
    /// `Prefix`, `ImplementationSpecific`, or none.
    Prefix,
}

/// The rule a route comes from, for logs, metrics and explanations.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct RouteSource {
    /// Namespace of the Ingress; empty for what no Ingress made.
    pub namespace: Arc<str>,
    /// Name of the Ingress; empty for what no Ingress made.
    pub ingress: Arc<str>,
    /// Host of the rule as written; empty for none.
    pub host: Arc<str>,
    /// Path of the rule as written, `/` where there is none.
    pub path: Arc<str>,
    /// Type of the path.
    pub path_type: PathType,
    /// Whether no rule declares this path: the `/` that every host has.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub implicit: bool,
}

/// Where a route leads.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// A Service port.
    Cluster(ClusterId),
    /// The default backend of the controller, or the built-in 404 where there is none.
    Default,
}
