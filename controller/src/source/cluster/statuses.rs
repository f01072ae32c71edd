//! What stands in the status of Ingresses, as the watch last saw it. It is kept beside the objects: translation does
//! not read it, and our own writes to it must not look like changes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::api::DynamicObject;
use portcullis_translate::ObjectKey;
use serde_json::Value;
use tokio::sync::watch;

use crate::ingress_status::Address;

/// One Ingress.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SeenStatus {
    /// Which object of that name it is.
    pub uid: String,
    /// `status.loadBalancer.ingress`, sorted.
    pub addresses: Vec<Address>,
}

/// The status of every Ingress that is watched.
#[derive(Debug, Default)]
pub struct IngressStatuses {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    seen: BTreeMap<ObjectKey, SeenStatus>,
    /// A list that is not complete yet.
    listed: BTreeMap<ObjectKey, SeenStatus>,
}

impl IngressStatuses {
    /// That of one Ingress; none where there is no such Ingress.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<SeenStatus> {
        self.lock().seen.get(key).cloned()
    }

    /// Of `keys`, the Ingresses that have other addresses, and which objects they are.
    #[must_use]
    pub fn differing(&self, keys: &[ObjectKey], addresses: &[Address]) -> Vec<(ObjectKey, String)> {
        let state = self.lock();
        let seen = keys.iter().filter_map(|key| Some((key, state.seen.get(key)?)));
        let other = seen.filter(|(_, seen)| seen.addresses != addresses);
        other.map(|(key, seen)| (key.clone(), seen.uid.clone())).collect()
    }

    /// Tells of changes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A list begins.
    pub(super) fn begin(&self) {
        self.lock().listed.clear();
    }

    /// An object of the list.
    pub(super) fn stage(&self, key: &ObjectKey, object: &DynamicObject) {
        let seen = seen(object);
        self.lock().listed.insert(key.clone(), seen);
    }

    /// The list is complete and believed.
    pub(super) fn replace(&self) {
        let mut state = self.lock();
        state.seen = std::mem::take(&mut state.listed);
        drop(state);
        self.tell();
    }

    /// An object is new or changed.
    pub(crate) fn put(&self, key: &ObjectKey, object: &DynamicObject) {
        let seen = seen(object);
        let former = self.lock().seen.insert(key.clone(), seen.clone());
        if former.as_ref() != Some(&seen) {
            self.tell();
        }
    }

    /// An object is gone.
    pub(super) fn remove(&self, key: &ObjectKey) {
        self.lock().seen.remove(key);
    }

    fn tell(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seen(object: &DynamicObject) -> SeenStatus {
    let status = object.data.get("status").unwrap_or(&Value::Null);
    SeenStatus { uid: object.metadata.uid.clone().unwrap_or_default(), addresses: Address::of_status(status) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ingress(uid: &str, ip: &str) -> DynamicObject {
        serde_json::from_value(json!({
            "metadata": { "name": "a", "namespace": "n", "uid": uid },
            "status": { "loadBalancer": { "ingress": [{ "ip": ip }] } },
        }))
        .unwrap()
    }

    #[test]
    fn a_list_counts_once_it_is_complete_and_changes_are_told() {
        let (statuses, key) = (IngressStatuses::default(), ObjectKey::new("n", "a"));
        let mut changes = statuses.changes();
        let mut told = || {
            let told = changes.has_changed().unwrap();
            changes.mark_unchanged();
            told
        };
        statuses.begin();
        statuses.stage(&key, &ingress("1", "192.0.2.1"));
        assert_eq!((statuses.get(&key), told()), (None, false));
        statuses.replace();
        assert_eq!(statuses.get(&key).unwrap().addresses, [Address::from_text("192.0.2.1").unwrap()]);
        assert!(told());
        for (uid, ip, change) in [("1", "192.0.2.1", false), ("1", "192.0.2.2", true), ("2", "192.0.2.2", true)] {
            statuses.put(&key, &ingress(uid, ip));
            assert_eq!(told(), change, "{uid} {ip}");
        }
        statuses.remove(&key);
        assert_eq!(statuses.get(&key), None);
    }
}
