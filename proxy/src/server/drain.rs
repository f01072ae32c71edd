//! Telling everything on a worker that the end has begun.

use std::cell::Cell;

use tokio::sync::Notify;

/// Whether a worker is to end.
#[derive(Debug, Default)]
pub(super) struct Drain {
    begun: Cell<bool>,
    beginning: Notify,
}

impl Drain {
    /// Begins it. Once begun, it never ends.
    pub(super) fn begin(&self) {
        self.begun.set(true);
        self.beginning.notify_waiters();
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// Waits for it to begin.
    pub(super) async fn begun(&self) {
        if !self.begun.get() {
            self.beginning.notified().await;
        }
    }
}
