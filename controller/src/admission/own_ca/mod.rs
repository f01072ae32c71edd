//! The webhook's certificate made and kept by the controller itself: CA and certificate in a Secret, the CA in the
//! webhook's configuration.
//!
//! The leader makes and renews what is ours, which a label says; the Secret of another (such as that of the certgen of
//! ingress-nginx) is used as it is and never written. Every replica serves what the Secret holds. To have everything made
//! anew, delete the Secret.

mod configuration;
mod fault;
mod pair;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::Secret;
use kube::core::DynamicObject;
use portcullis_translate::{Finding, ObjectKey};
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::certificate::{Current, server_config};
use crate::api_server::{Backoff, jitter};
use crate::leader::Leadership;
use crate::source::Inbox;
use fault::{CONFIGURATION, Fault, SECRET};
use pair::Pair;
pub use store::{ApiStore, Store, StoreError};

/// How often the objects are looked at: while the CA is not where it should be, the API server refuses every Ingress.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// The same at most while there is no certificate; at first it is looked for more often.
const LOOK_FOR_FIRST: Duration = Duration::from_secs(10);

/// How long one look may take, with all that is written.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a look begins anew because somebody else writes at the same time.
const TRIES: usize = 5;

/// Failures in a row that are nobody's concern: a server that is replaced.
const USUAL_FAILURES: u32 = 3;

/// Who manages an object (Kubernetes, "Recommended labels"): what has our name there is ours to write.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const OURS: &str = "portcullis";

/// The names of the two objects.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Names {
    /// `--validating-webhook-secret`.
    pub secret: ObjectKey,
    /// `--validating-webhook-configuration`.
    pub configuration: String,
}

/// What the webhook takes from the keeper.
#[derive(Clone, Debug)]
pub struct Kept {
    pub(super) current: Current,
    pub(super) findings: watch::Receiver<Vec<Finding>>,
}

/// Keeps the certificate.
#[derive(Debug)]
pub struct Keeper<S> {
    store: S,
    names: Names,
    leadership: Leadership,
    inbox: Arc<dyn Inbox>,
    current: watch::Sender<Option<Arc<ServerConfig>>>,
    findings: watch::Sender<Vec<Finding>>,
    /// What `current` was made of.
    used: Option<Pair>,
    backoff: Backoff,
    /// Looks in a row that ended in a fault.
    failures: u32,
    clock: fn() -> SystemTime,
}

impl<S: Store> Keeper<S> {
    /// Begins nothing yet. `inbox` is that of the loop that takes the findings.
    pub fn new(store: S, names: Names, leadership: Leadership, inbox: Arc<dyn Inbox>) -> Self {
        Self {
            store,
            names,
            leadership,
            inbox,
            current: watch::Sender::default(),
            findings: watch::Sender::default(),
            used: None,
            backoff: Backoff::default(),
            failures: 0,
            clock: SystemTime::now,
        }
    }

    /// What the webhook serves with.
    #[must_use]
    pub fn kept(&self) -> Kept {
        Kept { current: self.current.subscribe(), findings: self.findings.subscribe() }
    }

    /// Keeps it for ever.
    pub async fn run(mut self) {
        loop {
            self.leadership.mark_unchanged();
            let looked = timeout(PATIENCE, self.look()).await;
            let looked = looked.unwrap_or_else(|_| Err(Fault::Failed { kind: SECRET, reason: "no answer".to_owned() }));
            let pause = self.note(looked);
            tokio::select! {
                () = sleep(pause) => {}
                Ok(()) = self.leadership.changed() => {}
            }
        }
    }

    /// Looks at the objects, and again where somebody else writes at the same time.
    async fn look(&mut self) -> Result<(), Fault> {
        for _ in 1..TRIES {
            match self.look_once().await {
                Err(Fault::Conflict) => {}
                looked => return looked,
            }
        }
        self.look_once().await
    }

    async fn look_once(&mut self) -> Result<(), Fault> {
        if !*self.leadership.borrow() {
            let secret = self.secret().await?.ok_or(Fault::Missing)?;
            let taken = Pair::of(&secret).map_err(Fault::Secret).and_then(|pair| self.take(pair));
            // The leader makes ours anew.
            return if is_ours(&secret) { taken.map_err(|_| Fault::Missing) } else { taken };
        }
        // It is read first: a CA that another one has put there since then is not written over with what the Secret held
        // before.
        let configuration = self.configuration().await;
        let secret = self.secret().await?;
        if let Some(Ok(pair)) = secret.as_ref().map(Pair::of) {
            // The leader goes on where it cannot be used.
            let _told_below = self.take(pair);
        }
        let configuration = configuration?;
        let services = configuration::services(&configuration);
        if services.is_empty() {
            let help = "give its webhooks a clientConfig.service";
            return Err(Fault::Configuration("none of its webhooks names a Service".to_owned(), help));
        }
        let pair = self.ensure(secret, &services).await?;
        self.tell(configuration, &pair).await?;
        self.take(pair)
    }

    /// The pair that the Secret holds, made or renewed where that is needed and is ours to do.
    async fn ensure(&self, secret: Option<Secret>, services: &[String]) -> Result<Pair, Fault> {
        let now = (self.clock)();
        let Some(mut secret) = secret else {
            let made = make(None, services, now)?;
            let mut secret = self.blank();
            made.clone().put_into(&mut secret);
            self.store.create_secret(&secret).await.map_err(|error| Fault::of(SECRET, error))?;
            tracing::info!(secret = %self.names.secret, "CA and certificate of the webhook made");
            return Ok(made);
        };
        let pair = Pair::of(&secret);
        let usable = pair.clone().and_then(|pair| pair.check(services, now).map(|()| pair));
        let reason = match usable {
            Ok(pair) if !is_ours(&secret) || pair.is_due(now) == Ok(false) => return Ok(pair),
            Ok(_) => "it has had two thirds of its life".to_owned(),
            Err(reason) if is_ours(&secret) => reason,
            Err(reason) => return Err(Fault::Secret(reason)),
        };
        let made = make(pair.as_ref().ok(), services, now)?;
        made.clone().put_into(&mut secret);
        self.store.replace_secret(&secret).await.map_err(|error| Fault::of(SECRET, error))?;
        tracing::info!(secret = %self.names.secret, reason, "certificate of the webhook renewed");
        Ok(made)
    }

    /// Puts the CA into the configuration.
    async fn tell(&self, mut configuration: DynamicObject, pair: &Pair) -> Result<(), Fault> {
        if !configuration::put_ca(&mut configuration, &pair.ca) || !*self.leadership.borrow() {
            return Ok(());
        }
        self.store.replace_configuration(&configuration).await.map_err(|error| Fault::of(CONFIGURATION, error))?;
        tracing::info!(configuration = self.names.configuration, "CA of the webhook put into its configuration");
        Ok(())
    }

    /// Serves with it from now on.
    fn take(&mut self, pair: Pair) -> Result<(), Fault> {
        if self.used.as_ref() == Some(&pair) {
            return Ok(());
        }
        let config = server_config(&pair.certificate, &pair.key).map_err(Fault::Secret)?;
        self.current.send_replace(Some(Arc::new(config)));
        self.used = Some(pair);
        tracing::info!(secret = %self.names.secret, "the certificate of the webhook is in use");
        Ok(())
    }

    fn blank(&self) -> Secret {
        let mut secret = Secret { type_: Some("Opaque".to_owned()), ..Secret::default() };
        secret.metadata.namespace = Some(self.names.secret.namespace.to_string());
        secret.metadata.name = Some(self.names.secret.name.to_string());
        secret.metadata.labels = Some([(MANAGED_BY.to_owned(), OURS.to_owned())].into());
        secret
    }

    async fn secret(&self) -> Result<Option<Secret>, Fault> {
        self.store.secret().await.map_err(|error| Fault::of(SECRET, error))
    }

    async fn configuration(&self) -> Result<DynamicObject, Fault> {
        let read = self.store.configuration().await.map_err(|error| Fault::of(CONFIGURATION, error))?;
        let help = "create it, or name another one with --validating-webhook-configuration";
        read.ok_or_else(|| Fault::Configuration("there is no such object".to_owned(), help))
    }

    /// Tells what is wrong, if anything, and when to look again.
    fn note(&mut self, looked: Result<(), Fault>) -> Duration {
        let most = if self.used.is_some() { LOOK_EVERY } else { LOOK_FOR_FIRST };
        let Err(fault) = looked else {
            self.failures = 0;
            self.report(None);
            return jitter(most);
        };
        self.failures = self.failures.saturating_add(1);
        if !fault.is_usual() || self.failures >= USUAL_FAILURES {
            self.report(fault.finding(&self.names, self.used.is_some()));
        }
        tracing::debug!(?fault, "the certificate of the webhook is looked at again");
        self.backoff.pause(None).min(most)
    }

    fn report(&self, finding: Option<Finding>) {
        let findings: Vec<Finding> = finding.into_iter().collect();
        let differs = |held: &mut Vec<Finding>| std::mem::replace(held, findings.clone()) != findings;
        if self.findings.send_if_modified(differs) {
            self.inbox.nudge();
        }
    }
}

fn make(former: Option<&Pair>, services: &[String], now: SystemTime) -> Result<Pair, Fault> {
    let fault = |error| Fault::Configuration(format!("no certificate can be made for its Services: {error}"), "");
    Pair::make(former, services, now).map_err(fault)
}

fn is_ours(secret: &Secret) -> bool {
    secret.metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|by| by == OURS)
}
