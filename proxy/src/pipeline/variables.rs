//! The values of nginx variables that a request head and its route give.

use std::io::Write;

use http::{HeaderMap, HeaderName, Version, header};
use portcullis_model::{Known, Part, Template, Variable};

use super::head::{Reading, RequestHead, X_FORWARDED_FOR};
use crate::access_log::Value;
use crate::table::CompiledRoute;

/// A request with what is known when its head was read.
#[derive(Clone, Copy)]
pub(super) struct Variables<'r> {
    pub(super) head: &'r RequestHead<'r>,
    /// None where the head was refused.
    pub(super) reading: Option<&'r Reading<'r>>,
    /// The route, for templates of its policies.
    pub(super) route: Option<&'r CompiledRoute>,
    pub(super) connection: ConnectionVariables<'r>,
}

/// What a connection gives.
#[derive(Clone, Copy, Default)]
pub(crate) struct ConnectionVariables<'r> {
    /// `$connection`.
    pub(crate) number: u64,
    /// `$connection_requests`.
    pub(crate) requests: u64,
    /// `$ssl_protocol`, `$ssl_cipher`, `$ssl_server_name`.
    pub(crate) tls: Option<&'r TlsFacts>,
}

/// What a TLS handshake settled.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsFacts {
    /// `TLSv1.3`.
    pub(crate) protocol: &'static str,
    /// As OpenSSL names cipher suites of TLS 1.3, and as the standard names those of TLS 1.2.
    pub(crate) cipher: String,
    /// Server name the client asked for.
    pub(crate) server_name: Option<String>,
}

impl Variables<'_> {
    /// Fills in a template. Variables without a value are empty, as in nginx.
    pub(super) fn expand(&self, template: &Template, groups: &[&[u8]; 10]) -> Vec<u8> {
        let mut text = Vec::new();
        for part in template.parts() {
            match part {
                Part::Literal(literal) => text.extend_from_slice(literal.as_bytes()),
                Part::Capture(group) => text.extend_from_slice(groups.get(usize::from(*group)).unwrap_or(&&[][..])),
                Part::Variable(variable) => {
                    self.push(variable, &mut text);
                }
            }
        }
        text
    }

    /// Appends the value of a variable.
    pub(super) fn push(&self, variable: &Variable, out: &mut Vec<u8>) -> Value {
        match variable {
            Variable::Known(known) => self.push_known(*known, out),
            Variable::Header(name) => push_field(self.head.headers, name, out),
            Variable::Cookie(name) => push_some(cookie(self.head.headers, name), out),
            Variable::Argument(name) => push_some(argument(self.head.query(), name).map(str::as_bytes), out),
            Variable::SentHeader(_) | Variable::UpstreamHeader(_) => Value::Unset,
        }
    }

    fn push_known(&self, known: Known, out: &mut Vec<u8>) -> Value {
        let head = self.head;
        let set = |out: &mut Vec<u8>, text: &str| push_some(Some(text.as_bytes()), out);
        match known {
            Known::RemoteAddr | Known::BinaryRemoteAddr => push_display(head.peer.client, out),
            Known::ProxyProtocolAddr => match head.facts.proxied {
                Some(proxied) => push_display(proxied.source.to_canonical(), out),
                None => Value::Unset,
            },
            Known::RemotePort => push_display(head.facts.peer.port(), out),
            Known::Request => {
                push_display(format_args!("{} {} {}", head.method, head.target(), protocol(head.version)), out)
            }
            Known::RequestMethod => set(out, head.method.as_str()),
            Known::RequestUri => set(out, head.target()),
            Known::Uri => set(out, self.reading.map_or(head.raw_path(), |reading| reading.path.as_str())),
            Known::Args => push_some(head.query().map(str::as_bytes), out),
            Known::IsArgs => set(out, if head.query().is_some_and(|query| !query.is_empty()) { "?" } else { "" }),
            Known::Scheme => set(out, head.facts.scheme()),
            Known::PassAccessScheme => set(out, head.scheme()),
            Known::ServerProtocol => set(out, protocol(head.version)),
            Known::ServerPort => push_display(head.facts.port, out),
            Known::Host => push_some(self.host().map(str::as_bytes), out),
            Known::BestHttpHost => push_some(self.best_host().map(str::as_bytes), out),
            Known::Connection => push_display(self.connection.number, out),
            Known::ConnectionRequests => push_display(self.connection.requests, out),
            Known::SslProtocol => push_some(self.connection.tls.map(|tls| tls.protocol.as_bytes()), out),
            Known::SslCipher => push_some(self.connection.tls.map(|tls| tls.cipher.as_bytes()), out),
            Known::SslServerName => {
                push_some(self.connection.tls.and_then(|tls| tls.server_name.as_deref()).map(str::as_bytes), out)
            }
            Known::ProxyAddXForwardedFor => {
                let mut before = head.headers.get_all(&X_FORWARDED_FOR).iter();
                if push_joined(&mut before, out) == Value::Set {
                    out.extend_from_slice(b", ");
                }
                push_display(head.peer.client, out)
            }
            Known::Namespace => self.push_source(|route| &route.route.source.namespace, out),
            Known::IngressName => self.push_source(|route| &route.route.source.ingress, out),
            Known::LocationPath => self.push_source(|route| &route.route.source.path, out),
            Known::ServiceName => self.push_cluster(|id| &id.service, out),
            Known::ServicePort => self.push_cluster(|id| &id.port, out),
            Known::ProxyUpstreamName => push_some(
                self.route.and_then(|route| route.upstream.as_ref()).map(|upstream| upstream.name().as_bytes()),
                out,
            ),
            Known::Rule => self.route.map_or(Value::Unset, |route| push_display(route.rule(), out)),
            Known::ServerName => self.push_source(|route| &route.route.source.host, out),
            // Known to the log alone, at the end.
            Known::RemoteUser
            | Known::TimeLocal
            | Known::TimeIso8601
            | Known::Msec
            | Known::Status
            | Known::BodyBytesSent
            | Known::BytesSent
            | Known::RequestLength
            | Known::RequestTime
            | Known::RequestId
            | Known::ProxyAlternativeUpstreamName
            | Known::UpstreamAddr
            | Known::UpstreamResponseLength
            | Known::UpstreamResponseTime
            | Known::UpstreamConnectTime
            | Known::UpstreamHeaderTime
            | Known::UpstreamStatus
            | Known::Reason => Value::Unset,
        }
    }

    fn push_source(&self, part: impl Fn(&CompiledRoute) -> &str, out: &mut Vec<u8>) -> Value {
        push_some(self.route.map(|route| part(route).as_bytes()), out)
    }

    fn push_cluster(&self, part: impl Fn(&portcullis_model::ClusterId) -> &str, out: &mut Vec<u8>) -> Value {
        push_some(self.route.and_then(|route| route.upstream.as_ref()).map(|up| part(up.id()).as_bytes()), out)
    }

    fn host(&self) -> Option<&str> {
        self.reading.and_then(|reading| reading.authority.as_ref()).map(portcullis_model::Authority::host)
    }

    fn best_host(&self) -> Option<&str> {
        let own = || self.reading.and_then(|reading| reading.authority.as_ref()).map(|host| host.as_received());
        self.head.forwarded_host().or_else(own)
    }
}

/// `HTTP/1.1`, `HTTP/2.0`.
pub(super) fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// Appends all lines of a field, as nginx joins them.
pub(super) fn push_field(headers: &HeaderMap, name: &str, out: &mut Vec<u8>) -> Value {
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { return Value::Unset };
    push_joined(&mut headers.get_all(name).iter(), out)
}

fn push_joined<'v>(values: &mut impl Iterator<Item = &'v http::HeaderValue>, out: &mut Vec<u8>) -> Value {
    let Some(first) = values.next() else { return Value::Unset };
    out.extend_from_slice(first.as_bytes());
    for value in values {
        out.extend_from_slice(b", ");
        out.extend_from_slice(value.as_bytes());
    }
    Value::Set
}

/// Appends what can be displayed.
pub(super) fn push_display(value: impl std::fmt::Display, out: &mut Vec<u8>) -> Value {
    // Writing into memory cannot fail.
    write!(out, "{value}").ok();
    Value::Set
}

/// Appends a value if there is one.
pub(super) fn push_some(value: Option<&[u8]>, out: &mut Vec<u8>) -> Value {
    let Some(value) = value else { return Value::Unset };
    out.extend_from_slice(value);
    Value::Set
}

/// The value of a cookie (RFC 6265 section 4.2): the first of that name.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let pairs = headers.get_all(header::COOKIE).iter().flat_map(|line| line.as_bytes().split(|octet| *octet == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// The value of a query parameter, not decoded (nginx: `$arg_name`, whose name ignores case).
fn argument<'q>(query: Option<&'q str>, name: &str) -> Option<&'q str> {
    let pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use portcullis_model::Settings;

    use super::super::testing::{PLAIN, parts};
    use super::*;

    #[test]
    fn a_head_gives_values_for_its_variables() {
        let parts = parts(
            "GET /a%20b?x=1&Y=2 HTTP/1.1\nHost: Shop.Example:8080\nX-User: u\nX-User: v\nCookie: a=1; bb=2\nCookie: c=3\nX-Forwarded-For: 1.2.3.4",
        );
        let head = RequestHead::new(&parts, PLAIN, &Settings::default());
        let reading = head.read().unwrap();
        let connection = ConnectionVariables { number: 7, requests: 2, tls: None };
        let variables = Variables { head: &head, reading: Some(&reading), route: None, connection };
        for (name, want) in [
            ("request", Some("GET /a%20b?x=1&Y=2 HTTP/1.1")),
            ("request_uri", Some("/a%20b?x=1&Y=2")),
            ("uri", Some("/a b")),
            ("args", Some("x=1&Y=2")),
            ("is_args", Some("?")),
            ("host", Some("shop.example")),
            ("best_http_host", Some("Shop.Example:8080")),
            ("remote_addr", Some("127.0.0.9")),
            ("remote_port", Some("4000")),
            ("server_port", Some("8080")),
            ("scheme", Some("http")),
            ("http_x_user", Some("u, v")),
            ("http_x_other", None),
            ("cookie_bb", Some("2")),
            ("cookie_c", Some("3")),
            ("cookie_b", None),
            ("arg_y", Some("2")),
            ("arg_z", None),
            ("connection", Some("7")),
            ("connection_requests", Some("2")),
            ("ssl_protocol", None),
            ("proxy_add_x_forwarded_for", Some("1.2.3.4, 127.0.0.9")),
            ("namespace", None),
        ] {
            let mut out = Vec::new();
            let value = variables.push(&Variable::parse(name).unwrap(), &mut out);
            let got = (value == Value::Set).then(|| String::from_utf8(out).unwrap());
            assert_eq!(got.as_deref(), want, "{name}");
        }
    }
}
