//! Why each route of a host won or lost.

use std::sync::Arc;

use portcullis_model::{HostAction, PathMatch, PathMode, PathType, Route};
use serde::Serialize;

use crate::table::paths::{is_below, rule_path};
use crate::table::{CompiledHost, CompiledRoute, PathLookup};

/// A route of the host, in the order in which they are tried or, where order decides nothing, longest path first.
#[derive(Clone, Debug, Serialize)]
pub struct RouteStep {
    /// What it matches, such as `Prefix /shop`.
    #[serde(rename = "match")]
    pub matcher: String,
    /// The rule it comes from.
    #[serde(flatten)]
    pub rule: RuleName,
    /// Whether it answers the request.
    pub won: bool,
    /// Why it does, or not.
    pub why: String,
}

/// The rule of a route.
#[derive(Clone, Debug, Serialize)]
pub struct RuleName {
    /// Namespace of the Ingress; empty for what no Ingress made.
    pub namespace: Arc<str>,
    /// Name of the Ingress; empty for what no Ingress made.
    pub ingress: Arc<str>,
    /// Host of the rule as written; empty for none.
    pub host: Arc<str>,
    /// Path of the rule as written.
    pub path: Arc<str>,
    /// Type of the path.
    pub path_type: PathType,
    /// Whether no rule declares this path: the `/` that every host has.
    pub implicit: bool,
}

impl RuleName {
    pub(super) fn of(route: &Route) -> Self {
        let source = route.source.clone();
        Self {
            namespace: source.namespace,
            ingress: source.ingress,
            host: source.host,
            path: source.path,
            path_type: source.path_type,
            implicit: source.implicit,
        }
    }
}

/// All routes of `host` with their verdicts for `path`, which selects `found`.
pub(super) fn verdicts(host: &CompiledHost, path: &str, found: PathLookup<'_>) -> Vec<RouteStep> {
    let winner = match found {
        PathLookup::Route(route) | PathLookup::AddSlash(route) => Some(route),
        PathLookup::None => None,
    };
    let place = winner.and_then(|winner| host.routes().iter().position(|route| Arc::ptr_eq(route, winner)));
    let ordered = matches!(&host.source().action, HostAction::Serve { mode: PathMode::Regex, .. });
    let steps = host.routes().iter().enumerate().map(|(index, route)| {
        let why = if ordered { in_order(index, place) } else { by_length(route, path, found) };
        RouteStep {
            matcher: route.route.path.to_string(),
            rule: RuleName::of(&route.route),
            won: Some(index) == place,
            why,
        }
    });
    steps.collect()
}

fn in_order(index: usize, winner: Option<usize>) -> String {
    let why = match winner {
        Some(winner) if index == winner => "the first that matches",
        Some(winner) if index > winner => "not tried: an earlier pattern matched",
        _ => "no match",
    };
    why.to_owned()
}

fn by_length(route: &Arc<CompiledRoute>, path: &str, found: PathLookup<'_>) -> String {
    let (rule, exact) = match &route.route.path {
        PathMatch::Exact(rule) => (rule, true),
        PathMatch::Prefix(rule) => (rule, false),
        PathMatch::Pattern(_) => return "not tried: the host is not in regex mode".to_owned(),
    };
    let Some(rule) = rule_path(rule) else {
        return "no request has this path: paths are compared decoded, without //, . and .. segments".to_owned();
    };
    match found {
        PathLookup::Route(winner) if Arc::ptr_eq(winner, route) && exact => "the path is equal".to_owned(),
        PathLookup::Route(winner) if Arc::ptr_eq(winner, route) => "the longest prefix that matches".to_owned(),
        PathLookup::AddSlash(winner) if Arc::ptr_eq(winner, route) => {
            "the path lacks only the slash at the end, and no rule has it without".to_owned()
        }
        _ if exact && rule != path => "the path differs".to_owned(),
        _ if exact => "an earlier rule has the same path and type".to_owned(),
        _ if !path.starts_with(&*rule) => "the path does not begin with it".to_owned(),
        _ if !is_below(path, &rule) => "the path begins with it, but not up to the end of an element".to_owned(),
        PathLookup::Route(winner) => lost_to(&winner.route, &rule),
        PathLookup::AddSlash(winner) => format!("{} needs only a slash at the end", winner.route.path),
        PathLookup::None => "no match".to_owned(),
    }
}

/// Why a prefix that matches lost to `winner`.
fn lost_to(winner: &Route, rule: &str) -> String {
    match &winner.path {
        PathMatch::Exact(_) => format!("{} is preferred", winner.path),
        PathMatch::Prefix(other) if other.len() > rule.len() => format!("shorter than {other}"),
        PathMatch::Prefix(_) | PathMatch::Pattern(_) => "an earlier rule has the same path and type".to_owned(),
    }
}
