//! The request to explain, and how a URL is read as one.

use std::net::IpAddr;

use http::{HeaderMap, Method};
use serde::Serialize;

/// A request that nobody sent.
#[derive(Clone, Debug)]
pub struct ExplainRequest {
    /// Whether it comes over TLS.
    pub scheme: Scheme,
    /// `Host` as the client sends it, with its port if it has one; empty for none.
    pub authority: String,
    /// Request target as the client sends it: path and query, neither decoded nor normalised.
    pub target: String,
    /// Method.
    pub method: Method,
    /// Header fields, without `Host`.
    pub headers: HeaderMap,
    /// Address of the client; loopback where none is given.
    pub client: Option<IpAddr>,
    /// Where the listeners are.
    pub ports: ListenerPorts,
}

/// Scheme of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

/// Ports of the listeners.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListenerPorts {
    /// `--http-port`.
    pub http: u16,
    /// `--https-port`.
    pub https: u16,
}

/// 80 and 443.
impl Default for ListenerPorts {
    fn default() -> Self {
        Self { http: 80, https: 443 }
    }
}

/// Why a text is not the URL of a request.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidUrl {
    /// Another scheme than `http` and `https`.
    #[error("`{0}` is not a scheme served here; write http:// or https://")]
    Scheme(String),
    /// No host.
    #[error("`{0}` has no host; write for example http://shop.example.com/path")]
    NoHost(String),
}

impl ExplainRequest {
    /// A GET request for `url`, such as `https://shop.example.com/a//b/../c?x=1`; the scheme is `http` where there is none.
    ///
    /// Path and query are taken as they stand, so that encodings and dot segments can be tried. A fragment is left out, as clients do.
    ///
    /// # Errors
    ///
    /// When the URL has another scheme or no host.
    pub fn get(url: &str) -> Result<Self, InvalidUrl> {
        let word = |text: &str| text.bytes().all(|octet| octet.is_ascii_alphanumeric());
        let (scheme, rest) = url.split_once("://").filter(|(scheme, _)| word(scheme)).unwrap_or(("http", url));
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(InvalidUrl::Scheme(scheme.to_owned())),
        };
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.is_empty() {
            return Err(InvalidUrl::NoHost(url.to_owned()));
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self {
            scheme,
            authority: authority.to_owned(),
            target: format!("{slash}{target}"),
            method: Method::GET,
            headers: HeaderMap::new(),
            client: None,
            ports: ListenerPorts::default(),
        })
    }

    /// The path of the target, as sent.
    #[must_use]
    pub fn raw_path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }
}

impl Scheme {
    /// As URLs write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_as_they_stand() {
        for (url, want) in [
            ("http://a.example", Some("http a.example /")),
            ("a.example/x", Some("http a.example /x")),
            ("HTTPS://A.example:8443/x/../%2Fy?q=/#f", Some("https A.example:8443 /x/../%2Fy?q=/")),
            ("http://a.example?x=1", Some("http a.example /?x=1")),
            ("http://[::1]:80//", Some("http [::1]:80 //")),
            ("a.example/?next=http://b.example", Some("http a.example /?next=http://b.example")),
            ("ftp://a.example/", None),
            ("://a.example/", None),
            ("http:///x", None),
            ("/x", None),
            ("", None),
        ] {
            let got = ExplainRequest::get(url).ok();
            let got = got.map(|read| format!("{} {} {}", read.scheme.as_str(), read.authority, read.target));
            assert_eq!(got.as_deref(), want, "{url}");
        }
    }
}
