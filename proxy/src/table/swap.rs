//! Publishing a table to all workers at once, without a lock or an atomic that requests share.

use std::rc::Rc;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};
use tokio::sync::watch;

use super::RoutingTable;

/// Two ends of one published table: the control loop holds the writer, each worker a reader.
#[must_use]
pub fn channel(initial: RoutingTable) -> (TableWriter, TableReader) {
    let shared = Arc::new(ArcSwap::from_pointee(initial));
    let (changed, changes) = watch::channel(());
    (TableWriter { shared: Arc::clone(&shared), previous: None, changed }, TableReader { shared, changes })
}

/// Publishes tables. There is one, so that only one loop does.
///
/// It keeps the table before the current one, most of which the two share: freeing the rest takes milliseconds with thousands
/// of hosts, and so falls to this loop at the next change instead of to the worker that happens to let go last.
#[derive(Debug)]
pub struct TableWriter {
    shared: Arc<ArcSwap<RoutingTable>>,
    previous: Option<Arc<RoutingTable>>,
    changed: watch::Sender<()>,
}

impl TableWriter {
    /// Gives every request from now on this table; requests under way keep theirs.
    pub fn publish(&mut self, table: RoutingTable) {
        self.previous = Some(self.shared.swap(Arc::new(table)));
        self.changed.send_replace(());
    }

    /// The table published last.
    #[must_use]
    pub fn current(&self) -> Arc<RoutingTable> {
        self.shared.load_full()
    }
}

/// Reads the table published last.
#[derive(Clone, Debug)]
pub struct TableReader {
    shared: Arc<ArcSwap<RoutingTable>>,
    changes: watch::Receiver<()>,
}

impl TableReader {
    /// The table published last. For what is not on the request path.
    #[must_use]
    pub fn load(&self) -> Arc<RoutingTable> {
        self.shared.load_full()
    }

    /// Waits for the next table after the one that was there when it was last called; for ever where nobody publishes any more.
    pub(crate) async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// A view for one worker thread; make it on that thread.
    #[must_use]
    pub fn worker(&self) -> WorkerTable {
        let mut cache = Cache::new(Arc::clone(&self.shared));
        let current = Rc::new(Arc::clone(cache.load()));
        WorkerTable { cache, current }
    }
}

/// A table as the requests of one worker share it: they count among themselves, on no atomic that another core writes to.
pub type LocalTable = Rc<Arc<RoutingTable>>;

/// One worker's view of the table.
///
/// A request clones the [`LocalTable`] and keeps it to its end, so no guard crosses an await.
/// A view holds on to an old table until it is asked again, so an idle worker should ask now and then.
#[derive(Debug)]
pub struct WorkerTable {
    cache: Cache<Arc<ArcSwap<RoutingTable>>, Arc<RoutingTable>>,
    current: LocalTable,
}

impl WorkerTable {
    /// The table published last.
    pub fn current(&mut self) -> &LocalTable {
        let published = self.cache.load();
        if !Arc::ptr_eq(published, &self.current) {
            self.current = Rc::new(Arc::clone(published));
        }
        &self.current
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::snapshot;
    use super::*;
    use crate::upstream::UpstreamRegistry;

    fn table(host: &str) -> RoutingTable {
        RoutingTable::compile(&snapshot(&[(host, &["Prefix /"])]), &UpstreamRegistry::default(), None)
    }

    #[test]
    fn a_request_keeps_its_table_while_the_next_one_gets_the_new_one() {
        let (mut writer, reader) = channel(table("old.example"));
        let mut worker = reader.worker();
        let request = Rc::clone(worker.current());
        assert!(Rc::ptr_eq(&request, worker.current()));
        writer.publish(table("new.example"));
        assert_eq!(request.host("old.example").choice, crate::table::HostChoice::Exact);
        assert_eq!(worker.current().host("new.example").choice, crate::table::HostChoice::Exact);
        assert!(Arc::ptr_eq(worker.current(), &writer.current()) && Arc::ptr_eq(worker.current(), &reader.load()));
        let old = Arc::downgrade(&request);
        drop(request);
        assert!(old.upgrade().is_some(), "a worker does not free it");
        writer.publish(table("newer.example"));
        assert!(old.upgrade().is_none(), "the next change does");
    }

    #[test]
    fn readers_on_other_threads_see_what_is_published() {
        let (mut writer, reader) = channel(table("old.example"));
        writer.publish(table("new.example"));
        let seen = std::thread::spawn(move || reader.worker().current().snapshot().hosts.len());
        assert_eq!(seen.join().unwrap(), 1);
    }
}
