//! Which objects there are, as far as an Event about one of them has to say it. It is kept beside the objects: translation
//! does not read it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::api::DynamicObject;
use portcullis_translate::ObjectRef;

use super::super::object::{AnyObject, Identity, Kind};
use super::kinds::Feed;
use super::read::Read;

/// One object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reference {
    /// Its `apiVersion`.
    pub api_version: &'static str,
    /// Which object of that name it is.
    pub uid: Arc<str>,
    /// `metadata.resourceVersion`.
    pub version: Arc<str>,
    /// Changes with what users write into it; 0 for one that was never well formed.
    pub content: u64,
}

/// Every object that is watched, but for EndpointSlices: they are many, and nobody writes them by hand.
#[derive(Debug, Default)]
pub struct References {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: BTreeMap<Identity, Reference>,
    /// Lists that are not complete yet.
    listed: BTreeMap<Identity, Reference>,
    changes: u64,
}

impl References {
    /// One object; none where there is no such object.
    #[must_use]
    pub fn get(&self, object: &ObjectRef) -> Option<Reference> {
        self.lock().known.get(&Identity::of(object)?).cloned()
    }

    /// Grows when an object comes, goes, or changes in what users write.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// A list begins.
    pub(super) fn begin(&self, feed: &Feed) {
        self.lock().listed.retain(|identity, _| !feed.covers(identity));
    }

    /// An object of the list; `read` is none where its content is not known.
    pub(super) fn stage(&self, identity: &Identity, object: &DynamicObject, read: Option<&Read>) {
        let mut state = self.lock();
        if let Some(reference) = state.reference(identity, object, read) {
            state.listed.insert(identity.clone(), reference);
        }
    }

    /// The list is complete and believed.
    pub(super) fn replace(&self, feed: &Feed) {
        let mut state = self.lock();
        state.known.retain(|identity, _| !feed.covers(identity));
        let listed = std::mem::take(&mut state.listed);
        let (complete, others): (BTreeMap<_, _>, _) =
            listed.into_iter().partition(|(identity, _)| feed.covers(identity));
        state.listed = others;
        state.known.extend(complete);
        state.changes += 1;
    }

    /// An object is new or changed; `read` is none where its content is not known.
    pub(super) fn put(&self, identity: &Identity, object: &DynamicObject, read: Option<&Read>) {
        let mut state = self.lock();
        let Some(reference) = state.reference(identity, object, read) else { return };
        let is_same = |former: &Reference| former.uid == reference.uid && former.content == reference.content;
        if !state.known.get(identity).is_some_and(is_same) {
            state.changes += 1;
        }
        state.known.insert(identity.clone(), reference);
    }

    /// An object is gone.
    pub(super) fn remove(&self, identity: &Identity) {
        let mut state = self.lock();
        state.known.remove(identity);
        state.changes += 1;
    }

    /// As the watch does.
    #[cfg(test)]
    pub(crate) fn set(&self, object: &ObjectRef, reference: Option<Reference>) {
        let (identity, mut state) = (Identity::of(object).unwrap(), self.lock());
        state.changes += 1;
        match reference {
            Some(reference) => drop(state.known.insert(identity, reference)),
            None => drop(state.known.remove(&identity)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// One that is not well formed now is served in its last form, so that it has not changed. Where the content is not
    /// known, every version counts as another one.
    fn reference(&self, identity: &Identity, object: &DynamicObject, read: Option<&Read>) -> Option<Reference> {
        if identity.kind == Kind::EndpointSlice {
            return None;
        }
        let former = || self.known.get(identity).map_or(0, |former| former.content);
        let version = object.metadata.resource_version.as_deref().unwrap_or_default();
        let content = match read {
            Some(Ok(object)) => AnyObject::hash(object),
            Some(Err(_)) => former(),
            None => hash_of(version),
        };
        Some(Reference {
            api_version: identity.kind.api_version(),
            uid: object.metadata.uid.as_deref().unwrap_or_default().into(),
            version: version.into(),
            content,
        })
    }
}

fn hash_of(version: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    version.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use portcullis_translate::ObjectKey;
    use serde_json::{Value, json};

    use super::super::read::{identity, read};
    use super::*;

    fn service(uid: &str, version: &str, port: &Value) -> (Identity, DynamicObject, Read) {
        let object: DynamicObject = serde_json::from_value(json!({
            "metadata": { "name": "a", "namespace": "n", "uid": uid, "resourceVersion": version },
            "spec": { "ports": [{ "port": port }] },
        }))
        .unwrap();
        let identity = identity(Kind::Service, &object).unwrap();
        let read = read(&identity, &object);
        (identity, object, read)
    }

    fn feed(kind: Kind) -> Feed {
        Feed::of(kind, &super::super::Scope::default())
    }

    fn known(references: &References) -> Option<(String, String)> {
        let found = references.get(&ObjectRef::new("Service", &ObjectKey::new("n", "a")))?;
        Some((found.uid.to_string(), found.version.to_string()))
    }

    #[test]
    fn a_list_counts_once_it_is_complete_and_only_for_its_kind() {
        let references = References::default();
        let (identity, object, read) = service("1", "7", &json!(80));
        references.begin(&feed(Kind::Service));
        references.stage(&identity, &object, Some(&read));
        references.replace(&feed(Kind::Secret));
        assert_eq!(known(&references), None);
        references.replace(&feed(Kind::Service));
        assert_eq!(known(&references), Some(("1".to_owned(), "7".to_owned())));
        references.begin(&feed(Kind::Secret));
        references.replace(&feed(Kind::Secret));
        assert!(known(&references).is_some());
        references.begin(&feed(Kind::Service));
        references.replace(&feed(Kind::Service));
        assert_eq!(known(&references), None);
    }

    #[test]
    fn what_the_server_alone_writes_is_no_change_and_a_malformed_object_is_none() {
        let references = References::default();
        for (uid, version, port, changes) in [
            ("1", "1", json!(80), 1),
            ("1", "2", json!(80), 1),
            ("1", "3", json!(81), 2),
            ("1", "4", json!("x"), 2),
            ("2", "5", json!(81), 3),
        ] {
            let (identity, object, read) = service(uid, version, &port);
            references.put(&identity, &object, Some(&read));
            assert_eq!(references.changes(), changes, "{version}");
            assert_eq!(known(&references), Some((uid.to_owned(), version.to_owned())));
        }
        references.remove(&service("2", "5", &json!(81)).0);
        assert_eq!((known(&references), references.changes()), (None, 4));
    }
}
