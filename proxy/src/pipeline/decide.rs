//! What is done with a request: one function of table and head, without waiting for anything. `explain` calls the same.

use std::sync::Arc;

use http::StatusCode;
use portcullis_model::policy::{
    BodyPolicy, Canary, HttpsRedirect, HttpsRedirectMode, Redirect, Rewrite, UpstreamPolicy,
};
use portcullis_model::{Authority, HostName, PatternCache, Protocol, Reason, RoutePolicy, Template};

use super::answer::Answer;
use super::head::{Reading, RequestHead};
use super::rewrite::{Rewritten, Target};
use super::variables::{ConnectionVariables, Variables};
use super::{canary, location, rewrite};
use crate::table::{CompiledRoute, HostChoice, HostLookup, PathLookup, RoutingTable};

/// What is done with a request, and what led to it.
#[derive(Clone, Debug)]
pub struct Decision<'t> {
    /// The virtual host.
    pub host: HostLookup<'t>,
    /// The route, where the request came that far.
    pub route: Option<&'t Arc<CompiledRoute>>,
    /// Whether the answer is that of a path (nginx: location) and not of the whole host; such answers carry HSTS.
    pub of_path: bool,
    /// What is done.
    pub outcome: Outcome,
}

/// What is done with a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It is answered here.
    Answer(Answer),
    /// It is sent on.
    Forward(Forward),
}

/// A request that is sent on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Forward {
    /// To which of the upstreams of the route.
    pub to: Destination,
    /// In which protocol.
    pub protocol: Protocol,
    /// With which target.
    pub target: Target,
    /// With which `Host` instead of the one received (`upstream-vhost`).
    pub host: Option<String>,
    /// With which `X-Forwarded-Prefix`.
    pub forwarded_prefix: Option<String>,
}

/// Where a request is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Destination {
    /// [`CompiledRoute::upstream`].
    Primary,
    /// [`CompiledRoute::canary`].
    Canary,
    /// [`CompiledRoute::fallback`]: the primary has no endpoints (`default-backend`).
    Fallback,
    /// [`RoutingTable::default_backend`].
    DefaultBackend,
}

/// Everything a decision depends on.
pub struct Decider<'d> {
    /// The request.
    pub head: &'d RequestHead<'d>,
    /// What it says.
    pub reading: &'d Reading<'d>,
    /// Working memory for expressions.
    pub patterns: &'d mut PatternCache,
    /// A random number from 1 to its argument, for canaries by weight.
    pub draw: &'d mut dyn FnMut(u32) -> u32,
}

impl Decider<'_> {
    /// Decides, in the order of nginx's phases as ingress-nginx configures them.
    pub fn decide<'t>(mut self, table: &'t RoutingTable) -> Decision<'t> {
        let name = self.reading.authority.as_ref().map_or("", Authority::host);
        let host = table.host(name);
        if let Some(answer) = self.of_host(table, &host) {
            return Decision { host, route: None, of_path: false, outcome: Outcome::Answer(answer) };
        }
        let lookup = host.host.route(self.reading.path.as_str(), self.patterns);
        if self.is_ambiguous(&host, &lookup) {
            let outcome = refuse(StatusCode::BAD_REQUEST, Reason::AmbiguousPath);
            return Decision { host, route: None, of_path: false, outcome };
        }
        match lookup {
            PathLookup::Route(route) => {
                let outcome = self.of_route(table, &host, route);
                Decision { host, route: Some(route), of_path: true, outcome }
            }
            PathLookup::AddSlash(route) => {
                Decision { host, route: Some(route), of_path: true, outcome: self.add_slash(route) }
            }
            PathLookup::None => Decision { host, route: None, of_path: true, outcome: self.of_no_route(table, &host) },
        }
    }

    #[cold]
    #[inline(never)]
    fn add_slash(&self, route: &CompiledRoute) -> Outcome {
        let location = location::with_slash(self.head, self.reading, route.route.policy.relative_redirects);
        redirect(StatusCode::MOVED_PERMANENTLY, Reason::TrailingSlash, location)
    }

    #[cold]
    #[inline(never)]
    fn of_no_route(&self, table: &RoutingTable, host: &HostLookup<'_>) -> Outcome {
        if self.is_too_large(&table.settings().body) { too_large() } else { self.unmatched(table, host) }
    }

    /// Answers of a whole host: health path, www redirect, `app-root`.
    fn of_host(&self, table: &RoutingTable, host: &HostLookup<'_>) -> Option<Answer> {
        let path = self.reading.path.as_str();
        if host.choice == HostChoice::Default && path.starts_with(table.health_path()) {
            return Some(Answer::refusal(StatusCode::OK, Reason::Health));
        }
        if let Some(target) = host.host.redirect_to() {
            return Some(self.to_other_www(table, target));
        }
        host.host.app_root().filter(|_| path == "/").map(|app_root| self.to_app_root(app_root))
    }

    #[cold]
    #[inline(never)]
    fn to_other_www(&self, table: &RoutingTable, target: &HostName) -> Answer {
        let status = table.settings().redirect_code.status();
        Answer::redirect(status, Reason::WwwRedirect, location::www(self.head, target))
    }

    #[cold]
    #[inline(never)]
    fn to_app_root(&self, app_root: &str) -> Answer {
        let location = location::app_root(self.head, self.reading, app_root);
        Answer::redirect(StatusCode::FOUND, Reason::AppRoot, location)
    }

    /// Whether a less careful reader of the path would find another route.
    fn is_ambiguous(&mut self, host: &HostLookup<'_>, chosen: &PathLookup<'_>) -> bool {
        self.reading.path.has_other_reading() && self.reads_otherwise(host, chosen)
    }

    #[cold]
    #[inline(never)]
    fn reads_otherwise(&mut self, host: &HostLookup<'_>, chosen: &PathLookup<'_>) -> bool {
        match self.reading.path.other_reading() {
            None => false,
            Some(Err(_)) => true,
            Some(Ok(other)) => !same_route(chosen, &host.host.route(other.as_str(), self.patterns)),
        }
    }

    fn of_route(&mut self, table: &RoutingTable, host: &HostLookup<'_>, route: &CompiledRoute) -> Outcome {
        let RoutePolicy {
            body,
            closed,
            redirect: elsewhere,
            https_redirect,
            relative_redirects,
            rewrite,
            canary,
            session: _, // Decides which cookies are set, not what is done.
            upstream: UpstreamPolicy { protocol, http10: _, host: upstream_host, tls: _ }, // The others: how it is sent.
            fallback: _, // The upstream of CompiledRoute::fallback.
            headers: _,  // Set when fields are written, as is what follows.
            response: _,
            timeouts: _, // Of the tries, once it is decided where they go.
            retry: _,
            observe: _, // Decides what is logged, not what is done.
        } = &*route.route.policy;
        if self.is_too_large(body) {
            return too_large();
        }
        if closed.is_some() {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, Reason::RouteClosed);
        }
        if let Some(elsewhere) = elsewhere {
            return self.elsewhere(elsewhere, *relative_redirects);
        }
        let rewritten = rewrite.as_ref().and_then(|rewrite| self.rewritten(rewrite, route));
        let (target, forwarded_prefix) = match rewritten {
            Some(Rewritten::Location(url)) => return redirect(StatusCode::FOUND, Reason::RewriteRedirect, url),
            Some(Rewritten::Target(target, prefix)) => (target, prefix),
            None => (rewrite::unchanged(self.head, self.reading), None),
        };
        if self.must_be_https(*https_redirect, host.tls) {
            return self.to_https(table, *https_redirect);
        }
        let Some(primary) = &route.upstream else { return self.unmatched(table, host) };
        if !primary.is_live() {
            return self.fallback(route);
        }
        let canary_is_live = route.canary.as_ref().is_some_and(|canary| canary.is_live());
        let to = match canary {
            Some(canary) if canary_is_live && self.is_for_canary(canary, route) => Destination::Canary,
            _ => Destination::Primary,
        };
        let host = upstream_host.as_ref().map(|host| self.upstream_host(host, route));
        Outcome::Forward(Forward { to, protocol: *protocol, target, host, forwarded_prefix })
    }

    #[inline(never)]
    fn rewritten(&mut self, rewrite: &Rewrite, route: &CompiledRoute) -> Option<Rewritten> {
        rewrite::apply(rewrite, &variables(self.head, self.reading, route), self.patterns)
    }

    #[inline(never)]
    fn upstream_host(&self, host: &Template, route: &CompiledRoute) -> String {
        let host = variables(self.head, self.reading, route).expand(host, &[&[]; 10]);
        String::from_utf8_lossy(&host).into_owned()
    }

    /// Whether the body is said to be larger than it may be.
    fn is_too_large(&self, body: &BodyPolicy) -> bool {
        self.head.declared_length().is_some_and(|length| body.refuses(length))
    }

    #[inline(never)]
    fn is_for_canary(&mut self, canary: &Canary, route: &CompiledRoute) -> bool {
        canary::by_session(route, self.head.headers)
            .unwrap_or_else(|| canary::is_chosen(canary, self.head.headers, self.patterns, self.draw))
    }

    #[cold]
    #[inline(never)]
    fn elsewhere(&self, to: &Redirect, relative: bool) -> Outcome {
        let Redirect { code, location } = to;
        match location.as_path() {
            Some(path) if !relative => {
                let location = location::on_this_host(self.head, self.reading, path, relative);
                redirect(code.status(), Reason::Redirect, location)
            }
            _ => Outcome::Answer(Answer {
                location: Some(location.value().clone()),
                ..Answer::refusal(code.status(), Reason::Redirect)
            }),
        }
    }

    /// Whether plain HTTP is not served. What a trusted proxy in front received over TLS is.
    fn must_be_https(&self, redirect: HttpsRedirect, has_certificate: bool) -> bool {
        let wanted = match redirect.mode {
            HttpsRedirectMode::Never => false,
            HttpsRedirectMode::WithCertificate => has_certificate,
            HttpsRedirectMode::Always => true,
        };
        wanted && self.head.scheme() == "http"
    }

    #[cold]
    #[inline(never)]
    fn to_https(&self, table: &RoutingTable, redirect_policy: HttpsRedirect) -> Outcome {
        let HttpsRedirect { mode: _, keep_trailing_slash, with_port } = redirect_policy;
        match location::https(self.head, self.reading, keep_trailing_slash, with_port) {
            Some(to) => redirect(table.settings().redirect_code.status(), Reason::HttpsRedirect, to),
            None => refuse(StatusCode::BAD_REQUEST, Reason::BadHost),
        }
    }

    /// The primary has no endpoints: `default-backend` gets the request as it came, in plain HTTP.
    #[cold]
    #[inline(never)]
    fn fallback(&self, route: &CompiledRoute) -> Outcome {
        if route.fallback.as_ref().is_some_and(|fallback| fallback.is_live()) {
            return Outcome::Forward(self.as_received(Destination::Fallback));
        }
        refuse(StatusCode::SERVICE_UNAVAILABLE, Reason::NoEndpoints)
    }

    /// The default backend of the controller, or the built-in 404 where it is not there.
    #[inline(never)]
    fn unmatched(&self, table: &RoutingTable, host: &HostLookup<'_>) -> Outcome {
        if table.default_backend().is_some_and(|backend| backend.is_live()) {
            return Outcome::Forward(self.as_received(Destination::DefaultBackend));
        }
        let reason = if host.choice == HostChoice::Default { Reason::NoHost } else { Reason::NoPath };
        refuse(StatusCode::NOT_FOUND, reason)
    }

    fn as_received(&self, to: Destination) -> Forward {
        let target = rewrite::unchanged(self.head, self.reading);
        Forward { to, protocol: Protocol::Http, target, host: None, forwarded_prefix: None }
    }
}

fn variables<'v>(head: &'v RequestHead<'v>, reading: &'v Reading<'v>, route: &'v CompiledRoute) -> Variables<'v> {
    Variables { head, reading: Some(reading), route: Some(route), connection: ConnectionVariables::default() }
}

fn same_route(one: &PathLookup<'_>, other: &PathLookup<'_>) -> bool {
    match (one, other) {
        (PathLookup::Route(one), PathLookup::Route(other))
        | (PathLookup::AddSlash(one), PathLookup::AddSlash(other)) => Arc::ptr_eq(one, other),
        (PathLookup::None, PathLookup::None) => true,
        (PathLookup::Route(_) | PathLookup::AddSlash(_) | PathLookup::None, _) => false,
    }
}

fn too_large() -> Outcome {
    refuse(StatusCode::PAYLOAD_TOO_LARGE, Reason::BodyTooLarge)
}

fn refuse(status: StatusCode, reason: Reason) -> Outcome {
    Outcome::Answer(Answer::refusal(status, reason))
}

fn redirect(status: StatusCode, reason: Reason, location: String) -> Outcome {
    Outcome::Answer(Answer::redirect(status, reason, location))
}

#[cfg(test)]
mod tests;
