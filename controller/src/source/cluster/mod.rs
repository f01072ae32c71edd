//! The API server as a source of objects: one watch for each kind, and what they have brought.

mod kinds;
mod mailbox;
mod read;
mod references;
mod statuses;
mod store;
mod watch;

use std::sync::Arc;

use kube::Client;
use portcullis_translate::{Finding, Resources};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::{Inbox, ObjectSource, Step};
use crate::api_server::Contact;
use mailbox::{Brought, Mailbox};
pub use references::{Reference, References};
pub use statuses::{IngressStatuses, SeenStatus};
use store::Store;

/// Which objects are watched.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// `--watch-namespace`: those of this namespace; of all without.
    pub namespace: Option<String>,
}

/// Objects from the API server.
///
/// Lists are taken in as a whole, once they are complete. While the server is away, the objects stay as they are. One that
/// does not have the type of its kind keeps its last good form.
#[derive(Debug)]
pub struct ClusterSource {
    mailbox: Arc<Mailbox>,
    store: Store,
    statuses: Arc<IngressStatuses>,
    references: Arc<References>,
    watches: Vec<AbortHandle>,
}

impl ClusterSource {
    /// Starts the watches on `runtime`.
    #[must_use]
    pub fn start(client: &Client, contact: &Arc<Contact>, scope: &Scope, runtime: &Handle) -> (Self, Arc<dyn Inbox>) {
        let (mailbox, statuses) = (Arc::new(Mailbox::default()), Arc::new(IngressStatuses::default()));
        let references = Arc::new(References::default());
        let watches = kinds::WATCHED.iter().map(|watched| {
            let api = kinds::api(*watched, client, scope);
            let beside = watch::Beside { statuses: statuses.clone(), references: references.clone() };
            let following = watch::follow(*watched, api, mailbox.clone(), contact.clone(), beside);
            runtime.spawn(following).abort_handle()
        });
        let watches = watches.collect();
        (Self { mailbox: mailbox.clone(), store: Store::default(), statuses, references, watches }, mailbox)
    }

    /// What stands in the status of Ingresses.
    #[must_use]
    pub fn statuses(&self) -> Arc<IngressStatuses> {
        self.statuses.clone()
    }

    /// Which objects there are, for Events about them.
    #[must_use]
    pub fn references(&self) -> Arc<References> {
        self.references.clone()
    }
}

impl ObjectSource for ClusterSource {
    fn resources(&self) -> &Resources {
        self.store.resources()
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = self.mailbox.faults();
        findings.extend(self.store.findings());
        findings
    }

    fn wait_complete(&mut self) -> bool {
        let complete = self.mailbox.wait_complete();
        self.store.take(self.mailbox.take());
        complete
    }

    fn next(&mut self) -> Option<Step> {
        let Brought { news, told } = self.mailbox.wait()?;
        let nudged = !told && news.is_empty();
        Some(Step { nudged, ..self.store.take(news) })
    }
}

impl Drop for ClusterSource {
    fn drop(&mut self) {
        self.watches.iter().for_each(AbortHandle::abort);
    }
}

impl Inbox for Mailbox {
    fn nudge(&self) {
        Self::nudge(self);
    }

    fn close(&self) {
        Self::close(self);
    }
}
