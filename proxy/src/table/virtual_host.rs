//! A virtual host with its routes, ready for lookups.

use std::fmt;
use std::sync::Arc;

use portcullis_model::{ClusterPolicy, HostAction, HostName, PatternCache, Route, VirtualHost};

use super::ordered::OrderedPaths;
use super::paths::{PathTree, Selected};
use crate::upstream::Upstream;

/// A virtual host with its routes, ready for lookups.
pub struct CompiledHost {
    pub(super) source: Arc<VirtualHost>,
    pub(super) routes: Box<[Arc<CompiledRoute>]>,
    pub(super) paths: Paths,
}

/// How the routes of a host are searched; numbers are places in [`CompiledHost::routes`].
pub(super) enum Paths {
    /// Exact match, else longest prefix.
    Plain(PathTree),
    /// The first that matches.
    Ordered(OrderedPaths),
}

/// What a path selects on a host.
#[derive(Clone, Copy, Debug)]
pub enum PathLookup<'t> {
    /// This route.
    Route(&'t Arc<CompiledRoute>),
    /// Nothing, but this route answers the path with a slash appended: 301 (nginx: `proxy_pass` locations that end in a slash).
    AddSlash(&'t Arc<CompiledRoute>),
    /// Nothing.
    None,
}

impl CompiledHost {
    /// The route of a canonical path ([`portcullis_model::CanonicalPath::as_str`]).
    ///
    /// Allocates nothing on hosts in plain mode, nor on others once `patterns` has met their patterns.
    #[must_use]
    pub fn route(&self, path: &str, patterns: &mut PatternCache) -> PathLookup<'_> {
        match &self.paths {
            Paths::Plain(tree) => match tree.find(path) {
                Some(Selected::Route(index)) => self.routes.get(index).map_or(PathLookup::None, PathLookup::Route),
                Some(Selected::AddSlash(index)) => {
                    self.routes.get(index).map_or(PathLookup::None, PathLookup::AddSlash)
                }
                None => PathLookup::None,
            },
            Paths::Ordered(paths) => {
                paths.find(&self.routes, path, patterns).map_or(PathLookup::None, PathLookup::Route)
            }
        }
    }

    /// The model it was compiled from.
    #[must_use]
    pub fn source(&self) -> &Arc<VirtualHost> {
        &self.source
    }

    /// Its routes; in regex mode in the order they are tried.
    #[must_use]
    pub fn routes(&self) -> &[Arc<CompiledRoute>] {
        &self.routes
    }

    /// `app-root`: where a request for exactly `/` is sent.
    #[must_use]
    pub fn app_root(&self) -> Option<&Arc<str>> {
        match &self.source.action {
            HostAction::Serve { app_root, .. } => app_root.as_ref(),
            HostAction::RedirectTo(_) => None,
        }
    }

    /// `from-to-www-redirect`: the host that every request is sent to.
    #[must_use]
    pub fn redirect_to(&self) -> Option<&HostName> {
        match &self.source.action {
            HostAction::Serve { .. } => None,
            HostAction::RedirectTo(name) => Some(name),
        }
    }
}

impl fmt::Debug for CompiledHost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CompiledHost")
            .field("host", &self.source.host)
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}

/// A route with the upstreams it names.
#[derive(Debug)]
pub struct CompiledRoute {
    /// The model it was compiled from.
    pub route: Arc<Route>,
    /// Where requests go; `None` for the default backend of the controller.
    pub upstream: Option<Arc<Upstream>>,
    /// `canary`: where a share of them goes instead.
    pub canary: Option<Arc<Upstream>>,
    /// `default-backend`: where they go while [`CompiledRoute::upstream`] has no endpoints.
    pub fallback: Option<Arc<Upstream>>,
    /// How the endpoints of [`CompiledRoute::upstream`] share requests; `None` where they simply take turns, as most do.
    pub balance: Option<Arc<ClusterPolicy>>,
    /// The same of [`CompiledRoute::canary`].
    pub canary_balance: Option<Arc<ClusterPolicy>>,
}

impl CompiledRoute {
    /// The rule it comes from, for logs and metrics.
    #[must_use]
    pub fn rule(&self) -> Rule<'_> {
        Rule(&self.route)
    }
}

/// The name of a rule: `namespace/ingress host path`, with `_` for no host and `-` for no Ingress.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'r>(&'r Route);

impl fmt::Display for Rule<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = &self.0.source;
        if source.ingress.is_empty() {
            out.write_str("-")?;
        } else {
            write!(out, "{}/{}", source.namespace, source.ingress)?;
        }
        let host = if source.host.is_empty() { "_" } else { &source.host };
        write!(out, " {host} {}", source.path)
    }
}
