//! Which paths have changed since the last look: a bounded mailbox between the file watcher and the loop.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Paths that are told one by one; beyond them everything is looked at.
const MAX_PATHS: usize = 4096;

/// Changes that come together are handled together.
const TOGETHER: Duration = Duration::from_millis(1);

/// How long a path must be quiet after something that seldom comes alone: a file that is created, written or removed is often
/// about to be written to its end or put back.
const SETTLE: Duration = Duration::from_millis(25);

/// A path that is never quiet is looked at nevertheless.
const SETTLE_AT_MOST: Duration = Duration::from_millis(500);

/// How often everything is looked at where changes are not told.
const SWEEP: Duration = Duration::from_secs(2);

/// What to look at.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ChangeSet {
    /// Paths at which something changed.
    pub(super) paths: BTreeSet<PathBuf>,
    /// Whether anything may have changed.
    pub(super) everything: bool,
}

impl ChangeSet {
    /// Whether there is nothing to look at.
    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty() && !self.everything
    }
}

/// The mailbox.
#[derive(Debug, Default)]
pub struct Changes {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ready: ChangeSet,
    settling: BTreeMap<PathBuf, Settling>,
    /// Folders watched only for the sake of these entries.
    only: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    sweeping: bool,
    /// When everything is looked at next, where changes are not told.
    sweep_at: Option<Instant>,
    nudged: bool,
    closed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Settling {
    since: Instant,
    until: Instant,
}

impl Changes {
    /// Waits until something changed, or somebody nudges; `None` once the mailbox is closed.
    pub fn wait(&self) -> Option<ChangeSet> {
        let mut state = self.lock();
        let sweep_at = *state.sweep_at.get_or_insert_with(|| Instant::now() + SWEEP);
        loop {
            let now = Instant::now();
            state.ripen(now);
            if state.closed {
                return None;
            }
            if state.sweeping && now >= sweep_at {
                state.ready.everything = true;
            }
            if state.nudged || !state.ready.is_empty() {
                break;
            }
            let until =
                state.settling.values().map(|settling| settling.until).chain(state.sweeping.then_some(sweep_at)).min();
            state = match until {
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let pause = until.saturating_duration_since(now).max(Duration::from_millis(1));
                    self.wake.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        drop(state);
        std::thread::sleep(TOGETHER);
        let mut state = self.lock();
        state.ripen(Instant::now());
        state.nudged = false;
        if state.ready.everything || !state.sweeping {
            state.sweep_at = None;
        }
        Some(std::mem::take(&mut state.ready))
    }

    /// Ends the wait that is, or the next one.
    pub fn nudge(&self) {
        self.lock().nudged = true;
        self.wake.notify_all();
    }

    /// Ends every [`Changes::wait`], now and later.
    pub fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    /// A path has changed and is complete.
    pub(super) fn now(&self, path: &Path) {
        self.note(path, |state, path| {
            state.settling.remove(&path);
            state.ready.paths.insert(path);
        });
    }

    /// A path has changed and may change again at once.
    pub(super) fn soon(&self, path: &Path) {
        self.note(path, |state, path| {
            let now = Instant::now();
            let settling = state.settling.entry(path).or_insert(Settling { since: now, until: now });
            settling.until = (now + SETTLE).min(settling.since + SETTLE_AT_MOST);
        });
    }

    /// Anything may have changed.
    pub(super) fn everything(&self) {
        self.lock().ready.everything = true;
        self.wake.notify_all();
    }

    /// Changes are not told from now on: look at everything now and then.
    pub(super) fn sweep(&self) {
        self.lock().sweeping = true;
        self.wake.notify_all();
    }

    /// Passes over what happens in these folders, but to these entries of them.
    pub(super) fn only(&self, entries: BTreeMap<PathBuf, BTreeSet<PathBuf>>) {
        self.lock().only = entries;
    }

    fn note(&self, path: &Path, take: impl FnOnce(&mut State, PathBuf)) {
        let mut state = self.lock();
        let wanted =
            path.parent().and_then(|folder| state.only.get(folder)).is_none_or(|entries| entries.contains(path));
        if !wanted {
            return;
        }
        take(&mut state, path.to_owned());
        if state.ready.paths.len() + state.settling.len() > MAX_PATHS {
            state.ready = ChangeSet { paths: BTreeSet::new(), everything: true };
            state.settling.clear();
        }
        self.wake.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Moves what has been quiet long enough.
    fn ripen(&mut self, now: Instant) {
        let ripe: Vec<PathBuf> =
            self.settling.iter().filter(|(_, settling)| settling.until <= now).map(|(path, _)| path.clone()).collect();
        for path in ripe {
            self.settling.remove(&path);
            self.ready.paths.insert(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(set: &ChangeSet) -> Vec<&str> {
        set.paths.iter().filter_map(|path| path.to_str()).collect()
    }

    #[test]
    fn what_comes_together_is_handled_together() {
        let changes = Changes::default();
        for path in ["/m/a.yaml", "/m/b.yaml", "/m/a.yaml"] {
            changes.now(Path::new(path));
        }
        let set = changes.wait().unwrap();
        assert_eq!(paths(&set), ["/m/a.yaml", "/m/b.yaml"]);
        assert!(!set.everything);
    }

    #[test]
    fn a_path_that_may_change_again_waits_until_it_is_quiet() {
        let changes = Changes::default();
        let begin = Instant::now();
        changes.soon(Path::new("/m/a.yaml"));
        assert_eq!(paths(&changes.wait().unwrap()), ["/m/a.yaml"]);
        assert!(begin.elapsed() >= SETTLE);

        changes.soon(Path::new("/m/a.yaml"));
        changes.now(Path::new("/m/a.yaml"));
        assert_eq!(paths(&changes.wait().unwrap()), ["/m/a.yaml"]);
        assert!(changes.lock().settling.is_empty(), "complete is complete");
    }

    #[test]
    fn too_many_paths_are_one_look_at_everything() {
        let changes = Changes::default();
        for number in 0..=MAX_PATHS {
            changes.now(Path::new(&format!("/m/{number}.yaml")));
        }
        let set = changes.wait().unwrap();
        assert!(set.everything && set.paths.is_empty());
    }

    #[test]
    fn neighbours_of_a_root_are_passed_over() {
        let changes = Changes::default();
        changes.only(BTreeMap::from([(PathBuf::from("/tmp"), BTreeSet::from([PathBuf::from("/tmp/m")]))]));
        changes.now(Path::new("/tmp/other"));
        changes.now(Path::new("/tmp/m"));
        assert_eq!(paths(&changes.wait().unwrap()), ["/tmp/m"]);
    }

    #[test]
    fn where_changes_are_not_told_everything_is_looked_at_now_and_then() {
        let changes = Changes::default();
        changes.sweep();
        let begin = Instant::now();
        assert!(changes.wait().unwrap().everything);
        assert!(begin.elapsed() >= SWEEP);
    }

    #[test]
    fn a_nudge_ends_one_wait_without_a_change() {
        let changes = Changes::default();
        changes.nudge();
        assert!(changes.wait().unwrap().is_empty());
        changes.nudge();
        changes.now(Path::new("/m/a.yaml"));
        assert_eq!(paths(&changes.wait().unwrap()), ["/m/a.yaml"]);
        assert!(!changes.lock().nudged, "one wait alone");
    }

    #[test]
    fn nudges_do_not_put_off_the_look_at_everything() {
        let changes = Changes::default();
        changes.sweep();
        let begin = Instant::now();
        loop {
            changes.nudge();
            if changes.wait().unwrap().everything {
                break;
            }
            assert!(begin.elapsed() < 2 * SWEEP);
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(begin.elapsed() >= SWEEP);
    }

    #[test]
    fn a_closed_mailbox_ends_the_wait() {
        let changes = std::sync::Arc::new(Changes::default());
        let waiting = std::thread::spawn({
            let changes = changes.clone();
            move || changes.wait()
        });
        changes.close();
        assert_eq!(waiting.join().unwrap(), None);
    }
}
