//! The objects that translation reads, as they come out of a manifest.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use portcullis_crds::ClassParameters;
use portcullis_translate::{Object, ObjectKey, ObjectRef, Resources};

/// The kinds that translation reads.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Kind {
    Ingress,
    IngressClass,
    Service,
    EndpointSlice,
    Secret,
    ConfigMap,
    Namespace,
    IngressClassParameters,
    ClusterIngressClassParameters,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Ingress,
        Self::IngressClass,
        Self::Service,
        Self::EndpointSlice,
        Self::Secret,
        Self::ConfigMap,
        Self::Namespace,
        Self::IngressClassParameters,
        Self::ClusterIngressClassParameters,
    ];

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ingress => "Ingress",
            Self::IngressClass => "IngressClass",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
            Self::Namespace => "Namespace",
            Self::IngressClassParameters => portcullis_crds::NAMESPACED_KIND,
            Self::ClusterIngressClassParameters => portcullis_crds::CLUSTER_KIND,
        }
    }

    /// The `apiVersion` that is read.
    pub(super) fn api_version(self) -> &'static str {
        match self {
            Self::Ingress | Self::IngressClass => "networking.k8s.io/v1",
            Self::EndpointSlice => "discovery.k8s.io/v1",
            Self::Service | Self::Secret | Self::ConfigMap | Self::Namespace => "v1",
            Self::IngressClassParameters | Self::ClusterIngressClassParameters => portcullis_crds::API_VERSION,
        }
    }

    pub(super) fn is_namespaced(self) -> bool {
        !matches!(self, Self::IngressClass | Self::Namespace | Self::ClusterIngressClassParameters)
    }
}

/// Which object a manifest is about.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Identity {
    pub(super) kind: Kind,
    pub(super) key: ObjectKey,
}

impl Identity {
    /// None for an object of another kind.
    pub(super) fn of(object: &ObjectRef) -> Option<Self> {
        let key = ObjectKey { namespace: object.namespace.clone(), name: object.name.clone() };
        Some(Self { kind: Kind::parse(object.kind)?, key })
    }

    pub(super) fn to_ref(&self) -> ObjectRef {
        ObjectRef { kind: self.kind.name(), namespace: self.key.namespace.clone(), name: self.key.name.clone() }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_ref().fmt(out)
    }
}

/// One object of one of the kinds.
#[derive(Clone, Debug)]
pub(super) enum AnyObject {
    Ingress(Object<Ingress>),
    IngressClass(Object<IngressClass>),
    Service(Object<Service>),
    EndpointSlice(Object<EndpointSlice>),
    Secret(Object<Secret>),
    ConfigMap(Object<ConfigMap>),
    Namespace(Object<Namespace>),
    /// Of either kind: that of the whole cluster has no namespace.
    ClassParameters(Object<ClassParameters>),
}

impl AnyObject {
    /// Hash of its content.
    pub(super) fn hash(&self) -> u64 {
        match self {
            Self::Ingress(object) => object.hash,
            Self::IngressClass(object) => object.hash,
            Self::Service(object) => object.hash,
            Self::EndpointSlice(object) => object.hash,
            Self::Secret(object) => object.hash,
            Self::ConfigMap(object) => object.hash,
            Self::Namespace(object) => object.hash,
            Self::ClassParameters(object) => object.hash,
        }
    }

    /// Makes it the object of that name.
    pub(super) fn insert(&self, key: &ObjectKey, resources: &mut Resources) {
        let key = key.clone();
        match self.clone() {
            Self::Ingress(object) => drop(resources.ingresses.insert(key, object)),
            Self::IngressClass(object) => drop(resources.classes.insert(key, object)),
            Self::Service(object) => drop(resources.services.insert(key, object)),
            Self::Secret(object) => drop(resources.secrets.insert(key, object)),
            Self::ConfigMap(object) => drop(resources.config_maps.insert(key, object)),
            Self::Namespace(object) => drop(resources.namespaces.insert(key, object)),
            Self::ClassParameters(object) => drop(resources.class_parameters.insert(key, object)),
            Self::EndpointSlice(object) => {
                let Some(service) = service_of(&object.value) else { return };
                let service = ObjectKey { namespace: key.namespace, name: Arc::from(service) };
                drop(resources.endpoint_slices.entry(service).or_default().insert(key.name, object));
            }
        }
    }

    /// Takes it out again.
    pub(super) fn remove(&self, key: &ObjectKey, resources: &mut Resources) {
        match self {
            Self::Ingress(_) => drop(resources.ingresses.remove(key)),
            Self::IngressClass(_) => drop(resources.classes.remove(key)),
            Self::Service(_) => drop(resources.services.remove(key)),
            Self::Secret(_) => drop(resources.secrets.remove(key)),
            Self::ConfigMap(_) => drop(resources.config_maps.remove(key)),
            Self::Namespace(_) => drop(resources.namespaces.remove(key)),
            Self::ClassParameters(_) => drop(resources.class_parameters.remove(key)),
            Self::EndpointSlice(object) => {
                let Some(service) = service_of(&object.value) else { return };
                remove_slice(&mut resources.endpoint_slices, &ObjectKey::new(&key.namespace, service), &key.name);
            }
        }
    }
}

fn remove_slice(
    slices: &mut BTreeMap<ObjectKey, BTreeMap<Arc<str>, Object<EndpointSlice>>>,
    service: &ObjectKey,
    name: &str,
) {
    let Some(of_service) = slices.get_mut(service) else { return };
    of_service.remove(name);
    if of_service.is_empty() {
        slices.remove(service);
    }
}

/// The Service whose endpoints these are (label `kubernetes.io/service-name`).
pub(super) fn service_of(slice: &EndpointSlice) -> Option<&str> {
    slice.metadata.labels.as_ref()?.get("kubernetes.io/service-name").map(String::as_str)
}
