//! TCP and UDP services by port, with their upstreams.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_model::{Snapshot, StreamPort, StreamService};

use crate::upstream::{Upstream, UpstreamRegistry};

/// A TCP or UDP service with its upstream.
#[derive(Clone, Debug)]
pub struct CompiledStream {
    /// What it is.
    pub service: Arc<StreamService>,
    /// Where its endpoints are.
    pub upstream: Arc<Upstream>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Streams(BTreeMap<StreamPort, Arc<CompiledStream>>);

impl Streams {
    pub(super) fn new(snapshot: &Snapshot, upstreams: &UpstreamRegistry) -> Self {
        let compiled = snapshot.streams.iter().map(|(port, service)| {
            let upstream = upstreams.upstream(&service.cluster);
            (*port, Arc::new(CompiledStream { service: Arc::clone(service), upstream }))
        });
        Self(compiled.collect())
    }

    pub(super) fn get(&self, port: StreamPort) -> Option<&Arc<CompiledStream>> {
        self.0.get(&port)
    }
}

#[cfg(test)]
mod tests {
    use portcullis_model::{ClusterId, L4Protocol};

    use super::super::RoutingTable;
    use super::super::testing::snapshot;
    use super::*;

    #[test]
    fn tcp_and_udp_have_ports_of_their_own() {
        let port = |protocol| StreamPort { protocol, port: 53 };
        let service = |name: &str| {
            let cluster = ClusterId { namespace: "dns".into(), service: name.into(), port: "53".into() };
            Arc::new(StreamService { name: name.into(), cluster, accept_proxy: false, send_proxy: false })
        };
        let streams = [(port(L4Protocol::Tcp), service("a")), (port(L4Protocol::Udp), service("b"))];
        let snapshot = Snapshot { streams: streams.into(), ..snapshot(&[]) };
        let registry = UpstreamRegistry::default();
        let table = RoutingTable::compile(&snapshot, &registry, None);
        let name = |protocol| table.stream(port(protocol)).map(|stream| stream.service.name.to_string());
        assert_eq!((name(L4Protocol::Tcp).as_deref(), name(L4Protocol::Udp).as_deref()), (Some("a"), Some("b")));
        assert!(table.stream(StreamPort { protocol: L4Protocol::Tcp, port: 54 }).is_none());
        assert_eq!(table.stream_ports().collect::<Vec<_>>(), [port(L4Protocol::Tcp), port(L4Protocol::Udp)]);
        let upstream = &table.stream(port(L4Protocol::Tcp)).unwrap().upstream;
        assert!(Arc::ptr_eq(upstream, &registry.upstream(upstream.id())));
    }
}
