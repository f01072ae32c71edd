//! Which client a request comes from, and which forwarded fields are believed.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use serde::Serialize;

/// What incoming forwarded fields are trusted (ConfigMap `use-forwarded-headers` and its family).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ForwardedTrust {
    /// `use-forwarded-headers`: `X-Forwarded-Proto`, `-Host` and `-Port` are used, see [`ForwardedTrust::believes_fields`].
    pub fields: bool,
    /// `enable-real-ip` or `use-forwarded-headers`: the client address is read from [`ForwardedTrust::address_header`].
    pub client_address: bool,
    /// `proxy-real-ip-cidr`, default `0.0.0.0/0`: peers that are believed.
    pub peers: Vec<IpNet>,
    /// `forwarded-for-header`, default `X-Forwarded-For`.
    #[serde(serialize_with = "as_text")]
    pub address_header: HeaderName,
    /// `forwarded-host-header`, default `X-Forwarded-Host`: source of `X-Original-Forwarded-Host`.
    #[serde(serialize_with = "as_text")]
    pub host_header: HeaderName,
    /// `compute-full-forwarded-for`: the peer is appended to the list received instead of replacing it.
    pub append: bool,
}

fn as_text<S: serde::Serializer>(name: &HeaderName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name.as_str())
}

impl Default for ForwardedTrust {
    fn default() -> Self {
        Self {
            fields: false,
            client_address: false,
            peers: vec![IpNet::V4(ipnet::Ipv4Net::default())],
            address_header: HeaderName::from_static("x-forwarded-for"),
            host_header: HeaderName::from_static("x-forwarded-host"),
            append: false,
        }
    }
}

/// The two ends a request may be said to come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peer {
    /// The other end of the TCP connection.
    pub socket: IpAddr,
    /// The client after real-ip processing; what lists, limits, logs and `X-Real-IP` use.
    pub client: IpAddr,
}

impl ForwardedTrust {
    /// Whether `peer` is in the list of believed peers.
    #[must_use]
    pub fn believes(&self, peer: IpAddr) -> bool {
        self.peers.iter().any(|net| net.contains(&peer))
    }

    /// Whether `X-Forwarded-Proto`, `-Host` and `-Port` of `peer` are used.
    ///
    /// A list that was narrowed counts for them as well. The default list, which holds every IPv4 address, means everybody:
    /// as with ingress-nginx, a load balancer that comes over IPv6 is believed too.
    #[must_use]
    pub fn believes_fields(&self, peer: IpAddr) -> bool {
        self.fields && (self.believes(peer) || self.peers.iter().any(|net| net.prefix_len() == 0))
    }

    /// Finds the client behind `socket`.
    ///
    /// Walks the address header from its right end over believed addresses; the first other one is the client, or the
    /// leftmost where all are believed. An entry that is no address ends the walk (nginx: `real_ip_recursive on`).
    #[must_use]
    pub fn client(&self, socket: IpAddr, headers: &HeaderMap) -> Peer {
        let socket = socket.to_canonical();
        let mut client = socket;
        if self.client_address && self.believes(socket) {
            for entry in headers
                .get_all(&self.address_header)
                .iter()
                .rev()
                .flat_map(|value| value.as_bytes().rsplit(|octet| *octet == b','))
            {
                let Some(address) = std::str::from_utf8(entry).ok().and_then(address) else { break };
                client = address;
                if !self.believes(address) {
                    break;
                }
            }
        }
        Peer { socket, client }
    }
}

/// An address with or without port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    text.parse()
        .or_else(|_| text.parse::<std::net::SocketAddr>().map(|address| address.ip()))
        .or_else(|_| text.trim_start_matches('[').trim_end_matches(']').parse())
        .ok()
        .map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_first_address_not_believed_from_the_right() {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpNet>>();
        let everyone = ForwardedTrust { client_address: true, ..Default::default() };
        let inner = ForwardedTrust { peers: nets(&["10.0.0.0/8"]), ..everyone.clone() };
        let off = ForwardedTrust::default();
        for (trust, peer, header, want) in [
            (&everyone, "10.0.0.1", "1.2.3.4, 5.6.7.8", "1.2.3.4"),
            (&everyone, "10.0.0.1", "2001:db8::1", "2001:db8::1"),
            (&everyone, "2001:db8::2", "1.2.3.4", "2001:db8::2"),
            (&inner, "10.0.0.1", "1.2.3.4, 5.6.7.8, 10.0.0.2", "5.6.7.8"),
            (&inner, "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
            (&inner, "10.0.0.1", "1.2.3.4, nonsense, 10.0.0.2", "10.0.0.2"),
            (&inner, "10.0.0.1", "1.2.3.4:5678", "1.2.3.4"),
            (&inner, "192.0.2.1", "1.2.3.4", "192.0.2.1"),
            (&inner, "::ffff:10.0.0.1", "1.2.3.4", "1.2.3.4"),
            (&off, "10.0.0.1", "1.2.3.4", "10.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", header.parse().unwrap());
            let peer = trust.client(peer.parse().unwrap(), &headers);
            assert_eq!(peer.client, want.parse::<IpAddr>().unwrap(), "{header}");
        }
    }

    #[test]
    fn forwarded_fields_are_for_everybody_until_the_list_is_narrowed() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let everyone = ForwardedTrust { fields: true, ..Default::default() };
        assert!(everyone.believes_fields(address("192.0.2.1")) && everyone.believes_fields(address("2001:db8::1")));
        let inner = ForwardedTrust { peers: vec!["10.0.0.0/8".parse().unwrap()], ..everyone };
        assert!(inner.believes_fields(address("10.0.0.1")) && !inner.believes_fields(address("192.0.2.1")));
        assert!(!ForwardedTrust::default().believes_fields(address("10.0.0.1")));
    }

    #[test]
    fn several_header_lines_are_one_list() {
        let trust =
            ForwardedTrust { client_address: true, peers: vec!["10.0.0.0/8".parse().unwrap()], ..Default::default() };
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "1.1.1.1".parse().unwrap());
        headers.append("x-forwarded-for", "2.2.2.2, 10.0.0.9".parse().unwrap());
        assert_eq!(trust.client("10.0.0.1".parse().unwrap(), &headers).client, "2.2.2.2".parse::<IpAddr>().unwrap());
    }
}
