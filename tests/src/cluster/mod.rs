//! Harness of the cluster tests: a real Kubernetes of one node, which `tests/cluster/up` started around the test
//! process.
//!
//! What users do is done with kubectl and helm as child processes. Each test has a namespace of its own and an
//! IngressClass of its own, so that tests can run beside each other.

mod api;
mod command;
mod connection;
mod curl;
mod echo;
mod install;
mod load;
mod namespace;
mod pod;
mod process;
mod stray;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub use api::Api;
pub use command::{ctl, helm, helm_with, kubectl, kubectl_with, tried};
pub use connection::Connection;
pub use curl::Curl;
pub use echo::{ECHO_IMAGE, Echo};
pub use install::{CHART, IMAGE, Install, Portcullis};
pub use load::{Load, Report, Running, Targets};
pub use namespace::Namespace;
pub use pod::Pod;
pub use process::processes_of;
pub use stray::Strays;

/// The node's address, where NodePorts answer.
pub const NODE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 20, 0, 10));

/// A port of the node.
pub fn at_node(port: u16) -> SocketAddr {
    SocketAddr::new(NODE, port)
}

/// Prints what was measured, in passing tests, too.
pub fn measured(text: &str) {
    let line = format!("measured: {text}\n");
    // Not by a macro, whose output the test harness keeps to itself.
    std::io::stderr().write_all(line.as_bytes()).expect("stderr can be written");
}
