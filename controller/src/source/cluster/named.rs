//! How many Ingresses name each Secret.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portcullis_translate::{ObjectKey, Options, Resources, SecretReferences, secrets_of_flags};

/// Secrets that are named, and by whom.
#[derive(Debug)]
pub(super) struct NamedSecrets {
    options: Arc<Options>,
    by_ingress: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    counts: BTreeMap<ObjectKey, usize>,
    /// What the last [`Changes`] led to.
    told: BTreeSet<ObjectKey>,
    /// Secrets whose count has changed since.
    touched: BTreeSet<ObjectKey>,
}

/// What is named now, and what no more.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Changes {
    pub(super) named: Vec<ObjectKey>,
    pub(super) dropped: Vec<ObjectKey>,
}

impl NamedSecrets {
    /// Those of flags, which stay.
    pub(super) fn new(options: &Options) -> Self {
        let touched = secrets_of_flags(options);
        let counts = touched.iter().map(|key| (key.clone(), 1)).collect();
        let (by_ingress, told) = (BTreeMap::new(), BTreeSet::new());
        Self { options: Arc::new(options.clone()), by_ingress, counts, told, touched }
    }

    /// Whether somebody names a Secret.
    pub(super) fn is_named(&self, secret: &ObjectKey) -> bool {
        self.counts.contains_key(secret)
    }

    /// Counts these Ingresses anew, as they are among the objects now; all of them where `ingresses` is none.
    pub(super) fn count(&mut self, ingresses: Option<BTreeSet<ObjectKey>>, resources: &Resources) {
        let all = || self.by_ingress.keys().chain(resources.ingresses.keys()).cloned().collect();
        let ingresses = ingresses.unwrap_or_else(all);
        let options = self.options.clone();
        let references = SecretReferences::new(resources, &options);
        for key in ingresses {
            let ingress = resources.ingresses.get(&key);
            let named = ingress.map(|ingress| references.of(&key, &ingress.value)).unwrap_or_default();
            self.set(key, named);
        }
    }

    fn set(&mut self, ingress: ObjectKey, named: BTreeSet<ObjectKey>) {
        for secret in &named {
            *self.counts.entry(secret.clone()).or_default() += 1;
        }
        self.touched.extend(named.iter().cloned());
        let former =
            if named.is_empty() { self.by_ingress.remove(&ingress) } else { self.by_ingress.insert(ingress, named) };
        for secret in former.into_iter().flatten() {
            if let Some(count) = self.counts.get_mut(&secret) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&secret);
                }
            }
            self.touched.insert(secret);
        }
    }

    /// What has changed since the last call.
    pub(super) fn changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        for key in std::mem::take(&mut self.touched) {
            match (self.is_named(&key), self.told.contains(&key)) {
                (true, false) => {
                    self.told.insert(key.clone());
                    changes.named.push(key);
                }
                (false, true) => {
                    self.told.remove(&key);
                    changes.dropped.push(key);
                }
                (true, true) | (false, false) => {}
            }
        }
        changes
    }
}
