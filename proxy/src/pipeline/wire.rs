//! How the request goes over the wire to its upstream: in which protocol, with which TLS settings.

use portcullis_model::Protocol;
use portcullis_model::policy::UpstreamPolicy;

use super::decide::{Destination, Forward};
use crate::server::Worker;
use crate::table::CompiledRoute;
use crate::upstream::{TlsId, Transport};

/// Protocol and connection of a request to an upstream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire {
    /// Which connections will do.
    pub(super) transport: Transport,
    /// Whether the request says HTTP/1.0 (`proxy-http-version`); never on HTTP/2.
    pub(super) http10: bool,
}

impl Wire {
    /// What the route says about its upstream, or the defaults for the backends that stand in for it.
    pub(super) fn new(worker: &Worker, forward: &Forward, route: Option<&CompiledRoute>, client_tls: bool) -> Self {
        let policy = match forward.to {
            Destination::Primary | Destination::Canary => route.map(|route| &route.route.policy.upstream),
            Destination::Fallback | Destination::DefaultBackend => None,
        };
        let transport = transport(worker, forward.protocol, policy, client_tls);
        Self { transport, http10: policy.is_some_and(|policy| policy.http10) && !transport.is_http2() }
    }
}

fn transport(worker: &Worker, protocol: Protocol, policy: Option<&UpstreamPolicy>, client_tls: bool) -> Transport {
    let settings = policy.and_then(|policy| policy.tls.as_ref());
    let tls = || settings.map_or(TlsId::UNVERIFIED, |settings| worker.connector().tls_id(settings));
    match protocol {
        Protocol::Https => Transport::Tls(tls()),
        Protocol::Auto if client_tls => Transport::Tls(tls()),
        Protocol::Http | Protocol::Auto => Transport::Plain,
        Protocol::Grpc => Transport::Http2,
        Protocol::Grpcs => Transport::Http2Tls(tls()),
    }
}
