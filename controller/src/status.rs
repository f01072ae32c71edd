//! What the process knows of itself: written by the loop, read on the admin address.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use portcullis_model::Snapshot;
use portcullis_proxy::table::TableReader;
use portcullis_translate::Finding;

use crate::admission;
use crate::api_server::Contact;

/// Where the process is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// No table has been published yet.
    Starting,
    /// Serves.
    Ready,
    /// Was told to end.
    Stopping,
}

/// Shared by the loop and the admin server.
#[derive(Debug, Default)]
pub struct Status {
    phase: AtomicU8,
    generation: AtomicU64,
    table: OnceLock<TableReader>,
    contact: OnceLock<Arc<Contact>>,
    reviewed: OnceLock<Arc<admission::Counts>>,
    latest: Mutex<Latest>,
}

/// What the last build led to.
#[derive(Clone, Debug, Default)]
pub struct Latest {
    /// What is served; none before the first build.
    pub snapshot: Option<Arc<Snapshot>>,
    /// All that users should know, sorted.
    pub findings: Arc<[Finding]>,
    /// When it was published.
    pub published: Option<SystemTime>,
    /// How long translating and compiling took.
    pub took: Duration,
    /// How many tables or endpoint sets were published.
    pub builds: u64,
    /// How many builds failed by a fault of ours.
    pub failures: u64,
    /// Whether the last build was one of these.
    pub failed: bool,
    /// How many manifest files there are.
    pub files: usize,
}

impl Status {
    /// Where the process is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Stopping,
        }
    }

    /// The first table has been published; `table` reads it and all later ones.
    pub fn ready(&self, table: TableReader) {
        if self.table.set(table).is_ok() {
            self.advance();
            // One that was told to end meanwhile stays so.
            let _stopping = self.phase.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// The process was told to end.
    pub fn stop(&self) {
        self.phase.store(2, Ordering::Release);
    }

    /// It was told to end, and there is nobody else yet: it is as ready as before, until it is told again.
    pub fn serve_on(&self) {
        if self.table.get().is_some() {
            self.phase.store(1, Ordering::Release);
        }
    }

    /// Grows with every published table or set of endpoints, and when files were read again without change.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Something was published, or files were read again.
    pub fn advance(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// The published tables; none before the first.
    #[must_use]
    pub fn table(&self) -> Option<&TableReader> {
        self.table.get()
    }

    /// Objects come from an API server, of which this is known.
    pub fn set_contact(&self, contact: Arc<Contact>) {
        // There is one in the life of a process.
        let _first = self.contact.set(contact);
    }

    /// What is known of the API server; none without one.
    #[must_use]
    pub fn contact(&self) -> Option<&Contact> {
        self.contact.get().map(|contact| &**contact)
    }

    /// Ingresses are reviewed: the counts of that.
    pub fn count_reviews(&self) -> Arc<admission::Counts> {
        self.reviewed.get_or_init(Arc::default).clone()
    }

    /// What was reviewed; none where nothing is.
    #[must_use]
    pub fn reviewed(&self) -> Option<&admission::Counts> {
        self.reviewed.get().map(|counts| &**counts)
    }

    /// What the last build led to.
    #[must_use]
    pub fn latest(&self) -> Latest {
        self.lock().clone()
    }

    /// Changes what the last build led to.
    pub fn update(&self, change: impl FnOnce(&mut Latest)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
