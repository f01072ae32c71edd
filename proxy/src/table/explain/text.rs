//! An explanation as text.

use std::fmt;

use super::{BackendStep, Effect, Explanation, PolicyStep, RouteStep, RuleName};

/// Lines of two columns; what decided is marked with `>`.
impl fmt::Display for Explanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, certificate, host, path, routes, rule, policies, backends, answer } = self;
        writeln!(out, "{request}\n")?;
        if let Some(certificate) = certificate {
            let secret = certificate.secret.as_deref().unwrap_or("made at start");
            line(out, "certificate", &format!("{secret}, for {}", certificate.names.join(", ")))?;
            line(out, "", &certificate.why)?;
        }
        if let Some(host) = host {
            let requested = if host.requested.is_empty() { "(none)" } else { &host.requested };
            line(out, "host", &format!("{requested} -> {}", host.virtual_host))?;
            line(out, "", &host.why)?;
        }
        if let Some(path) = path {
            line(out, "path", path)?;
        }
        let width = routes.iter().map(|route| route.matcher.len()).max().unwrap_or(0).min(WIDEST);
        for (index, route) in routes.iter().enumerate() {
            marked(out, if index == 0 { "routes" } else { "" }, route.won, &route_text(route, width))?;
        }
        if let Some(rule) = rule {
            line(out, "rule", &rule.to_string())?;
        }
        for (index, step) in policies.iter().enumerate() {
            let decided = step.effect == Effect::Answers;
            marked(out, if index == 0 { "policies" } else { "" }, decided, &policy_text(step))?;
        }
        for (index, backend) in backends.iter().enumerate() {
            marked(out, if index == 0 { "backends" } else { "" }, backend.chosen, &backend_text(backend))?;
        }
        line(out, "answer", &answer.text)
    }
}

fn line(out: &mut fmt::Formatter<'_>, title: &str, text: &str) -> fmt::Result {
    writeln!(out, "{title:<12}  {text}")
}

fn marked(out: &mut fmt::Formatter<'_>, title: &str, mark: bool, text: &str) -> fmt::Result {
    let mark = if mark { '>' } else { ' ' };
    writeln!(out, "{title:<12}{mark} {text}")
}

/// Longer paths move what stands behind them.
const WIDEST: usize = 40;

fn route_text(route: &RouteStep, width: usize) -> String {
    let RouteStep { matcher, rule, won: _, why } = route;
    let owner = if rule.ingress.is_empty() { String::new() } else { format!("{}/{}: ", rule.namespace, rule.ingress) };
    format!("{matcher:<width$}  {owner}{why}")
}

fn policy_text(step: &PolicyStep) -> String {
    let effect = match step.effect {
        Effect::Passes => "passes",
        Effect::Applies => "applies",
        Effect::Answers => "answers",
        Effect::NotReached => "not reached",
    };
    format!("{:<20} {effect:<11}  {}", step.policy, step.detail)
}

fn backend_text(backend: &BackendStep) -> String {
    let BackendStep { role, cluster, endpoints, chosen: _ } = backend;
    let role = format!("{role:?}").to_lowercase();
    let addresses: Vec<_> = endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect();
    let addresses = if addresses.is_empty() { "no endpoints".to_owned() } else { addresses.join(", ") };
    format!("{role:<10} {}/{}:{}  {addresses}", cluster.namespace, cluster.service, cluster.port)
}

/// `Ingress namespace/name, host h, Prefix /path`.
impl fmt::Display for RuleName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, ingress, host, path, path_type, implicit } = self;
        match ingress.is_empty() {
            true => out.write_str("no Ingress")?,
            false => write!(out, "Ingress {namespace}/{ingress}")?,
        }
        let host = if host.is_empty() { "no host" } else { host };
        let implicit = if *implicit { " (every host has it)" } else { "" };
        write!(out, ", {host}, {path_type:?} {path}{implicit}")
    }
}
