//! Leader election by a Lease: of all replicas that name the same one, at most one leads.
//!
//! Nobody's clock is believed. A candidate takes the Lease over when it has not seen it change for as long as it lasts;
//! a leader stands down when half of that has gone by since it began to renew it the last time. What the data plane
//! does never depends on it.

mod lease;
mod store;

use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::api_server::jitter;
use lease::Holding;
pub use store::{ApiLease, LeaseError, LeaseStore};

/// How long giving up the Lease at the end may take.
const RELEASE: Duration = Duration::from_secs(2);

/// How often giving up is tried where somebody else writes at the same time.
const RELEASE_TRIES: usize = 3;

/// Failures in a row that are nobody's concern: a server that is replaced.
const USUAL_FAILURES: u32 = 3;

/// After another write came first.
const AT_ONCE: Duration = Duration::from_millis(20);

/// Which replicas elect one of them, and who this one is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LeaseConfig {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Its name: `--election-id`.
    pub name: String,
    /// This replica: the name of its Pod.
    pub holder: String,
    /// How long the Lease lasts: `--election-ttl`, at least a second.
    pub ttl: Duration,
}

/// Whether this replica leads.
pub type Leadership = watch::Receiver<bool>;

/// Takes part in the election until `end` is there; then gives up the Lease, if it is held, so that another need not
/// wait.
pub async fn elect<S: LeaseStore>(
    store: S,
    config: LeaseConfig,
    leading: watch::Sender<bool>,
    end: impl Future<Output = ()>,
) {
    let mut candidate = Candidate::new(store, config, leading);
    tokio::select! {
        () = candidate.run() => {}
        () = end => {}
    }
    candidate.release().await;
}

struct Candidate<S> {
    store: S,
    config: LeaseConfig,
    leading: watch::Sender<bool>,
    /// The Lease as it was last written here.
    own: Option<Lease>,
    /// When the request that last renewed it was begun.
    renewed: Instant,
    /// What another holder last did.
    other: Option<Holding>,
    /// Attempts that failed in a row.
    failures: u32,
}

impl<S: LeaseStore> Candidate<S> {
    fn new(store: S, config: LeaseConfig, leading: watch::Sender<bool>) -> Self {
        Self { store, config, leading, own: None, renewed: Instant::now(), other: None, failures: 0 }
    }

    async fn run(&mut self) {
        loop {
            let pause = match timeout(self.patience(), self.attempt()).await {
                Ok(Ok(())) => self.note_success(),
                Ok(Err(error)) => self.note_failure(&error),
                Err(_) => self.note_failure(&LeaseError::Failed("no answer".to_owned())),
            };
            self.pause(pause).await;
        }
    }

    /// Waits, and stands down where the time to renew is over meanwhile.
    async fn pause(&mut self, pause: Duration) {
        if self.leads() && pause >= self.remaining() {
            sleep(self.remaining()).await;
            self.set(false, "it could not be renewed in time");
            return;
        }
        sleep(pause).await;
    }

    /// How long one attempt may take.
    fn patience(&self) -> Duration {
        let request = self.config.ttl / 6;
        if self.leads() { request.min(self.remaining()) } else { request }
    }

    /// How long it may lead without renewing.
    fn remaining(&self) -> Duration {
        (self.renewed + self.config.ttl / 2).saturating_duration_since(Instant::now())
    }

    /// Renews the Lease or takes it, where it may.
    async fn attempt(&mut self) -> Result<(), LeaseError> {
        let begun = Instant::now();
        let current = match self.own.take() {
            Some(own) => Some(own),
            None => self.store.get().await?,
        };
        if let Some(lease) = &current
            && !self.may_take(lease)
        {
            self.set(false, "another replica holds it");
            return Ok(());
        }
        let wanted = lease::taken(current.as_ref(), &self.config);
        let written = match current {
            Some(_) => self.store.replace(&wanted).await?,
            None => self.store.create(&wanted).await?,
        };
        (self.own, self.renewed, self.other) = (Some(written), begun, None);
        self.set(true, "");
        Ok(())
    }

    fn may_take(&mut self, lease: &Lease) -> bool {
        if lease::is_free_for(lease, &self.config.holder) {
            return true;
        }
        let seen = Holding::of(lease, self.config.ttl);
        let holding = match self.other.take() {
            Some(former) if former.is_same(&seen) => former,
            _ => seen,
        };
        self.other.insert(holding).is_over()
    }

    /// A candidate looks often, and at the moment when the Lease is over.
    fn until_next_look(&self) -> Duration {
        let often = self.often();
        self.other.as_ref().map_or(often, |holding| holding.remaining().min(often))
    }

    fn often(&self) -> Duration {
        jitter(self.config.ttl / 15)
    }

    fn note_success(&mut self) -> Duration {
        self.failures = 0;
        if self.leads() { self.config.ttl / 4 } else { self.until_next_look() }
    }

    /// How long to wait then. Who was late by chance reads again at once.
    fn note_failure(&mut self, reason: &LeaseError) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let (LeaseConfig { namespace, name, .. }, leading) = (&self.config, self.leads());
        if self.failures == USUAL_FAILURES {
            tracing::warn!(namespace, name, %reason, leading, "the Lease cannot be read or written, it is tried again");
        } else {
            tracing::debug!(namespace, name, %reason, leading, "the Lease could not be read or written");
        }
        if *reason == LeaseError::Conflict && self.failures < USUAL_FAILURES { AT_ONCE } else { self.often() }
    }

    fn leads(&self) -> bool {
        *self.leading.borrow()
    }

    fn set(&self, leads: bool, reason: &str) {
        let changed = self.leading.send_if_modified(|leading| std::mem::replace(leading, leads) != leads);
        match (changed, leads) {
            (false, _) => {}
            (true, true) => tracing::info!(lease = self.config.name, holder = self.config.holder, "leading"),
            (true, false) => tracing::info!(lease = self.config.name, reason, "leading no more"),
        }
    }

    /// Gives up the Lease.
    async fn release(&mut self) {
        if !self.leads() {
            return;
        }
        self.set(false, "told to end");
        match timeout(RELEASE, self.try_release()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the Lease was not given up, others wait until it is over"),
            Err(_) => tracing::warn!("the Lease was not given up in time, others wait until it is over"),
        }
    }

    async fn try_release(&mut self) -> Result<(), LeaseError> {
        for _ in 0..RELEASE_TRIES {
            let current = match self.own.take() {
                Some(own) => Some(own),
                None => self.store.get().await?,
            };
            let Some(current) = current.filter(|lease| lease::is_held_by(lease, &self.config.holder)) else {
                return Ok(());
            };
            match self.store.replace(&lease::released(&current)).await {
                Err(LeaseError::Conflict) => {}
                written => return written.map(drop),
            }
        }
        Err(LeaseError::Conflict)
    }
}

#[cfg(test)]
mod tests;
