//! The watch of one kind: lists its objects, follows their changes, and begins anew where that fails.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use kube::api::{Api, DynamicObject};
use kube::runtime::watcher::{self, Event, watcher};
use portcullis_translate::{Finding, ObjectRef, Severity};

use super::super::object::{Identity, Kind};
use super::kinds::{self, Watched};
use super::mailbox::Mailbox;
use super::read::{Read, identity, read};
use super::references::References;
use super::statuses::IngressStatuses;
use crate::api_server::{Backoff, Contact};

/// How long a page of a list may take.
const LIST: Duration = Duration::from_secs(30);

/// A list that is so much shorter than what is known is asked for once more before it is believed.
const CONFIRM: Duration = Duration::from_secs(5);

/// Fewer objects than this come and go as they like.
const FEW: usize = 10;

/// A kind that may not be read is asked for again this late.
const FORBIDDEN: Duration = Duration::from_secs(30);

/// How often is looked whether a watch that had failed runs again.
const GLANCE: Duration = Duration::from_secs(1);

/// Failures in a row that are nobody's concern: a server that is replaced.
const USUAL_FAILURES: u32 = 2;

/// What is kept of objects beside what translation reads.
#[derive(Clone, Debug, Default)]
pub(super) struct Beside {
    pub(super) statuses: Arc<IngressStatuses>,
    pub(super) references: Arc<References>,
}

/// Follows a kind for ever.
pub(super) async fn follow(
    watched: Watched,
    api: Api<DynamicObject>,
    mailbox: Arc<Mailbox>,
    contact: Arc<Contact>,
    beside: Beside,
) {
    let (backoff, known) = (Backoff::default(), BTreeSet::new());
    let mut watch = Watch { watched, mailbox, contact, beside, backoff, known, doubted: false, faulty: false };
    loop {
        let pause = watch.until_lost(&api).await;
        tokio::time::sleep(pause).await;
    }
}

struct Watch {
    watched: Watched,
    mailbox: Arc<Mailbox>,
    contact: Arc<Contact>,
    beside: Beside,
    backoff: Backoff,
    /// The objects of the kind.
    known: BTreeSet<Identity>,
    /// Whether the last list was not believed.
    doubted: bool,
    /// Whether users are told of a fault.
    faulty: bool,
}

/// A list that is not complete yet.
type Staged = BTreeMap<Identity, Read>;

impl Watch {
    /// Lists and watches until it has to begin with a list again; how long to wait before that.
    async fn until_lost(&mut self, api: &Api<DynamicObject>) -> Duration {
        let mut events = pin!(watcher(api.clone(), kinds::config(self.watched.kind)));
        let mut staged: Option<Staged> = None;
        loop {
            let event = match staged {
                None => self.silent_or_next(events.as_mut(), api.resource_url()).await,
                Some(_) => match tokio::time::timeout(LIST, events.next()).await {
                    Ok(event) => event,
                    Err(_) => return self.fail("the list does not come to its end", None),
                },
            };
            match event {
                None => return self.fail("the watch has ended", None),
                Some(Err(error)) => {
                    let pause = self.fail_with(&error);
                    tokio::time::sleep(pause).await;
                }
                Some(Ok(Event::Init)) => {
                    staged = Some(Staged::new());
                    self.of_ingress(IngressStatuses::begin);
                    self.beside.references.begin(self.kind());
                }
                Some(Ok(Event::InitApply(object))) => self.stage(&object, staged.get_or_insert_default()),
                Some(Ok(Event::InitDone)) => {
                    if self.is_doubtful(staged.as_ref().map_or(0, BTreeMap::len)) {
                        return CONFIRM;
                    }
                    self.replace(staged.take().unwrap_or_default());
                }
                Some(Ok(Event::Apply(object))) => self.put(&object),
                Some(Ok(Event::Delete(object))) => self.remove(&object),
            }
        }
    }

    fn of_ingress(&self, note: impl FnOnce(&IngressStatuses)) {
        if self.kind() == Kind::Ingress {
            note(&self.beside.statuses);
        }
    }

    /// The next event. A watch may be silent for as long as nothing happens, and is ended by the server or by its connection;
    /// that it runs again is seen by its request.
    async fn silent_or_next<S: Stream + Unpin>(&mut self, mut events: S, path: &str) -> Option<S::Item> {
        while self.faulty {
            if let Ok(event) = tokio::time::timeout(GLANCE, events.next()).await {
                return event;
            }
            if self.contact.is_watching(path) {
                self.recover();
            }
        }
        events.next().await
    }

    fn kind(&self) -> Kind {
        self.watched.kind
    }

    fn stage(&self, object: &DynamicObject, staged: &mut Staged) {
        if let Some(identity) = identity(self.kind(), object) {
            let read = read(&identity, object);
            self.of_ingress(|statuses| statuses.stage(&identity.key, object));
            self.beside.references.stage(&identity, object, &read);
            staged.insert(identity, read);
        }
    }

    /// Whether a list is so short that it is asked for a second time.
    fn is_doubtful(&mut self, listed: usize) -> bool {
        let is_short = self.known.len() >= FEW && listed < self.known.len().div_ceil(2);
        self.doubted = is_short && !self.doubted;
        if self.doubted {
            let (kind, known) = (self.kind().name(), self.known.len());
            tracing::warn!(kind, known, listed, "a list is much shorter than expected, asking once more");
        }
        self.doubted
    }

    fn replace(&mut self, objects: Staged) {
        tracing::debug!(kind = self.kind().name(), count = objects.len(), "listed");
        self.known = objects.keys().cloned().collect();
        self.of_ingress(IngressStatuses::replace);
        self.beside.references.replace(self.kind());
        self.mailbox.replace(self.kind(), objects);
        self.recover();
    }

    fn put(&mut self, object: &DynamicObject) {
        if let Some(identity) = identity(self.kind(), object) {
            let read = read(&identity, object);
            self.of_ingress(|statuses| statuses.put(&identity.key, object));
            self.beside.references.put(&identity, object, &read);
            self.known.insert(identity.clone());
            self.mailbox.put(identity, Some(read));
            self.recover();
        }
    }

    fn remove(&mut self, object: &DynamicObject) {
        if let Some(identity) = identity(self.kind(), object) {
            self.known.remove(&identity);
            self.of_ingress(|statuses| statuses.remove(&identity.key));
            self.beside.references.remove(&identity);
            self.mailbox.put(identity, None);
        }
    }

    fn fail_with(&mut self, error: &watcher::Error) -> Duration {
        let status = status(error);
        let is_gone = status.is_some_and(|status| matches!(status.code, 403 | 404));
        if is_gone && self.watched.optional {
            self.mailbox.give_up(self.kind());
            self.tell(Severity::Warning, &error.to_string());
            return FORBIDDEN;
        }
        let asked = status.and_then(|status| status.details.as_ref()).map(|details| details.retry_after_seconds);
        self.fail(&error.to_string(), asked.map(|seconds| Duration::from_secs(seconds.into())))
    }

    fn fail(&mut self, reason: &str, asked: Option<Duration>) -> Duration {
        let pause = self.backoff.pause(asked);
        let failures = self.backoff.failures();
        tracing::debug!(kind = self.kind().name(), reason, failures, ?pause, "watch failed");
        if failures > USUAL_FAILURES {
            self.tell(Severity::Error, reason);
        }
        pause
    }

    fn recover(&mut self) {
        if std::mem::take(&mut self.faulty) {
            self.mailbox.set_fault(self.kind(), None);
        }
    }

    fn tell(&mut self, severity: Severity, reason: &str) {
        self.faulty = true;
        let object = ObjectRef { kind: self.kind().name(), namespace: "".into(), name: "*".into() };
        self.mailbox.set_fault(
            self.kind(),
            Some(Finding {
                object,
                field: String::new(),
                severity,
                code: "not-watched",
                message: reason.to_owned(),
                help: "what was last known is served on; see whether the API server is there and the role allows it"
                    .to_owned(),
            }),
        );
    }
}

/// What the server says of an error.
fn status(error: &watcher::Error) -> Option<&kube::core::Status> {
    use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status))
        | WatchError(status) => Some(status),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
