//! Where bodies are kept while they wait: how much memory and disk those of one worker may take together.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::spool::Spool;
use crate::server::BufferConfig;

/// What the bodies of one worker are kept in.
#[derive(Debug)]
pub(crate) struct Storage {
    directory: Arc<Path>,
    memory: Limit,
    files: Limit,
    disk: Limit,
    /// Jobs on the disk at one time: each takes a thread, and a disk is not faster for many.
    jobs: Semaphore,
    complained: Cell<Option<Instant>>,
}

#[derive(Debug)]
struct Limit {
    most: u64,
    taken: Cell<u64>,
}

const JOBS: usize = 4;
/// How often at most the log says that nothing can be written.
const COMPLAINT: Duration = Duration::from_secs(10);

/// Why something cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Full {
    /// Other bodies take all the room.
    #[error("there is no room for another body")]
    NoRoom,
    /// The disk takes nothing.
    #[error("the body cannot be written to disk")]
    Unwritable(#[source] io::Error),
}

/// Something taken of a [`Storage`], which has it back when this is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    storage: Rc<Storage>,
    of: fn(&Storage) -> &Limit,
    taken: u64,
}

impl Storage {
    pub(crate) fn new(config: &BufferConfig) -> Self {
        let limit = |most| Limit { most, taken: Cell::new(0) };
        Self {
            directory: config.directory.as_path().into(),
            memory: limit(config.memory),
            files: limit(config.files),
            disk: limit(config.disk),
            jobs: Semaphore::new(JOBS),
            complained: Cell::new(None),
        }
    }

    /// Room in memory, empty to begin with.
    pub(crate) fn memory(self: &Rc<Self>) -> Room {
        Room { storage: Rc::clone(self), of: |storage| &storage.memory, taken: 0 }
    }

    /// A new file without a name, which is gone when it is closed.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub(crate) async fn file(self: &Rc<Self>) -> Result<Spool, Full> {
        let mut file = Room { storage: Rc::clone(self), of: |storage| &storage.files, taken: 0 };
        if !file.take(1) {
            return Err(Full::NoRoom);
        }
        let room = Room { storage: Rc::clone(self), of: |storage| &storage.disk, taken: 0 };
        let directory = Arc::clone(&self.directory);
        match self.on_disk(move || tempfile::tempfile_in(directory)).await {
            Ok(made) => Ok(Spool::new(made, file, room)),
            Err(error) => Err(self.unwritable(error)),
        }
    }

    /// Does something slow on a thread for such things.
    ///
    /// # Errors
    ///
    /// Those of `job`.
    pub(super) async fn on_disk<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let _one_of_few = self.jobs.acquire().await.map_err(io::Error::other)?;
        spawn_blocking(job).await.map_err(io::Error::other)?
    }

    /// Says so, now and then.
    pub(super) fn unwritable(&self, error: io::Error) -> Full {
        let now = Instant::now();
        if self.complained.get().is_none_or(|last| now.duration_since(last) >= COMPLAINT) {
            self.complained.set(Some(now));
            tracing::warn!(directory = %self.directory.display(), %error, "bodies cannot be written to disk");
        }
        Full::Unwritable(error)
    }
}

impl Room {
    /// Takes so much more, or nothing where it is too much.
    #[must_use]
    pub(crate) fn take(&mut self, more: u64) -> bool {
        let limit = (self.of)(&self.storage);
        let after = limit.taken.get().saturating_add(more);
        if after > limit.most {
            return false;
        }
        limit.taken.set(after);
        self.taken += more;
        true
    }

    /// Gives so much back.
    pub(crate) fn give_back(&mut self, less: u64) {
        let less = less.min(self.taken);
        self.taken -= less;
        let limit = (self.of)(&self.storage);
        limit.taken.set(limit.taken.get().saturating_sub(less));
    }

    pub(super) fn storage(&self) -> &Rc<Storage> {
        &self.storage
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.give_back(self.taken);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Room for 100 octets in memory and 1000 on disk, in two files.
    pub(crate) fn small(directory: &Path) -> Rc<Storage> {
        let config = BufferConfig { directory: directory.to_owned(), memory: 100, files: 2, disk: 1000 };
        Rc::new(Storage::new(&config))
    }

    pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test)
    }

    #[test]
    fn room_is_shared_and_comes_back() {
        let storage = small(Path::new("/"));
        let (mut one, mut other) = (storage.memory(), storage.memory());
        assert!(one.take(60) && !other.take(41) && other.take(40) && !one.take(1));
        one.give_back(10);
        assert!(other.take(10) && !other.take(1));
        drop(one);
        assert!(other.take(50) && !other.take(u64::MAX));
        drop(other);
        assert!(storage.memory().take(100));
        assert_eq!(storage.memory.taken.get(), 0);
    }

    #[test]
    fn files_are_counted_and_cannot_be_made_everywhere() {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let storage = small(directory.path());
            let files = (storage.file().await.unwrap(), storage.file().await.unwrap());
            assert!(matches!(storage.file().await, Err(Full::NoRoom)));
            drop(files);
            assert!(storage.file().await.is_ok());
            let nowhere = small(&directory.path().join("missing"));
            assert!(matches!(nowhere.file().await, Err(Full::Unwritable(_))));
            assert_eq!(nowhere.files.taken.get(), 0);
        });
    }
}
