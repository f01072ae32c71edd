//! Paths that another Ingress has already.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::networking::v1::Ingress;
use portcullis_model::{HostMatch, PathType};

use crate::ingress::Parsed;
use crate::translation::{catch_all, sort_by_age};
use crate::{Object, ObjectKey, Options};

/// The Ingress that has a path of one type.
type Owners<'a> = BTreeMap<(&'a HostMatch, &'a str, PathType), &'a Parsed>;

/// Says which path of the Ingress `key` is taken; one that `is_new` is younger than all others, also of the same second. As in ingress-nginx, the path type does not matter, a canary may share the
/// paths of an Ingress that is none, and the mere presence of the annotation counts.
pub(super) fn find(
    key: &ObjectKey,
    mut all: Vec<Arc<Parsed>>,
    ingresses: &BTreeMap<ObjectKey, Object<Ingress>>,
    options: &Options,
    is_new: bool,
) -> Option<String> {
    let reviewed = all.iter().find(|parsed| parsed.key == *key)?.clone();
    all.retain(|parsed| parsed.served);
    sort_by_age(&mut all);
    if is_new {
        all.sort_by_key(|parsed| parsed.key == *key);
    }
    let canary = format!("{}/canary", options.annotations_prefix);
    let marked = |key: &ObjectKey| {
        let annotations = ingresses.get(key).and_then(|ingress| ingress.value.metadata.annotations.as_ref());
        annotations.is_some_and(|annotations| annotations.contains_key(&canary))
    };
    let is_canary = reviewed.draft.canary.is_some();
    let owners = owners(&all, is_canary);
    let paths = reviewed.rules.iter().flat_map(|rule| rule.paths.iter().map(move |path| (&rule.host, &*path.path)));
    for (host, path) in paths {
        let of_types = [PathType::Exact, PathType::Prefix].map(|path_type| owners.get(&(host, path, path_type)));
        for owner in of_types.into_iter().flatten().filter(|owner| owner.key != *key) {
            if is_canary || (!marked(key) && !marked(&owner.key)) {
                let host = if *host == HostMatch::Any { "_".to_owned() } else { host.to_string() };
                return Some(format!("host {host:?} and path {path:?} is already defined in ingress {}", owner.key));
            }
        }
    }
    None
}

/// Who has which path: among canaries, or among all others.
fn owners(by_age: &[Arc<Parsed>], canaries: bool) -> Owners<'_> {
    let mut owners = Owners::new();
    for parsed in by_age.iter().filter(|parsed| parsed.draft.canary.is_some() == canaries) {
        for rule in &parsed.rules {
            for path in &rule.paths {
                owners.entry((&rule.host, &path.path, path.path_type)).or_insert(parsed);
            }
        }
    }
    if !canaries && let Some(found) = catch_all(by_age) {
        let found = by_age.iter().find(|parsed| parsed.key == found.ingress.key);
        owners.extend(found.map(|parsed| ((&HostMatch::Any, "/", PathType::Prefix), &**parsed)));
    }
    owners
}
