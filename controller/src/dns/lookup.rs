//! One question to the name servers.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;

use super::address::is_usable;

/// Most addresses of one name that are used.
const MAX_ADDRESSES: usize = 64;

/// Shortest time an answer is kept, whatever its TTL.
const MIN_LIFETIME: Duration = Duration::from_secs(1);

/// Longest time an answer is kept.
const MAX_LIFETIME: Duration = Duration::from_secs(300);

/// How long one name server is waited for.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Dots from which on a name is looked up as it is before the search list is tried, as in pods.
const NDOTS: usize = 5;

/// Where names are looked up.
#[derive(Clone, Debug, Default)]
pub struct DnsConfig {
    /// The name server; those of the system (`/etc/resolv.conf`) where none is given.
    pub nameserver: Option<SocketAddr>,
    /// Domains in which names that do not end in a dot are looked up, with [`DnsConfig::nameserver`].
    pub search: Vec<String>,
}

/// The addresses of a name, and how long they may be used.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) lifetime: Duration,
}

/// Why there are no addresses.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// There is no such name, or it has no usable address.
    #[error("{0}")]
    Negative(String),
    /// The name servers did not answer, or could not.
    #[error("{0}")]
    NoAnswer(String),
}

/// Asks for A records, and for AAAA records where there are none.
pub(super) struct Lookup {
    resolver: Option<TokioResolver>,
}

impl Lookup {
    /// A lookup without usable name servers says so once and fails every question.
    pub(super) fn new(config: &DnsConfig) -> Self {
        let resolver = resolver(config).inspect_err(|error| {
            tracing::warn!(%error, "no usable name server, ExternalName Services have no endpoints");
        });
        Self { resolver: resolver.ok() }
    }

    pub(super) async fn addresses(&self, name: &str) -> Result<Answer, Failure> {
        let resolver = self.resolver.as_ref().ok_or_else(|| Failure::NoAnswer("no usable name server".to_owned()))?;
        let found = resolver.lookup_ip(name).await.map_err(|error| failure(&error))?;
        let (mut addresses, refused): (Vec<IpAddr>, Vec<IpAddr>) =
            found.iter().partition(|address| is_usable(*address));
        if !refused.is_empty() {
            tracing::warn!(%name, ?refused, "a name leads to addresses that are nobody's backend, they are not used");
        }
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        if addresses.is_empty() {
            return Err(Failure::Negative("no usable address".to_owned()));
        }
        let lifetime = found.valid_until().saturating_duration_since(Instant::now());
        Ok(Answer { addresses, lifetime: lifetime.clamp(MIN_LIFETIME, MAX_LIFETIME) })
    }
}

fn failure(error: &NetError) -> Failure {
    let text = error.to_string();
    if error.is_nx_domain() || error.is_no_records_found() { Failure::Negative(text) } else { Failure::NoAnswer(text) }
}

fn resolver(config: &DnsConfig) -> Result<TokioResolver, NetError> {
    let mut builder = match config.nameserver {
        None => TokioResolver::builder_tokio()?,
        Some(address) => {
            let search = config.search.iter().map(Name::from_utf8).collect::<Result<_, _>>()?;
            let parts = ResolverConfig::from_parts(None, search, vec![name_server(address)]);
            let mut builder = TokioResolver::builder_with_config(parts, TokioRuntimeProvider::default());
            builder.options_mut().ndots = NDOTS;
            builder
        }
    };
    settle(builder.options_mut());
    builder.build()
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

fn settle(options: &mut ResolverOpts) {
    options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
    // Answers are kept by their TTL in `Dns`; a second cache would only delay a change.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = TIMEOUT;
    options.attempts = 1;
}
