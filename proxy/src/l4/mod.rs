//! TCP and UDP services: what comes in on a port goes to an endpoint of a Service, and what comes back goes back.
//!
//! Ports open and close with the routing table. Each worker has a socket of its own on each of them, and relays and sessions of
//! its own. A port that closes ends its UDP sessions; connections go on until they end.

mod buffer;
mod listeners;
mod log;
mod proxy_header;
mod relay;
mod sessions;
mod tcp;
mod udp;

pub(crate) use buffer::Buffer;
pub(crate) use listeners::{Change, Listeners, follow, inbox};
pub(crate) use tcp::serve as serve_connection;
