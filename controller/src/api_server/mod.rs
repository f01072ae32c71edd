//! The API server of the cluster: how it is reached, and how patiently.

mod backoff;
mod client;
mod contact;
mod patience;

pub use backoff::Backoff;
pub use client::{Access, AccessError, client};
pub use contact::Contact;
