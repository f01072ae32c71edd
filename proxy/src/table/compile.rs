//! From a snapshot to a routing table. Cannot fail: whatever could be wrong is a checked value of the model.

use std::sync::Arc;

use portcullis_model::{Backend, HostAction, HostMatch, PathMode, Route, Snapshot, VirtualHost};

use super::RoutingTable;
use super::balance::Policies;
use super::certificates::CertificateIndex;
use super::handshakes::HandshakePlan;
use super::hosts::HostIndex;
use super::ordered::OrderedPaths;
use super::paths::PathTree;
use super::streams::Streams;
use super::virtual_host::{CompiledHost, CompiledRoute, Paths};
use crate::upstream::{Upstream, UpstreamRegistry};

impl RoutingTable {
    /// Compiles `snapshot`, with the upstreams of `upstreams`, which makes those it has not.
    ///
    /// Hosts and certificates that are the same as in `previous` are taken over from there, so the cost is that of what changed.
    /// A `previous` table of another registry is not used.
    #[must_use]
    pub fn compile(snapshot: &Snapshot, upstreams: &UpstreamRegistry, previous: Option<&Self>) -> Self {
        let previous = previous.filter(|table| table.shares(upstreams));
        let policies = Policies::of(snapshot);
        let changed = previous.map(|table| policies.changed_since(&Policies::of(&table.snapshot))).unwrap_or_default();
        let compiled = |host: &Arc<VirtualHost>| {
            let reused = previous.and_then(|table| table.hosts.of(&host.host)).filter(|old| same(old.source(), host));
            let reused = reused.filter(|old| !changed.concern(old));
            reused.map_or_else(|| Arc::new(compile_host(host, upstreams, &policies)), Arc::clone)
        };
        let default = snapshot.hosts.get(&HostMatch::Any).map_or_else(|| compiled(&empty_default_server()), compiled);
        let mut hosts = HostIndex::new(snapshot.hosts.len(), Arc::clone(&default));
        hosts.add(default);
        for (_, host) in snapshot.hosts.iter().filter(|(name, _)| **name != HostMatch::Any) {
            hosts.add(compiled(host));
        }
        Self {
            hosts,
            certificates: certificates(snapshot, previous),
            handshakes: HandshakePlan::new(snapshot, previous.map(Self::handshakes)),
            default_backend: snapshot.default_backend.as_ref().map(|id| upstreams.upstream(id)),
            streams: Streams::new(snapshot, upstreams),
            snapshot: snapshot.clone(),
        }
    }

    /// Whether the upstreams of this table are those of `registry`.
    ///
    /// One is enough to know: all were taken from the same registry, which cannot lose them while this table holds them.
    fn shares(&self, registry: &UpstreamRegistry) -> bool {
        let mut hosts = self.snapshot.hosts.keys().filter_map(|host| self.hosts.of(host));
        let used = hosts.find_map(|host| host.routes().iter().find_map(|route| route.upstream.as_ref()));
        let one: Option<&Arc<Upstream>> = used.or(self.default_backend.as_ref());
        one.is_none_or(|upstream| Arc::ptr_eq(upstream, &registry.upstream(upstream.id())))
    }
}

fn same(old: &Arc<VirtualHost>, new: &Arc<VirtualHost>) -> bool {
    Arc::ptr_eq(old, new) || old == new
}

fn certificates(snapshot: &Snapshot, previous: Option<&RoutingTable>) -> Arc<CertificateIndex> {
    let reused = previous.filter(|table| table.snapshot.certificates == snapshot.certificates);
    reused.map_or_else(
        || Arc::new(CertificateIndex::new(&snapshot.certificates)),
        |table| Arc::clone(&table.certificates),
    )
}

/// What answers hosts that no Ingress names, where no rule is without a host.
fn empty_default_server() -> Arc<VirtualHost> {
    let action = HostAction::Serve { mode: PathMode::Plain, routes: Vec::new(), app_root: None };
    Arc::new(VirtualHost { host: HostMatch::Any, aliases: Vec::new(), tls: false, handshake: None, action })
}

fn compile_host(host: &Arc<VirtualHost>, upstreams: &UpstreamRegistry, policies: &Policies<'_>) -> CompiledHost {
    let (mode, routes) = match &host.action {
        HostAction::Serve { mode, routes, app_root: _ } => (*mode, routes.as_slice()),
        HostAction::RedirectTo(_) => (PathMode::Plain, [].as_slice()),
    };
    let matches = routes.iter().map(|route| &route.path);
    let paths = match mode {
        PathMode::Plain => Paths::Plain(PathTree::new(matches)),
        PathMode::Regex => Paths::Ordered(OrderedPaths::new(matches)),
    };
    let routes = routes.iter().map(|route| Arc::new(compile_route(route, upstreams, policies))).collect();
    CompiledHost { source: Arc::clone(host), routes, paths }
}

fn compile_route(route: &Arc<Route>, upstreams: &UpstreamRegistry, policies: &Policies<'_>) -> CompiledRoute {
    CompiledRoute {
        balance: match &route.backend {
            Backend::Cluster(id) => policies.get(id),
            Backend::Default => None,
        },
        canary_balance: route.policy.canary.as_ref().and_then(|canary| policies.get(&canary.cluster)),
        upstream: match &route.backend {
            Backend::Cluster(id) => Some(upstreams.upstream(id)),
            Backend::Default => None,
        },
        canary: route.policy.canary.as_ref().map(|canary| upstreams.upstream(&canary.cluster)),
        fallback: route.policy.fallback.as_ref().map(|id| upstreams.upstream(id)),
        route: Arc::clone(route),
    }
}

#[cfg(test)]
mod tests {
    use portcullis_model::{Balance, Cluster, ClusterPolicy, Endpoint, Endpoints, PatternCache};

    use super::super::PathLookup;
    use super::super::testing::{certificate, cluster, snapshot, virtual_host, with_certificates};
    use super::*;

    fn found(table: &RoutingTable, host: &str, path: &str) -> String {
        match table.host(host).host.route(path, &mut PatternCache::default()) {
            PathLookup::Route(route) => {
                route.upstream.as_ref().map_or_else(String::new, |upstream| upstream.id().service.to_string())
            }
            PathLookup::AddSlash(route) => format!("+/ {}", route.route.source.path),
            PathLookup::None => "none".to_owned(),
        }
    }

    #[test]
    fn hosts_do_not_share_paths() {
        let snapshot = snapshot(&[("a.example", &["Prefix /a"]), ("*.example", &["Prefix /"]), ("", &["Prefix /any"])]);
        let table = RoutingTable::compile(&snapshot, &UpstreamRegistry::default(), None);
        for (host, path, want) in [
            ("a.example", "/a/x", "Prefix /a"),
            ("a.example", "/any", "none"),
            ("b.example", "/a", "Prefix /"),
            ("a.b.example", "/any/x", "Prefix /any"),
            ("", "/", "none"),
        ] {
            assert_eq!(found(&table, host, path), want, "{host} {path}");
        }
    }

    #[test]
    fn patterns_are_tried_in_order() {
        let paths = ["/foo/bar/[a-z0-9]{3}", "/foo/bar/bar", "/v[0-9]+/x", "Prefix /plain", "/api", "/"];
        let host = virtual_host("a.example", PathMode::Regex, &paths);
        let snapshot = Snapshot { hosts: [(host.host.clone(), Arc::new(host))].into(), ..snapshot(&[]) };
        let table = RoutingTable::compile(&snapshot, &UpstreamRegistry::default(), None);
        for (path, want) in [
            ("/foo/bar/bar", "/foo/bar/[a-z0-9]{3}"),
            ("/foo/bar/b", "/"),
            ("/V2/xyz", "/v[0-9]+/x"),
            ("/apiv2", "/api"),
            ("/API", "/api"),
            ("/plain/x", "Prefix /plain"),
            ("/plainx", "/"),
            ("/x/api", "/"),
        ] {
            assert_eq!(found(&table, "a.example", path), want, "{path}");
        }
    }

    #[test]
    fn a_host_that_redirects_has_no_routes() {
        let action = HostAction::RedirectTo("www.a.example".parse().unwrap());
        let host = VirtualHost { action, ..virtual_host("a.example", PathMode::Plain, &[]) };
        let snapshot = Snapshot { hosts: [(host.host.clone(), Arc::new(host))].into(), ..snapshot(&[]) };
        let table = RoutingTable::compile(&snapshot, &UpstreamRegistry::default(), None);
        assert_eq!(found(&table, "a.example", "/"), "none");
        assert_eq!(table.host("a.example").host.redirect_to().map(|name| name.as_str()), Some("www.a.example"));
        assert_eq!(table.host("a.example").host.app_root(), None);
    }

    /// The snapshot with this policy for the cluster of this route.
    fn balanced(snapshot: &Snapshot, path: &str, balance: Balance) -> Snapshot {
        let mut snapshot = snapshot.clone();
        let policy = Arc::new(ClusterPolicy { balance, affinity: None });
        let made = Cluster { id: cluster(path), endpoints: Endpoints::none(), policy };
        snapshot.clusters.insert(cluster(path), Arc::new(made));
        snapshot
    }

    #[test]
    fn a_change_of_balance_compiles_the_hosts_it_concerns_and_no_others() {
        let registry = UpstreamRegistry::default();
        let plain = snapshot(&[("a.example", &["Prefix /a"]), ("b.example", &["Prefix /b"])]);
        let ewma = balanced(&plain, "Prefix /a", Balance::Ewma);
        let mut table = RoutingTable::compile(&plain, &registry, None);
        for (next, balance, reused) in [
            (&ewma, Some(Balance::Ewma), false),
            (&ewma.clone(), Some(Balance::Ewma), true),
            (&balanced(&plain, "Prefix /a", Balance::RoundRobin), None, false),
            (&plain, None, true),
        ] {
            let new = RoutingTable::compile(next, &registry, Some(&table));
            let route = &new.host("a.example").host.routes()[0];
            assert_eq!(route.balance.as_ref().map(|policy| policy.balance.clone()), balance);
            assert_eq!(Arc::ptr_eq(table.host("a.example").host, new.host("a.example").host), reused, "{balance:?}");
            assert!(Arc::ptr_eq(table.host("b.example").host, new.host("b.example").host));
            table = new;
        }
    }

    #[test]
    fn unchanged_hosts_go_into_the_next_table_as_they_are() {
        let registry = UpstreamRegistry::default();
        let before = snapshot(&[
            ("a.example", &["Prefix /a"]),
            ("b.example", &["Prefix /b"]),
            ("*.c.example", &["Prefix /c"]),
            ("", &["Prefix /"]),
        ]);
        let mut after = before.clone();
        after.hosts.insert(
            "b.example".parse().unwrap(),
            Arc::new(virtual_host("b.example", PathMode::Plain, &["Prefix /new"])),
        );
        let equal = virtual_host("*.c.example", PathMode::Plain, &["Prefix /c"]);
        after.hosts.insert(equal.host.clone(), Arc::new(equal));
        let old = RoutingTable::compile(&before, &registry, None);
        let new = RoutingTable::compile(&after, &registry, Some(&old));
        for (host, reused) in [("a.example", true), ("b.example", false), ("x.c.example", true), ("unknown", true)] {
            assert_eq!(Arc::ptr_eq(old.host(host).host, new.host(host).host), reused, "{host}");
        }
        assert!(Arc::ptr_eq(&old.certificates, &new.certificates));
        assert_eq!(found(&new, "b.example", "/new"), "Prefix /new");
        assert_eq!(found(&new, "b.example", "/b"), "none");
    }

    #[test]
    fn an_unchanged_host_loses_its_old_kind_of_name() {
        let registry = UpstreamRegistry::default();
        let old = RoutingTable::compile(&snapshot(&[("", &["Prefix /"])]), &registry, None);
        let new = RoutingTable::compile(&snapshot(&[("a.example", &["Prefix /"])]), &registry, Some(&old));
        assert!(new.host("other").host.routes().is_empty());
        assert_eq!(new.host("a.example").host.routes().len(), 1);
    }

    #[test]
    fn reused_hosts_see_the_endpoints_of_the_registry() {
        let registry = UpstreamRegistry::default();
        let snapshot = snapshot(&[("a.example", &["Prefix /a"])]);
        let old = RoutingTable::compile(&snapshot, &registry, None);
        let new = RoutingTable::compile(&snapshot, &registry, Some(&old));
        drop(old);
        registry.prune();
        let endpoint = Endpoint { address: "127.0.0.1:80".parse().unwrap() };
        assert!(registry.set_endpoints(&cluster("Prefix /a"), &[endpoint]));
        let host = new.host("a.example").host;
        assert!(host.routes()[0].upstream.as_ref().unwrap().is_live());
    }

    #[test]
    fn a_table_of_another_registry_is_not_reused() {
        let snapshot = snapshot(&[("a.example", &["Prefix /a"])]);
        let old = RoutingTable::compile(&snapshot, &UpstreamRegistry::default(), None);
        let registry = UpstreamRegistry::default();
        let new = RoutingTable::compile(&snapshot, &registry, Some(&old));
        let upstream = new.host("a.example").host.routes()[0].upstream.as_ref().unwrap();
        assert!(Arc::ptr_eq(upstream, &registry.upstream(&cluster("Prefix /a"))));
    }

    #[test]
    fn new_certificates_replace_those_of_the_previous_table() {
        let registry = UpstreamRegistry::default();
        let (first, second) = (certificate(&["a.example"]), certificate(&["a.example"]));
        let old = RoutingTable::compile(&with_certificates(&[("a.example", Some(&first))]), &registry, None);
        let new = RoutingTable::compile(&with_certificates(&[("a.example", Some(&second))]), &registry, Some(&old));
        assert!(Arc::ptr_eq(old.certificate(Some("a.example")), &first));
        assert!(Arc::ptr_eq(new.certificate(Some("a.example")), &second));
    }

    #[test]
    fn policies_name_their_upstreams() {
        let mut route = super::super::testing::route("a.example", "Prefix /");
        let canary = portcullis_model::policy::Canary {
            cluster: cluster("new"),
            header: None,
            cookie: None,
            weight: 1,
            total: 100,
        };
        let policy = Arc::make_mut(&mut route.policy);
        policy.canary = Some(canary);
        policy.fallback = Some(cluster("spare"));
        route.backend = Backend::Default;
        let compiled = compile_route(&Arc::new(route), &UpstreamRegistry::default(), &Policies::default());
        let name = |upstream: &Option<Arc<Upstream>>| upstream.as_ref().map(|upstream| upstream.name().to_string());
        assert_eq!(name(&compiled.upstream), None);
        assert_eq!(name(&compiled.canary).as_deref(), Some("shop-new-80"));
        assert_eq!(name(&compiled.fallback).as_deref(), Some("shop-spare-80"));
        assert_eq!(compiled.rule().to_string(), "shop/web a.example /");
    }
}
