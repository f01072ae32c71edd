//! Harness of the whole-process tests: the program over real sockets, an origin behind it, a client before it, and manifests.
//!
//! A failing check panics, as in any test.

mod binary;
mod client;
#[cfg(feature = "cluster")]
pub mod cluster;
mod double;
mod golden;
mod instance;
pub mod manifests;
mod origin;
mod tls;

pub use binary::binary;
pub use client::{Answer, Client, get};
pub use double::{ApiServer, Asked, Fault};
pub use golden::Golden;
pub use instance::{Ended, Instance, Start, Starting, run, wait_until};
pub use origin::Origin;
pub use tls::HostCertificate;
