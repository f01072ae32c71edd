//! The server: listeners and workers, and everything between a socket and the pipeline.
//!
//! Each worker is a thread with its own runtime, its own listening sockets (`SO_REUSEPORT`), its own upstream pools and its own
//! counters. On the request path nothing is shared between workers but what is immutable.

mod admit;
mod config;
mod connection;
mod date;
mod detect;
mod drain;
mod exec;
mod http1;
mod http2;
mod listener;
mod proxy_protocol;
mod running;
mod stall;
mod tls;
mod worker;

#[cfg(test)]
mod allocations;

pub use config::{BufferConfig, ClientTimeouts, ServerConfig};
pub use listener::BindError;
pub use running::{BoundServer, RunningServer, bind};

pub(crate) use admit::{Gate, Room};
#[cfg(test)]
pub(crate) use connection::testing::connection as connection_for_tests;
pub(crate) use connection::{ClientConnection, Entrance};
pub(crate) use drain::Stage;
pub(crate) use http2::OnStream;
pub(crate) use listener::{accept_until, bind_all, fault, socket};
pub(crate) use proxy_protocol::{Header as ProxyHeader, read as read_proxy_header};
pub(crate) use tls::{TLS13_SUITES, tls12_suite};
pub(crate) use worker::Worker;
