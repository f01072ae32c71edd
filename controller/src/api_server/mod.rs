//! The API server of the cluster: how it is reached, and how patiently.

mod backoff;
mod client;
mod connect;
mod contact;
mod patience;
mod propagation;
mod resolve;
#[cfg(test)]
pub(crate) mod testing;

pub use backoff::{Backoff, jitter};
pub use client::{Access, AccessError, client};
pub use contact::Contact;
pub use propagation::{BOUNDS as PROPAGATION_BOUNDS, Propagation};
