//! Where the request goes in the end.

use std::sync::Arc;

use http::HeaderValue;
use portcullis_model::{ClusterId, Endpoint, Protocol, Reason};
use serde::Serialize;

use super::Decisions;
use crate::pipeline::{Answer, Destination, Forward, Outcome, RequestHead, Target};
use crate::table::RoutingTable;
use crate::upstream::Upstream;

/// What the client gets.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AnswerStep {
    /// Status of an answer made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Reason code of an answer made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// `Location` of a redirect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// URL of the request to the backend, with the name of the backend as host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxied_to: Option<String>,
    /// The same in words.
    pub text: String,
}

impl AnswerStep {
    pub(super) fn refusal(status: u16, reason: Reason, why: &str) -> Self {
        let text = format!("{status} {reason}: {why}");
        Self { status: Some(status), reason: Some(reason), text, ..Self::default() }
    }
}

/// A backend of the rule.
#[derive(Clone, Debug, Serialize)]
pub struct BackendStep {
    /// What it is for.
    pub role: BackendRole,
    /// Service and port.
    pub cluster: ClusterId,
    /// Addresses at the moment; without any, nothing is sent there.
    pub endpoints: Vec<Endpoint>,
    /// Whether the request goes there.
    pub chosen: bool,
}

/// What a backend is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendRole {
    /// The backend of the rule.
    Primary,
    /// A share of the requests of the rule.
    Canary,
    /// `default-backend`: while the primary has no endpoints.
    Fallback,
    /// `--default-backend-service`.
    DefaultBackend,
}

impl Decisions<'_> {
    /// Where the request goes if it is sent on; two where a weight decides.
    fn destinations(&self) -> Vec<Destination> {
        let forward = |outcome: &Outcome| match outcome {
            Outcome::Forward(Forward { to, .. }) => Some(*to),
            Outcome::Answer(_) => None,
        };
        let both = [&self.luckiest.outcome, &self.unluckiest.outcome].map(forward);
        let mut destinations: Vec<_> = both.into_iter().flatten().collect();
        destinations.dedup();
        destinations
    }

    fn upstream<'t>(&'t self, table: &'t RoutingTable, to: Destination) -> Option<&'t Arc<Upstream>> {
        let route = self.luckiest.route;
        match to {
            Destination::Primary => route.and_then(|route| route.upstream.as_ref()),
            Destination::Canary => route.and_then(|route| route.canary.as_ref()),
            Destination::Fallback => route.and_then(|route| route.fallback.as_ref()),
            Destination::DefaultBackend => table.default_backend(),
        }
    }
}

/// The backends of the rule; the default backend where the request goes there.
pub(super) fn backends(table: &RoutingTable, decisions: &Decisions<'_>) -> Vec<BackendStep> {
    let chosen = decisions.destinations();
    let all = [
        (BackendRole::Primary, Destination::Primary),
        (BackendRole::Canary, Destination::Canary),
        (BackendRole::Fallback, Destination::Fallback),
        (BackendRole::DefaultBackend, Destination::DefaultBackend),
    ];
    let wanted = all.into_iter().filter(|(role, to)| *role != BackendRole::DefaultBackend || chosen.contains(to));
    let steps = wanted.filter_map(|(role, to)| {
        let upstream = decisions.upstream(table, to)?;
        let endpoints = upstream.endpoints().to_vec();
        Some(BackendStep { role, cluster: upstream.id().clone(), endpoints, chosen: chosen.contains(&to) })
    });
    steps.collect()
}

/// What the client gets.
pub(super) fn answer(table: &RoutingTable, head: &RequestHead<'_>, decisions: &Decisions<'_>) -> AnswerStep {
    match &decisions.luckiest.outcome {
        Outcome::Answer(Answer { status, reason, location }) => {
            let location = location.as_ref().map(header_text);
            let target = location.as_ref().map_or_else(String::new, |location| format!(" to {location}"));
            let text = format!("{} {reason}{target}", status.as_u16());
            AnswerStep { status: Some(status.as_u16()), reason: Some(*reason), location, proxied_to: None, text }
        }
        Outcome::Forward(forward) => {
            let name = |to: Destination| decisions.upstream(table, to).map_or("", |upstream| upstream.name());
            let url = format!("{}://{}{}", scheme(forward.protocol, head), name(forward.to), target(forward, head));
            let other = decisions.destinations().into_iter().find(|to| *to != forward.to);
            let chance = other.map_or_else(String::new, |other| format!(" or, by weight, to {}", name(other)));
            let text = format!("proxied to {url}{chance}");
            AnswerStep { proxied_to: Some(url), text, ..AnswerStep::default() }
        }
    }
}

/// The target that the backend sees.
pub(super) fn target<'f>(forward: &'f Forward, head: &RequestHead<'f>) -> &'f str {
    match &forward.target {
        Target::AsReceived => head.target(),
        Target::Other(target) => target,
    }
}

/// The scheme that the backend is spoken to with.
pub(super) fn scheme(protocol: Protocol, head: &RequestHead<'_>) -> &'static str {
    match protocol {
        Protocol::Http => "http",
        Protocol::Https => "https",
        Protocol::Auto => head.facts.scheme(),
        Protocol::Grpc => "grpc",
        Protocol::Grpcs => "grpcs",
    }
}

pub(super) fn header_text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
