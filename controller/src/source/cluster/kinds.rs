//! Which kinds are watched, and where.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::api::{Api, ApiResource, DynamicObject, PartialObjectMeta};
use kube::core::DynamicResourceScope;
use kube::runtime::watcher;
use kube::{Client, Resource};
use portcullis_crds::{ClusterIngressClassParameters, IngressClassParameters};
use portcullis_translate::{ObjectKey, ObjectRef};

use super::super::object::{Identity, Kind};
use super::Scope;

/// What one watch brings: objects of a kind, of all namespaces, of one namespace, or one object. No two bring the same.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Feed {
    pub(super) kind: Kind,
    namespace: Option<Arc<str>>,
    name: Option<Arc<str>>,
}

/// A feed, and what it means where it may not be read.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) feed: Feed,
    pub(super) need: Need,
}

/// What serving needs of a feed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Need {
    /// It does not begin before there was a list.
    Always,
    /// It begins where the feed may not be read, and that is said: a role for one namespace gives no right to read what is in
    /// none, or in another.
    IfAllowed,
    /// It begins where the kind is not installed, may not be read, or cannot be for a while though all others can. Nothing is
    /// said of a kind that is not there: a class that needs it says more.
    IfInstalled,
}

/// Secrets of Helm's releases are large, many, and nobody's certificate.
pub(super) const SECRET_FIELDS: &str = "type!=helm.sh/release.v1";

/// Kinds that may not be installed.
pub(super) const PARAMETERS: [Kind; 2] = [Kind::IngressClassParameters, Kind::ClusterIngressClassParameters];

/// All watches.
pub(super) fn watched(scope: &Scope) -> Vec<Watched> {
    let required = |kind| Watched { feed: Feed::of(kind, scope), need: Need::Always };
    let mut watched = vec![
        required(Kind::Ingress),
        Watched { need: Need::IfAllowed, ..required(Kind::IngressClass) },
        required(Kind::Service),
        required(Kind::EndpointSlice),
        required(Kind::Secret),
        required(Kind::ConfigMap),
    ];
    for kind in PARAMETERS {
        watched.push(Watched { need: Need::IfInstalled, ..required(kind) });
    }
    if scope.by_labels {
        watched.push(required(Kind::Namespace));
    }
    let elsewhere = |key: &&ObjectKey| scope.namespace.as_ref().is_some_and(|namespace| **namespace != *key.namespace);
    let named: BTreeSet<&ObjectKey> = scope.config_maps.iter().filter(elsewhere).collect();
    watched
        .extend(named.into_iter().map(|key| Watched { feed: Feed::one(Kind::ConfigMap, key), need: Need::IfAllowed }));
    watched
}

impl Feed {
    /// All objects of a kind, in a scope.
    pub(super) fn of(kind: Kind, scope: &Scope) -> Self {
        let namespace = scope.namespace.as_deref().filter(|_| kind.is_namespaced()).map(Arc::from);
        Self { kind, namespace, name: None }
    }

    /// One object.
    pub(super) fn one(kind: Kind, key: &ObjectKey) -> Self {
        Self { kind, namespace: Some(key.namespace.clone()), name: Some(key.name.clone()) }
    }

    /// Whether it would bring this object.
    pub(super) fn covers(&self, identity: &Identity) -> bool {
        let is = |wanted: &Option<Arc<str>>, found: &Arc<str>| wanted.as_ref().is_none_or(|wanted| wanted == found);
        self.kind == identity.kind && is(&self.namespace, &identity.key.namespace) && is(&self.name, &identity.key.name)
    }

    /// What findings call it.
    pub(super) fn to_ref(&self) -> ObjectRef {
        let namespace = self.namespace.clone().filter(|_| self.name.is_some()).unwrap_or_default();
        ObjectRef { kind: self.kind.name(), namespace, name: self.name.clone().unwrap_or_else(|| "*".into()) }
    }

    /// Where its objects are read. They come untyped, so that one of a wrong shape does not stop the others.
    pub(super) fn api(&self, client: &Client) -> Api<DynamicObject> {
        self.api_of(client)
    }

    /// The same for their metadata alone.
    pub(super) fn metadata_api(&self, client: &Client) -> Api<PartialObjectMeta<DynamicObject>> {
        self.api_of(client)
    }

    fn api_of<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
    {
        let resource = match self.kind {
            Kind::Ingress => ApiResource::erase::<Ingress>(&()),
            Kind::IngressClass => ApiResource::erase::<IngressClass>(&()),
            Kind::Service => ApiResource::erase::<Service>(&()),
            Kind::EndpointSlice => ApiResource::erase::<EndpointSlice>(&()),
            Kind::Secret => ApiResource::erase::<Secret>(&()),
            Kind::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
            Kind::Namespace => ApiResource::erase::<Namespace>(&()),
            Kind::IngressClassParameters => ApiResource::erase::<IngressClassParameters>(&()),
            Kind::ClusterIngressClassParameters => ApiResource::erase::<ClusterIngressClassParameters>(&()),
        };
        match &self.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        }
    }

    /// How they are watched.
    pub(super) fn config(&self) -> watcher::Config {
        let config = watcher::Config::default();
        match (&self.name, self.kind) {
            (Some(name), _) => config.fields(&format!("metadata.name={name}")),
            (None, Kind::Secret) => config.fields(SECRET_FIELDS),
            // Releases of Helm 2, as ingress-nginx passes them over.
            (None, Kind::ConfigMap) => config.labels("OWNER!=TILLER"),
            (None, _) => config,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(scope: &Scope) -> Vec<String> {
        let name = |watched: &Watched| {
            let Watched { feed: Feed { kind, namespace, name }, need } = watched;
            let place = [namespace, name].into_iter().flatten().map(|part| format!("/{part}"));
            format!("{}{}{}", kind.name(), place.collect::<String>(), if *need == Need::Always { "" } else { "?" })
        };
        watched(scope).iter().map(name).collect()
    }

    #[test]
    fn flags_decide_what_is_watched_and_where() {
        let config_maps = vec![ObjectKey::new("edge", "config"), ObjectKey::new("shop", "tcp")];
        let all = Scope { config_maps, ..Scope::default() };
        let usual = [
            "Ingress",
            "IngressClass?",
            "Service",
            "EndpointSlice",
            "Secret",
            "ConfigMap",
            "IngressClassParameters?",
            "ClusterIngressClassParameters?",
        ];
        assert_eq!(names(&all), usual);
        let labels = Scope { by_labels: true, ..all.clone() };
        assert_eq!(names(&labels), [&usual[..], &["Namespace"]].concat());
        let one = Scope { namespace: Some("shop".to_owned()), ..all };
        assert_eq!(
            names(&one),
            [
                "Ingress/shop",
                "IngressClass?",
                "Service/shop",
                "EndpointSlice/shop",
                "Secret/shop",
                "ConfigMap/shop",
                "IngressClassParameters/shop?",
                "ClusterIngressClassParameters?",
                "ConfigMap/edge/config?",
            ]
        );
    }

    #[test]
    fn no_two_feeds_bring_the_same_object() {
        let scope = Scope {
            namespace: Some("shop".to_owned()),
            by_labels: false,
            config_maps: vec![ObjectKey::new("edge", "config"), ObjectKey::new("edge", "tcp")],
        };
        let watched = watched(&scope);
        for (namespace, name, want) in [("shop", "config", 1), ("edge", "config", 1), ("edge", "other", 0)] {
            let identity = Identity { kind: Kind::ConfigMap, key: ObjectKey::new(namespace, name) };
            let feeds = watched.iter().filter(|watched| watched.feed.covers(&identity)).count();
            assert_eq!(feeds, want, "{namespace}/{name}");
        }
    }
}
