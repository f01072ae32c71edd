//! Every relevant object at one moment, in one fixed order.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use portcullis_crds::ClassParameters;

/// Namespace and name of an object; the namespace is empty for cluster-scoped kinds.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ObjectKey {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// A key of these parts.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Reads `namespace/name`, as flags and ConfigMap values write it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (namespace, name) = text.split_once('/')?;
        let valid = !namespace.is_empty() && !name.is_empty() && !name.contains('/');
        valid.then(|| Self::new(namespace, name))
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.namespace, self.name)
    }
}

/// One object with a hash of its content, by which the memo knows what changed.
#[derive(Clone, Debug)]
pub struct Object<T> {
    /// The object.
    pub value: Arc<T>,
    /// Hash of its content; any function will do, as long as different contents give different values.
    pub hash: u64,
}

impl<T> Object<T> {
    /// An object whose content has this hash.
    pub fn new(value: T, hash: u64) -> Self {
        Self { value: Arc::new(value), hash }
    }
}

/// The objects that translation reads.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// Ingresses of `networking.k8s.io/v1`.
    pub ingresses: BTreeMap<ObjectKey, Object<Ingress>>,
    /// Ingress classes, with an empty namespace.
    pub classes: BTreeMap<ObjectKey, Object<IngressClass>>,
    /// Services.
    pub services: BTreeMap<ObjectKey, Object<Service>>,
    /// EndpointSlices by the Service that their label `kubernetes.io/service-name` names, then by name.
    pub endpoint_slices: BTreeMap<ObjectKey, BTreeMap<Arc<str>, Object<EndpointSlice>>>,
    /// Secrets.
    pub secrets: BTreeMap<ObjectKey, Object<Secret>>,
    /// ConfigMaps.
    pub config_maps: BTreeMap<ObjectKey, Object<ConfigMap>>,
    /// Namespaces, with an empty namespace; they matter with [`crate::Options::namespace_selector`] only.
    pub namespaces: BTreeMap<ObjectKey, Object<Namespace>>,
    /// `IngressClassParameters`, and `ClusterIngressClassParameters` with an empty namespace.
    pub class_parameters: BTreeMap<ObjectKey, Object<ClassParameters>>,
}

impl Resources {
    /// Adds or replaces an EndpointSlice under the Service its label names; one without the label serves nothing and is left out.
    pub fn insert_endpoint_slice(&mut self, slice: Object<EndpointSlice>) {
        let Some(service) = slice.value.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_LABEL)) else {
            return;
        };
        let namespace = slice.value.metadata.namespace.as_deref().unwrap_or("default");
        let name: Arc<str> = slice.value.metadata.name.as_deref().unwrap_or_default().into();
        self.endpoint_slices.entry(ObjectKey::new(namespace, service)).or_default().insert(name, slice);
    }
}

/// The label by which an EndpointSlice names its Service (Kubernetes: EndpointSlices, ownership).
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
