//! The data plane of Portcullis: serves traffic from an immutable routing table. Knows nothing of Kubernetes.
//!
//! The life of a request: [`server`] accepts and reads it, [`table`] finds host and route, [`pipeline`] applies the policies in
//! nginx's order, [`upstream`] picks an endpoint and a pooled connection, and [`access_log`] writes a line when the body ended.
//!
//! TCP and UDP services have ports of their own, which come and go with the table, and nothing of that but endpoints and lines.

pub mod access_log;
pub mod metrics;
pub mod pipeline;
pub mod server;
pub mod table;
pub mod upstream;

mod bell;
mod body;
mod clock;
mod error;
mod hpack;
mod l4;
mod random;
mod respond;
mod stream;
mod timer;
mod trailers;
