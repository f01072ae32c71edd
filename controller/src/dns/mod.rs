//! Names of `ExternalName` Services: resolves them while they are wanted and hands their addresses to the upstreams.

mod address;
mod lookup;
mod system;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use lookup::DnsConfig;
use lookup::{Failure, Lookup};
use portcullis_model::{ClusterId, DnsTarget, Endpoint};
pub use system::{system_addresses, system_addresses_now};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// Most names that are followed; those beyond have no endpoints.
const MAX_NAMES: usize = 4096;

/// Questions that are open at the same time.
const MAX_OPEN: usize = 32;

/// First pause after a failure; it doubles up to [`RETRY_AT_MOST`].
const RETRY: Duration = Duration::from_secs(1);

/// Longest pause after failures.
const RETRY_AT_MOST: Duration = Duration::from_secs(5);

/// How long addresses are kept when the name server does not answer (RFC 8767 section 5). A name server that says there is no
/// such name is believed at once.
const STALE: Duration = Duration::from_secs(30);

/// Takes the addresses of a cluster whenever they change.
type Publish = Box<dyn Fn(&ClusterId, &[Endpoint]) + Send + Sync>;

/// Follows names until it is dropped.
pub struct Dns {
    shared: Arc<Shared>,
    runtime: Handle,
}

struct Shared {
    lookup: Lookup,
    open: Semaphore,
    publish: Publish,
    state: Mutex<State>,
    answered: Condvar,
}

#[derive(Default)]
struct State {
    names: BTreeMap<Arc<str>, Name>,
    clusters: BTreeMap<ClusterId, DnsTarget>,
}

struct Name {
    addresses: Vec<IpAddr>,
    /// Whether there was an answer or a failure.
    answered: bool,
    task: AbortHandle,
}

impl Drop for Name {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Dns {
    /// Asks as `config` says, on `runtime`; `publish` is called with the addresses of a cluster whenever they change.
    pub fn new(
        config: &DnsConfig,
        runtime: Handle,
        publish: impl Fn(&ClusterId, &[Endpoint]) + Send + Sync + 'static,
    ) -> Self {
        let lookup = {
            let _context = runtime.enter();
            Lookup::new(config)
        };
        let shared = Shared {
            lookup,
            open: Semaphore::new(MAX_OPEN),
            publish: Box::new(publish),
            state: Mutex::default(),
            answered: Condvar::new(),
        };
        Self { shared: Arc::new(shared), runtime }
    }

    /// Follows the names of these clusters and no others. What is known of them is published at once; then waits, at most for
    /// `patience`, for the first answers to new names.
    pub fn follow(&self, clusters: BTreeMap<ClusterId, DnsTarget>, patience: Duration) {
        let wanted: BTreeSet<Arc<str>> = clusters.values().map(|target| target.name.clone()).collect();
        let mut state = self.shared.lock();
        state.names.retain(|name, _| wanted.contains(name));
        state.clusters = clusters;
        for name in wanted {
            if state.names.contains_key(&name) {
                continue;
            }
            if state.names.len() >= MAX_NAMES {
                tracing::warn!(%name, most = MAX_NAMES, "too many names to resolve, this one has no endpoints");
                continue;
            }
            let task = self.runtime.spawn(self.shared.clone().follow(name.clone())).abort_handle();
            state.names.insert(name, Name { addresses: Vec::new(), answered: false, task });
        }
        for (cluster, target) in &state.clusters {
            self.shared.publish(cluster, target, &state.names);
        }
        let waiting = |state: &mut State| state.names.values().any(|name| !name.answered);
        drop(self.shared.answered.wait_timeout_while(state, patience, waiting));
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.shared.lock().names.clear();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for one name again and again.
    async fn follow(self: Arc<Self>, name: Arc<str>) {
        let mut retry = RETRY;
        let mut last_answer = None::<Instant>;
        loop {
            let answer = match self.open.acquire().await {
                Ok(_permit) => self.lookup.addresses(&name).await,
                Err(_) => return,
            };
            let pause = match answer {
                Ok(answer) => {
                    retry = RETRY;
                    last_answer = Some(Instant::now() + answer.lifetime);
                    self.learn(&name, answer.addresses);
                    answer.lifetime
                }
                Err(failure) => {
                    let pause = retry;
                    retry = (retry * 2).min(RETRY_AT_MOST);
                    self.fail(&name, &failure, last_answer);
                    pause
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    fn fail(&self, name: &Arc<str>, failure: &Failure, valid_until: Option<Instant>) {
        tracing::debug!(%name, %failure, "name not resolved");
        let still_good = valid_until.is_some_and(|until| Instant::now() < until + STALE);
        if matches!(failure, Failure::NoAnswer(_)) && still_good {
            return;
        }
        self.learn(name, Vec::new());
    }

    fn learn(&self, name: &Arc<str>, addresses: Vec<IpAddr>) {
        let mut state = self.lock();
        let Some(known) = state.names.get_mut(name) else { return };
        let first = !std::mem::replace(&mut known.answered, true);
        let changed = known.addresses != addresses;
        if changed {
            tracing::info!(%name, ?addresses, "addresses of a name changed");
            known.addresses = addresses;
            for (cluster, target) in state.clusters.iter().filter(|(_, target)| target.name == *name) {
                self.publish(cluster, target, &state.names);
            }
        } else if first {
            tracing::warn!(%name, "a name has no usable address, its Service has no endpoints");
        }
        drop(state);
        self.answered.notify_all();
    }

    fn publish(&self, cluster: &ClusterId, target: &DnsTarget, names: &BTreeMap<Arc<str>, Name>) {
        let addresses = names.get(&target.name).map(|name| name.addresses.as_slice()).unwrap_or_default();
        let endpoints: Vec<Endpoint> =
            addresses.iter().map(|address| Endpoint { address: SocketAddr::new(*address, target.port) }).collect();
        (self.publish)(cluster, &endpoints);
    }
}

impl std::fmt::Debug for Dns {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Dns").field("names", &self.shared.lock().names.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
