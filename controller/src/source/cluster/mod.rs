//! The API server as a source of objects: one watch for each kind, and what they have brought.

mod kinds;
mod mailbox;
mod named;
mod read;
mod references;
mod secrets;
mod statuses;
mod store;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Client;
use portcullis_translate::{Finding, ObjectKey, Options, Resources};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::object::Kind;
use super::{Inbox, ObjectSource, Step};
use crate::api_server::Contact;
use kinds::{Feed, Watched};
use mailbox::{Brought, Mailbox, News};
use named::Changes;
pub use references::{Reference, References};
use secrets::Secrets;
pub use statuses::{IngressStatuses, SeenStatus};
use store::Store;
use watch::Shared;

/// How long a change waits for the Secrets that it names and that are there.
const NAMED_SECRETS: Duration = Duration::from_secs(1);

/// Which objects are watched.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// `--watch-namespace`: those of this namespace; of all without.
    pub namespace: Option<String>,
    /// `--watch-namespace-selector`: whether the labels of Namespaces matter.
    pub by_labels: bool,
    /// ConfigMaps that flags name; they are read wherever they are.
    pub config_maps: Vec<ObjectKey>,
}

/// Objects from the API server.
///
/// Lists are taken in as a whole, once they are complete. While the server is away, the objects stay as they are. One that
/// does not have the type of its kind keeps its last good form.
#[derive(Debug)]
pub struct ClusterSource {
    shared: Shared,
    store: Store,
    watches: Vec<AbortHandle>,
}

impl ClusterSource {
    /// Starts the watches on `runtime`.
    #[must_use]
    pub fn start(
        client: &Client,
        contact: &Arc<Contact>,
        scope: &Scope,
        options: &Options,
        runtime: &Handle,
    ) -> (Self, Arc<dyn Inbox>) {
        let watched = kinds::watched(scope);
        let feeds = watched.iter().map(|Watched { feed, .. }| feed.clone());
        let mailbox = Arc::new(Mailbox::new(feeds));
        let of_secrets = Feed::of(Kind::Secret, scope);
        let secrets = Arc::new(Secrets::new(of_secrets, mailbox.clone(), client.clone(), runtime.clone()));
        let (statuses, references) = (Arc::default(), Arc::default());
        let shared = Shared { contact: contact.clone(), mailbox: mailbox.clone(), statuses, references, secrets };
        let watches = watched.into_iter().map(|watched| {
            let api = watched.feed.api(client);
            runtime.spawn(watch::follow(watched, api, shared.clone())).abort_handle()
        });
        let watches = watches.collect();
        (Self { shared, store: Store::new(options), watches }, mailbox)
    }

    /// What stands in the status of Ingresses.
    #[must_use]
    pub fn statuses(&self) -> Arc<IngressStatuses> {
        self.shared.statuses.clone()
    }

    /// Which objects there are, for Events about them.
    #[must_use]
    pub fn references(&self) -> Arc<References> {
        self.shared.references.clone()
    }
}

impl ClusterSource {
    /// Takes in what is new, and with it the Secrets that it names: what a change leads to is never without a Secret that has
    /// been there all the time, unless the server is slow.
    fn take(&mut self, mut news: BTreeMap<Feed, News>) -> Step {
        let deadline = Instant::now() + NAMED_SECRETS;
        let mut step = Step::default();
        loop {
            let Step { looked, changed, .. } = self.store.take(news);
            step.looked += looked;
            step.changed |= changed;
            let Changes { named, dropped } = self.store.changed_references();
            if named.is_empty() && dropped.is_empty() {
                return step;
            }
            let Shared { secrets, mailbox, .. } = &self.shared;
            secrets.change(&named, &dropped);
            secrets.wait_for(&named, deadline);
            if Instant::now() >= deadline {
                return step;
            }
            news = mailbox.take();
        }
    }
}

impl ObjectSource for ClusterSource {
    fn resources(&self) -> &Resources {
        self.store.resources()
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = self.shared.mailbox.faults();
        findings.extend(self.store.findings());
        findings
    }

    fn wait_complete(&mut self) -> bool {
        let Shared { mailbox, secrets, .. } = &self.shared;
        if !mailbox.wait_for_others_than_secrets() {
            return false;
        }
        let news = mailbox.take();
        let secrets = secrets.clone();
        self.take(news);
        secrets.open();
        let complete = self.shared.mailbox.wait_complete();
        let news = self.shared.mailbox.take();
        self.take(news);
        // Nothing has been served before that could have been late.
        drop(self.store.changed());
        complete
    }

    fn next(&mut self) -> Option<Step> {
        let Brought { news, told } = self.shared.mailbox.wait()?;
        let nudged = !told && news.is_empty();
        Some(Step { nudged, ..self.take(news) })
    }

    fn served(&mut self) {
        for (kind, brought) in self.store.changed() {
            self.shared.contact.propagation().note(kind.name(), brought.elapsed());
        }
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
