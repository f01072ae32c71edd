//! Which addresses the status shall have, and when they change: fixed ones, those of a Service, or those of the nodes
//! on which this controller runs. Only the leader follows them.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::{Node, Service};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use portcullis_translate::ObjectKey;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::address::{Address, in_order, of_node, of_service};
use super::replicas::{self, Replicas};
use crate::api_server::Backoff;
use crate::waiting::changed;

/// Nodes that are read at the same time.
const PARALLEL: usize = 10;

/// How long reading one object may take.
const READ: Duration = Duration::from_secs(10);

/// Pods that come and go together are one change.
const TOGETHER: Duration = Duration::from_millis(500);

/// Where addresses come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AddressSource {
    /// `--publish-status-address`.
    Fixed(Vec<Address>),
    /// `--publish-service`.
    Service(ObjectKey),
    /// Nodes of the replicas; with `internal` their internal addresses (`--report-node-internal-ip-address`).
    Nodes {
        /// Internal addresses even where there are external ones.
        internal: bool,
    },
}

/// What is known of the wanted addresses; none as long as nothing is.
pub(super) type Wanted = watch::Sender<Option<Vec<Address>>>;

/// Follows them until it is dropped.
pub(super) async fn follow(
    client: &Client,
    source: &AddressSource,
    pod: Option<&ObjectKey>,
    interval: Duration,
    wanted: &Wanted,
) {
    match (source, pod) {
        (AddressSource::Fixed(addresses), _) if addresses.is_empty() => {}
        (AddressSource::Fixed(addresses), _) => set(wanted, addresses.clone()),
        (AddressSource::Service(service), _) => follow_service(client, service, wanted).await,
        (AddressSource::Nodes { internal }, Some(pod)) => {
            let nodes = watch::Sender::default();
            let of_nodes = Nodes { api: Api::all(client.clone()), internal: *internal, interval };
            tokio::join!(follow_pods(client, pod, &nodes), of_nodes.follow(nodes.subscribe(), wanted));
        }
        (AddressSource::Nodes { .. }, None) => tracing::warn!(
            "no address for the status of Ingresses: there is no POD_NAME, so give --publish-service or \
             --publish-status-address"
        ),
    }
    std::future::pending().await
}

fn set(wanted: &Wanted, addresses: Vec<Address>) {
    let new = Some(addresses);
    wanted.send_if_modified(|current| {
        let changed = *current != new;
        if changed {
            tracing::info!(addresses = ?new, "addresses for the status of Ingresses");
            *current = new;
        }
        changed
    });
}

/// A Service that is gone leaves its addresses behind: nothing better is known.
async fn follow_service(client: &Client, service: &ObjectKey, wanted: &Wanted) {
    let resource = ApiResource::erase::<Service>(&());
    let api = Api::namespaced_with(client.clone(), &service.namespace, &resource);
    let mut listed = false;
    let name = format!("metadata.name={}", service.name);
    follow_objects(api, watcher::Config::default().fields(&name), |event| match event {
        Event::Init => listed = false,
        // A server need not know the selector by which it was asked.
        Event::InitApply(other) | Event::Apply(other) | Event::Delete(other) if other.name_any() != *service.name => {}
        Event::InitApply(object) | Event::Apply(object) => {
            listed = true;
            match object.clone().try_parse::<Service>() {
                Ok(read) => set(wanted, of_service(&read)),
                Err(error) => tracing::warn!(%service, %error, "the Service of --publish-service cannot be read"),
            }
        }
        Event::InitDone if listed => {}
        Event::InitDone | Event::Delete(_) => {
            tracing::error!(%service, "the Service of --publish-service does not exist, the status of Ingresses stays");
        }
    })
    .await;
}

/// The nodes of all replicas that are ready. The own one is: otherwise this would not run.
async fn follow_pods(client: &Client, pod: &ObjectKey, nodes: &watch::Sender<BTreeSet<String>>) {
    let replicas = own_pod(client, pod).await;
    let config = watcher::Config::default();
    let config = match &replicas.selector {
        Some(selector) => config.labels(selector),
        None => config.fields(&format!("metadata.name={}", replicas.name)),
    };
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut listed = BTreeMap::new();
    let node = |pod: &DynamicObject| {
        let counts = replicas::is_ready(pod) || pod.name_any() == replicas.name;
        replicas::node_of(pod).filter(|_| counts).map(str::to_owned)
    };
    follow_objects(replicas.api.clone(), config, |event| {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(pod) => listed.extend(node(pod).map(|node| (pod.name_any(), node))),
            Event::InitDone => known = std::mem::take(&mut listed),
            Event::Apply(pod) => match node(pod) {
                Some(node) => drop(known.insert(pod.name_any(), node)),
                None => drop(known.remove(&pod.name_any())),
            },
            Event::Delete(pod) => drop(known.remove(&pod.name_any())),
        }
        if !matches!(event, Event::Init | Event::InitApply(_)) {
            let now: BTreeSet<String> = known.values().cloned().collect();
            nodes.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
        }
    })
    .await;
}

async fn own_pod(client: &Client, pod: &ObjectKey) -> Replicas {
    let mut backoff = Backoff::default();
    loop {
        let reason = match timeout(READ, Replicas::find(client, pod)).await {
            Ok(Ok(Some(replicas))) => return replicas,
            Ok(Ok(None)) => "there is no such Pod".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        let pause = backoff.pause(None);
        tracing::warn!(
            %pod, reason,
            "no address for the status of Ingresses: the own Pod (POD_NAMESPACE, POD_NAME) cannot be read"
        );
        sleep(pause).await;
    }
}

struct Nodes {
    api: Api<Node>,
    internal: bool,
    interval: Duration,
}

impl Nodes {
    /// Their addresses, read when there are other nodes, and now and then.
    async fn follow(&self, mut names: watch::Receiver<BTreeSet<String>>, wanted: &Wanted) {
        let mut backoff = Backoff::default();
        loop {
            let read_again = Instant::now() + self.interval;
            let of = names.borrow_and_update().clone();
            let complete = of.is_empty() || self.read(&of, wanted).await;
            let until = if complete { read_again } else { Instant::now() + backoff.pause(None) };
            if timeout_at(until, changed(&mut names)).await.is_ok() {
                sleep(TOGETHER).await;
            }
        }
    }

    /// Whether every node could be read. If none could, what was known holds.
    async fn read(&self, names: &BTreeSet<String>, wanted: &Wanted) -> bool {
        let reads = stream::iter(names.clone()).map(|name| {
            let api = self.api.clone();
            async move {
                let answer = timeout(READ, api.get(&name)).await;
                (name, answer)
            }
        });
        let answers: Vec<_> = reads.buffer_unordered(PARALLEL).collect().await;
        let (mut addresses, mut complete) = (Vec::new(), true);
        for (name, answer) in &answers {
            match answer {
                Ok(Ok(node)) => addresses.extend(of_node(node, self.internal)),
                Ok(Err(error)) => {
                    complete = false;
                    tracing::warn!(node = name, %error, "a node cannot be read, its address is missing in the status");
                }
                Err(_) => complete = false,
            }
        }
        if complete || !addresses.is_empty() {
            set(wanted, in_order(addresses));
        }
        complete
    }
}

/// Hands on what happens to objects, for ever. They come untyped: one of a wrong shape must not stop the others.
async fn follow_objects(api: Api<DynamicObject>, config: watcher::Config, mut note: impl FnMut(&Event<DynamicObject>)) {
    let mut backoff = Backoff::default();
    let mut events = pin!(watcher(api, config));
    loop {
        match events.next().await {
            Some(Ok(event)) => note(&event),
            Some(Err(error)) => {
                let pause = backoff.pause(None);
                tracing::debug!(%error, ?pause, "a watch for addresses failed");
                sleep(pause).await;
            }
            None => return,
        }
    }
}
