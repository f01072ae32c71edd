//! Why a virtual host and a certificate were chosen.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use portcullis_model::{Certificate, CertificateChoice, CertificateSet, HostName};
use serde::Serialize;

use crate::table::{CertificateMatch, HandshakeChoice, HostChoice, HostLookup, RoutingTable};

/// The virtual host of the request.
#[derive(Clone, Debug, Serialize)]
pub struct HostStep {
    /// The host as it is compared: lower case, without port and trailing dot; empty for none.
    pub requested: String,
    /// The name of the virtual host; `_` is the default server.
    pub virtual_host: String,
    /// Which kind of name matched.
    pub choice: HostChoice,
    /// Whether a certificate is registered for the requested host, so that plain HTTP may be redirected.
    pub tls: bool,
    /// Why this virtual host was chosen.
    pub why: String,
}

impl HostStep {
    pub(super) fn new(requested: &str, found: &HostLookup<'_>) -> Self {
        let name = &found.host.source().host;
        let why = match (found.choice, found.alias) {
            (HostChoice::Exact, _) => "the host of a rule".to_owned(),
            (HostChoice::Alias, Some(alias)) => format!("server-alias {} of {name}", alias.name),
            (HostChoice::Alias, None) => format!("server-alias of {name}"),
            (HostChoice::Wildcard, _) => "no rule names the host; this wildcard stands for its first label".to_owned(),
            (HostChoice::Default, _) if requested.is_empty() => {
                "the request names no host: the default server".to_owned()
            }
            (HostChoice::Default, _) => {
                "no rule, server-alias or wildcard fits: the default server, with the rules without host".to_owned()
            }
        };
        Self {
            requested: requested.to_owned(),
            virtual_host: name.to_string(),
            choice: found.choice,
            tls: found.tls,
            why,
        }
    }
}

/// The certificate of the handshake, for a client that sends the host as server name.
#[derive(Clone, Debug, Serialize)]
pub struct CertificateStep {
    /// The Secret it comes from; none for the one made at start.
    pub secret: Option<String>,
    /// The names it is valid for.
    pub names: Vec<String>,
    /// Which entry was found.
    pub choice: CertificateMatch,
    /// Why this certificate was chosen.
    pub why: String,
}

impl CertificateStep {
    pub(super) fn new(table: &RoutingTable, host: &str) -> Self {
        let (certificate, choice) = table.certificate_match(server_name(host));
        let pinned = is_pinned(&table.snapshot().certificates, host);
        let parent = host.split_once('.').map_or("", |(_, parent)| parent);
        let others = others(table.certificates(server_name(host)));
        let why = match choice {
            _ if table.handshake(server_name(host)) == HandshakeChoice::Refuse => {
                "no host has the name, so the handshake is ended (ssl-reject-handshake) and no request is read"
                    .to_owned()
            }
            CertificateMatch::Exact if pinned => {
                format!("{host} has a TLS section without a usable Secret: the default certificate")
            }
            CertificateMatch::Exact => format!("{host} has this certificate{others}"),
            CertificateMatch::Wildcard if pinned => {
                format!("*.{parent} has a TLS section without a usable Secret: the default certificate")
            }
            CertificateMatch::Wildcard => {
                format!("*.{parent} has this certificate{others}, {host} has none of its own")
            }
            CertificateMatch::NoEntry => {
                format!("neither {host} nor a wildcard above it has a certificate: the default one")
            }
            CertificateMatch::NoServerName => {
                "clients send no server name for an address: the default certificate".to_owned()
            }
        };
        Self {
            secret: certificate.source().map(ToString::to_string),
            names: certificate.names().iter().map(ToString::to_string).collect(),
            choice,
            why,
        }
    }
}

/// Where a host has several certificates: those after the first.
fn others(certificates: &[Arc<Certificate>]) -> String {
    let source = |one: &Arc<Certificate>| one.source().map(ToString::to_string).unwrap_or_default();
    match certificates {
        [_, others @ ..] if !others.is_empty() => {
            let sources: Vec<_> = others.iter().map(source).collect();
            format!(" (clients that cannot check its key get the one of {})", sources.join(", then "))
        }
        _ => String::new(),
    }
}

/// Whether the entry of `host` pins the default certificate.
fn is_pinned(set: &CertificateSet, host: &str) -> bool {
    let entry = host.parse().ok().and_then(|host: HostName| set.entry(&host));
    matches!(entry, Some(CertificateChoice::Default))
}

/// Addresses are no server names (RFC 6066 section 3).
fn server_name(host: &str) -> Option<&str> {
    let inner = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.is_empty() || inner.parse::<Ipv6Addr>().is_ok() || host.parse::<Ipv4Addr>().is_ok();
    (!address).then_some(host)
}
