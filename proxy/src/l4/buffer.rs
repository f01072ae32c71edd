//! The one place per worker to which octets are read that go on at once. Who waits holds none of it.

use std::cell::RefCell;

/// Room for the longest datagram, and for what a connection brings at a time.
const ROOM: usize = 64 * 1024;

/// Shared by all relays and sessions of a worker. Made when it is first needed.
#[derive(Debug, Default)]
pub(crate) struct Buffer(RefCell<Vec<u8>>);

impl Buffer {
    /// Calls `read` with the room; what it leaves there means nothing afterwards.
    ///
    /// Not to be called by `read` itself: it would get no room.
    pub(super) fn with<T>(&self, read: impl FnOnce(&mut [u8]) -> T) -> T {
        match self.0.try_borrow_mut() {
            Ok(mut room) => {
                room.resize(ROOM, 0);
                read(&mut room)
            }
            Err(_) => read(&mut []),
        }
    }
}
