//! What a replica does in a cluster beside serving: takes part in the election, and as the leader writes the status of
//! Ingresses, and Events.
//!
//! The end: it stops writing at once. Where it is the last replica it clears the status once the grace period is over;
//! then, or at once where there is nothing to clear, it gives up the Lease. The data plane waits for none of it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::events::{self, Events};
use crate::ingress_status::{self, IngressStatus, Writes};
use crate::leader::{ApiLease, Leadership, LeaseConfig, elect};
use crate::reconcile::Published;
use crate::source::cluster::IngressStatuses;

/// How long clearing the status at the end may take.
const CLEAR: Duration = Duration::from_secs(20);

/// What there is to do.
#[derive(Clone)]
pub struct Config {
    /// The API server.
    pub client: Client,
    /// How one replica is elected; none with `--disable-leader-election`.
    pub election: Option<LeaseConfig>,
    /// How the status of Ingresses is written; none where it is not.
    pub status: Option<ingress_status::Config>,
    /// What stands in it.
    pub statuses: Arc<IngressStatuses>,
    /// Which Events are written; none where there are none.
    pub events: Option<events::Config>,
}

impl fmt::Debug for Config {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client: _, election, status, statuses: _, events } = self;
        let mut out = out.debug_struct("Config");
        out.field("election", election).field("status", status).field("events", events).finish_non_exhaustive()
    }
}

/// The duties of this replica.
#[derive(Debug)]
pub struct Duties {
    config: Config,
    leading: watch::Sender<bool>,
    writes: Arc<Writes>,
    told: Arc<events::Counts>,
}

impl Duties {
    /// Nothing is begun yet. Without election every replica leads.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let leading = watch::Sender::new(config.election.is_none());
        Self { config, leading, writes: Arc::default(), told: Arc::default() }
    }

    /// Whether this replica leads.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        self.leading.subscribe()
    }

    /// The name of the election, if there is one.
    #[must_use]
    pub fn election(&self) -> Option<&str> {
        self.config.election.as_ref().map(|election| election.name.as_str())
    }

    /// What was written.
    #[must_use]
    pub fn writes(&self) -> Arc<Writes> {
        self.writes.clone()
    }

    /// What became of Events.
    #[must_use]
    pub fn told(&self) -> Arc<events::Counts> {
        self.told.clone()
    }

    /// Begins them on `runtime`, now that `published` is served.
    #[must_use]
    pub fn start(self, published: watch::Receiver<Arc<Published>>, runtime: &Handle) -> Running {
        let Self { config, leading, writes, told } = self;
        let Config { client, election, status, statuses, events } = config;
        let leadership = leading.subscribe();
        let events = events.map(|config| {
            let events = Events::new(client.clone(), config, told, published.clone());
            let (stop, stopped) = oneshot::channel();
            let leadership = leadership.clone();
            let task = runtime.spawn(async move {
                tokio::select! {
                    () = events.run(leadership) => {}
                    _ = stopped => {}
                }
            });
            Stoppable { stop, task }
        });
        let status = status.map(|config| {
            let status = IngressStatus::new(client.clone(), config, statuses, writes, published);
            let (stop, stopped) = oneshot::channel();
            let leadership = leadership.clone();
            let task = runtime.spawn(async move {
                tokio::select! {
                    () = status.run(leadership) => {}
                    _ = stopped => {}
                }
                status
            });
            Stoppable { stop, task }
        });
        let election = election.map(|config| {
            let (stop, stopped) = oneshot::channel();
            let store = ApiLease::new(&client, &config);
            let task = runtime.spawn(elect(store, config, leading.clone(), async { drop(stopped.await) }));
            Stoppable { stop, task }
        });
        Running { leading, leadership, status, events, election }
    }
}

/// Duties that were begun.
#[derive(Debug)]
pub struct Running {
    /// Keeps the receivers of others alive where nobody is elected.
    leading: watch::Sender<bool>,
    leadership: Leadership,
    status: Option<Stoppable<IngressStatus>>,
    events: Option<Stoppable<()>>,
    election: Option<Stoppable<()>>,
}

#[derive(Debug)]
struct Stoppable<T> {
    stop: oneshot::Sender<()>,
    task: JoinHandle<T>,
}

impl<T> Stoppable<T> {
    /// What is left of it; none where it failed by a fault of ours.
    async fn end(self) -> Option<T> {
        drop(self.stop);
        self.task.await.ok()
    }
}

impl Running {
    /// Ends them; `grace` is over when nothing new is to be expected any more.
    pub async fn end(mut self, grace: impl Future<Output = ()>) {
        if let Some(events) = self.events.take() {
            events.end().await;
        }
        let status = match self.status.take() {
            Some(status) => status.end().await,
            None => None,
        };
        if let Some(status) = status
            && self.leads()
            && status.is_last().await
        {
            grace.await;
            self.clear(&status).await;
        }
        if let Some(election) = self.election.take() {
            election.end().await;
        }
        self.leading.send_replace(false);
    }

    async fn clear(&mut self, status: &IngressStatus) {
        // Meanwhile another one may have come, or taken over.
        if !self.leads() || !status.is_last().await {
            return;
        }
        tokio::select! {
            cleared = timeout(CLEAR, status.clear()) => {
                if cleared.is_err() {
                    tracing::warn!("the status of Ingresses was not cleared in time");
                }
            }
            _ = self.leadership.wait_for(|leads| !leads) => {}
        }
    }

    fn leads(&self) -> bool {
        *self.leading.borrow()
    }
}

#[cfg(test)]
mod tests;
