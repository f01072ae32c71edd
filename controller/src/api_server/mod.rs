//! The API server of the cluster: how it is reached, and how patiently.

mod backoff;
mod client;

pub use backoff::Backoff;
pub use client::{Access, AccessError, client};
