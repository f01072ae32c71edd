//! Canary Ingresses: a second backend behind the backend of another Ingress.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_model::policy::Canary;
use portcullis_model::{ClusterId, HostMatch};

use crate::annotations::CanaryRules;
use crate::host::Locations;
use crate::ingress::{Parsed, path_field};
use crate::{Finding, quoted};

/// The canary of each primary backend. It hangs on the backend, so it shows through every route that leads there.
pub(crate) type Canaries = BTreeMap<ClusterId, Canary>;

/// Hangs the canaries on the primaries that serve the same host, path and path type. The oldest canary of a primary wins.
pub(crate) fn merge<'a>(
    canaries: impl Iterator<Item = &'a Arc<Parsed>>,
    hosts: &BTreeMap<HostMatch, Locations<'_>>,
    findings: &mut Vec<Finding>,
) -> Canaries {
    let mut merged = Canaries::new();
    for parsed in canaries {
        let Some(rules) = &parsed.draft.canary else { continue };
        if let Some(alternative) = &parsed.default_backend {
            let primaries = hosts.get(&HostMatch::Any).into_iter().flat_map(Locations::clusters);
            hang(&mut merged, rules, alternative, primaries);
        }
        for rule in &parsed.rules {
            for path in &rule.paths {
                let primary = hosts.get(&rule.host).and_then(|locations| locations.cluster(&path.path, path.path_type));
                if hang(&mut merged, rules, &path.backend, primary.into_iter()) == 0 {
                    findings.push(Finding::warning(
                        &parsed.object(),
                        &path_field(path.position, "path"),
                        "canary-without-primary",
                        format!("no other Ingress serves {} of host {} with the same path type, or with another Service, so this canary takes no requests", quoted(&path.path), rule.host),
                        "give the canary the host, path and pathType of the Ingress it belongs to, and a Service of its own",
                    ));
                }
            }
        }
    }
    merged
}

/// How many primaries have this canary now.
fn hang<'a>(
    merged: &mut Canaries,
    rules: &CanaryRules,
    alternative: &ClusterId,
    primaries: impl Iterator<Item = &'a ClusterId>,
) -> usize {
    let mut count = 0;
    for primary in primaries.filter(|primary| *primary != alternative) {
        merged.entry(primary.clone()).or_insert_with(|| Canary {
            cluster: alternative.clone(),
            header: rules.header.clone(),
            cookie: rules.cookie.clone(),
            weight: rules.weight,
            total: rules.total,
        });
        count += 1;
    }
    count
}
