//! The loop: objects, translation, routing table, upstreams. The only one that publishes.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use portcullis_model::{Cluster, ClusterId, DnsTarget, Endpoints, Snapshot};
use portcullis_proxy::table::{RoutingTable, TableReader, TableWriter, channel};
use portcullis_proxy::upstream::UpstreamRegistry;
use portcullis_translate::{Finding, Memo, ObjectKey, Options, Severity, Translation, origin, translate};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::admission::Reviews;
use crate::dns::{Dns, DnsConfig};
use crate::process::Started;
use crate::source::{ObjectSource, Step};
use crate::status::Status;

/// How long the start waits for the first answers of name servers.
const FIRST_ANSWERS: Duration = Duration::from_secs(2);

/// How long a change waits for the addresses of names that are new, so that they are not missing for the first requests.
const NEW_ANSWERS: Duration = Duration::from_millis(50);

/// Most findings that one build logs; all are on the admin address.
const MAX_LOGGED: usize = 100;

/// Where the loop takes objects from and how it reads them.
#[derive(Debug)]
pub struct Input {
    /// The objects.
    pub source: Box<dyn ObjectSource>,
    /// Flags that translation depends on.
    pub options: Options,
    /// What is known of the flags themselves.
    pub findings: Vec<Finding>,
    /// Where names are looked up.
    pub dns: DnsConfig,
}

/// Why serving does not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// As in ingress-nginx, a default backend has to be there from the start.
    #[error("the Service {0} of --default-backend-service does not exist")]
    NoDefaultBackend(ObjectKey),
}

/// What the last build led to, for those who tell others about it: status, Events.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// The Ingresses that are served, sorted.
    pub served: Arc<[ObjectKey]>,
    /// All that users should know, sorted.
    pub findings: Arc<[Finding]>,
    /// Grows with every publication; 0 before the first.
    pub generation: u64,
}

/// The loop and what it holds.
#[derive(Debug)]
pub struct Reconciler {
    input: Input,
    memo: Memo,
    registry: Arc<UpstreamRegistry>,
    dns: Dns,
    writer: TableWriter,
    status: Arc<Status>,
    started: Started,
    reviews: Option<Reviews>,
    /// Findings of others.
    beside: Option<watch::Receiver<Vec<Finding>>>,
    /// Findings of the last translation.
    translated: Vec<Finding>,
    /// Ingresses that the last translation serves.
    served: Arc<[ObjectKey]>,
    published: watch::Sender<Arc<Published>>,
    /// Findings that have been logged and still hold.
    reported: BTreeSet<Finding>,
}

impl Reconciler {
    /// Builds and publishes the first table. Names are resolved on `runtime`.
    ///
    /// # Errors
    ///
    /// When something is missing without which serving does not begin.
    pub fn start(
        input: Input,
        started: Started,
        status: Arc<Status>,
        registry: Arc<UpstreamRegistry>,
        runtime: Handle,
    ) -> Result<(Self, TableReader), StartError> {
        check_default_backend(&input)?;
        let begin = Instant::now();
        let dns = {
            let (registry, status) = (registry.clone(), status.clone());
            Dns::new(&input.dns, runtime, move |cluster, endpoints| {
                if registry.set_endpoints(cluster, endpoints) {
                    status.advance();
                }
            })
        };
        let mut memo = Memo::default();
        let translation = translate(input.source.resources(), &input.options, &mut memo);
        let table = RoutingTable::compile(&translation.snapshot, &registry, None);
        let (writer, reader) = channel(table);
        let mut reconciler = Self {
            input,
            memo,
            registry,
            dns,
            writer,
            status,
            started,
            reviews: None,
            beside: None,
            translated: Vec::new(),
            served: Arc::default(),
            published: watch::Sender::default(),
            reported: BTreeSet::new(),
        };
        reconciler.follow_names(&translation.snapshot, FIRST_ANSWERS);
        reconciler.set_endpoints(&translation.snapshot, |_| true);
        reconciler.note(translation, begin);
        reconciler.status.ready(reader.clone());
        Ok((reconciler, reader))
    }

    /// What each build leads to. It is the latest, never a queue, and nobody is waited for.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<Arc<Published>> {
        self.published.subscribe()
    }

    /// Makes these reviews besides, from now on.
    #[must_use]
    pub fn reviewing(mut self, reviews: Reviews) -> Self {
        self.reviews = Some(reviews);
        self
    }

    /// Reports these findings besides, from now on; whoever changes them nudges.
    #[must_use]
    pub fn reporting(mut self, findings: watch::Receiver<Vec<Finding>>) -> Self {
        self.beside = Some(findings);
        self
    }

    /// Follows the source until its inbox is closed.
    pub fn run(mut self) {
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.follow())) {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => self.note_failure(),
            }
        }
    }

    /// Waits for what comes next and serves it; false at the end.
    fn follow(&mut self) -> bool {
        let Some(Step { looked, changed, nudged }) = self.input.source.next() else { return false };
        let begin = Instant::now();
        if let Some(reviews) = &mut self.reviews {
            reviews.answer(self.input.source.resources(), &self.input.options);
        }
        let told = self.beside.as_ref().is_some_and(|beside| beside.has_changed().unwrap_or(false));
        if nudged && !told {
            return true;
        }
        tracing::debug!(looked, changed, "objects looked at again");
        if changed {
            self.build(begin);
            self.input.source.served();
        } else {
            self.report();
        }
        if looked > 0 {
            self.status.advance();
        }
        true
    }

    #[cold]
    fn note_failure(&mut self) {
        tracing::error!("a build failed by a fault of ours, the last table is served on");
        // What the memo holds may be half done.
        self.memo = Memo::default();
        self.status.update(|latest| {
            latest.failures += 1;
            latest.failed = true;
        });
        self.status.advance();
    }

    fn build(&mut self, begin: Instant) {
        let translation = translate(self.input.source.resources(), &self.input.options, &mut self.memo);
        let translated = begin.elapsed();
        let previous = self.status.latest().snapshot;
        let previous = previous.as_deref();
        if previous.is_some_and(|previous| same_rules(previous, &translation.snapshot)) {
            let former = previous.map(|previous| &previous.clusters);
            self.follow_names(&translation.snapshot, NEW_ANSWERS);
            self.set_endpoints(&translation.snapshot, |cluster| {
                former.and_then(|clusters| clusters.get(&cluster.id)) != Some(cluster)
            });
            tracing::debug!(?translated, took = ?begin.elapsed(), "endpoints published");
        } else {
            let current = self.writer.current();
            let table = RoutingTable::compile(&translation.snapshot, &self.registry, Some(&current));
            self.follow_names(&translation.snapshot, NEW_ANSWERS);
            self.set_endpoints(&translation.snapshot, |_| true);
            self.writer.publish(table);
            tracing::debug!(?translated, took = ?begin.elapsed(), "table published");
        }
        self.note(translation, begin);
        self.registry.prune();
    }

    /// Hands known addresses to the upstreams. Those of names come from the resolver.
    fn set_endpoints(&self, snapshot: &Snapshot, wanted: impl Fn(&Arc<Cluster>) -> bool) {
        for cluster in snapshot.clusters.values().filter(|cluster| wanted(cluster)) {
            if let Endpoints::Known(endpoints) = &cluster.endpoints {
                self.registry.set_endpoints(&cluster.id, endpoints);
            }
        }
    }

    fn follow_names(&self, snapshot: &Snapshot, patience: Duration) {
        let target = |cluster: &Arc<Cluster>| match &cluster.endpoints {
            Endpoints::Dns(target) => Some((cluster.id.clone(), target.clone())),
            Endpoints::Known(_) => None,
        };
        let targets: BTreeMap<ClusterId, DnsTarget> = snapshot.clusters.values().filter_map(target).collect();
        self.dns.follow(targets, patience);
    }

    fn note(&mut self, translation: Translation, begin: Instant) {
        let Translation { snapshot, mut findings, served } = translation;
        let (resources, options) = (self.input.source.resources(), &self.input.options);
        findings.extend(self.started.findings(&snapshot.settings.process, |key| origin(key, resources, options)));
        let took = begin.elapsed();
        self.status.update(|latest| {
            latest.snapshot = Some(Arc::new(snapshot));
            latest.published = Some(SystemTime::now());
            latest.took = took;
            latest.builds += 1;
            latest.failed = false;
        });
        self.translated = findings;
        if *self.served != *served {
            self.served = served.into();
        }
        self.report();
    }

    /// Logs findings that are new.
    fn report(&mut self) {
        let of_source = self.input.source.findings();
        let beside = self.beside.as_mut().map(|beside| beside.borrow_and_update().clone()).unwrap_or_default();
        let all = self.input.findings.iter().chain(&of_source).chain(&beside).chain(&self.translated);
        let all: BTreeSet<Finding> = all.cloned().collect();
        let new: Vec<&Finding> = all.difference(&self.reported).collect();
        for finding in new.iter().take(MAX_LOGGED) {
            log(finding);
        }
        if let Some(more) = new.len().checked_sub(MAX_LOGGED).filter(|more| *more > 0) {
            tracing::warn!(more, "more findings are on the admin address under /debug/findings");
        }
        let files = self.input.source.file_count();
        let findings: Arc<[Finding]> = all.iter().cloned().collect();
        self.status.update(|latest| {
            latest.findings = findings.clone();
            latest.files = files;
        });
        let generation = self.published.borrow().generation + 1;
        self.published.send_replace(Arc::new(Published { served: self.served.clone(), findings, generation }));
        self.reported = all;
    }
}

fn check_default_backend(input: &Input) -> Result<(), StartError> {
    let Some(service) = &input.options.default_backend_service else { return Ok(()) };
    let overridden = input.options.endpoint_overrides.iter().any(|endpoint| endpoint.service == *service);
    if overridden || input.source.resources().services.contains_key(service) {
        return Ok(());
    }
    Err(StartError::NoDefaultBackend(service.clone()))
}

/// Whether two snapshots differ in endpoints at most, so that the table can stay.
fn same_rules(one: &Snapshot, other: &Snapshot) -> bool {
    let Snapshot { hosts, streams, clusters: _, certificates, default_backend, health_path, settings } = one;
    *hosts == other.hosts
        && *streams == other.streams
        && one.policies().eq(other.policies())
        && *certificates == other.certificates
        && *default_backend == other.default_backend
        && *health_path == other.health_path
        && *settings == other.settings
}

fn log(finding: &Finding) {
    match finding.severity {
        Severity::Error => tracing::error!("{finding}"),
        Severity::Warning => tracing::warn!("{finding}"),
        Severity::Info => tracing::info!("{finding}"),
    }
}
