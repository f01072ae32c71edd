//! Secrets are read where an Ingress or a flag names them. Of all others the server is asked for no more than their names:
//! what was never sent cannot get out, and takes no memory.
//!
//! The loop says what is named. The watch is one of metadata, and tells which Secrets are there and which have changed; what
//! a named one holds is asked for by a list of one, since roles made for ingress-nginx allow nothing else in other namespaces.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::Client;
use kube::api::{DynamicObject, ListParams};
use portcullis_translate::{Finding, ObjectKey, Severity};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::super::object::{Identity, Kind};
use super::kinds::{Feed, SECRET_FIELDS};
use super::mailbox::Mailbox;
use super::read::read;
use crate::api_server::Backoff;

/// How long a Secret may take to come.
const READ: Duration = Duration::from_secs(30);

/// Secrets that are asked for at the same time.
const AT_ONCE: usize = 16;

/// Serving does not begin while Secrets are still read, unless none of them has come for so long.
const FIRST_READS: Duration = Duration::from_secs(10);

/// Failures in a row that are nobody's concern.
const USUAL_FAILURES: u32 = 2;

/// Which Secrets are kept, and the way of what they hold.
pub(super) struct Secrets {
    feed: Feed,
    client: Client,
    runtime: Handle,
    mailbox: Arc<Mailbox>,
    state: Mutex<State>,
    /// Something that was asked for has come, or will not.
    settled: Condvar,
    /// Whether it is known which Secrets are named.
    open: watch::Sender<bool>,
    permits: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    /// Secrets that are named.
    wanted: BTreeSet<ObjectKey>,
    /// All that are there, as far as the watch has come.
    there: BTreeMap<ObjectKey, Version>,
    /// What was handed on of those that are named.
    held: BTreeMap<ObjectKey, Version>,
    /// What is asked for.
    fetches: BTreeMap<ObjectKey, Question>,
    last_fetch: u64,
    /// A list that is not complete yet.
    listing: BTreeMap<ObjectKey, Version>,
    /// Whether there was a complete one.
    is_listed: bool,
}

/// A question that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct Question {
    /// Tells it from an earlier one, whose answer may be too old.
    number: u64,
    /// When the watch told of a change; none where the Secret was there before and is listed or named only now.
    since: Option<Instant>,
}

/// `metadata.resourceVersion`, a number that grows with every change; 0 for one that cannot be compared.
type Version = u64;

impl Secrets {
    pub(super) fn new(feed: Feed, mailbox: Arc<Mailbox>, client: Client, runtime: Handle) -> Self {
        Self {
            feed,
            client,
            runtime,
            mailbox,
            state: Mutex::default(),
            settled: Condvar::new(),
            open: watch::Sender::new(false),
            permits: Semaphore::new(AT_ONCE),
        }
    }

    /// Waits until it is known which Secrets are named.
    pub(super) async fn opened(&self) {
        drop(self.open.subscribe().wait_for(|open| *open).await);
    }

    /// It is known which Secrets are named.
    pub(super) fn open(&self) {
        self.open.send_replace(true);
    }

    // of the loop

    /// These are named now, and those no more.
    pub(super) fn change(self: &Arc<Self>, named: &[ObjectKey], dropped: &[ObjectKey]) {
        let mut state = self.lock();
        for key in dropped {
            state.wanted.remove(key);
            state.held.remove(key);
            state.fetches.remove(key);
        }
        state.wanted.extend(named.iter().cloned());
        let missing = named.iter().filter_map(|key| state.ask(key, None)).collect();
        self.after(state, missing);
    }

    /// Waits until those of `keys` that are there are held, at most until `deadline`.
    pub(super) fn wait_for(&self, keys: &[ObjectKey], deadline: Instant) {
        let patience = deadline.saturating_duration_since(Instant::now());
        // Each is looked at until it is there, and not again: there may be thousands.
        let mut left = keys;
        let missing = |state: &mut State| {
            while let Some((_, rest)) = left.split_first().filter(|(key, _)| !state.is_missing(key)) {
                left = rest;
            }
            !left.is_empty()
        };
        drop(self.settled.wait_timeout_while(self.lock(), patience, missing));
    }

    // of the watch

    /// A list begins.
    pub(super) fn begin(&self) {
        self.lock().listing.clear();
    }

    /// An object of a list.
    pub(super) fn stage(&self, identity: &Identity, object: &DynamicObject) {
        self.lock().listing.insert(identity.key.clone(), version(object));
    }

    /// The list is complete and believed. The first one counts as complete once all that is named was read.
    pub(super) fn replace(self: &Arc<Self>) {
        let mut state = self.lock();
        state.there = std::mem::take(&mut state.listing);
        // Answers that are still to come may be older than the list, and the watch tells of nothing that was before it.
        state.fetches.clear();
        let wanted: Vec<ObjectKey> = state.wanted.iter().cloned().collect();
        let mut missing = Vec::new();
        for key in wanted {
            let listed = state.there.get(&key).copied();
            if listed.is_none() {
                self.mailbox.put(&self.feed, identity(&key), None);
            }
            // Of what is held, anything but the same version is read again: after a restore of the server's data, versions begin
            // anew.
            if listed.is_none() || listed != state.held.get(&key).copied() {
                state.held.remove(&key);
            }
            missing.extend(state.ask(&key, None));
        }
        if !std::mem::replace(&mut state.is_listed, true) && !missing.is_empty() {
            self.runtime.spawn(self.clone().give_up_in_time());
        }
        self.after(state, missing);
    }

    /// A Secret is new or changed.
    pub(super) fn put(self: &Arc<Self>, identity: &Identity, object: &DynamicObject) {
        let version = version(object);
        let mut state = self.lock();
        state.there.insert(identity.key.clone(), version);
        if version == 0 {
            state.held.remove(&identity.key);
        }
        let missing = state.ask(&identity.key, Some(Instant::now())).into_iter().collect();
        self.after(state, missing);
    }

    /// A Secret is gone.
    pub(super) fn remove(self: &Arc<Self>, identity: &Identity, object: &DynamicObject) {
        let version = version(object);
        let mut state = self.lock();
        // What was read may be newer: a Secret of the same name.
        if version > 0 && state.held.get(&identity.key).is_some_and(|held| *held > version) {
            return;
        }
        self.forget(&mut state, &identity.key);
        self.after(state, Vec::new());
    }

    // of what is asked for

    /// Asks for what is missing, and tells those who wait.
    fn after(self: &Arc<Self>, state: MutexGuard<'_, State>, missing: Vec<(ObjectKey, u64)>) {
        let is_complete = state.is_listed && state.fetches.is_empty();
        drop(state);
        if is_complete && self.mailbox.is_waiting_for(&self.feed) {
            self.mailbox.give_up(&self.feed);
        }
        self.settled.notify_all();
        for (key, number) in missing {
            self.runtime.spawn(self.clone().fetch(key, number));
        }
    }

    fn forget(&self, state: &mut State, key: &ObjectKey) {
        state.there.remove(key);
        state.held.remove(key);
        state.fetches.remove(key);
        if state.wanted.contains(key) {
            self.mailbox.put(&self.feed, identity(key), None);
        }
    }

    /// Ends the wait for the first list where nothing comes any more.
    async fn give_up_in_time(self: Arc<Self>) {
        let mut before = usize::MAX;
        while self.mailbox.is_waiting_for(&self.feed) {
            let left = self.lock().fetches.len();
            if left >= before {
                tracing::warn!(left, "Secrets that are named cannot be read, serving begins without them");
                return self.mailbox.give_up(&self.feed);
            }
            before = left;
            tokio::time::sleep(FIRST_READS).await;
        }
    }

    async fn fetch(self: Arc<Self>, key: ObjectKey, number: u64) {
        let identity = identity(&key);
        let api = Feed::one(Kind::Secret, &key).api(&self.client);
        let only = ListParams::default().fields(&format!("metadata.name={},{SECRET_FIELDS}", key.name));
        let mut backoff = Backoff::default();
        while self.is_asked(&key, number) {
            let answer = {
                let _permit = self.permits.acquire().await;
                timeout(READ, api.list(&only)).await
            };
            let answer = answer.map_err(|_| "its content does not come to an end".to_owned());
            match answer.and_then(|list| list.map_err(|error| error.to_string())) {
                Ok(list) => {
                    let is_it = |object: &&DynamicObject| object.metadata.name.as_deref() == Some(&*key.name);
                    if !self.take(&identity, number, list.items.iter().find(is_it)) {
                        tokio::time::sleep(backoff.pause(None)).await;
                    }
                }
                Err(reason) => {
                    let pause = backoff.pause(None);
                    if backoff.failures() > USUAL_FAILURES {
                        self.mailbox.set_fault(&identity.to_ref(), Some(unread(&identity, &reason)));
                    }
                    tokio::time::sleep(pause).await;
                }
            }
        }
        self.mailbox.set_fault(&identity.to_ref(), None);
    }

    /// Whether a question still waits for its answer.
    fn is_asked(&self, key: &ObjectKey, number: u64) -> bool {
        self.lock().is_asked(key, number)
    }

    /// An answer, with no object where there is no such Secret. False where it is older than what the watch has told of.
    fn take(self: &Arc<Self>, identity: &Identity, number: u64, object: Option<&DynamicObject>) -> bool {
        let mut state = self.lock();
        let key = &identity.key;
        if !state.is_asked(key, number) {
            return true;
        }
        let Some(object) = object else {
            self.forget(&mut state, key);
            self.after(state, Vec::new());
            return true;
        };
        let version = version(object);
        if version > 0 && state.there.get(key).is_some_and(|there| *there > version) {
            return false;
        }
        let since = state.fetches.remove(key).and_then(|question| question.since);
        state.held.insert(key.clone(), version);
        self.mailbox.put_since(&self.feed, identity.clone(), Some(read(identity, object)), since);
        self.after(state, Vec::new());
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Secrets").field("feed", &self.feed).finish_non_exhaustive()
    }
}

impl State {
    /// Whether it is named and there, and what is held is older, if it is held at all.
    fn is_missing(&self, key: &ObjectKey) -> bool {
        let there = self.there.get(key).filter(|_| self.wanted.contains(key));
        there.is_some_and(|there| self.held.get(key).is_none_or(|held| held < there))
    }

    /// The number of a question for it, where one is necessary and not on its way.
    fn ask(&mut self, key: &ObjectKey, since: Option<Instant>) -> Option<(ObjectKey, u64)> {
        if !self.is_missing(key) {
            return None;
        }
        if let Some(question) = self.fetches.get_mut(key) {
            question.since = question.since.or(since);
            return None;
        }
        self.last_fetch += 1;
        self.fetches.insert(key.clone(), Question { number: self.last_fetch, since });
        Some((key.clone(), self.last_fetch))
    }

    /// Whether a question still waits for its answer.
    fn is_asked(&self, key: &ObjectKey, number: u64) -> bool {
        self.fetches.get(key).is_some_and(|question| question.number == number)
    }
}

fn identity(key: &ObjectKey) -> Identity {
    Identity { kind: Kind::Secret, key: key.clone() }
}

fn version(object: &DynamicObject) -> Version {
    object.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

fn unread(identity: &Identity, reason: &str) -> Finding {
    Finding {
        object: identity.to_ref(),
        field: String::new(),
        severity: Severity::Error,
        code: "not-read",
        message: format!("the Secret is there and cannot be read: {reason}"),
        help: "see whether the API server is there and the role allows to list Secrets of this namespace".to_owned(),
    }
}

#[cfg(test)]
mod tests;
