//! What connections of clients may do: time limits, sizes, and what is expected of them first.

use std::time::Duration;

use serde::Serialize;

use crate::ForwardedTrust;

/// Settings towards clients. They are taken when a connection begins and again with each of its requests, so a change holds
/// for open connections, too.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct ClientSettings {
    /// `keep-alive`, default 75 s: how long a connection may wait for its next request; zero ends it with the first response.
    pub keep_alive: Duration,
    /// `keep-alive-requests`, default 1000: requests per connection.
    pub keep_alive_requests: u64,
    /// `client-header-timeout`, default 60 s: for a request head, from its first octet; for the first from accept or handshake.
    pub header_timeout: Duration,
    /// `client-body-timeout`, default 60 s: between two reads of a request body.
    pub body_timeout: Duration,
    /// `large-client-header-buffers`.
    pub header_buffers: HeaderBuffers,
    /// `http2-max-concurrent-streams`, default 128.
    pub concurrent_streams: u32,
    /// `use-proxy-protocol`, default off: every connection must begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// `proxy-protocol-header-timeout`, default 5 s: for that header, from accept.
    pub proxy_protocol_timeout: Duration,
}

impl Default for ClientSettings {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self {
            keep_alive: Duration::from_secs(75),
            keep_alive_requests: 1000,
            header_timeout: minute,
            body_timeout: minute,
            header_buffers: HeaderBuffers::default(),
            concurrent_streams: 128,
            proxy_protocol: false,
            proxy_protocol_timeout: Duration::from_secs(5),
        }
    }
}

/// How large a request head may be (nginx: `large_client_header_buffers`).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct HeaderBuffers {
    number: usize,
    size: usize,
}

impl HeaderBuffers {
    /// Largest size of one, in octets.
    pub const LARGEST: usize = 64 * 1024;
    /// Largest size of all, in octets.
    pub const LARGEST_TOTAL: usize = 1024 * 1024;

    /// As many buffers of this size in octets; none where a request head could be too large to be kept in memory, or where
    /// no head would fit.
    #[must_use]
    pub fn new(number: usize, size: usize) -> Option<Self> {
        let fits = (1..=Self::LARGEST).contains(&size) && (1..=Self::LARGEST_TOTAL / size).contains(&number);
        fits.then_some(Self { number, size })
    }

    /// Longest request line, and longest field line, in octets.
    #[must_use]
    pub fn line(self) -> usize {
        self.size
    }

    /// Largest head, in octets.
    #[must_use]
    pub fn total(self) -> usize {
        self.number * self.size
    }
}

/// `4 8k`.
impl Default for HeaderBuffers {
    fn default() -> Self {
        Self { number: 4, size: 8 * 1024 }
    }
}

impl ForwardedTrust {
    /// Whether the ports that `peer` tells in a header of the PROXY protocol are used. As for forwarded fields, the default
    /// list means everybody.
    #[must_use]
    pub fn believes_connection(&self, peer: std::net::IpAddr) -> bool {
        self.believes(peer) || self.peers.iter().any(|net| net.prefix_len() == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_buffers_are_bounded() {
        for (number, size, want) in [
            (4, 8192, Some((8192, 32_768))),
            (1, 1, Some((1, 1))),
            (16, 65_536, Some((65_536, 1_048_576))),
            (17, 65_536, None),
            (1, 65_537, None),
            (0, 8192, None),
            (4, 0, None),
            (usize::MAX, 8192, None),
        ] {
            let got = HeaderBuffers::new(number, size).map(|buffers| (buffers.line(), buffers.total()));
            assert_eq!(got, want, "{number} {size}");
        }
    }
}
