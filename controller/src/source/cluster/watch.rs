//! The watch of one kind: lists its objects, follows their changes, and begins anew where that fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use kube::api::{Api, DynamicObject, PartialObjectMeta};
use kube::runtime::watcher::{self, Event, watcher};
use portcullis_translate::{Finding, Severity};
use serde_json::Value;

use super::super::object::{Identity, Kind};
use super::kinds::{Feed, Need, PARAMETERS, Watched};
use super::mailbox::Mailbox;
use super::read::{Read, identity, read};
use super::references::References;
use super::secrets::Secrets;
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

/// What all watches work with.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) contact: Arc<Contact>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) statuses: Arc<IngressStatuses>,
    pub(super) references: Arc<References>,
    pub(super) secrets: Arc<Secrets>,
}

/// Follows a feed for ever.
pub(super) async fn follow(watched: Watched, api: Api<DynamicObject>, shared: Shared) {
    if watched.feed.kind == Kind::Secret {
        shared.secrets.opened().await;
    }
    let (backoff, known) = (Backoff::default(), BTreeSet::new());
    let mut watch = Watch { watched, shared, backoff, known, doubted: false, faulty: false };
    loop {
        let pause = watch.until_lost(&api).await;
        tokio::time::sleep(pause).await;
    }
}

struct Watch {
    watched: Watched,
    shared: Shared,
    backoff: Backoff,
    /// The objects of the feed.
    known: BTreeSet<Identity>,
    /// Whether the last list was not believed.
    doubted: bool,
    /// Whether users are told of a fault.
    faulty: bool,
}

/// A list that is not complete yet; without content for Secrets, of which only the metadata is watched.
type Staged = BTreeMap<Identity, Option<Read>>;

impl Watch {
    /// Lists and watches until it has to begin with a list again; how long to wait before that.
    async fn until_lost(&mut self, api: &Api<DynamicObject>) -> Duration {
        let mut events = events(self.feed(), api);
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
                    self.begin();
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

    fn begin(&self) {
        self.shared.references.begin(self.feed());
        match self.kind() {
            Kind::Ingress => self.shared.statuses.begin(),
            Kind::Secret => self.shared.secrets.begin(),
            _ => {}
        }
    }

    fn of_ingress(&self, note: impl FnOnce(&IngressStatuses)) {
        if self.kind() == Kind::Ingress {
            note(&self.shared.statuses);
        }
    }

    /// The next event. A watch may be silent for as long as nothing happens, and is ended by the server or by its connection;
    /// that it runs again is seen by its request.
    async fn silent_or_next<S: Stream + Unpin>(&mut self, mut events: S, path: &str) -> Option<S::Item> {
        while self.faulty {
            if let Ok(event) = tokio::time::timeout(GLANCE, events.next()).await {
                return event;
            }
            if self.shared.contact.is_watching(path) {
                self.recover();
            }
        }
        events.next().await
    }

    fn kind(&self) -> Kind {
        self.feed().kind
    }

    fn feed(&self) -> &Feed {
        &self.watched.feed
    }

    fn stage(&self, object: &DynamicObject, staged: &mut Staged) {
        if let Some(identity) = identity(self.kind(), object) {
            self.of_ingress(|statuses| statuses.stage(&identity.key, object));
            let read = match self.kind() {
                Kind::Secret => {
                    self.shared.secrets.stage(&identity, object);
                    None
                }
                _ => Some(read(&identity, object)),
            };
            self.shared.references.stage(&identity, object, read.as_ref());
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
        let Shared { mailbox, secrets, references, .. } = &self.shared;
        references.replace(self.feed());
        match self.kind() {
            Kind::Secret => secrets.replace(),
            _ => {
                let read = objects.into_iter().filter_map(|(identity, read)| Some((identity, read?)));
                mailbox.replace(self.feed(), read.collect());
            }
        }
        self.recover();
    }

    fn put(&mut self, object: &DynamicObject) {
        if let Some(identity) = identity(self.kind(), object) {
            self.of_ingress(|statuses| statuses.put(&identity.key, object));
            self.known.insert(identity.clone());
            match self.kind() {
                Kind::Secret => {
                    self.shared.references.put(&identity, object, None);
                    self.shared.secrets.put(&identity, object);
                }
                _ => {
                    let read = read(&identity, object);
                    self.shared.references.put(&identity, object, Some(&read));
                    self.shared.mailbox.put(self.feed(), identity, Some(read));
                }
            }
            self.recover();
        }
    }

    fn remove(&mut self, object: &DynamicObject) {
        if let Some(identity) = identity(self.kind(), object) {
            self.known.remove(&identity);
            self.of_ingress(|statuses| statuses.remove(&identity.key));
            self.shared.references.remove(&identity);
            match self.kind() {
                Kind::Secret => self.shared.secrets.remove(&identity, object),
                _ => self.shared.mailbox.put(self.feed(), identity, None),
            }
        }
    }

    fn fail_with(&mut self, error: &watcher::Error) -> Duration {
        let status = status(error);
        let is_gone = status.is_some_and(|status| matches!(status.code, 403 | 404));
        match self.watched.need {
            Need::IfAllowed if is_gone => {
                self.shared.mailbox.give_up(self.feed());
                self.tell(Severity::Warning, &error.to_string());
                return FORBIDDEN;
            }
            Need::IfInstalled if is_gone => {
                tracing::debug!(kind = self.kind().name(), %error, "not installed, or not to be read");
                self.shared.mailbox.give_up(self.feed());
                self.recover();
                return FORBIDDEN;
            }
            Need::Always | Need::IfAllowed | Need::IfInstalled => {}
        }
        let asked = status.and_then(|status| status.details.as_ref()).map(|details| details.retry_after_seconds);
        self.fail(&error.to_string(), asked.map(|seconds| Duration::from_secs(seconds.into())))
    }

    fn fail(&mut self, reason: &str, asked: Option<Duration>) -> Duration {
        let pause = self.backoff.pause(asked);
        let failures = self.backoff.failures();
        tracing::debug!(kind = self.kind().name(), reason, failures, ?pause, "watch failed");
        if failures > USUAL_FAILURES {
            // A server that is away says nothing about this kind: others are waited for then, and it comes with them.
            let is_alone = !self.shared.mailbox.is_waiting_for_others_than(&PARAMETERS);
            if self.watched.need == Need::IfInstalled && is_alone {
                self.shared.mailbox.give_up(self.feed());
            }
            self.tell(Severity::Error, reason);
        }
        pause
    }

    fn recover(&mut self) {
        if std::mem::take(&mut self.faulty) {
            self.shared.mailbox.set_fault(&self.feed().to_ref(), None);
        }
    }

    fn tell(&mut self, severity: Severity, reason: &str) {
        let object = self.feed().to_ref();
        let was_faulty = std::mem::replace(&mut self.faulty, true);
        // Findings are reported only once serving has begun.
        if !was_faulty && self.shared.mailbox.is_waiting_for(self.feed()) {
            tracing::warn!(%object, reason, "cannot be read, and serving does not begin before it can");
        }
        self.shared.mailbox.set_fault(
            &object,
            Some(Finding {
                object: object.clone(),
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

/// A list and what comes after it. Of Secrets, the server sends nothing but their metadata.
fn events(feed: &Feed, api: &Api<DynamicObject>) -> BoxStream<'static, watcher::Result<Event<DynamicObject>>> {
    let config = feed.config();
    match feed.kind {
        Kind::Secret => {
            watcher(feed.metadata_api(&api.clone().into_client()), config).map(|event| event.map(bare)).boxed()
        }
        _ => watcher(api.clone(), config).boxed(),
    }
}

fn bare(event: Event<PartialObjectMeta<DynamicObject>>) -> Event<DynamicObject> {
    let object = |PartialObjectMeta { metadata, .. }| DynamicObject { types: None, metadata, data: Value::Null };
    match event {
        Event::Init => Event::Init,
        Event::InitApply(meta) => Event::InitApply(object(meta)),
        Event::InitDone => Event::InitDone,
        Event::Apply(meta) => Event::Apply(object(meta)),
        Event::Delete(meta) => Event::Delete(object(meta)),
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
