//! The part of a body that is on disk: written in order, read from anywhere, gone when nobody needs it.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::storage::{Full, Room, Storage};

/// A temporary file without a name.
#[derive(Debug)]
pub(crate) struct Spool {
    /// None while it is being closed.
    file: Option<Arc<File>>,
    octets: Cell<u64>,
    room: RefCell<Room>,
    storage: Rc<Storage>,
    _one_of_the_files: Room,
}

/// Octets that are written or read at one time.
pub(crate) const PIECE: usize = 64 * 1024;

impl Spool {
    pub(super) fn new(file: File, one_of_the_files: Room, room: Room) -> Self {
        let storage = Rc::clone(room.storage());
        let (octets, room) = (Cell::new(0), RefCell::new(room));
        Self { file: Some(Arc::new(file)), octets, room, storage, _one_of_the_files: one_of_the_files }
    }

    /// Octets in it.
    pub(crate) fn octets(&self) -> u64 {
        self.octets.get()
    }

    /// Writes to its end, one after the other. `octets` comes back empty, to be filled again.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub(crate) async fn append(&self, octets: Vec<u8>) -> Result<Vec<u8>, Full> {
        let (at, length) = (self.octets.get(), octets.len() as u64);
        if !self.room.borrow_mut().take(length) {
            return Err(Full::NoRoom);
        }
        let file = self.file()?;
        let written = self.storage.on_disk(move || {
            file.write_all_at(&octets, at)?;
            Ok(octets)
        });
        let mut octets = written.await.map_err(|error| self.storage.unwritable(error))?;
        self.octets.set(at + length);
        octets.clear();
        Ok(octets)
    }

    /// Reads `length` octets from `at`; less is an error.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub(crate) async fn read(&self, at: u64, length: usize) -> io::Result<Bytes> {
        let file = self.file()?;
        let read = move || {
            let mut octets = vec![0; length];
            file.read_exact_at(&mut octets, at)?;
            Ok(Bytes::from(octets))
        };
        self.storage.on_disk(read).await
    }

    fn file(&self) -> io::Result<Arc<File>> {
        self.file.clone().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl From<io::Error> for Full {
    fn from(error: io::Error) -> Self {
        Self::Unwritable(error)
    }
}

/// Closing gives the blocks back, which takes a while for large files.
impl Drop for Spool {
    fn drop(&mut self) {
        let file = self.file.take();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn_blocking(|| drop(file)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::storage::tests::{run, small};
    use super::*;

    #[test]
    fn what_was_written_is_read_from_anywhere_and_leaves_no_name() {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let spool = small(directory.path()).file().await.unwrap();
            let buffer = spool.append(b"hello ".to_vec()).await.unwrap();
            assert!(buffer.is_empty() && buffer.capacity() > 0);
            spool.append(b"world".to_vec()).await.unwrap();
            assert_eq!(spool.octets(), 11);
            assert_eq!(spool.read(0, 11).await.unwrap(), "hello world");
            assert_eq!(spool.read(4, 3).await.unwrap(), "o w");
            assert!(spool.read(10, 2).await.is_err(), "behind the end");
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        });
    }

    #[test]
    fn all_files_together_are_bounded() {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let storage = small(directory.path());
            let (one, other) = (storage.file().await.unwrap(), storage.file().await.unwrap());
            one.append(vec![1; 900]).await.unwrap();
            assert!(matches!(other.append(vec![2; 101]).await, Err(Full::NoRoom)));
            drop(one);
            other.append(vec![2; 1000]).await.unwrap();
        });
    }
}
