//! One virtual host out of all Ingresses that name it.

use std::collections::BTreeMap;
use std::iter;
use std::sync::{Arc, LazyLock};

use portcullis_model::policy::{Closed, HeaderPolicy, HttpsRedirectMode, Observe, Rewrite, SetHeader, UpstreamPolicy};
use portcullis_model::{
    Alias, Backend, CertificateChoice, ClusterId, HostAction, HostAlias, HostMatch, HostName, HostTls, PathMatch,
    PathMode, PathType, Route, RoutePolicy, RouteSource, VirtualHost,
};

use crate::annotations::Draft;
use crate::canary::Canaries;
use crate::ingress::{Parsed, RulePath, path_field};
use crate::memo::Common;
use crate::{Config, Finding, quoted, remarks, upstream_tls};

/// An Ingress with the rules by which it takes part in a host.
#[derive(Clone, Debug)]
pub(crate) struct Contribution {
    pub(crate) ingress: Arc<Parsed>,
    pub(crate) rule: usize,
}

impl PartialEq for Contribution {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.ingress, &other.ingress) && self.rule == other.rule
    }
}

/// Everything a host is made of; equal inputs give equal hosts, by which the memo finds them again.
#[derive(Debug, PartialEq)]
pub(crate) struct Input {
    /// In order of age.
    pub(crate) contributions: Vec<Contribution>,
    /// For the default server: the oldest Ingress that has a default backend and no rules.
    pub(crate) catch_all: Option<Contribution>,
    /// Canaries of the backends of this host.
    pub(crate) canaries: Canaries,
    /// What `default-backend` annotations lead to, by Ingress.
    pub(crate) fallbacks: BTreeMap<crate::ObjectKey, ClusterId>,
    /// TLS to upstreams by Ingress, where it has any of its own.
    pub(crate) upstream_tls: BTreeMap<crate::ObjectKey, upstream_tls::Resolved>,
    /// What `custom-headers` annotations lead to, by Ingress; none where that closes its paths.
    pub(crate) custom_headers: BTreeMap<crate::ObjectKey, Option<Arc<[SetHeader]>>>,
    /// Names kept of the aliases.
    pub(crate) aliases: Vec<HostAlias>,
    /// The certificate of the host.
    pub(crate) certificate: Option<CertificateChoice>,
    /// Whether plain HTTP requests of the host may be redirected.
    pub(crate) tls: bool,
}

impl Input {
    /// What the oldest Ingress that sets it, setting by setting, changes of TLS handshakes.
    fn handshake(&self) -> HostTls {
        let drafts = || self.contributions.iter().chain(&self.catch_all).map(|one| &one.ingress.draft.handshake);
        HostTls {
            ciphers: drafts().find_map(|draft| draft.ciphers.clone()),
            server_order: drafts().find_map(|draft| draft.server_order),
        }
    }

    /// A key that protects the whole host and cannot be honoured, of any Ingress that takes part.
    fn closed_host(&self) -> Option<&Closed> {
        let contributions = self.contributions.iter().chain(&self.catch_all);
        contributions.filter_map(|contribution| contribution.ingress.draft.closed_host.as_ref()).next()
    }
}

/// A host with what it was made of.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) input: Input,
    pub(crate) host: Arc<VirtualHost>,
    /// Whether `from-to-www-redirect` is set on an Ingress that serves a declared path.
    pub(crate) www_redirect: bool,
    pub(crate) findings: Vec<Finding>,
}

/// The paths of a host after conflicts: the oldest Ingress keeps a path of one type.
#[derive(Debug, Default)]
pub(crate) struct Locations<'a> {
    list: Vec<Location<'a>>,
    /// The younger claims that lost.
    pub(crate) conflicts: Vec<Conflict<'a>>,
}

#[derive(Debug)]
struct Location<'a> {
    path: &'a Arc<str>,
    path_type: PathType,
    backend: Option<&'a ClusterId>,
    contribution: Option<&'a Contribution>,
    implicit: bool,
    /// The `/` of the default server as the catch-all Ingress has it: neither its redirects nor its rewrites apply there.
    catch_all: bool,
}

/// The places of claimed paths.
type Taken<'a> = BTreeMap<(&'a str, PathType), usize>;

static ROOT: LazyLock<Arc<str>> = LazyLock::new(|| "/".into());

/// A path that an older Ingress already serves.
#[derive(Debug)]
pub(crate) struct Conflict<'a> {
    pub(crate) loser: &'a Contribution,
    pub(crate) path: &'a RulePath,
    pub(crate) winner: &'a Contribution,
}

impl Conflict<'_> {
    /// What both are told, with the rule that decided.
    fn findings(&self, host: &HostMatch) -> impl Iterator<Item = Finding> {
        let (loser, winner) = (&self.loser.ingress, &self.winner.ingress);
        let path = quoted(&self.path.path);
        let (for_loser, for_winner) = if !winner.has_rules {
            ("as the catch-all for hosts that no rule names", "as the catch-all for hosts that no rule names")
        } else if loser.key == winner.key {
            ("an earlier rule of the same Ingress has it", "")
        } else if winner.created < loser.created {
            ("which is older", "which is younger")
        } else {
            ("of the same age and with the greater name", "of the same age and with the lesser name")
        };
        let whose =
            if loser.key == winner.key { String::new() } else { format!("Ingress {} already serves it, ", winner.key) };
        let lost = Finding::error(
            &loser.object(),
            &path_field(self.path.position, "path"),
            "path-conflict",
            format!("path {path} of host {host} is not served from here: {whose}{for_loser}"),
            "remove one of the two paths, or change its host, path or pathType",
        );
        let position = self.winner.position_of(&self.path.path);
        let field = position.map_or_else(|| "spec.defaultBackend".to_owned(), |position| path_field(position, "path"));
        let won = (loser.key != winner.key).then(|| {
            Finding::info(
                &winner.object(),
                &field,
                "path-conflict-won",
                format!(
                    "path {path} of host {host} is served from here and not from Ingress {}, {for_winner}",
                    loser.key
                ),
                "",
            )
        });
        iter::once(lost).chain(won)
    }
}

impl<'a> Locations<'a> {
    /// Gathers the paths of a host. Every host has a `/`, which belongs to its first Ingress unless one declares it.
    pub(crate) fn gather(
        contributions: &'a [Contribution],
        catch_all: Option<&'a Contribution>,
        default_server: bool,
    ) -> Self {
        let mut locations = Self::default();
        let first = if default_server { catch_all } else { contributions.first() };
        locations.list.push(Location {
            path: &ROOT,
            path_type: PathType::Prefix,
            backend: first.and_then(|contribution| contribution.ingress.default_backend.as_ref()),
            contribution: first,
            implicit: !default_server || catch_all.is_none(),
            catch_all: default_server && catch_all.is_some(),
        });
        let mut taken = Taken::new();
        if default_server && catch_all.is_some() {
            taken.insert(("/", PathType::Prefix), 0);
        }
        for contribution in contributions {
            let Some(rule) = contribution.ingress.rules.get(contribution.rule) else { continue };
            for path in &rule.paths {
                locations.claim(&mut taken, contribution, path);
            }
        }
        locations
            .list
            .sort_by(|one, other| other.path.len().cmp(&one.path.len()).then_with(|| other.path.cmp(one.path)));
        locations
    }

    fn claim(&mut self, taken: &mut Taken<'a>, contribution: &'a Contribution, path: &'a RulePath) {
        let claimed = Location {
            path: &path.path,
            path_type: path.path_type,
            backend: Some(&path.backend),
            contribution: Some(contribution),
            implicit: false,
            catch_all: false,
        };
        let key: (&'a str, PathType) = (claimed.path, claimed.path_type);
        match taken.get(&key) {
            Some(&index) => {
                if let Some(winner) = self.list.get(index).and_then(|location| location.contribution) {
                    self.conflicts.push(Conflict { loser: contribution, path, winner });
                }
            }
            None if key == ("/", PathType::Prefix) => {
                taken.insert(key, 0);
                if let Some(root) = self.list.first_mut() {
                    *root = claimed;
                }
            }
            None => {
                taken.insert(key, self.list.len());
                self.list.push(claimed);
            }
        }
    }

    /// The backends of declared paths.
    pub(crate) fn clusters(&self) -> impl Iterator<Item = &'a ClusterId> {
        self.list.iter().filter_map(|location| location.backend)
    }

    /// The backend of one path.
    pub(crate) fn cluster(&self, path: &str, path_type: PathType) -> Option<&'a ClusterId> {
        let found = self.list.iter().find(|location| **location.path == *path && location.path_type == path_type)?;
        found.backend
    }

    /// Whether an Ingress that serves a declared path of this host asks for the www redirect.
    fn www_redirect(&self) -> bool {
        let declared = self.list.iter().filter(|location| !location.implicit);
        declared
            .filter_map(|location| location.contribution)
            .any(|contribution| contribution.ingress.draft.www_redirect)
    }
}

/// Builds a host.
pub(crate) fn build(host: &HostMatch, input: Input, config: &Config, common: &mut Common) -> Merged {
    let mut findings = Vec::new();
    let (mode, routes, app_root, www_redirect) = {
        let default_server = *host == HostMatch::Any;
        let locations = Locations::gather(&input.contributions, input.catch_all.as_ref(), default_server);
        findings.extend(locations.conflicts.iter().flat_map(|conflict| conflict.findings(host)));
        let mode = if locations.list.iter().any(Location::wants_regex) { PathMode::Regex } else { PathMode::Plain };
        let app_root = locations.list.iter().find_map(|location| location.draft()?.app_root.clone());
        let closed = input.closed_host();
        let mut builder = RouteBuilder { mode, closed, input: &input, config, common, findings: &mut findings };
        let routes = builder.routes(&locations);
        (mode, routes, app_root, locations.www_redirect())
    };
    let covered = |alias: &HostAlias| {
        let host = alias_host(alias);
        input.certificate.as_ref().zip(host).is_some_and(|(certificate, host)| certificate.covers(&host))
    };
    let aliases = input.aliases.iter().map(|name| Alias { name: name.clone(), tls: covered(name) }).collect();
    let built = VirtualHost {
        host: host.clone(),
        aliases,
        tls: input.tls,
        handshake: input.handshake().shared(),
        action: HostAction::Serve { mode, routes, app_root },
    };
    Merged { input, host: Arc::new(built), www_redirect, findings }
}

/// The host whose certificate an alias needs; patterns have none.
pub(crate) fn alias_host(alias: &HostAlias) -> Option<HostMatch> {
    match alias {
        HostAlias::Exact(name) => Some(HostMatch::Exact(name.clone())),
        HostAlias::Suffix(name) => Some(HostMatch::Wildcard(name.clone())),
        HostAlias::SuffixOrApex(_) | HostAlias::Prefix(_) | HostAlias::Pattern(_) => None,
    }
}

/// The name that `from-to-www-redirect` sends here: `www.x` for `x`, and the other way round.
pub(crate) fn www_counterpart(host: &HostName) -> Option<HostName> {
    match host.as_str().strip_prefix("www.") {
        Some(bare) => bare.parse().ok(),
        None => format!("www.{host}").parse().ok(),
    }
}

impl<'a> Location<'a> {
    fn draft(&self) -> Option<&'a Draft> {
        self.contribution.map(|contribution| &contribution.ingress.draft)
    }

    /// A rewrite that changes something.
    fn rewrites(&self) -> bool {
        !self.catch_all
            && self.draft().and_then(|draft| draft.rewrite.as_ref()).is_some_and(|(text, _)| text != self.path)
    }

    fn wants_regex(&self) -> bool {
        self.rewrites() || (!self.catch_all && self.draft().is_some_and(|draft| draft.use_regex))
    }
}

struct RouteBuilder<'a> {
    mode: PathMode,
    /// What closes every route of the host.
    closed: Option<&'a Closed>,
    input: &'a Input,
    config: &'a Config,
    common: &'a mut Common,
    findings: &'a mut Vec<Finding>,
}

impl RouteBuilder<'_> {
    fn routes(&mut self, locations: &Locations<'_>) -> Vec<Arc<Route>> {
        let exact: Vec<&str> = locations
            .list
            .iter()
            .filter(|location| location.path_type == PathType::Exact)
            .map(|location| &**location.path)
            .collect();
        let routes =
            locations.list.iter().filter_map(|location| self.route(location, exact.contains(&&**location.path)));
        let mut routes: Vec<_> = routes.map(Arc::new).collect();
        routes.shrink_to_fit();
        routes
    }

    fn route(&mut self, location: &Location<'_>, has_exact_twin: bool) -> Option<Route> {
        let path: Arc<str> = Arc::clone(location.path);
        let matched = match (self.mode, location.path_type) {
            (PathMode::Plain, PathType::Exact) => PathMatch::Exact(Arc::clone(&path)),
            (PathMode::Plain, PathType::Prefix) => PathMatch::Prefix(Arc::clone(&path)),
            (PathMode::Regex, _) => {
                let pattern = self.pattern(location, has_exact_twin).or_else(|| self.claim_of_closed(location))?;
                PathMatch::Pattern(pattern)
            }
        };
        self.remark(location);
        let policy = self.policy(location, &matched);
        let policy = self.common.policies.share(policy);
        let key = location.contribution.map(|contribution| &contribution.ingress.key);
        let rule = location.contribution.and_then(|contribution| contribution.ingress.rules.get(contribution.rule));
        let source = RouteSource {
            namespace: key.map(|key| Arc::clone(&key.namespace)).unwrap_or_default(),
            ingress: key.map(|key| Arc::clone(&key.name)).unwrap_or_default(),
            host: rule.map(|rule| Arc::clone(&rule.text)).unwrap_or_default(),
            path,
            path_type: location.path_type,
            implicit: location.implicit,
        };
        let backend = location.backend.map_or(Backend::Default, |id| Backend::Cluster(id.clone()));
        Some(Route { path: matched, source, backend, policy })
    }

    /// In regex mode a path is a pattern as it stands. A prefix beside an exact path of the same text begins at its slash.
    fn pattern(&mut self, location: &Location<'_>, has_exact_twin: bool) -> Option<Arc<portcullis_model::Pattern>> {
        let twin = has_exact_twin
            && location.path_type == PathType::Prefix
            && !location.wants_regex()
            && !location.path.ends_with('/');
        let compiled = if twin {
            self.common.patterns.location(&format!("{}/", location.path))
        } else {
            self.common.patterns.location(location.path)
        };
        compiled
            .map_err(|error| {
                let Some(contribution) = location.contribution else { return };
                let message = format!("{} is not served: {error}", quoted(location.path));
                let help = "paths of a host with use-regex or rewrite-target are regular expressions without look-around and back-references";
                let position = contribution.position_of(location.path);
                let field = position.map_or_else(String::new, |position| path_field(position, "path"));
                self.findings.push(Finding::error(&contribution.ingress.object(), &field, "invalid-pattern", message, help));
            })
            .ok()
    }

    /// What a path that is not understood keeps claimed where it is closed, so that no wider route answers in its place: the
    /// plain text it begins with.
    fn claim_of_closed(&mut self, location: &Location<'_>) -> Option<Arc<portcullis_model::Pattern>> {
        let closed = self.closed.is_some()
            || location.draft().is_some_and(|draft| draft.closed.is_some())
            || self.upstream_tls(location).is_some_and(Result::is_err);
        if !closed {
            return None;
        }
        self.common.patterns.location(literal_start(location.path)).ok()
    }

    fn remark(&mut self, location: &Location<'_>) {
        let Some(contribution) = location.contribution.filter(|_| !location.implicit) else { return };
        let position = contribution.position_of(location.path);
        let field = position.map_or_else(String::new, |position| path_field(position, "path"));
        let object = contribution.ingress.object();
        self.findings.extend(remarks::of_path(&object, &field, location.path, location.path_type, self.mode));
    }

    fn policy(&mut self, location: &Location<'_>, matched: &PathMatch) -> RoutePolicy {
        let Some(draft) = location.draft() else { return self.default_policy() };
        let mut https_redirect = draft.https_redirect;
        if self.config.no_tls_redirect_locations.iter().any(|prefix| location.path.starts_with(prefix.as_str())) {
            https_redirect.mode = HttpsRedirectMode::Never;
        }
        let rewrite = match (matched, &draft.rewrite) {
            (PathMatch::Pattern(search), Some((_, target))) if location.rewrites() => Some(Rewrite {
                search: Arc::clone(search),
                target: target.clone(),
                forwarded_prefix: draft.forwarded_prefix.clone(),
            }),
            _ => None,
        };
        let key = location.contribution.map(|contribution| &contribution.ingress.key);
        let custom = key.and_then(|key| self.input.custom_headers.get(key));
        let refused = || matches!(custom, Some(None)).then(|| Closed { key: "custom-headers".into() });
        let tls = self.upstream_tls(location);
        let unusable_tls = tls.and_then(|tls| tls.as_ref().err());
        let tls = tls.and_then(|tls| tls.as_ref().ok()).cloned();
        RoutePolicy {
            closed: draft.closed.as_ref().or(unusable_tls).or(self.closed).cloned().or_else(refused),
            redirect: draft.redirect.clone().filter(|_| !location.catch_all),
            https_redirect,
            relative_redirects: draft.relative_redirects,
            rewrite,
            canary: location.backend.and_then(|id| self.input.canaries.get(id)).cloned(),
            session: draft.session.affinity.is_some(),
            upstream: UpstreamPolicy { tls, ..draft.upstream.clone() },
            fallback: key.and_then(|key| self.input.fallbacks.get(key)).cloned(),
            body: draft.body,
            headers: HeaderPolicy { connection: draft.connection, response: custom.cloned().flatten() },
            response: draft.response.clone(),
            timeouts: draft.timeouts,
            retry: draft.retry,
            observe: draft.observe,
        }
    }

    fn upstream_tls(&self, location: &Location<'_>) -> Option<&upstream_tls::Resolved> {
        self.input.upstream_tls.get(&location.contribution?.ingress.key)
    }

    /// The policy of what no Ingress answers.
    fn default_policy(&self) -> RoutePolicy {
        RoutePolicy {
            https_redirect: portcullis_model::policy::HttpsRedirect {
                mode: HttpsRedirectMode::Never,
                ..Default::default()
            },
            relative_redirects: self.config.settings.relative_redirects,
            body: self.config.body,
            timeouts: self.config.timeouts,
            retry: self.config.retry,
            observe: Observe { access_log: self.config.settings.access_log.default_backend },
            closed: self.closed.cloned(),
            response: self.config.response.clone().rewrite(),
            ..RoutePolicy::default()
        }
    }
}

impl Contribution {
    fn position_of(&self, path: &str) -> Option<(usize, usize)> {
        let rule = self.ingress.rules.get(self.rule)?;
        rule.paths.iter().find(|candidate| &*candidate.path == path).map(|candidate| candidate.position)
    }
}

/// The text that every path begins with which the expression could have matched; at most 512 octets of it.
fn literal_start(expression: &str) -> &str {
    const LONGEST: usize = 512;
    if remarks::has_alternatives(expression) {
        return "/";
    }
    let special = |character: char| ".^$*+?()[]{}\\".contains(character) || !character.is_ascii();
    let end = expression.find(special).unwrap_or(expression.len()).min(LONGEST);
    let (start, rest) = expression.split_at(end);
    // A repetition may leave out the character before it.
    let optional = rest.starts_with(['*', '?', '{']);
    let start = if optional { start.get(..end.saturating_sub(1)).unwrap_or_default() } else { start };
    if start.is_empty() { "/" } else { start }
}
