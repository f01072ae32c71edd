//! Writes what waits, one at a time and within limits. What was said before is counted up.
//!
//! The name of an Event follows from what it says. So who does not remember whether it was said, after a restart or where
//! another replica led before, learns it from the API server, which has an Event of that name or has none.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::time::{Instant, sleep};

use super::counts::{Counts, Outcome};
use super::limit::{Overall, PerObject};
use super::note::Note;
use super::queue::Queue;
use super::recent::Recent;
use super::store::{Events, Fault};
use crate::api_server::Backoff;

/// Events that are remembered.
const REMEMBERED: usize = 4_096;

/// Namespaces that are remembered in which no Event may be written.
const REFUSING: usize = 256;

/// How long nothing is tried in such a namespace.
const REFUSED: Duration = Duration::from_secs(600);

/// How often the server is asked to write one Event, if it cannot at the moment: some minutes.
const TRIES: usize = 12;

/// How often it is looked anew whether there is an Event or none.
const LOOKS: usize = 4;

/// Writes Events.
pub(super) struct Recorder {
    events: Events,
    counts: Arc<Counts>,
    overall: Overall,
    per_object: PerObject,
    /// Counts of Events by what they say; none where only that they are there is known.
    said: Recent<u64, Option<i32>>,
    /// Since when no Event may be written in a namespace.
    refusing: Recent<String, Instant>,
    /// Whether the log says so.
    complained: bool,
    backoff: Backoff,
}

impl Recorder {
    /// On behalf of the Pod `instance`.
    pub(super) fn new(client: Client, instance: String, counts: Arc<Counts>) -> Self {
        Self {
            events: Events::new(client, instance),
            counts,
            overall: Overall::default(),
            per_object: PerObject::default(),
            said: Recent::new(REMEMBERED),
            refusing: Recent::new(REFUSING),
            complained: false,
            backoff: Backoff::default(),
        }
    }

    /// Writes what comes, until it is dropped.
    pub(super) async fn run(&mut self, queue: &Queue) {
        loop {
            let note = queue.next().await;
            let outcome = self.record(&note).await;
            tracing::debug!(object = %note.object, reason = &*note.reason, ?outcome, "Event");
            self.counts.add(outcome);
        }
    }

    async fn record(&mut self, note: &Note) -> Outcome {
        if !note.fresh && self.said.get(&note.id()).is_some() {
            return Outcome::Known;
        }
        if self.is_refusing(note.namespace()) {
            return Outcome::Refused;
        }
        if !self.per_object.allows(note) {
            return Outcome::Limited;
        }
        for _ in 0..TRIES {
            self.overall.wait().await;
            match self.write(note).await {
                Ok(outcome) => return outcome,
                Err(Fault::Refused(reason)) => {
                    self.refuse(note.namespace(), &reason);
                    return Outcome::Refused;
                }
                Err(Fault::Later(reason, asked)) => {
                    let pause = self.backoff.pause(asked);
                    tracing::debug!(object = %note.object, reason, ?pause, "an Event is written later");
                    sleep(pause).await;
                }
                Err(fault) => {
                    tracing::debug!(object = %note.object, %fault, "an Event cannot be written");
                    return Outcome::Failed;
                }
            }
        }
        tracing::warn!(object = %note.object, reason = &*note.reason, "an Event was given up: the API server never took it");
        Outcome::Failed
    }

    /// Creates the Event, or counts up the one there is.
    async fn write(&mut self, note: &Note) -> Result<Outcome, Fault> {
        let id = note.id();
        let mut is_there = self.said.get(&id).is_some();
        for _ in 0..LOOKS {
            let written = if is_there { self.count_up(note).await } else { self.create(note).await };
            match written {
                Err(Fault::Gone) if is_there => is_there = false,
                Err(Fault::Exists) if note.fresh => is_there = true,
                Err(Fault::Exists) => {
                    self.said.insert(id, None);
                    return Ok(Outcome::Known);
                }
                written => return written,
            }
        }
        Err(Fault::Later("it comes and goes".to_owned(), None))
    }

    async fn create(&mut self, note: &Note) -> Result<Outcome, Fault> {
        self.events.create(note).await?;
        self.said.insert(note.id(), Some(1));
        Ok(Outcome::Created)
    }

    async fn count_up(&mut self, note: &Note) -> Result<Outcome, Fault> {
        let known = self.said.get(&note.id()).copied().flatten();
        // Events may not be read; but who changes one is told what it is like.
        let known = match known {
            Some(count) => count,
            None => self.events.repeat(note, None).await?,
        };
        let count = self.events.repeat(note, Some(known.saturating_add(1))).await?;
        self.said.insert(note.id(), Some(count));
        Ok(Outcome::Repeated)
    }

    fn is_refusing(&mut self, namespace: &str) -> bool {
        let since = self.refusing.get(&namespace.to_owned());
        since.is_some_and(|since| since.elapsed() < REFUSED)
    }

    fn refuse(&mut self, namespace: &str, reason: &str) {
        self.refusing.insert(namespace.to_owned(), Instant::now());
        if std::mem::replace(&mut self.complained, true) {
            tracing::debug!(namespace, reason, "Events may not be written");
        } else {
            tracing::warn!(
                namespace,
                reason,
                "Events may not be written: let the role create and patch events; it is tried again later"
            );
        }
    }
}

#[cfg(test)]
mod tests;
