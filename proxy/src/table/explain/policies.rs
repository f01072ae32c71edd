//! What is asked of a request after its lookup, in the order of the pipeline.

use http::HeaderMap;
use portcullis_model::policy::{
    BodyPolicy, Canary, HeaderPolicy, HttpsRedirect, HttpsRedirectMode, ResponseRewrite, Retry, Timeouts,
    UpstreamPolicy,
};
use portcullis_model::{AffinityMode, Balance, ClusterPolicy, PatternCache, Reason, RoutePolicy};
use serde::Serialize;

use super::Decisions;
use super::answer::{header_text, scheme, target};
use super::fields;
use crate::pipeline::{Answer, Destination, Forward, Outcome, Reading, RequestHead, canary_of_session};
use crate::table::{CompiledRoute, HostChoice, RoutingTable};

/// One step of the pipeline.
#[derive(Clone, Debug, Serialize)]
pub struct PolicyStep {
    /// The annotation or flag that decides, or what is looked at.
    pub policy: &'static str,
    /// What it does to the request.
    pub effect: Effect,
    /// Why.
    pub detail: String,
}

/// What a step does to a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing.
    Passes,
    /// It changes the request or chooses its backend.
    Applies,
    /// It is the answer.
    Answers,
    /// An earlier step answered.
    NotReached,
}

impl Decisions<'_> {
    /// Whether the host answers before its paths are looked at.
    pub(super) fn of_host(&self) -> bool {
        matches!(self.reason(), Some(Reason::Health | Reason::WwwRedirect | Reason::AppRoot))
    }

    fn reason(&self) -> Option<Reason> {
        match &self.luckiest.outcome {
            Outcome::Answer(Answer { reason, .. }) => Some(*reason),
            Outcome::Forward(_) => None,
        }
    }

    fn forward(&self) -> Option<&Forward> {
        match &self.luckiest.outcome {
            Outcome::Answer(_) => None,
            Outcome::Forward(forward) => Some(forward),
        }
    }
}

/// All steps up to the answer, and those of the route that were not reached.
pub(super) fn steps(
    table: &RoutingTable,
    head: &RequestHead<'_>,
    reading: &Reading<'_>,
    decisions: &Decisions<'_>,
) -> Vec<PolicyStep> {
    let mut walk = Walk { table, head, reading, decisions, steps: Vec::new(), answered: false };
    walk.host();
    if !walk.answered {
        walk.path();
    }
    match decisions.luckiest.route {
        Some(route) => walk.route(route),
        None if !walk.answered => walk.unmatched(),
        None => {}
    }
    walk.steps
}

struct Walk<'w> {
    table: &'w RoutingTable,
    head: &'w RequestHead<'w>,
    reading: &'w Reading<'w>,
    decisions: &'w Decisions<'w>,
    steps: Vec<PolicyStep>,
    answered: bool,
}

impl Walk<'_> {
    /// Adds a step that answers with one of `answers`, and otherwise passes or applies.
    fn step(&mut self, policy: &'static str, answers: &[Reason], applies: bool, detail: String) {
        let effect = match self.decisions.reason() {
            _ if self.answered => Effect::NotReached,
            Some(reason) if answers.contains(&reason) => Effect::Answers,
            _ if applies => Effect::Applies,
            _ => Effect::Passes,
        };
        self.answered |= effect == Effect::Answers;
        self.steps.push(PolicyStep { policy, effect, detail });
    }

    fn host(&mut self) {
        let host = &self.decisions.luckiest.host;
        if host.choice == HostChoice::Default {
            let health = self.table.health_path();
            self.step("health-check-path", &[Reason::Health], false, format!("paths that begin with {health}"));
        }
        if let Some(target) = host.host.redirect_to() {
            self.step("from-to-www-redirect", &[Reason::WwwRedirect], false, format!("every path goes to {target}"));
        }
        if let Some(path) = host.host.app_root() {
            self.step("app-root", &[Reason::AppRoot], false, format!("only / goes to {path}"));
        }
    }

    fn path(&mut self) {
        let other = match self.reading.path.other_reading() {
            None => return self.slash(),
            Some(Ok(other)) => format!("another server may read the path as {}", other.as_str()),
            Some(Err(error)) => format!("another server may read the path otherwise: {error}"),
        };
        self.step("path", &[Reason::AmbiguousPath], false, other);
        if !self.answered {
            self.slash();
        }
    }

    fn slash(&mut self) {
        if self.decisions.reason() == Some(Reason::TrailingSlash) {
            let detail = "the path with a slash at the end is declared, the path itself is not".to_owned();
            self.step("trailing slash", &[Reason::TrailingSlash], false, detail);
        }
    }

    /// The steps of a route. A new policy field has to be told here before this compiles.
    fn route(&mut self, route: &CompiledRoute) {
        let RoutePolicy {
            body,
            closed,
            redirect,
            https_redirect,
            relative_redirects: _, // Shows in the `Location` of the answer.
            rewrite,
            canary,
            session,
            upstream,
            fallback: _, // The upstream of CompiledRoute::fallback.
            headers,
            response,
            timeouts,
            retry,
            observe,
        } = &*route.route.policy;
        self.body(body);
        if let Some(closed) = closed {
            let detail = format!("{} cannot be honoured, so the route is closed", closed.key);
            self.step("closed", &[Reason::RouteClosed], false, detail);
        }
        if let Some(redirect) = redirect {
            let (status, target) = (redirect.code.status().as_u16(), header_text(redirect.location.value()));
            self.step("redirect", &[Reason::Redirect], false, format!("{status} to {target}"));
        }
        if let Some(rewrite) = rewrite {
            let found = rewrite.search.is_match(self.reading.path.as_str().as_bytes(), &mut PatternCache::default());
            let becomes = format!("{} becomes {}", rewrite.search, rewrite.target);
            let detail = if found { becomes } else { format!("{becomes}, but is not found in the path") };
            self.step("rewrite-target", &[Reason::RewriteRedirect], found, detail);
        }
        self.https(*https_redirect);
        self.endpoints(route);
        if let Some(canary) = canary {
            self.canary(canary, route);
        }
        self.balance(route, *session);
        if route.upstream.is_some() || self.decisions.forward().is_some() {
            self.upstream(upstream);
            self.tries(timeouts, retry);
        }
        self.fields(headers, response.as_deref());
        if !observe.access_log {
            let detail = "no line is written".to_owned();
            self.steps.push(PolicyStep { policy: "enable-access-log", effect: Effect::Applies, detail });
        }
    }

    /// Told where a length is declared or the limit is not the default.
    fn body(&mut self, body: &BodyPolicy) {
        let allowed = match body.largest {
            Some(largest) => format!("{largest} octets are allowed"),
            None => "any number of octets is allowed".to_owned(),
        };
        let detail = match self.head.declared_length() {
            Some(length) => format!("{length} octets are declared, {allowed}"),
            None if body.largest == BodyPolicy::default().largest => return,
            None => allowed,
        };
        self.step("proxy-body-size", &[Reason::BodyTooLarge], false, detail);
    }

    fn https(&mut self, redirect: HttpsRedirect) {
        let detail = match redirect.mode {
            HttpsRedirectMode::Never => "off, or a path of no-tls-redirect-locations".to_owned(),
            _ if self.head.scheme() != "http" => format!("the scheme is {}", self.head.scheme()),
            HttpsRedirectMode::Always => "force-ssl-redirect".to_owned(),
            HttpsRedirectMode::WithCertificate if self.decisions.luckiest.host.tls => {
                "a certificate is registered for the host".to_owned()
            }
            HttpsRedirectMode::WithCertificate => "no certificate is registered for the host".to_owned(),
        };
        self.step("ssl-redirect", &[Reason::HttpsRedirect, Reason::BadHost], false, detail);
    }

    fn endpoints(&mut self, route: &CompiledRoute) {
        let Some(primary) = &route.upstream else { return self.unmatched() };
        let count = primary.endpoints().len();
        let to_fallback = self.decisions.forward().is_some_and(|forward| forward.to == Destination::Fallback);
        let detail = match &route.fallback {
            _ if count > 0 => format!("{} has {count}", primary.name()),
            Some(fallback) if to_fallback => {
                format!("{} has none, default-backend {} is used", primary.name(), fallback.name())
            }
            Some(fallback) => format!("{} has none, nor has default-backend {}", primary.name(), fallback.name()),
            None => format!("{} has none", primary.name()),
        };
        self.step("endpoints", &[Reason::NoEndpoints], to_fallback, detail);
    }

    fn canary(&mut self, canary: &Canary, route: &CompiledRoute) {
        let to = |outcome: &Outcome| matches!(outcome, Outcome::Forward(Forward { to: Destination::Canary, .. }));
        let Decisions { luckiest, unluckiest } = self.decisions;
        let (lucky, unlucky) = (to(&luckiest.outcome), to(&unluckiest.outcome));
        let live = route.canary.as_ref().is_some_and(|upstream| upstream.is_live());
        let rules = canary_rules(canary, self.head.headers);
        let session = canary_of_session(route, self.head.headers).filter(|_| live);
        let detail = match (lucky, unlucky) {
            _ if session == Some(true) => "canary, by the cookie of the session".to_owned(),
            _ if session == Some(false) => "not the canary, by the cookie of the session".to_owned(),
            (true, true) => format!("canary, by {rules}"),
            (true, false) => {
                format!("chance: {} of {} requests go to the canary ({rules})", canary.weight, canary.total)
            }
            _ if !live => format!("{} has no endpoints, so it is left out", canary.cluster),
            _ => format!("not the canary, by {rules}"),
        };
        self.step("canary", &[], lucky, detail);
    }

    /// How the endpoint is chosen, where requests do not simply take turns.
    fn balance(&mut self, route: &CompiledRoute, sets_cookie: bool) {
        let to = self.decisions.forward().map_or(Destination::Primary, |forward| forward.to);
        let policy = match to {
            Destination::Primary => &route.balance,
            Destination::Canary => &route.canary_balance,
            Destination::Fallback | Destination::DefaultBackend => return,
        };
        let Some(policy) = policy else { return };
        let ClusterPolicy { balance, affinity } = &**policy;
        if let Some(affinity) = affinity {
            let sets = if sets_cookie { "" } else { "; no cookie is set, since the Ingress has no affinity" };
            let mode = match affinity.mode {
                AffinityMode::Balanced => "balanced",
                AffinityMode::Persistent => "persistent",
            };
            let detail = format!("{mode} sessions by cookie {}{sets}", affinity.cookie.name);
            return self.step("affinity", &[], true, detail);
        }
        match balance {
            Balance::RoundRobin => {}
            Balance::Ewma => self.step("load-balance", &[], true, "ewma".to_owned()),
            Balance::Hash { key, subset: None } => {
                self.step("upstream-hash-by", &[], true, format!("the hash of {key} selects the endpoint"));
            }
            Balance::Hash { key, subset: Some(size) } => {
                let detail = format!("the hash of {key} selects a set of {size} endpoints, chance one of them");
                self.step("upstream-hash-by", &[], true, detail);
            }
        }
    }

    fn upstream(&mut self, upstream: &UpstreamPolicy) {
        let UpstreamPolicy { protocol, http10: _, host: _, tls: _ } = upstream;
        let settings = upstream_settings(upstream);
        let Some(forward) = self.decisions.forward() else {
            let protocol = format!("{} (backend-protocol){settings}", scheme(*protocol, self.head));
            return self.step("upstream", &[], false, protocol);
        };
        let Forward { to, protocol, target: _, host, forwarded_prefix } = forward;
        let mut detail = format!("{}, target {}", scheme(*protocol, self.head), target(forward, self.head));
        // What stands in for the upstream of the route is spoken to plainly.
        if matches!(to, Destination::Primary | Destination::Canary) {
            detail.push_str(&settings);
        }
        if let Some(host) = host {
            detail.push_str(&format!(", Host {host} (upstream-vhost)"));
        }
        if let Some(prefix) = forwarded_prefix {
            detail.push_str(&format!(", X-Forwarded-Prefix {prefix}"));
        }
        self.step("upstream", &[], true, detail);
    }

    fn fields(&mut self, headers: &HeaderPolicy, response: Option<&ResponseRewrite>) {
        let settings = self.table.settings();
        let set = (settings.add_headers.as_slice(), settings.proxy_set_headers.as_slice());
        for (policy, detail) in fields::changes(set, headers, response, self.decisions.forward().is_some()) {
            self.steps.push(PolicyStep { policy, effect: Effect::Applies, detail });
        }
    }

    /// Shown where they are not the defaults.
    fn tries(&mut self, timeouts: &Timeouts, retry: &Retry) {
        let forwards = self.decisions.forward().is_some();
        if !timeouts.is_default() {
            let Timeouts { connect, send, read } = timeouts;
            let detail = format!("connect {connect}, send {send}, read {read}");
            self.step("proxy timeouts", &[], forwards, detail);
        }
        if !retry.is_default() {
            self.step("proxy-next-upstream", &[], forwards, retries(retry));
        }
    }

    fn unmatched(&mut self) {
        let used = self.decisions.forward().is_some_and(|forward| forward.to == Destination::DefaultBackend);
        let detail = match self.table.default_backend() {
            Some(backend) if used => format!("{} (--default-backend-service)", backend.name()),
            Some(backend) => format!("{} has no endpoints, so the built-in 404 answers", backend.name()),
            None => "there is no --default-backend-service, so the built-in 404 answers".to_owned(),
        };
        self.step("default backend", &[Reason::NoHost, Reason::NoPath], used, detail);
    }
}

fn retries(retry: &Retry) -> String {
    let Retry { conditions, tries, within } = retry;
    let tries = match tries {
        0 => format!("as many tries as endpoints, and at least {}", Retry::DEFAULT_TRIES),
        1 => "1 try".to_owned(),
        tries => format!("{tries} tries"),
    };
    let within = within.map_or_else(String::new, |within| format!(", none that begins later than {within}"));
    format!("{conditions}: {tries}{within}")
}

/// How an upstream is spoken to beyond its protocol.
fn upstream_settings(upstream: &UpstreamPolicy) -> String {
    let UpstreamPolicy { protocol: _, http10, host: _, tls } = upstream;
    let mut text = String::new();
    if *http10 {
        text.push_str(", HTTP/1.0 (proxy-http-version)");
    }
    if let Some(tls) = tls {
        let verified = if tls.verification().is_some() { "verified" } else { "not verified" };
        text.push_str(&format!(", TLS {verified}, name {} (proxy-ssl-secret)", tls.name().to_str()));
    }
    text
}

/// What decides about a canary, with what the request says to it.
fn canary_rules(canary: &Canary, headers: &HeaderMap) -> String {
    let Canary { cluster: _, header, cookie, weight, total } = canary;
    let mut rules = Vec::new();
    if let Some((name, _)) = header {
        let value = headers.get(&name.0).map_or_else(|| "not sent".to_owned(), header_text);
        rules.push(format!("header {} ({value})", name.0));
    }
    if let Some(cookie) = cookie {
        rules.push(format!("cookie {cookie}"));
    }
    rules.push(format!("weight {weight} of {total}"));
    rules.join(", then ")
}
