//! The custom resources of Portcullis: controller-wide settings that an IngressClass names in `spec.parameters`.
//!
//! Kubernetes gives a custom resource one scope, so there are two kinds with the same fields: [`IngressClassParameters`] in
//! namespaces, and [`ClusterIngressClassParameters`] in none. A field means what the key of the ConfigMap means from which its
//! name is made (see [`field_name`]); [`ClassParameters`] is an object in the words of the ConfigMap, by field.

mod definition;
mod parameters;
mod reference;
mod settings;
mod words;

pub use definition::{
    ClusterIngressClassParameters, ClusterIngressClassParametersSpec, Definition, IngressClassParameters,
    IngressClassParametersSpec, definitions,
};
pub use parameters::{ClassParameters, Manifest, field_name};
pub use reference::render_markdown;
pub use settings::ControllerSettings;
pub use words::{HttpVersion, LoadBalance, RetryWord, RiskLevel, TlsVersion, Workers};

/// API group of both kinds.
pub const GROUP: &str = "portcullis.dev";

/// `apiVersion` of both kinds.
pub const API_VERSION: &str = "portcullis.dev/v1alpha1";

/// The kind whose objects are in namespaces.
pub const NAMESPACED_KIND: &str = "IngressClassParameters";

/// The kind whose objects are in none.
pub const CLUSTER_KIND: &str = "ClusterIngressClassParameters";
