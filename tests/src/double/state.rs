//! What the double holds: objects, their history, and what it is to do wrong.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::selection::Selection;
use super::{Asked, Fault};

/// Objects and faults, and a bell for those who watch.
#[derive(Debug, Default)]
pub(super) struct State {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    version: u64,
    away: bool,
    kinds: BTreeMap<String, Kind>,
}

/// One kind, by its plural.
#[derive(Debug, Default)]
pub(super) struct Kind {
    objects: BTreeMap<(String, String), Value>,
    /// Events by version, since the last compaction.
    events: Vec<(u64, Value)>,
    compacted: u64,
    /// Grows when running watches are to end.
    cuts: u64,
    pub(super) list_faults: VecDeque<Fault>,
    pub(super) watch_faults: VecDeque<Fault>,
    pub(super) write_faults: VecDeque<Fault>,
    /// Objects that were created or replaced, or should have been.
    pub(super) writes: u64,
    pub(super) asked: Asked,
    pub(super) asked_by_name: u64,
    /// Namespaces that may not be read.
    pub(super) forbidden: BTreeSet<String>,
    pub(super) listed: Vec<Instant>,
}

/// A page of a list.
pub(super) struct Page {
    pub(super) version: u64,
    pub(super) items: Vec<Value>,
    /// Where the next begins; none after the last.
    pub(super) next: Option<usize>,
}

/// What a watch gets next.
pub(super) enum Next {
    Events(Vec<(u64, Value)>),
    Gone,
    End,
}

impl State {
    pub(super) fn put(&self, object: Value) {
        let mut inner = self.lock();
        inner.version += 1;
        let version = inner.version;
        let kind = inner.kinds.entry(plural(&object)).or_default();
        let key = key(&object);
        let mut object = object;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        object["metadata"]["uid"] = json!(format!("{}/{}", key.0, key.1));
        let known = kind.objects.insert(key, object.clone()).is_some();
        let what = if known { "MODIFIED" } else { "ADDED" };
        kind.events.push((version, json!({ "type": what, "object": object })));
        drop(inner);
        self.changed.notify_all();
    }

    pub(super) fn get(&self, kinds: &str, namespace: &str, name: &str) -> Option<Value> {
        self.change(kinds, |kind| kind.objects.get(&(namespace.to_owned(), name.to_owned())).cloned())
    }

    pub(super) fn delete(&self, kinds: &str, namespace: &str, name: &str) {
        let mut inner = self.lock();
        inner.version += 1;
        let version = inner.version;
        let kind = inner.kinds.entry(kinds.to_owned()).or_default();
        let mut object = kind.objects.remove(&(namespace.to_owned(), name.to_owned())).expect("an object to delete");
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        kind.events.push((version, json!({ "type": "DELETED", "object": object })));
        drop(inner);
        self.changed.notify_all();
    }

    pub(super) fn repeat(&self, kinds: &str) {
        let mut inner = self.lock();
        inner.version += 1;
        let version = inner.version;
        let kind = inner.kinds.entry(kinds.to_owned()).or_default();
        let again: Vec<Value> = kind.objects.values().cloned().collect();
        let events = again.into_iter().map(|object| (version, json!({ "type": "MODIFIED", "object": object })));
        kind.events.extend(events);
        drop(inner);
        self.changed.notify_all();
    }

    pub(super) fn cut(&self, kinds: &str) {
        self.change(kinds, |kind| kind.cuts += 1);
        self.changed.notify_all();
    }

    pub(super) fn compact(&self, kinds: &str) {
        let mut inner = self.lock();
        inner.version += 1;
        let version = inner.version;
        let kind = inner.kinds.entry(kinds.to_owned()).or_default();
        kind.compacted = version;
        kind.events.clear();
        kind.cuts += 1;
        drop(inner);
        self.changed.notify_all();
    }

    pub(super) fn set_away(&self, away: bool) {
        let mut inner = self.lock();
        inner.away = away;
        for kind in inner.kinds.values_mut().filter(|_| away) {
            kind.cuts += 1;
        }
        drop(inner);
        self.changed.notify_all();
    }

    pub(super) fn is_away(&self) -> bool {
        self.lock().away
    }

    pub(super) fn change<T>(&self, kinds: &str, change: impl FnOnce(&mut Kind) -> T) -> T {
        change(self.lock().kinds.entry(kinds.to_owned()).or_default())
    }

    /// The objects of a kind that are asked for, from one place on.
    pub(super) fn list(&self, kinds: &str, selection: &Selection, from: usize, limit: usize) -> Page {
        let inner = self.lock();
        let objects = inner.kinds.get(kinds).map(|kind| &kind.objects);
        let fitting = || objects.into_iter().flat_map(BTreeMap::values).filter(|object| selection.fits(object));
        let items: Vec<Value> = fitting().skip(from).take(limit).map(|object| selection.part(object)).collect();
        let next = from + items.len();
        let more = fitting().nth(next).is_some();
        Page { version: inner.version, items, next: more.then_some(next) }
    }

    /// The cuts so far, for [`State::next`].
    pub(super) fn cuts(&self, kinds: &str) -> u64 {
        self.change(kinds, |kind| kind.cuts)
    }

    /// Waits for what comes after a version.
    pub(super) fn next(&self, kinds: &str, after: u64, cuts: u64, patience: Duration) -> Next {
        let mut inner = self.lock();
        let deadline = Instant::now() + patience;
        loop {
            let kind = inner.kinds.entry(kinds.to_owned()).or_default();
            if after < kind.compacted {
                return Next::Gone;
            }
            if kind.cuts != cuts {
                return Next::End;
            }
            let events: Vec<_> = kind.events.iter().filter(|(version, _)| *version > after).cloned().collect();
            if !events.is_empty() {
                return Next::Events(events);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::End;
            }
            inner = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn plural(object: &Value) -> String {
    match object["kind"].as_str().expect("a kind") {
        "Ingress" => "ingresses".to_owned(),
        "IngressClass" => "ingressclasses".to_owned(),
        // These are plural already.
        kind if kind.ends_with("Parameters") => kind.to_lowercase(),
        kind => format!("{}s", kind.to_lowercase()),
    }
}

fn key(object: &Value) -> (String, String) {
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}
