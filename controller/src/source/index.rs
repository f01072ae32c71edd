//! Who declares which object: keeps [`Resources`] in step with the files, one file at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use portcullis_translate::{Finding, Resources, Severity};

use super::object::{AnyObject, Identity};
use super::parse::Loaded;

/// A file by its place in the order of files: number of the root it lies in, then its path.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct FileId {
    pub(super) root: usize,
    pub(super) path: Arc<Path>,
}

/// One declaration of an object.
#[derive(Debug)]
struct Claim {
    file: FileId,
    /// Place among the objects of its file.
    position: usize,
    object: AnyObject,
    line: usize,
}

/// All declarations of an object, and the one that is in [`Resources`].
#[derive(Debug, Default)]
struct Entry {
    /// In the order of files.
    claims: Vec<Claim>,
    chosen: Option<AnyObject>,
}

/// All declarations, and the objects that win: of several declarations the first in the order of files.
#[derive(Debug, Default)]
pub(super) struct Index {
    resources: Resources,
    entries: BTreeMap<Identity, Entry>,
    of_file: BTreeMap<FileId, Vec<Identity>>,
    contested: BTreeSet<Identity>,
}

impl Index {
    pub(super) fn resources(&self) -> &Resources {
        &self.resources
    }

    /// Replaces what `file` declares. Objects in `keep` stay as they were, if they were. Returns whether an object changed.
    pub(super) fn set(&mut self, file: &FileId, objects: Vec<Loaded>, keep: &[Identity]) -> bool {
        let mut touched: BTreeSet<Identity> = self.of_file.remove(file).into_iter().flatten().collect();
        // What the file declares well now takes the place of what is kept of it.
        let again: BTreeSet<&Identity> = objects.iter().map(|loaded| &loaded.identity).collect();
        let keep: Vec<Identity> = keep.iter().filter(|identity| !again.contains(identity)).cloned().collect();
        let mut declared = self.release(file, &touched, &keep);
        for (position, Loaded { identity, object, line }) in objects.into_iter().enumerate() {
            let claim = Claim { file: file.clone(), position, object, line };
            self.entries.entry(identity.clone()).or_default().claims.push(claim);
            touched.insert(identity.clone());
            declared.push(identity);
        }
        if !declared.is_empty() {
            self.of_file.insert(file.clone(), declared);
        }
        let mut changed = false;
        for identity in &touched {
            changed |= self.settle(identity);
        }
        changed
    }

    /// Whether `file` declares this object at the moment.
    pub(super) fn has(&self, file: &FileId, identity: &Identity) -> bool {
        self.of_file.get(file).is_some_and(|identities| identities.contains(identity))
    }

    /// Findings about objects that are declared more than once with different content.
    pub(super) fn findings(&self, shown: impl Fn(&FileId) -> String) -> Vec<Finding> {
        let at = |claim: &Claim| format!("{}:{}", shown(&claim.file), claim.line);
        let mut findings = Vec::new();
        for identity in &self.contested {
            let entry = self.entries.get(identity);
            let Some((first, others)) = entry.and_then(|entry| entry.claims.split_first()) else { continue };
            for other in others.iter().filter(|other| other.object.hash() != first.object.hash()) {
                findings.push(Finding {
                    object: identity.to_ref(),
                    field: String::new(),
                    severity: Severity::Warning,
                    code: "duplicate-object",
                    message: format!("declared in {} and again in {}; the first is used", at(first), at(other)),
                    help: "remove one of them".to_owned(),
                });
            }
        }
        findings
    }

    /// Takes the claims of `file` out, but for those to `keep`, which are returned.
    fn release(&mut self, file: &FileId, touched: &BTreeSet<Identity>, keep: &[Identity]) -> Vec<Identity> {
        let mut kept = Vec::new();
        for identity in touched {
            let Some(entry) = self.entries.get_mut(identity) else { continue };
            if keep.contains(identity) {
                kept.push(identity.clone());
            } else {
                entry.claims.retain(|claim| claim.file != *file);
            }
        }
        kept
    }

    /// Makes the first claim the object; whether that changed its content.
    fn settle(&mut self, identity: &Identity) -> bool {
        let Some(entry) = self.entries.get_mut(identity) else { return false };
        entry.claims.sort_by(|a, b| (&a.file, a.position).cmp(&(&b.file, b.position)));
        if entry.claims.len() > 1 {
            self.contested.insert(identity.clone());
        } else {
            self.contested.remove(identity);
        }
        let wanted = entry.claims.first().map(|claim| claim.object.clone());
        let changed = entry.chosen.as_ref().map(AnyObject::hash) != wanted.as_ref().map(AnyObject::hash);
        if changed {
            if let Some(former) = &entry.chosen {
                former.remove(&identity.key, &mut self.resources);
            }
            if let Some(wanted) = &wanted {
                wanted.insert(&identity.key, &mut self.resources);
            }
            entry.chosen = wanted;
        }
        if entry.claims.is_empty() {
            self.entries.remove(identity);
        }
        changed
    }
}
