//! Status of Ingresses: the leader writes into each that is served under which addresses it is reached, and clears it
//! when the last replica ends.
//!
//! It writes when something changed and nothing otherwise; a few at a time; and never twice within an interval for the
//! same reason, so that two who disagree do not write without end. Nobody waits for it.

mod address;
mod pending;
pub(crate) mod replicas;
mod wanted;
mod write;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kube::Client;
use portcullis_translate::ObjectKey;
use tokio::sync::watch;
use tokio::time::timeout;

pub use address::{Address, fixed};
pub use wanted::AddressSource;

use crate::reconcile::Published;
use crate::source::cluster::IngressStatuses;
use crate::waiting::until;
use replicas::Replicas;
use wanted::Wanted;
use write::{ApiIngresses, WriteError};
use writer::Writer;

/// How long looking for other replicas may take at the end.
const LOOK: Duration = Duration::from_secs(2);

/// How the status is written.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the addresses come from.
    pub source: AddressSource,
    /// Namespace and name of the own Pod, if this is one.
    pub pod: Option<ObjectKey>,
    /// `--update-status-on-shutdown`.
    pub clear_at_end: bool,
    /// `--status-update-interval`: how often everything is looked at again.
    pub interval: Duration,
}

/// How many were written, and how many could not be.
#[derive(Debug, Default)]
pub struct Writes {
    written: AtomicU64,
    failed: AtomicU64,
}

impl Writes {
    /// Both since the start.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.written.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    fn count(&self, outcome: &Result<bool, WriteError>) {
        match outcome {
            Ok(true) => self.written.fetch_add(1, Ordering::Relaxed),
            Ok(false) => return,
            Err(_) => self.failed.fetch_add(1, Ordering::Relaxed),
        };
    }
}

impl fmt::Debug for IngressStatus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("IngressStatus").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Writes the status of Ingresses.
pub struct IngressStatus {
    client: Client,
    config: Config,
    writer: Writer<ApiIngresses>,
    /// The addresses that were last wanted.
    wanted: Wanted,
}

impl IngressStatus {
    /// For Ingresses of `published`, whose present status is in `statuses`.
    #[must_use]
    pub fn new(
        client: Client,
        config: Config,
        statuses: Arc<IngressStatuses>,
        writes: Arc<Writes>,
        published: watch::Receiver<Arc<Published>>,
    ) -> Self {
        let (ingresses, interval) = (ApiIngresses::new(client.clone()), config.interval);
        let writer = Writer { ingresses, statuses, published, writes, interval };
        Self { client, config, writer, wanted: watch::Sender::default() }
    }

    /// Writes as long as it leads, until it is dropped.
    pub async fn run(&self, mut leading: watch::Receiver<bool>) {
        loop {
            until(&mut leading, true).await;
            let source = wanted::follow(
                &self.client,
                &self.config.source,
                self.config.pod.as_ref(),
                self.config.interval,
                &self.wanted,
            );
            tokio::select! {
                () = until(&mut leading, false) => {}
                () = source => {}
                () = self.writer.follow(self.wanted.subscribe()) => {}
            }
            self.wanted.send_replace(None);
        }
    }

    /// Whether the addresses have to go with this replica: it is told to clear them, wrote only one, and is the last
    /// one. Where that cannot be found out, they stay.
    pub async fn is_last(&self) -> bool {
        let one_at_most = self.wanted.borrow().as_ref().is_some_and(|addresses| addresses.len() <= 1);
        self.config.clear_at_end && one_at_most && !self.has_others().await
    }

    async fn has_others(&self) -> bool {
        let Some(pod) = &self.config.pod else { return false };
        let look = async {
            match Replicas::find(&self.client, pod).await? {
                Some(replicas) => replicas.others().await,
                None => Ok(false),
            }
        };
        match timeout(LOOK, look).await {
            Ok(Ok(others)) => others,
            Ok(Err(error)) => {
                tracing::warn!(%error, "other replicas cannot be looked for, the status of Ingresses stays as it is");
                true
            }
            Err(_) => true,
        }
    }

    /// Takes the addresses out of the status of every Ingress that is served.
    pub async fn clear(&self) {
        tracing::info!("the last replica ends: clearing the status of Ingresses");
        self.writer.clear().await;
    }
}
