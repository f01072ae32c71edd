//! Which route serves a request and why: the lookups and decisions of the proxy itself, told step by step.

mod answer;
mod fields;
mod hosts;
mod policies;
mod request;
mod routes;
mod text;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::request::Parts;
use http::{HeaderValue, Request, Version, header};
use portcullis_model::{PatternCache, Reason};
use serde::Serialize;

use super::RoutingTable;
use crate::pipeline::{Answer, ConnectionFacts, Decider, Decision, Reading, RequestHead};

pub use answer::{AnswerStep, BackendRole, BackendStep};
pub use hosts::{CertificateStep, HostStep};
pub use policies::{Effect, PolicyStep};
pub use request::{ExplainRequest, InvalidUrl, ListenerPorts, Scheme};
pub use routes::{RouteStep, RuleName};

/// What would happen to a request, and why.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Method and URL, as asked for.
    pub request: String,
    /// The certificate of the handshake; none without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateStep>,
    /// The virtual host; none where the request is refused before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostStep>,
    /// The canonical path; none where the request is refused before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The routes of the host, each with its verdict; none where the host answers before its paths are looked at.
    pub routes: Vec<RouteStep>,
    /// The rule that won.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleName>,
    /// What is asked in which order, with the outcome.
    pub policies: Vec<PolicyStep>,
    /// The backends of the rule with their endpoints at the moment.
    pub backends: Vec<BackendStep>,
    /// What the client gets.
    pub answer: AnswerStep,
}

/// Explains what `table` does with `request`. Nothing is sent anywhere.
///
/// What depends on state or chance is said as such: which endpoint is picked, and on which side of a canary weight it falls.
#[must_use]
pub fn explain(table: &RoutingTable, request: &ExplainRequest) -> Explanation {
    let Some(parts) = parts(request) else {
        return refused(request, Reason::BadRequest, 400, "host or target cannot stand in a request");
    };
    let head = RequestHead::new(&parts, facts(request), table.settings());
    match head.read() {
        Ok(reading) => read(table, request, &head, &reading),
        Err(Answer { status, reason, .. }) => refused(request, reason, status.as_u16(), "refused before any lookup"),
    }
}

fn read(table: &RoutingTable, request: &ExplainRequest, head: &RequestHead<'_>, reading: &Reading<'_>) -> Explanation {
    let mut patterns = PatternCache::default();
    let mut decide = |mut draw: fn(u32) -> u32| -> Decision<'_> {
        Decider { head, reading, patterns: &mut patterns, draw: &mut draw }.decide(table)
    };
    let decisions = Decisions { luckiest: decide(|_| 1), unluckiest: decide(|total| total) };
    let decision = &decisions.luckiest;
    let name = reading.authority.as_ref().map_or("", |authority| authority.host());
    let path = reading.path.as_str();
    let found = decision.host.host.route(path, &mut patterns);
    Explanation {
        request: asked(request),
        certificate: (request.scheme == Scheme::Https).then(|| CertificateStep::new(table, name)),
        host: Some(HostStep::new(name, &decision.host)),
        path: Some(path.to_owned()),
        routes: if decisions.of_host() { Vec::new() } else { routes::verdicts(decision.host.host, path, found) },
        rule: decision.route.map(|route| RuleName::of(&route.route)),
        policies: policies::steps(table, head, reading, &decisions),
        backends: answer::backends(table, &decisions),
        answer: answer::answer(table, head, &decisions),
    }
}

/// What is decided when a canary's weight falls to it, and when not. They are the same where no weight decides.
struct Decisions<'t> {
    luckiest: Decision<'t>,
    unluckiest: Decision<'t>,
}

fn refused(request: &ExplainRequest, reason: Reason, status: u16, why: &str) -> Explanation {
    Explanation {
        request: asked(request),
        certificate: None,
        host: None,
        path: None,
        routes: Vec::new(),
        rule: None,
        policies: Vec::new(),
        backends: Vec::new(),
        answer: AnswerStep::refusal(status, reason, why),
    }
}

fn asked(request: &ExplainRequest) -> String {
    let ExplainRequest { scheme, authority, target, method, .. } = request;
    format!("{method} {}://{authority}{target}", scheme.as_str())
}

/// The head of an HTTP/1.1 request.
fn parts(request: &ExplainRequest) -> Option<Parts> {
    let built = Request::builder().method(&request.method).uri(&request.target).version(Version::HTTP_11).body(());
    let mut parts = built.ok()?.into_parts().0;
    parts.headers.clone_from(&request.headers);
    if !request.authority.is_empty() {
        parts.headers.insert(header::HOST, HeaderValue::try_from(&request.authority).ok()?);
    }
    Some(parts)
}

fn facts(request: &ExplainRequest) -> ConnectionFacts {
    let ListenerPorts { http, https } = request.ports;
    let tls = request.scheme == Scheme::Https;
    let client = request.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    ConnectionFacts {
        peer: SocketAddr::new(client, 0),
        port: if tls { https } else { http },
        tls,
        https_port: https,
        proxied: None,
    }
}
