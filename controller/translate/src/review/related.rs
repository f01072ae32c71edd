//! Which Ingresses a review has to look at: those that meet the reviewed one on a host.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::networking::v1::Ingress;

use crate::{Object, ObjectKey, Options, Resources};

/// The reviewed Ingress, laid over those that name one of its hosts.
pub(super) fn with(
    key: &ObjectKey,
    ingress: &Arc<Ingress>,
    resources: &Resources,
    options: &Options,
) -> BTreeMap<ObjectKey, Object<Ingress>> {
    let alias_key = format!("{}/server-alias", options.annotations_prefix);
    let wanted: BTreeSet<Cow<'_, str>> = hosts(ingress, &alias_key).collect();
    let meets = |other: &Ingress| hosts(other, &alias_key).any(|host| wanted.contains(&host));
    let others = resources.ingresses.iter().filter(|(other, object)| *other != key && meets(&object.value));
    let mut related: BTreeMap<_, _> = others.map(|(key, object)| (key.clone(), object.clone())).collect();
    // The memo of a review is empty, so that any hash will do.
    related.insert(key.clone(), Object { value: Arc::clone(ingress), hash: 0 });
    related
}

/// Its hosts in lower case: of its rules, its aliases, and empty for the default server.
fn hosts<'i>(ingress: &'i Ingress, alias_key: &str) -> impl Iterator<Item = Cow<'i, str>> {
    let spec = ingress.spec.as_ref();
    let rules = spec.and_then(|spec| spec.rules.as_deref()).unwrap_or_default();
    let catch_all = rules.is_empty() && spec.is_some_and(|spec| spec.default_backend.is_some());
    let of_rules = rules.iter().map(|rule| rule.host.as_deref().unwrap_or_default());
    let aliases = ingress.metadata.annotations.as_ref().and_then(|annotations| annotations.get(alias_key));
    let aliases = aliases.into_iter().flat_map(|aliases| aliases.split(',').map(str::trim));
    let aliases = aliases.filter(|alias| !alias.is_empty());
    of_rules.chain(aliases).chain(catch_all.then_some("")).map(lower_case)
}

fn lower_case(host: &str) -> Cow<'_, str> {
    match host.bytes().any(|octet| octet.is_ascii_uppercase()) {
        true => host.to_ascii_lowercase().into(),
        false => host.into(),
    }
}
