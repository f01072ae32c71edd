//! The Ingresses that are served and have other addresses than wanted: writes them, a few at a time.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use portcullis_translate::ObjectKey;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};

use super::pending::Pending;
use super::write::{Ingresses, WriteError, write};
use super::{Address, Writes};
use crate::api_server::Backoff;
use crate::reconcile::Published;
use crate::source::cluster::IngressStatuses;
use crate::waiting::changed;

/// Ingresses that are written at the same time.
const PARALLEL: usize = 10;

/// How long writing one may take.
const WRITE: Duration = Duration::from_secs(10);

/// What changes together is written together.
const TOGETHER: Duration = Duration::from_millis(50);

/// Knows what is served, what stands in the status, and writes.
pub(super) struct Writer<I> {
    pub(super) ingresses: I,
    pub(super) statuses: Arc<IngressStatuses>,
    pub(super) published: watch::Receiver<Arc<Published>>,
    pub(super) writes: Arc<Writes>,
    /// How often everything is looked at again.
    pub(super) interval: Duration,
}

impl<I: Ingresses> Writer<I> {
    /// Writes what differs, whenever something changes, until it is dropped.
    pub(super) async fn follow(&self, mut wanted: watch::Receiver<Option<Vec<Address>>>) {
        let mut published = self.published.clone();
        let mut statuses = self.statuses.changes();
        let mut interval = interval_at(Instant::now() + self.interval, self.interval);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pending = Pending::default();
        let mut backoff = Backoff::default();
        let mut retry: Option<Instant> = None;
        loop {
            statuses.mark_unchanged();
            let addresses = wanted.borrow_and_update().clone();
            let served = published.borrow_and_update().served.clone();
            if let Some(addresses) = addresses {
                pending.want(&addresses);
                let differing = pending.select(self.statuses.differing(&served, &addresses));
                let failures = self.write_all(differing, &addresses, &mut pending).await;
                if failures && retry.is_none() {
                    retry = Some(Instant::now() + backoff.pause(None));
                }
            }
            tokio::select! {
                () = changed(&mut wanted) => {}
                () = changed(&mut published) => {}
                () = changed(&mut statuses) => {}
                _ = interval.tick() => pending.forget(),
                () = at(retry) => {
                    retry = None;
                    pending.try_again();
                }
            }
            sleep(TOGETHER).await;
        }
    }

    /// Whether some could not be written.
    async fn write_all(
        &self,
        differing: Vec<(ObjectKey, String)>,
        addresses: &[Address],
        pending: &mut Pending,
    ) -> bool {
        let mut failures = 0_usize;
        let mut reason = None;
        let writes = stream::iter(differing).map(|(key, uid)| async move {
            let outcome = timeout(WRITE, write(&self.ingresses, &key, addresses)).await;
            (key, uid, outcome.unwrap_or_else(|_| Err(WriteError::Failed("no answer".to_owned()))))
        });
        let mut writes = pin!(writes.buffer_unordered(PARALLEL));
        while let Some((key, uid, outcome)) = writes.next().await {
            self.writes.count(&outcome);
            match outcome {
                Ok(wrote) => {
                    tracing::debug!(ingress = %key, wrote, "status");
                    pending.note_done(key, uid);
                }
                Err(error) => {
                    failures += 1;
                    reason.get_or_insert_with(|| format!("{key}: {error}"));
                    pending.note_failed(key);
                }
            }
        }
        if let Some(reason) = reason {
            tracing::warn!(failures, reason, "the status of Ingresses could not be written, it is tried again");
        }
        failures > 0
    }

    /// Takes the addresses out of the status of every Ingress that is served.
    pub(super) async fn clear(&self) {
        let served = self.published.borrow().served.clone();
        self.write_all(self.statuses.differing(&served, &[]), &[], &mut Pending::default()).await;
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
