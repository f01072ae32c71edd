//! The objects of the cluster as they were last read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use portcullis_translate::{Finding, ObjectKey, Options, Resources};

use super::super::Step;
use super::super::object::{AnyObject, Identity, Kind};
use super::kinds::Feed;
use super::mailbox::News;
use super::named::{Changes, NamedSecrets};
use super::read::Read;

/// Changes of which it is kept when they were brought. More come together only where builds fail, one after the other.
const MOST_CHANGES: usize = 16_384;

/// The objects, and what is wrong with some.
#[derive(Debug)]
pub(super) struct Store {
    resources: Resources,
    objects: BTreeMap<Identity, AnyObject>,
    faults: BTreeMap<Identity, Finding>,
    references: NamedSecrets,
    /// Ingresses that changed since references were counted.
    ingresses: BTreeSet<ObjectKey>,
    /// Whether that changed by which Ingresses are ours.
    scope_changed: bool,
    /// Objects that changed, with their kinds and when watches brought that.
    changed: Vec<(Kind, Instant)>,
}

impl Store {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            changed: Vec::new(),
            resources: Resources::default(),
            objects: BTreeMap::new(),
            faults: BTreeMap::new(),
            references: NamedSecrets::new(options),
            ingresses: BTreeSet::new(),
            scope_changed: false,
        }
    }

    pub(super) fn resources(&self) -> &Resources {
        &self.resources
    }

    pub(super) fn findings(&self) -> impl Iterator<Item = Finding> {
        self.faults.values().cloned()
    }

    /// Takes in what is new.
    pub(super) fn take(&mut self, news: BTreeMap<Feed, News>) -> Step {
        let mut step = Step::default();
        for (feed, News { is_list, changes, since }) in news {
            if is_list {
                let gone = |identity: &&Identity| feed.covers(identity) && !changes.contains_key(*identity);
                let gone: Vec<Identity> = self.objects.keys().chain(self.faults.keys()).filter(gone).cloned().collect();
                for identity in gone {
                    step.looked += 1;
                    step.changed |= self.remove(&identity);
                }
            }
            for (identity, read) in changes {
                step.looked += 1;
                let brought = since.get(&identity).copied();
                if self.put(identity, read) {
                    step.changed = true;
                    let is_kept = self.changed.len() < MOST_CHANGES;
                    self.changed.extend(brought.filter(|_| is_kept).map(|brought| (feed.kind, brought)));
                }
            }
        }
        step
    }

    /// Which Secrets are named by what is there now, and were not at the last call, or the reverse. The latter are gone with it.
    pub(super) fn changed_references(&mut self) -> Changes {
        let ingresses = std::mem::take(&mut self.ingresses);
        let wanted = (!std::mem::take(&mut self.scope_changed)).then_some(ingresses);
        self.references.count(wanted, &self.resources);
        let changes = self.references.changes();
        for key in &changes.dropped {
            self.remove(&Identity { kind: Kind::Secret, key: key.clone() });
        }
        changes
    }

    /// The objects that watches have changed since this was asked last.
    pub(super) fn changed(&mut self) -> Vec<(Kind, Instant)> {
        std::mem::take(&mut self.changed)
    }

    /// Whether that changed an object.
    fn put(&mut self, identity: Identity, read: Option<Read>) -> bool {
        if identity.kind == Kind::Secret && !self.references.is_named(&identity.key) {
            return self.remove(&identity);
        }
        match read {
            None => self.remove(&identity),
            Some(Err(fault)) => {
                self.faults.insert(identity, *fault);
                false
            }
            Some(Ok(object)) => {
                self.faults.remove(&identity);
                let former = self.objects.get(&identity);
                if former.is_some_and(|former| former.hash() == object.hash()) {
                    return false;
                }
                if let Some(former) = former {
                    former.remove(&identity.key, &mut self.resources);
                }
                object.insert(&identity.key, &mut self.resources);
                self.note(&identity);
                self.objects.insert(identity, object);
                true
            }
        }
    }

    fn remove(&mut self, identity: &Identity) -> bool {
        self.faults.remove(identity);
        let Some(former) = self.objects.remove(identity) else { return false };
        former.remove(&identity.key, &mut self.resources);
        self.note(identity);
        true
    }

    /// That object changed.
    fn note(&mut self, identity: &Identity) {
        match identity.kind {
            Kind::Ingress => drop(self.ingresses.insert(identity.key.clone())),
            Kind::IngressClass | Kind::Namespace => self.scope_changed = true,
            Kind::Service
            | Kind::EndpointSlice
            | Kind::Secret
            | Kind::ConfigMap
            | Kind::IngressClassParameters
            | Kind::ClusterIngressClassParameters => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kube::api::DynamicObject;
    use serde_json::{Value, json};

    use super::super::Scope;
    use super::super::read::{identity, read};
    use super::*;
    use crate::self_signed::default_certificate;

    fn store() -> Store {
        Store::new(&Options::new(Arc::new(default_certificate().unwrap())))
    }

    fn service(name: &str, port: &Value) -> (Identity, Option<Read>) {
        let object: DynamicObject = serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": "n" }, "spec": { "ports": [{ "port": port }] },
        }))
        .unwrap();
        let identity = identity(Kind::Service, &object).unwrap();
        let read = read(&identity, &object);
        (identity, Some(read))
    }

    fn news<const N: usize>(is_list: bool, changes: [(Identity, Option<Read>); N]) -> BTreeMap<Feed, News> {
        let changes = BTreeMap::from(changes);
        let since = if is_list { vec![] } else { changes.keys().map(|it| (it.clone(), Instant::now())).collect() };
        let news = News { is_list, changes, since: since.into_iter().collect() };
        BTreeMap::from([(Feed::of(Kind::Service, &Scope::default()), news)])
    }

    fn names(store: &Store) -> Vec<&str> {
        store.resources().services.keys().map(|key| &*key.name).collect()
    }

    #[test]
    fn a_list_is_all_there_is_and_changes_are_added() {
        let mut store = store();
        let step = store.take(news(true, [service("a", &json!(80)), service("b", &json!(80))]));
        assert_eq!((step, names(&store)), (Step { looked: 2, changed: true, nudged: false }, vec!["a", "b"]));
        let step = store.take(news(false, [service("c", &json!(80))]));
        assert_eq!((step, names(&store)), (Step { looked: 1, changed: true, nudged: false }, vec!["a", "b", "c"]));
        let step =
            store.take(news(true, [service("a", &json!(80)), service("b", &json!(80)), service("c", &json!(80))]));
        assert_eq!(
            (step, names(&store)),
            (Step { looked: 3, changed: false, nudged: false }, vec!["a", "b", "c"]),
            "the same again"
        );
        let (gone, _) = service("a", &json!(80));
        let step = store.take(news(false, [(gone, None)]));
        assert_eq!((step, names(&store)), (Step { looked: 1, changed: true, nudged: false }, vec!["b", "c"]));
        let step = store.take(news(true, [service("c", &json!(81))]));
        assert_eq!((step, names(&store)), (Step { looked: 2, changed: true, nudged: false }, vec!["c"]));
    }

    #[test]
    fn objects_that_watches_have_changed_are_told_once() {
        let mut store = store();
        store.take(news(true, [service("a", &json!(80)), service("b", &json!(80))]));
        assert!(store.changed().is_empty(), "listed");
        store.take(news(false, [service("a", &json!(81)), service("b", &json!(80)), service("c", &json!("x"))]));
        let kinds: Vec<Kind> = store.changed().into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [Kind::Service], "a alone is another one");
        assert!(store.changed().is_empty());
    }

    #[test]
    fn changes_that_are_never_served_are_kept_within_bounds() {
        let mut store = store();
        store.take(news(true, [service("a", &json!(80))]));
        store.changed = vec![(Kind::Ingress, Instant::now()); MOST_CHANGES];
        store.take(news(false, [service("a", &json!(81))]));
        assert_eq!(store.changed().len(), MOST_CHANGES);
        store.take(news(false, [service("a", &json!(82))]));
        assert_eq!(store.changed().len(), 1);
    }

    #[test]
    fn an_object_of_a_wrong_type_keeps_its_last_good_form_until_it_is_gone() {
        let mut store = store();
        store.take(news(true, [service("a", &json!(80)), service("b", &json!("x"))]));
        assert_eq!(names(&store), ["a"]);
        let step = store.take(news(false, [service("a", &json!("x"))]));
        assert!(!step.changed && names(&store) == ["a"]);
        assert_eq!(store.findings().count(), 2);
        store.take(news(false, [service("a", &json!(80))]));
        assert_eq!(store.findings().count(), 1);
        store.take(news(true, []));
        assert_eq!((names(&store), store.findings().count()), (vec![], 0));
    }
}
