//! Names of the machine's own surroundings, such as the API server's: `/etc/hosts`, then the name servers of
//! `/etc/resolv.conf`.
//!
//! The C library's `getaddrinfo` is never asked: linked into a static program it wants libraries at run time that an image
//! without any does not have.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;

/// How long all name servers together are waited for.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The addresses of a name: IPv4, or IPv6 where there are none. Both files are read anew for each question, since questions
/// are few and files change.
///
/// # Errors
///
/// When there is no such name, or no answer in 10 s.
pub async fn system_addresses(name: &str) -> io::Result<Vec<IpAddr>> {
    let resolver = resolver().map_err(io::Error::other)?;
    let found = tokio::time::timeout(TIMEOUT, resolver.lookup_ip(name)).await.map_err(io::Error::other)?;
    Ok(found.map_err(io::Error::other)?.iter().collect())
}

/// The same for a program that has no runtime yet.
///
/// # Errors
///
/// As above.
pub fn system_addresses_now(name: &str) -> io::Result<Vec<IpAddr>> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(system_addresses(name))
}

fn resolver() -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_tokio().unwrap_or_else(|error| {
        tracing::debug!(%error, "no usable name server");
        TokioResolver::builder_with_config(ResolverConfig::default(), TokioRuntimeProvider::default())
    });
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
    options.use_hosts_file = ResolveHosts::Always;
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_without_the_c_library() {
        let found = system_addresses_now("localhost").unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
    }

    #[test]
    fn names_that_do_not_exist_are_errors() {
        for name in ["nowhere.invalid", "", "a..b"] {
            assert!(system_addresses_now(name).is_err(), "{name}");
        }
    }
}
