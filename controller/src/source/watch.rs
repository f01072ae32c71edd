//! Tells the mailbox what happens in folders (inotify); where it cannot, everything is looked at every two seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::changes::Changes;

/// Watches folders, each for its own entries only.
#[derive(Debug)]
pub(super) struct Watcher {
    inner: Option<RecommendedWatcher>,
    /// Device and inode of each watched folder: a watch stays with the folder, not with its name.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    changes: Arc<Changes>,
}

impl Watcher {
    pub(super) fn new(changes: Arc<Changes>) -> Self {
        let handler = {
            let changes = changes.clone();
            move |event: notify::Result<Event>| match event {
                Ok(event) => tell(&changes, &event),
                Err(error) => {
                    tracing::warn!(%error, "watching files failed, looking at all of them");
                    changes.everything();
                }
            }
        };
        let inner = notify::recommended_watcher(handler).inspect_err(|error| unavailable(&changes, error)).ok();
        Self { inner, watched: BTreeMap::new(), changes }
    }

    /// Watches a folder, again where another one has taken its name.
    pub(super) fn watch(&mut self, folder: &Path) {
        let Some(inner) = &mut self.inner else { return };
        let Ok(metadata) = fs::metadata(folder) else { return };
        let identity = (metadata.dev(), metadata.ino());
        if self.watched.get(folder) == Some(&identity) {
            return;
        }
        if self.watched.remove(folder).is_some() {
            // The watch of the former folder may have ended with it.
            let _gone = inner.unwatch(folder);
        }
        match inner.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => drop(self.watched.insert(folder.to_owned(), identity)),
            Err(error) => unavailable(&self.changes, &error),
        }
    }

    /// Ends the watches of folders that are of no interest any more.
    pub(super) fn retain(&mut self, folders: &BTreeSet<PathBuf>) {
        let Some(inner) = &mut self.inner else { return };
        self.watched.retain(|folder, _| {
            let wanted = folders.contains(folder);
            if !wanted {
                let _gone = inner.unwatch(folder);
            }
            wanted
        });
    }
}

fn unavailable(changes: &Changes, error: &notify::Error) {
    tracing::warn!(%error, "changes of files are not told, looking at all files every two seconds");
    changes.sweep();
}

fn tell(changes: &Changes, event: &Event) {
    if event.need_rescan() {
        return changes.everything();
    }
    let complete = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => true,
        // The other half of a rename has been told, and opening changes nothing.
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return,
        _ => false,
    };
    for path in &event.paths {
        if complete { changes.now(path) } else { changes.soon(path) }
    }
}
