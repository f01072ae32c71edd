//! What the watches bring and the loop takes: a mailbox that grows with the objects of the cluster, not with their changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portcullis_translate::{Finding, ObjectRef};

use super::super::object::{Identity, Kind};
use super::kinds::Feed;
use super::read::Read;

/// Changes that come together are handled together.
const TOGETHER: Duration = Duration::from_millis(1);

/// The mailbox.
#[derive(Debug)]
pub(super) struct Mailbox {
    /// Who brings something.
    feeds: BTreeSet<Feed>,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    news: BTreeMap<Feed, News>,
    /// Feeds of which there was a complete list, or will be none.
    complete: BTreeSet<Feed>,
    faults: BTreeMap<ObjectRef, Finding>,
    /// Whether there is something to tell that is not about an object.
    told: bool,
    nudged: bool,
    closed: bool,
}

/// What is new of a feed.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Whether all objects that are not among the changes are gone.
    pub(super) is_list: bool,
    /// Objects with their latest state; none where they are gone.
    pub(super) changes: BTreeMap<Identity, Option<Read>>,
    /// When the first change was brought of objects that changed since the list.
    pub(super) since: BTreeMap<Identity, Instant>,
}

/// What ended a wait.
#[derive(Debug)]
pub(super) struct Brought {
    pub(super) news: BTreeMap<Feed, News>,
    /// Whether there is something to tell that is not about an object.
    pub(super) told: bool,
}

impl Mailbox {
    pub(super) fn new(feeds: impl IntoIterator<Item = Feed>) -> Self {
        Self { feeds: feeds.into_iter().collect(), state: Mutex::default(), wake: Condvar::new() }
    }

    /// These are all objects of a feed.
    pub(super) fn replace(&self, feed: &Feed, objects: BTreeMap<Identity, Read>) {
        self.change(|state| {
            let changes = objects.into_iter().map(|(identity, read)| (identity, Some(read))).collect();
            state.news.insert(feed.clone(), News { is_list: true, changes, since: BTreeMap::new() });
            state.complete.insert(feed.clone());
        });
    }

    /// An object is new, or changed; none where it is gone.
    pub(super) fn put(&self, feed: &Feed, identity: Identity, read: Option<Read>) {
        self.put_since(feed, identity, read, Some(Instant::now()));
    }

    /// The same for one that was told of at another time; none where its being new to us is no change.
    pub(super) fn put_since(&self, feed: &Feed, identity: Identity, read: Option<Read>, since: Option<Instant>) {
        self.change(|state| {
            let news = state.news.entry(feed.clone()).or_default();
            if let Some(since) = since {
                news.since.entry(identity.clone()).or_insert(since);
            }
            news.changes.insert(identity, read);
        });
    }

    /// There will be no list of a feed.
    pub(super) fn give_up(&self, feed: &Feed) {
        self.change(|state| {
            state.complete.insert(feed.clone());
        });
    }

    /// What is wrong with a watch or another question to the server; none where it works again.
    pub(super) fn set_fault(&self, about: &ObjectRef, fault: Option<Finding>) {
        let mut state = self.lock();
        if state.faults.get(about) == fault.as_ref() {
            return;
        }
        match fault {
            Some(fault) => drop(state.faults.insert(about.clone(), fault)),
            None => drop(state.faults.remove(about)),
        }
        state.told = true;
        drop(state);
        self.wake.notify_all();
    }

    /// What is wrong with watches.
    pub(super) fn faults(&self) -> Vec<Finding> {
        self.lock().faults.values().cloned().collect()
    }

    /// Ends every wait, now and later.
    pub(super) fn close(&self) {
        self.change(|state| state.closed = true);
    }

    /// Waits until there was a list of every feed; false if it was closed before.
    pub(super) fn wait_complete(&self) -> bool {
        self.wait_for(|_| true)
    }

    /// Waits until there was a list of every feed but the Secrets'; false if it was closed before.
    pub(super) fn wait_for_others_than_secrets(&self) -> bool {
        self.wait_for(|feed| feed.kind != Kind::Secret)
    }

    /// Whether a feed of another kind is waited for; but Secrets come last.
    pub(super) fn is_waiting_for_others_than(&self, kinds: &[Kind]) -> bool {
        let state = self.lock();
        let is_other = |feed: &&Feed| feed.kind != Kind::Secret && !kinds.contains(&feed.kind);
        self.feeds.iter().filter(is_other).any(|feed| !state.complete.contains(feed))
    }

    /// Whether there was no list of a feed yet.
    pub(super) fn is_waiting_for(&self, feed: &Feed) -> bool {
        !self.lock().complete.contains(feed)
    }

    fn wait_for(&self, wanted: impl Fn(&Feed) -> bool) -> bool {
        let missing = |state: &State| self.feeds.iter().any(|feed| wanted(feed) && !state.complete.contains(feed));
        let waiting = |state: &mut State| !state.closed && missing(state);
        let state = self.wake.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner);
        !state.closed
    }

    /// Waits until there is something new, or somebody nudges; none once it is closed.
    pub(super) fn wait(&self) -> Option<Brought> {
        let waiting = |state: &mut State| !(state.closed || state.told || state.nudged) && state.news.is_empty();
        let state = self.wake.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return None;
        }
        drop(state);
        std::thread::sleep(TOGETHER);
        let mut state = self.lock();
        state.nudged = false;
        let (news, told) = (std::mem::take(&mut state.news), std::mem::take(&mut state.told));
        Some(Brought { news, told })
    }

    /// What is new, without a wait.
    pub(super) fn take(&self) -> BTreeMap<Feed, News> {
        let mut state = self.lock();
        state.told = false;
        std::mem::take(&mut state.news)
    }

    /// Ends the wait that is, or the next one.
    pub(super) fn nudge(&self) {
        self.change(|state| state.nudged = true);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.wake.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use portcullis_translate::{ObjectKey, Severity};

    use super::super::Scope;
    use super::super::kinds::{Watched, watched};
    use super::*;

    fn mailbox() -> Mailbox {
        Mailbox::new(watched(&Scope::default()).into_iter().map(|Watched { feed, .. }| feed))
    }

    fn services() -> Feed {
        Feed::of(Kind::Service, &Scope::default())
    }

    fn identity(kind: Kind, name: &str) -> Identity {
        Identity { kind, key: ObjectKey::new("n", name) }
    }

    fn fault(kind: Kind) -> Finding {
        let object = ObjectRef { kind: kind.name(), namespace: "".into(), name: "".into() };
        let (field, message, help) = (String::new(), "gone".to_owned(), String::new());
        Finding { object, field, severity: Severity::Warning, code: "test", message, help }
    }

    #[test]
    fn the_latest_state_of_an_object_is_all_that_waits() {
        let mailbox = mailbox();
        for _ in 0..100 {
            mailbox.put(&services(), identity(Kind::Service, "a"), Some(Err(Box::new(fault(Kind::Service)))));
        }
        mailbox.put(&services(), identity(Kind::Service, "a"), None);
        let Brought { news, .. } = mailbox.wait().unwrap();
        let of_kind = &news[&services()];
        assert!(!of_kind.is_list && of_kind.changes.len() == 1);
        assert!(of_kind.changes[&identity(Kind::Service, "a")].is_none());
        assert!(mailbox.take().is_empty());
    }

    #[test]
    fn a_change_is_as_old_as_the_first_that_waits() {
        let mailbox = mailbox();
        let changed = identity(Kind::Service, "a");
        mailbox.put(&services(), changed.clone(), None);
        let first = mailbox.lock().news[&services()].since[&changed];
        mailbox.put(&services(), changed.clone(), None);
        assert_eq!(mailbox.take()[&services()].since[&changed], first);
        mailbox.put(&services(), changed.clone(), None);
        assert!(mailbox.take()[&services()].since[&changed] > first);
    }

    #[test]
    fn a_list_takes_the_place_of_what_came_before_it() {
        let mailbox = mailbox();
        mailbox.put(&services(), identity(Kind::Service, "old"), None);
        mailbox.replace(&services(), BTreeMap::new());
        mailbox.put(&services(), identity(Kind::Service, "new"), None);
        let Brought { news, .. } = mailbox.wait().unwrap();
        let names: Vec<_> = news[&services()].changes.keys().map(|identity| &*identity.key.name).collect();
        assert!(news[&services()].is_list);
        assert_eq!(names, ["new"]);
    }

    #[test]
    fn all_kinds_are_waited_for() {
        let mailbox = Arc::new(mailbox());
        let waiting = std::thread::spawn({
            let mailbox = mailbox.clone();
            move || mailbox.wait_complete()
        });
        let secrets = Feed::of(Kind::Secret, &Scope::default());
        for feed in mailbox.feeds.iter().filter(|feed| **feed != secrets) {
            mailbox.replace(feed, BTreeMap::new());
        }
        assert!(mailbox.wait_for_others_than_secrets());
        assert!(!waiting.is_finished());
        mailbox.give_up(&secrets);
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn a_closed_mailbox_ends_every_wait() {
        let mailbox = mailbox();
        mailbox.close();
        assert!(!mailbox.wait_complete());
        assert!(mailbox.wait().is_none());
    }

    #[test]
    fn a_nudge_ends_one_wait() {
        let mailbox = mailbox();
        mailbox.nudge();
        let Brought { news, told } = mailbox.wait().unwrap();
        assert!(news.is_empty() && !told && !mailbox.lock().nudged);
    }

    #[test]
    fn faults_are_told_once() {
        let mailbox = mailbox();
        mailbox.set_fault(&services().to_ref(), Some(fault(Kind::Service)));
        assert!(mailbox.wait().unwrap().told);
        mailbox.set_fault(&services().to_ref(), Some(fault(Kind::Service)));
        assert!(!mailbox.lock().told);
        assert_eq!(mailbox.faults(), [fault(Kind::Service)]);
        mailbox.set_fault(&services().to_ref(), None);
        assert!(mailbox.wait().unwrap().told && mailbox.faults().is_empty());
    }
}
