//! Which Ingresses lead nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use portcullis_model::{Backend, Endpoints, HostAction, Snapshot};
use portcullis_translate::Finding;

use super::Writer;

/// What an Ingress lacks.
#[derive(Clone, Copy, Default)]
struct Lacks {
    service: bool,
    endpoint: bool,
}

/// Each Ingress that has routes, with 1 where a Service that one of them names does not exist or has no endpoints.
pub(super) fn write(snapshot: &Snapshot, findings: &[Finding], write: &mut Writer<'_>) -> fmt::Result {
    let orphans = orphans(snapshot, findings);
    let series = orphans.iter().flat_map(|((namespace, ingress), lacks)| {
        [("no-service", lacks.service), ("no-endpoint", lacks.endpoint)].map(|(kind, lacks)| {
            let labels =
                [("namespace", (*namespace).to_owned()), ("ingress", (*ingress).to_owned()), ("type", kind.to_owned())];
            (labels, if lacks { 1.0 } else { 0.0 })
        })
    });
    let help = "Whether an Ingress names a Service that does not exist or has no endpoints";
    write.gauges("nginx_ingress_controller_orphan_ingress", help, series)
}

fn orphans<'a>(snapshot: &'a Snapshot, findings: &'a [Finding]) -> BTreeMap<(&'a str, &'a str), Lacks> {
    let missing = findings.iter().filter(|finding| {
        finding.code == "service-not-found" && finding.field.is_empty() && finding.object.kind == "Ingress"
    });
    let missing: BTreeSet<(&str, &str)> =
        missing.map(|finding| (&*finding.object.namespace, &*finding.object.name)).collect();
    let mut orphans: BTreeMap<(&str, &str), Lacks> = BTreeMap::new();
    for host in snapshot.hosts.values() {
        let HostAction::Serve { routes, .. } = &host.action else { continue };
        for route in routes.iter().filter(|route| !route.source.ingress.is_empty()) {
            let Backend::Cluster(id) = &route.backend else { continue };
            let ingress = (&*route.source.namespace, &*route.source.ingress);
            let lacks = orphans.entry(ingress).or_default();
            lacks.service = missing.contains(&ingress);
            let empty = snapshot.clusters.get(id).is_none_or(|cluster| match &cluster.endpoints {
                Endpoints::Known(endpoints) => endpoints.is_empty(),
                Endpoints::Dns(_) => false,
            });
            lacks.endpoint |= empty && !lacks.service;
        }
    }
    orphans
}
