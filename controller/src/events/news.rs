//! What there is to say after a build: Ingresses that are served and new or changed, settings that changed, findings that
//! are new.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use portcullis_translate::{Finding, ObjectKey, ObjectRef};
use tokio::time::Instant;

use super::note::{Note, Weight};
use crate::reconcile::Published;
use crate::source::cluster::{Reference, References};

/// A change that came so shortly before this replica began to lead may have been said by nobody: who led before was gone
/// already. The time is that of a takeover, with room to spare.
const RECENT: Duration = Duration::from_secs(60);

/// What is said beside findings.
#[derive(Clone, Debug)]
pub(super) struct Subjects {
    /// Whether it is said that an Ingress is served.
    pub(super) sync: bool,
    /// ConfigMaps with settings of the controller.
    pub(super) config_maps: Vec<ObjectKey>,
}

/// Knows what was said.
#[derive(Debug)]
pub(super) struct News {
    references: Arc<References>,
    subjects: Subjects,
    seen: BTreeMap<ObjectRef, Seen>,
    /// What `seen` comes from.
    looked_at: Option<(Arc<[ObjectKey]>, u64, bool)>,
    /// Objects with findings; none where this replica has not said anything about findings yet.
    standing: Option<Standing>,
}

/// A state of an object.
#[derive(Debug)]
struct Seen {
    uid: Arc<str>,
    content: u64,
    since: Instant,
    is_update: bool,
    told: bool,
}

/// What was said about findings.
#[derive(Debug, Default)]
struct Standing {
    looked_at: Option<(Arc<[Finding]>, u64)>,
    said: BTreeMap<ObjectRef, Said>,
}

#[derive(Debug)]
struct Said {
    uid: Arc<str>,
    content: u64,
    notes: Vec<u64>,
}

impl News {
    pub(super) fn new(references: Arc<References>, subjects: Subjects) -> Self {
        Self { references, subjects, seen: BTreeMap::new(), looked_at: None, standing: None }
    }

    /// Takes note of a build without saying anything: another replica does.
    pub(super) fn follow(&mut self, published: &Published) {
        self.standing = None;
        self.changes(published, false);
    }

    /// What there is to say after a build. The first time it is all that may not have been said.
    pub(super) fn tell(&mut self, published: &Published) -> Vec<Note> {
        let mut notes = self.findings(published);
        notes.extend(self.changes(published, true));
        notes
    }

    /// The findings of one of so many parts: what still holds.
    pub(super) fn still_holding(&self, published: &Published, part: usize, parts: usize) -> Vec<Note> {
        let notes: Vec<Note> = published
            .findings
            .chunk_by(|one, next| one.object == next.object)
            .filter_map(|group| self.notes(group, true))
            .flat_map(|(_, notes)| notes)
            .collect();
        let place = |part: usize| notes.len() * part / parts;
        let (begin, end) = (place(part), place(part + 1));
        notes.into_iter().skip(begin).take(end - begin).collect()
    }

    fn changes(&mut self, published: &Published, leads: bool) -> Vec<Note> {
        let inputs = (published.served.clone(), self.references.changes(), leads);
        let is_same = |(served, changes, led): &(Arc<[ObjectKey]>, u64, bool)| {
            Arc::ptr_eq(served, &inputs.0) && *changes == inputs.1 && *led == inputs.2
        };
        if self.looked_at.as_ref().is_some_and(is_same) {
            return Vec::new();
        }
        let mut notes = Vec::new();
        let mut former = std::mem::take(&mut self.seen);
        let ingresses = published.served.iter().map(|key| ObjectRef::new("Ingress", key));
        let config_maps = self.subjects.config_maps.iter().map(|key| ObjectRef::new("ConfigMap", key));
        for object in ingresses.chain(config_maps) {
            let Some(reference) = self.references.get(&object) else { continue };
            let (mut seen, is_new) = Seen::after(former.remove(&object), &reference);
            if leads && !std::mem::replace(&mut seen.told, true) && (is_new || seen.since.elapsed() < RECENT) {
                notes.extend(self.change(&object, reference, seen.is_update, is_new));
            }
            self.seen.insert(object, seen);
        }
        self.looked_at = Some(inputs);
        notes
    }

    /// That an object is new or changed.
    fn change(&self, object: &ObjectRef, reference: Reference, is_update: bool, fresh: bool) -> Option<Note> {
        let (reason, message) = match object.kind {
            "Ingress" if !self.subjects.sync => return None,
            "Ingress" => ("Sync", "Scheduled for sync".to_owned()),
            kind => {
                (if is_update { "UPDATE" } else { "CREATE" }, format!("{kind} {}/{}", object.namespace, object.name))
            }
        };
        Some(Note::new(object.clone(), reference, (Weight::Normal, reason.into()), &message, fresh))
    }

    fn findings(&mut self, published: &Published) -> Vec<Note> {
        let inputs = (published.findings.clone(), self.references.changes());
        let fresh = self.standing.is_some();
        let Standing { looked_at, said: mut former } = self.standing.take().unwrap_or_default();
        if looked_at.as_ref() == Some(&inputs) {
            self.standing = Some(Standing { looked_at, said: former });
            return Vec::new();
        }
        let (mut news, mut said) = (Vec::new(), BTreeMap::new());
        for group in published.findings.chunk_by(|one, next| one.object == next.object) {
            let Some((reference, notes)) = self.notes(group, fresh) else { continue };
            let Some(object) = notes.first().map(|note| note.object.clone()) else { continue };
            let of_group = Said::of(&reference, &notes);
            // An object that was changed and is still wrong is told so again.
            let known = former.remove(&object).filter(|former| former.is_of(&reference));
            news.extend(notes.into_iter().filter(|note| !known.as_ref().is_some_and(|known| known.has(note))));
            said.insert(object, of_group);
        }
        self.standing = Some(Standing { looked_at: Some(inputs), said });
        news
    }

    /// What is said of the findings of one object, if there is such an object.
    fn notes(&self, group: &[Finding], fresh: bool) -> Option<(Reference, Vec<Note>)> {
        let is_said = |finding: &&Finding| Note::is_said(finding);
        let object = group.iter().find(is_said).map(|finding| &finding.object)?;
        let reference = self.references.get(object)?;
        let note = |finding| Note::of_finding(finding, reference.clone(), fresh);
        let notes = group.iter().filter_map(note).collect();
        Some((reference, notes))
    }
}

impl Seen {
    /// The state of an object after another one, and whether that is a new one.
    fn after(former: Option<Self>, reference: &Reference) -> (Self, bool) {
        let is_update = match former {
            Some(former) if former.uid == reference.uid && former.content == reference.content => {
                return (former, false);
            }
            Some(former) => former.uid == reference.uid,
            None => false,
        };
        let Reference { uid, content, .. } = reference;
        let seen = Self { uid: uid.clone(), content: *content, since: Instant::now(), is_update, told: false };
        (seen, true)
    }
}

impl Said {
    fn of(reference: &Reference, notes: &[Note]) -> Self {
        let notes = notes.iter().map(Note::id).collect();
        Self { uid: reference.uid.clone(), content: reference.content, notes }
    }

    fn is_of(&self, reference: &Reference) -> bool {
        self.uid == reference.uid && self.content == reference.content
    }

    fn has(&self, note: &Note) -> bool {
        self.notes.contains(&note.id())
    }
}

#[cfg(test)]
mod tests;
