//! Canary Ingresses: a second backend behind the backend of another Ingress.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_model::policy::Canary;
use portcullis_model::{ClusterId, HostMatch};

use crate::annotations::CanaryRules;
use crate::host::Locations;
use crate::ingress::{Parsed, path_field};
use crate::{Finding, ObjectKey, quoted};

/// The canary of each primary backend. It hangs on the backend, so it shows through every route that leads there.
pub(crate) type Canaries = BTreeMap<ClusterId, Canary>;

/// A canary that follows the sessions of its primary.
#[derive(Debug, PartialEq)]
pub(crate) struct Follower {
    pub(crate) primary: ClusterId,
    pub(crate) canary: ClusterId,
}

/// What came of merging all canaries.
#[derive(Debug, Default)]
pub(crate) struct MergedCanaries {
    pub(crate) by_primary: Canaries,
    /// In the order in which they were merged.
    pub(crate) followers: Vec<Follower>,
}

/// Hangs the canaries on the primaries that serve the same host, path and path type. The oldest canary of a primary wins.
pub(crate) fn merge<'a>(
    canaries: impl Iterator<Item = &'a Arc<Parsed>> + Clone,
    hosts: &BTreeMap<HostMatch, Locations<'_>>,
    findings: &mut Vec<Finding>,
) -> MergedCanaries {
    let mut owners = BTreeMap::new();
    for parsed in canaries.clone() {
        for cluster in parsed.clusters() {
            owners.entry(cluster).or_insert(parsed);
        }
    }
    let mut merger = Merger { owners, merged: MergedCanaries::default(), winners: BTreeMap::new(), findings };
    for parsed in canaries {
        merger.ingress(parsed, hosts);
    }
    merger.merged
}

struct Merger<'a, 'f> {
    /// The oldest canary Ingress of each canary backend, whose rules hold wherever that backend is a canary.
    owners: BTreeMap<&'a ClusterId, &'a Arc<Parsed>>,
    merged: MergedCanaries,
    /// The Ingress of the canary of each primary.
    winners: BTreeMap<ClusterId, &'a ObjectKey>,
    findings: &'f mut Vec<Finding>,
}

impl<'a> Merger<'a, '_> {
    fn ingress(&mut self, parsed: &'a Parsed, hosts: &BTreeMap<HostMatch, Locations<'_>>) {
        if let Some(alternative) = &parsed.default_backend {
            let default_server = hosts.get(&HostMatch::Any);
            let primaries: Vec<&ClusterId> = default_server.into_iter().flat_map(Locations::clusters).collect();
            if self.hang(parsed, "spec.defaultBackend", alternative, &primaries) == 0 {
                let message = "no other Ingress answers for hosts that no rule names, so this canary takes no requests";
                let help = "give the canary a Service of its own, and the primary a default backend";
                let finding =
                    |code| Finding::warning(&parsed.object(), "spec.defaultBackend", code, message.to_owned(), help);
                self.findings.push(finding("canary-without-primary"));
            }
        }
        for rule in &parsed.rules {
            for path in &rule.paths {
                let primary = hosts.get(&rule.host).and_then(|locations| locations.cluster(&path.path, path.path_type));
                let field = path_field(path.position, "path");
                if self.hang(parsed, &field, &path.backend, primary.as_slice()) == 0 {
                    self.findings.push(Finding::warning(
                        &parsed.object(),
                        &field,
                        "canary-without-primary",
                        format!("no other Ingress serves {} of host {} with the same path type, or with another Service, so this canary takes no requests", quoted(&path.path), rule.host),
                        "give the canary the host, path and pathType of the Ingress it belongs to, and a Service of its own",
                    ));
                }
            }
        }
    }

    /// How many primaries there are for this canary.
    fn hang(&mut self, parsed: &'a Parsed, field: &str, alternative: &ClusterId, primaries: &[&ClusterId]) -> usize {
        let Some(rules) = self.rules(parsed, field, alternative) else { return 0 };
        let mut count = 0;
        for primary in primaries.iter().copied().filter(|primary| *primary != alternative) {
            count += 1;
            let winner = *self.winners.entry(primary.clone()).or_insert(&parsed.key);
            let made = || Canary {
                cluster: alternative.clone(),
                header: rules.header.clone(),
                cookie: rules.cookie.clone(),
                weight: rules.weight,
                total: rules.total,
            };
            let effective = self.merged.by_primary.entry(primary.clone()).or_insert_with(made);
            if effective.cluster != *alternative {
                self.findings.push(Finding::warning(
                    &parsed.object(),
                    field,
                    "canary-ignored",
                    format!(
                        "{primary} already has the canary of Ingress {winner}, so this one takes no requests of it"
                    ),
                    "one canary per backend takes part: the oldest",
                ));
            } else if !parsed.draft.session.legacy_canary {
                self.merged.followers.push(Follower { primary: primary.clone(), canary: alternative.clone() });
            }
        }
        count
    }

    /// The rules of a canary backend: those of the oldest canary Ingress that names it.
    fn rules(&mut self, parsed: &Parsed, field: &str, alternative: &ClusterId) -> Option<&'a CanaryRules> {
        let owner = *self.owners.get(alternative)?;
        if owner.draft.canary != parsed.draft.canary {
            self.findings.push(Finding::warning(
                &parsed.object(),
                field,
                "canary-rules-ignored",
                format!("the rules of Ingress {} hold for {alternative}, which it names, too", owner.key),
                "give the canary a Service of its own, or both canaries the same rules",
            ));
        }
        owner.draft.canary.as_ref()
    }
}
