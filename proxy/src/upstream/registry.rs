//! The upstreams by cluster: the only state that outlives a routing table.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use portcullis_model::{ClusterId, Endpoint};

use super::endpoints::{EndpointSet, HexDigest, hex_md5};
use super::ewma;
use crate::access_log::UpstreamNames;

/// One Service port with the endpoints it has at the moment.
#[derive(Debug)]
pub struct Upstream {
    id: ClusterId,
    name: Arc<str>,
    log_names: UpstreamNames,
    number: u64,
    endpoints: ArcSwap<EndpointSet>,
    generation: AtomicU64,
    backend_key: OnceLock<HexDigest>,
}

impl Upstream {
    fn new(id: &ClusterId) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = id.to_string();
        Self {
            id: id.clone(),
            log_names: UpstreamNames::new(&name),
            name: name.into(),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            endpoints: ArcSwap::default(),
            generation: AtomicU64::new(0),
            backend_key: OnceLock::new(),
        }
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> &ClusterId {
        &self.id
    }

    /// `namespace-service-port`, for logs.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its name as lines of the access log have it by default.
    pub(crate) fn log_names(&self) -> &UpstreamNames {
        &self.log_names
    }

    /// The endpoints at the moment.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.endpoints.load().list().to_vec()
    }

    /// Whether there is an endpoint at the moment.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.endpoints.load().list().is_empty()
    }

    /// Looks at the endpoints without a count that other cores would see.
    pub(crate) fn with_endpoints<T>(&self, look: impl FnOnce(&[Endpoint]) -> T) -> T {
        self.with_set(|set| look(set.list()))
    }

    /// The same with what balancing knows of them.
    pub(crate) fn with_set<T>(&self, look: impl FnOnce(&EndpointSet) -> T) -> T {
        look(&self.endpoints.load())
    }

    /// What cookies name this upstream by: the MD5 of the MD5 of its name and its name (ingress-nginx).
    pub(crate) fn backend_key(&self) -> &HexDigest {
        self.backend_key.get_or_init(|| hex_md5(&[&hex_md5(&[self.name.as_bytes()]), self.name.as_bytes()]))
    }

    /// Notes how long an endpoint took to connect and to respond, for [`portcullis_model::Balance::Ewma`].
    pub(crate) fn note_time(&self, address: SocketAddr, took: Duration) {
        self.with_set(|set| {
            let endpoints = set.list().iter().zip(set.scores());
            let found = endpoints.into_iter().find(|(endpoint, _)| endpoint.address == address);
            if let Some((_, score)) = found {
                score.add(took, ewma::now());
            }
        });
    }

    /// A number that no other upstream of this process has.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// How often the endpoints have changed.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn replace(&self, endpoints: &[Endpoint]) -> bool {
        let before = self.endpoints.load();
        let changed = before.list() != endpoints;
        if changed {
            self.endpoints.store(Arc::new(before.followed_by(endpoints, &self.name)));
            self.generation.fetch_add(1, Ordering::Release);
        }
        changed
    }
}

/// All upstreams that a routing table or a running request still holds.
///
/// Routing tables hold the upstreams they name; the registry only finds them again, so one that nothing names ends by itself.
#[derive(Debug, Default)]
pub struct UpstreamRegistry {
    upstreams: Mutex<BTreeMap<ClusterId, Weak<Upstream>>>,
}

impl UpstreamRegistry {
    /// The upstream of `id`; a new one without endpoints where there is none.
    #[must_use]
    pub fn upstream(&self, id: &ClusterId) -> Arc<Upstream> {
        let mut upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(upstream) = upstreams.get(id).and_then(Weak::upgrade) {
            return upstream;
        }
        let upstream = Arc::new(Upstream::new(id));
        upstreams.insert(id.clone(), Arc::downgrade(&upstream));
        upstream
    }

    /// Replaces the endpoints of `id` in one step; whether they differ from before. Nothing happens where no table names it.
    pub fn set_endpoints(&self, id: &ClusterId, endpoints: &[Endpoint]) -> bool {
        let upstream = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner).get(id).and_then(Weak::upgrade);
        upstream.is_some_and(|upstream| upstream.replace(endpoints))
    }

    /// Forgets upstreams that nothing holds any more.
    pub fn prune(&self) {
        self.upstreams.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, upstream| upstream.strong_count() > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(service: &str) -> ClusterId {
        ClusterId { namespace: "shop".into(), service: service.into(), port: "80".into() }
    }

    #[test]
    fn an_upstream_lives_as_long_as_somebody_holds_it() {
        let registry = UpstreamRegistry::default();
        let first = registry.upstream(&id("a"));
        let endpoint = Endpoint { address: "10.0.0.1:80".parse().unwrap() };
        assert!(registry.set_endpoints(&id("a"), &[endpoint]));
        assert!(!registry.set_endpoints(&id("a"), &[endpoint]), "nothing changed");
        assert!(!registry.set_endpoints(&id("b"), &[endpoint]), "nobody names it");
        assert!(Arc::ptr_eq(&first, &registry.upstream(&id("a"))) && first.is_live());
        assert_eq!(first.generation(), 1);
        drop(first);
        assert!(!registry.upstream(&id("a")).is_live());
        registry.prune();
        assert!(registry.upstreams.lock().unwrap().is_empty());
    }
}
