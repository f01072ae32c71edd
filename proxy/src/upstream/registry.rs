//! The upstreams by cluster: the only state that outlives a routing table.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;
use portcullis_model::{ClusterId, Endpoint};

/// One Service port with the endpoints it has at the moment.
#[derive(Debug)]
pub struct Upstream {
    id: ClusterId,
    name: Arc<str>,
    number: u64,
    endpoints: ArcSwap<Vec<Endpoint>>,
    generation: AtomicU64,
}

impl Upstream {
    fn new(id: &ClusterId) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: id.clone(),
            name: id.to_string().into(),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            endpoints: ArcSwap::default(),
            generation: AtomicU64::new(0),
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

    /// The endpoints at the moment.
    #[must_use]
    pub fn endpoints(&self) -> Arc<Vec<Endpoint>> {
        self.endpoints.load_full()
    }

    /// Whether there is an endpoint at the moment.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.endpoints.load().is_empty()
    }

    /// Looks at the endpoints without a count that other cores would see.
    pub(crate) fn with_endpoints<T>(&self, look: impl FnOnce(&[Endpoint]) -> T) -> T {
        look(&self.endpoints.load())
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
        let changed = self.endpoints.load().as_slice() != endpoints;
        if changed {
            self.endpoints.store(Arc::new(endpoints.to_vec()));
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
