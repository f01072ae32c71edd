//! Turns Kubernetes objects into the model Portcullis serves, plus findings about what users wrote.
//!
//! [`translate`] is pure and total: objects in, [`Translation`] out; no clock, network, file or hash order, and no `Err` for
//! what a user wrote, which becomes a [`Finding`] instead. The cluster, a manifest folder, `lint`, `explain` and the admission
//! webhook all call it, so that they cannot disagree.

mod affinity;
pub mod annotations;
mod backend;
mod canary;
mod certificate;
mod class;
mod config;
mod finding;
mod headers;
mod host;
mod ingress;
mod inspect;
mod memo;
mod namespaces;
mod options;
mod parameters;
mod references;
mod remarks;
mod resources;
mod review;
mod selector;
mod streams;
mod tls;
mod translation;
mod upstream_tls;

pub use certificate::{certificate_from_pem, certificate_from_secret};
pub use config::{Config, ConfigKey, config_keys};
pub use finding::{Finding, ObjectRef, Severity, quoted};
pub use memo::Memo;
pub use options::{EndpointOverride, Options};
pub use parameters::origin;
pub use references::{SecretReferences, secrets_of_flags};
pub use resources::{Object, ObjectKey, Resources};
pub use review::{Review, review};
pub use selector::{InvalidSelector, LabelSelector};
pub use translation::{Translation, translate};

#[cfg(test)]
mod tests;
