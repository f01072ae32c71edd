//! Which kinds are watched, and where.

use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::{Client, runtime::watcher};

use super::super::object::Kind;
use super::Scope;

/// A kind that is watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    pub(super) kind: Kind,
    /// Whether serving begins without it where it may not be read: a role for one namespace gives no right to read what is
    /// in none.
    pub(super) optional: bool,
}

/// All of them.
pub(super) const WATCHED: [Watched; 6] = [
    required(Kind::Ingress),
    Watched { kind: Kind::IngressClass, optional: true },
    required(Kind::Service),
    required(Kind::EndpointSlice),
    required(Kind::Secret),
    required(Kind::ConfigMap),
];

const fn required(kind: Kind) -> Watched {
    Watched { kind, optional: false }
}

/// Where objects of a kind are read. They come untyped, so that one of a wrong shape does not stop the others.
pub(super) fn api(watched: Watched, client: &Client, scope: &Scope) -> Api<DynamicObject> {
    let resource = match watched.kind {
        Kind::Ingress => ApiResource::erase::<Ingress>(&()),
        Kind::IngressClass => ApiResource::erase::<IngressClass>(&()),
        Kind::Service => ApiResource::erase::<Service>(&()),
        Kind::EndpointSlice => ApiResource::erase::<EndpointSlice>(&()),
        Kind::Secret => ApiResource::erase::<Secret>(&()),
        Kind::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
    };
    match &scope.namespace {
        Some(namespace) if watched.kind.is_namespaced() => Api::namespaced_with(client.clone(), namespace, &resource),
        _ => Api::all_with(client.clone(), &resource),
    }
}

/// How objects of a kind are watched.
pub(super) fn config(kind: Kind) -> watcher::Config {
    match kind {
        // Releases of Helm are large, many, and nobody's certificate.
        Kind::Secret => watcher::Config::default().fields("type!=helm.sh/release.v1"),
        _ => watcher::Config::default(),
    }
}
