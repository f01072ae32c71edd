//! Where requests are sent: endpoints, balancing, pools, connections.

mod balance;
mod connect;
mod connection;
mod pool;
mod registry;
mod send;
mod tls;

pub use registry::{Upstream, UpstreamRegistry};

pub(crate) use balance::Balancer;
pub(crate) use connect::Connector;
pub(crate) use connection::{Connection, Transport, Upgraded};
pub(crate) use pool::Pool;
pub(crate) use send::{Attempt, Delivery, Sent, send};
pub(crate) use tls::unverified as unverified_tls;
