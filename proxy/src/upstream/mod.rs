//! Where requests are sent: endpoints, balancing, pools, connections.

mod balance;
mod connect;
mod connection;
mod endpoints;
mod ewma;
mod exchange_error;
mod http1;
mod http2;
mod http2_download;
mod http2_head;
mod http2_stream;
mod http2_upload;
mod pool;
mod registry;
mod response_head;
mod ring;
mod send;
mod sent_fields;
mod session;
mod shape;
mod tls;
mod tls_configs;

pub use registry::{Upstream, UpstreamRegistry};

pub(crate) use balance::{Balancer, Choice};
pub(crate) use connect::Connector;
pub(crate) use connection::{Broken, Connection, Transport};
pub(crate) use exchange_error::ExchangeError;
pub(crate) use http1::Upgraded;
pub(crate) use pool::Pool;
pub(crate) use ring::hash;
pub(crate) use send::{Attempt, Attempts, Delivery, Sent, send};
pub(crate) use session::Session;
pub(crate) use shape::{OUR_NAMES, Ours, Rules, Shaped, Shapes, forwarded_host};
pub(crate) use tls::unverified as unverified_tls;
pub(crate) use tls_configs::TlsId;
