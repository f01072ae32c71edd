//! TCP and UDP services: ports that are passed on to a Service without a look at what is said there.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::ClusterId;

/// The protocol of a [`StreamPort`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum L4Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

impl L4Protocol {
    /// `TCP` or `UDP`, as Kubernetes and `$protocol` write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }

    /// `tcp` or `udp`.
    #[must_use]
    pub fn as_lower_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A port that is listened on for a [`StreamService`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StreamPort {
    /// Of TCP and UDP, each has its own ports.
    pub protocol: L4Protocol,
    /// The number, never 0.
    pub port: u16,
}

/// `tcp/5432`.
impl fmt::Display for StreamPort {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.protocol.as_lower_str(), self.port)
    }
}

impl Serialize for StreamPort {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where what comes in on a [`StreamPort`] goes (`--tcp-services-configmap`, `--udp-services-configmap`).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct StreamService {
    /// `tcp-namespace-service-port`: `$proxy_upstream_name`.
    pub name: Arc<str>,
    /// The Service port. Its port is written `tcp/5432`: it is not shared with Ingresses, which find ports by other rules.
    pub cluster: ClusterId,
    /// Connections begin with a header of the PROXY protocol, and are closed without; TCP only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub accept_proxy: bool,
    /// Connections to the Service begin with one, version 1; TCP only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub send_proxy: bool,
}

/// What holds for all TCP and UDP services (ConfigMap `proxy-stream-*` and the keys about their log).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct StreamSettings {
    /// `proxy-stream-timeout`, default 600 s: how long nothing may come from either side.
    pub idle: Duration,
    /// `proxy-stream-next-upstream`, default on: other endpoints are tried where one cannot be connected to.
    pub next_upstream: bool,
    /// `proxy-stream-next-upstream-timeout`, default 600 s: no other one is tried after that; 0 for no limit.
    pub next_upstream_timeout: Duration,
    /// `proxy-stream-next-upstream-tries`, default 3: how many are tried; 0 for no limit. None is tried twice.
    pub next_upstream_tries: u32,
    /// `proxy-stream-responses`, default 1: datagrams that answer one of a client. With so many for each, a session is over.
    pub responses: u32,
    /// `log-format-stream`; none where nothing is logged (`disable-access-log`, `disable-stream-access-log`).
    pub log: Option<Arc<StreamTemplate>>,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(600),
            next_upstream: true,
            next_upstream_timeout: Duration::from_secs(600),
            next_upstream_tries: 3,
            responses: 1,
            log: Some(Arc::default()),
        }
    }
}

/// A log format for [`StreamService`]s, as parts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StreamTemplate(Vec<StreamPart>);

/// One part of a [`StreamTemplate`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StreamPart {
    /// Text that stands for itself.
    Literal(Box<str>),
    /// A variable.
    Variable(StreamVariable),
}

/// Variables of nginx' stream module, by what they stand for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StreamVariable {
    /// `$remote_addr`: the client.
    RemoteAddress,
    /// `$remote_port`.
    RemotePort,
    /// `$server_addr`: where the client connected to.
    ServerAddress,
    /// `$server_port`: the port that is listened on.
    ServerPort,
    /// `$proxy_protocol_addr`: the client as the header of the PROXY protocol says.
    ProxyProtocolAddress,
    /// `$proxy_protocol_port`.
    ProxyProtocolPort,
    /// `$time_local`: `02/Jan/2026:15:04:05 +0000`.
    TimeLocal,
    /// `$time_iso8601`.
    TimeIso8601,
    /// `$msec`: seconds since 1970, with milliseconds.
    Milliseconds,
    /// `$protocol`: `TCP` or `UDP`.
    Protocol,
    /// `$status`: 200; 400 for a bad PROXY header; 502 where no endpoint could be connected to; 500, 503 where we had no room.
    Status,
    /// `$bytes_sent`: octets to the client.
    BytesSent,
    /// `$bytes_received`: octets from the client.
    BytesReceived,
    /// `$session_time`: seconds, with milliseconds.
    SessionTime,
    /// `$upstream_addr`: the endpoints tried, divided by `, `.
    UpstreamAddress,
    /// `$upstream_bytes_sent`: octets to the endpoint.
    UpstreamBytesSent,
    /// `$upstream_bytes_received`: octets from the endpoint.
    UpstreamBytesReceived,
    /// `$upstream_connect_time`: seconds, with milliseconds.
    UpstreamConnectTime,
    /// `$upstream_session_time`: seconds, with milliseconds.
    UpstreamSessionTime,
    /// `$proxy_upstream_name`: [`StreamService::name`].
    UpstreamName,
}

/// Variables by name.
const VARIABLES: &[(&str, StreamVariable)] = &[
    ("remote_addr", StreamVariable::RemoteAddress),
    ("remote_port", StreamVariable::RemotePort),
    ("server_addr", StreamVariable::ServerAddress),
    ("server_port", StreamVariable::ServerPort),
    ("proxy_protocol_addr", StreamVariable::ProxyProtocolAddress),
    ("proxy_protocol_port", StreamVariable::ProxyProtocolPort),
    ("time_local", StreamVariable::TimeLocal),
    ("time_iso8601", StreamVariable::TimeIso8601),
    ("msec", StreamVariable::Milliseconds),
    ("protocol", StreamVariable::Protocol),
    ("status", StreamVariable::Status),
    ("bytes_sent", StreamVariable::BytesSent),
    ("bytes_received", StreamVariable::BytesReceived),
    ("session_time", StreamVariable::SessionTime),
    ("upstream_addr", StreamVariable::UpstreamAddress),
    ("upstream_bytes_sent", StreamVariable::UpstreamBytesSent),
    ("upstream_bytes_received", StreamVariable::UpstreamBytesReceived),
    ("upstream_connect_time", StreamVariable::UpstreamConnectTime),
    ("upstream_session_time", StreamVariable::UpstreamSessionTime),
    ("proxy_upstream_name", StreamVariable::UpstreamName),
];

/// Why a text is not a log format for TCP and UDP services.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidStreamTemplate {
    /// A name that stands for nothing here.
    #[error("`${0}` is not a variable known to TCP and UDP services")]
    Unknown(String),
    /// `$` before nothing, or `${` without an end.
    #[error("`$` is not followed by a name")]
    Unnamed,
}

impl StreamTemplate {
    /// The default of `log-format-stream`.
    pub const DEFAULT: &str =
        "[$remote_addr] [$time_local] $protocol $status $bytes_sent $bytes_received $session_time";

    /// Reads `$name` and `${name}`.
    ///
    /// # Errors
    ///
    /// When a `$` is not followed by a known variable.
    pub fn parse(text: &str) -> Result<Self, InvalidStreamTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            if !before.is_empty() {
                parts.push(StreamPart::Literal(before.into()));
            }
            let (name, remaining) = name(after)?;
            let variable = VARIABLES.iter().find(|(known, _)| *known == name).map(|(_, variable)| *variable);
            let variable = variable.ok_or_else(|| InvalidStreamTemplate::Unknown(name.to_owned()))?;
            parts.push(StreamPart::Variable(variable));
            rest = remaining;
        }
        if !rest.is_empty() {
            parts.push(StreamPart::Literal(rest.into()));
        }
        Ok(Self(parts))
    }

    /// The parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[StreamPart] {
        &self.0
    }
}

/// The name of a variable, and what follows it.
fn name(text: &str) -> Result<(&str, &str), InvalidStreamTemplate> {
    let (name, rest) = match text.strip_prefix('{') {
        Some(braced) => braced.split_once('}').ok_or(InvalidStreamTemplate::Unnamed)?,
        None => {
            let is_end = |character: char| !character.is_ascii_alphanumeric() && character != '_';
            text.split_at(text.find(is_end).unwrap_or(text.len()))
        }
    };
    if name.is_empty() { Err(InvalidStreamTemplate::Unnamed) } else { Ok((name, rest)) }
}

/// [`StreamTemplate::DEFAULT`].
impl Default for StreamTemplate {
    fn default() -> Self {
        Self::parse(Self::DEFAULT).unwrap_or_else(|_| Self(Vec::new()))
    }
}

impl fmt::Display for StreamTemplate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            StreamPart::Literal(text) => out.write_str(text),
            StreamPart::Variable(variable) => {
                let known = VARIABLES.iter().find(|(_, known)| known == variable);
                write!(out, "${{{}}}", known.map_or("", |(name, _)| name))
            }
        })
    }
}

impl Serialize for StreamTemplate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_formats_are_read_as_nginx_reads_them() {
        for (text, want) in [
            ("$status", Some("${status}")),
            ("a ${status}b", Some("a ${status}b")),
            ("", Some("")),
            ("plain", Some("plain")),
            ("$request", None),
            ("$statuses", None),
            ("$", None),
            ("${status", None),
        ] {
            let parsed = StreamTemplate::parse(text).ok().map(|template| template.to_string());
            assert_eq!(parsed.as_deref(), want, "{text}");
        }
        for (name, _) in VARIABLES {
            let text = format!("${{{name}}}");
            assert_eq!(StreamTemplate::parse(&text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_default_format_is_that_of_ingress_nginx() {
        assert_eq!(StreamTemplate::default().parts().len(), 14);
        let settings = StreamSettings::default();
        assert_eq!(settings.log.unwrap().parts()[1], StreamPart::Variable(StreamVariable::RemoteAddress));
    }

    #[test]
    fn ports_are_written_with_their_protocol() {
        let port = StreamPort { protocol: L4Protocol::Udp, port: 53 };
        assert_eq!(port.to_string(), "udp/53");
    }
}
