//! The header of the PROXY protocol, version 1, with which a connection to an endpoint begins.
//!
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, section 2.1

use std::net::{IpAddr, SocketAddr};

/// `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443` and the end of the line.
///
/// Addresses of two kinds are both written as those of IPv6, where IPv4 has a place (RFC 4291 section 2.5.5.2).
pub(super) fn line(source: SocketAddr, destination: SocketAddr) -> String {
    let (from, to) = (source.port(), destination.port());
    match (source.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => format!("PROXY TCP4 {source} {destination} {from} {to}\r\n"),
        (source, destination) => {
            let (source, destination) = (ipv6(source), ipv6(destination));
            format!("PROXY TCP6 {source} {destination} {from} {to}\r\n")
        }
    }
}

fn ipv6(address: IpAddr) -> std::net::Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_addresses_are_of_one_kind() {
        for (source, destination, want) in [
            ("192.0.2.1:56324", "198.51.100.1:443", "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"),
            ("[2001:db8::1]:1", "[2001:db8::2]:65535", "PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"),
            ("[::ffff:192.0.2.1]:1", "198.51.100.1:2", "PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\n"),
            ("192.0.2.1:1", "[2001:db8::2]:2", "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n"),
        ] {
            assert_eq!(line(source.parse().unwrap(), destination.parse().unwrap()), want);
        }
    }
}
