//! What a translation leaves for the next one, so that a change costs only what it touches.
//!
//! A memo saves work and nothing else: an empty one gives the same result. It belongs to one set of [`Options`] and forgets
//! everything when they change.

use std::borrow::Borrow;
use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;
use std::sync::{Arc, Weak};

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::Ingress;
use portcullis_model::{
    Affinity, Balance, Certificate, Cluster, ClusterId, ClusterPolicy, HostMatch, InvalidPattern, Pattern,
    PatternSyntax, RoutePolicy,
};

use crate::certificate::certificate_from_secret;
use crate::headers::CustomHeaders;
use crate::host::Merged;
use crate::ingress::{self, Parsed};
use crate::parameters;
use crate::upstream_tls;
use crate::{Config, Finding, Object, ObjectKey, ObjectRef, Options, Resources};

/// Parsed Ingresses, merged hosts, certificates and patterns of the last translation.
#[derive(Debug, Default)]
pub struct Memo {
    options: Option<Options>,
    config: Option<ConfigEntry>,
    pub(crate) ingresses: BTreeMap<ObjectKey, (u64, Arc<Parsed>)>,
    pub(crate) hosts: BTreeMap<HostMatch, Arc<Merged>>,
    pub(crate) clusters: BTreeMap<ClusterId, Resolved>,
    pub(crate) secrets: Secrets,
    pub(crate) upstream_tls: upstream_tls::Known,
    pub(crate) custom_headers: CustomHeaders,
    pub(crate) common: Common,
}

/// A cluster with what it was resolved from.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) input: ClusterInput,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) findings: Vec<Finding>,
}

/// Content of the objects that a cluster is resolved from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ClusterInput {
    pub(crate) service_upstream: bool,
    /// Hash of the Service.
    pub(crate) service: Option<u64>,
    /// Hash of its EndpointSlices.
    pub(crate) slices: u64,
}

/// Values that many hosts have in common.
#[derive(Debug, Default)]
pub(crate) struct Common {
    pub(crate) patterns: Patterns,
    pub(crate) policies: Policies,
    /// The policy of most clusters.
    plain: Arc<ClusterPolicy>,
}

impl Common {
    /// The policy of a cluster, as one for all that are the default.
    pub(crate) fn cluster_policy(&self, balance: &Balance, affinity: Option<&Affinity>) -> Arc<ClusterPolicy> {
        let policy = ClusterPolicy { balance: balance.clone(), affinity: affinity.cloned() };
        if policy.is_default() { Arc::clone(&self.plain) } else { Arc::new(policy) }
    }
}

#[derive(Debug)]
struct ConfigEntry {
    input: ConfigInput,
    config: Arc<Config>,
    findings: Vec<Finding>,
}

/// Content of the objects that the configuration is read from.
#[derive(Debug, Eq, PartialEq)]
struct ConfigInput {
    /// Hash of the ConfigMap.
    config_map: Option<u64>,
    /// The parameters of our class, and their hash.
    parameters: Option<(ObjectRef, u64)>,
}

impl Memo {
    /// Forgets what other flags gave.
    pub(crate) fn prepare(&mut self, options: &Options) {
        if self.options.as_ref() != Some(options) {
            *self = Self { options: Some(options.clone()), ..Self::default() };
        }
    }

    /// The ConfigMap and the parameters of our class as checked values. A change forgets all Ingresses, whose defaults they
    /// hold.
    pub(crate) fn config(
        &mut self,
        resources: &Resources,
        options: &Options,
        findings: &mut Vec<Finding>,
    ) -> Arc<Config> {
        let key = options.config_map.as_ref();
        let object = key.and_then(|key| resources.config_maps.get(key));
        let parameters = parameters::of(resources, options, findings);
        let input = ConfigInput {
            config_map: object.map(|object| object.hash),
            parameters: parameters.as_ref().map(|parameters| (parameters.object.clone(), parameters.hash)),
        };
        let entry = match self.config.take() {
            Some(entry) if entry.input == input => entry,
            _ => {
                self.ingresses.clear();
                self.hosts.clear();
                self.clusters.clear();
                self.custom_headers.clear();
                let mut findings = Vec::new();
                let data = object.and_then(|object| object.value.data.as_ref());
                let config = Config::read_with(key, data, parameters.as_ref(), &mut findings);
                if let (Some(key), None) = (key, object) {
                    let message = "the ConfigMap named by --configmap does not exist; defaults are used".to_owned();
                    findings.push(Finding::warning(
                        &ObjectRef::new("ConfigMap", key),
                        "",
                        "no-config-map",
                        message,
                        "",
                    ));
                }
                ConfigEntry { input, config: Arc::new(config), findings }
            }
        };
        findings.extend_from_slice(&entry.findings);
        Arc::clone(&self.config.insert(entry).config)
    }

    /// Forgets what nothing uses any more.
    pub(crate) fn forget(&mut self, resources: &Resources) {
        self.secrets.0.retain(|key, _| resources.secrets.contains_key(key));
        self.upstream_tls.forget();
        self.custom_headers.forget(resources);
        self.common.patterns.forget();
    }
}

/// The Ingress as parsed values: those of the last translation, where its content is the same.
pub(crate) fn parsed(
    last: Option<(u64, Arc<Parsed>)>,
    key: &ObjectKey,
    object: &Object<Ingress>,
    config: &Config,
    options: &Options,
) -> Arc<Parsed> {
    match last {
        Some((hash, parsed)) if hash == object.hash => parsed,
        _ => Arc::new(ingress::parse(key, &object.value, config, options)),
    }
}

/// A walk over a sorted map, step by step beside another walk over the same keys.
///
/// At ten thousand keys of some thirty octets this costs a tenth of looking each one up.
pub(crate) struct Beside<I: Iterator>(Peekable<I>);

impl<K, V, I: Iterator<Item = (K, V)>> Beside<I> {
    pub(crate) fn new(map: impl IntoIterator<IntoIter = I>) -> Self {
        Self(map.into_iter().peekable())
    }

    /// The value of `key`, which is at least as large as every key asked for before.
    pub(crate) fn find<'b, Q: Ord>(&'b mut self, key: &Q) -> Option<&'b V>
    where
        K: Borrow<Q> + 'b,
    {
        while self.0.next_if(|(next, _)| next.borrow() < key).is_some() {}
        self.0.peek().filter(|(next, _)| next.borrow() == key).map(|(_, value)| value)
    }

    /// The same, taken out.
    pub(crate) fn take<Q: Ord>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        while self.0.next_if(|(next, _)| next.borrow() < key).is_some() {}
        self.0.next_if(|(next, _)| next.borrow() == key).map(|(_, value)| value)
    }
}

/// A [`Beside`] that owns its map.
pub(crate) type BesideOwned<K, V> = Beside<btree_map::IntoIter<K, V>>;

/// Certificates by Secret.
#[derive(Debug, Default)]
pub(crate) struct Secrets(BTreeMap<ObjectKey, (u64, Result<Arc<Certificate>, String>)>);

impl Secrets {
    pub(crate) fn certificate(&mut self, key: &ObjectKey, secret: &Object<Secret>) -> Result<Arc<Certificate>, String> {
        if let Some((hash, certificate)) = self.0.get(key)
            && *hash == secret.hash
        {
            return certificate.clone();
        }
        let certificate = certificate_from_secret(key, &secret.value).map(Arc::new);
        self.0.insert(key.clone(), (secret.hash, certificate.clone()));
        certificate
    }
}

/// Path patterns by their text: equal ones are one, since each costs some 12 us and 2 KiB. Then the number of them at which
/// unused ones are forgotten.
#[derive(Debug, Default)]
pub(crate) struct Patterns(BTreeMap<Box<str>, Weak<Pattern>>, usize);

impl Patterns {
    pub(crate) fn location(&mut self, source: &str) -> Result<Arc<Pattern>, InvalidPattern> {
        if let Some(pattern) = self.0.get(source).and_then(Weak::upgrade) {
            return Ok(pattern);
        }
        let pattern = Arc::new(Pattern::new(source, PatternSyntax::LOCATION)?);
        self.0.insert(source.into(), Arc::downgrade(&pattern));
        Ok(pattern)
    }

    /// Forgets patterns that no host has, once there may be more of them than of others.
    fn forget(&mut self) {
        if self.0.len() >= self.1 {
            self.0.retain(|_, pattern| pattern.strong_count() > 0);
            self.1 = self.0.len().saturating_mul(2);
        }
    }
}

/// The policies met last. Most routes have one of very few, and each is some 300 octets.
#[derive(Debug, Default)]
pub(crate) struct Policies(Vec<Arc<RoutePolicy>>);

impl Policies {
    /// How many are compared with.
    const KEPT: usize = 8;

    pub(crate) fn share(&mut self, policy: RoutePolicy) -> Arc<RoutePolicy> {
        if let Some(same) = self.0.iter().find(|kept| ***kept == policy) {
            return Arc::clone(same);
        }
        if self.0.len() >= Self::KEPT {
            self.0.remove(0);
        }
        let policy = Arc::new(policy);
        self.0.push(Arc::clone(&policy));
        policy
    }
}
