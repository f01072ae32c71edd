//! Which Ingresses are to be written now, and which were already for the same reason.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_translate::ObjectKey;

use super::Address;

/// What is remembered until everything is looked at again. It grows with the Ingresses that are served.
#[derive(Debug, Default)]
pub(super) struct Pending {
    addresses: Vec<Address>,
    /// Written with these addresses, by the objects they are.
    done: BTreeMap<ObjectKey, String>,
    /// Could not be written and wait.
    failed: BTreeSet<ObjectKey>,
}

impl Pending {
    /// Other addresses are a new reason to write all.
    pub(super) fn want(&mut self, addresses: &[Address]) {
        if self.addresses != addresses {
            self.addresses = addresses.to_vec();
            self.forget();
        }
    }

    /// Of those that differ, the ones to write. One that was written stays as somebody else changed it until everything
    /// is looked at again; one that was created anew has another uid.
    pub(super) fn select(&self, differing: Vec<(ObjectKey, String)>) -> Vec<(ObjectKey, String)> {
        let is_due = |(key, uid): &(ObjectKey, String)| !self.failed.contains(key) && self.done.get(key) != Some(uid);
        differing.into_iter().filter(is_due).collect()
    }

    pub(super) fn note_done(&mut self, key: ObjectKey, uid: String) {
        self.done.insert(key, uid);
    }

    pub(super) fn note_failed(&mut self, key: ObjectKey) {
        self.failed.insert(key);
    }

    /// What failed has waited long enough.
    pub(super) fn try_again(&mut self) {
        self.failed.clear();
    }

    /// Everything is looked at again.
    pub(super) fn forget(&mut self) {
        self.done.clear();
        self.failed.clear();
    }
}
