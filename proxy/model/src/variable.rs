//! The nginx variables that templates, hash keys and log formats may name.

use std::fmt;

/// A variable of nginx or of ingress-nginx, by the name users know.
///
/// A closed set: a name that is not here is refused when the configuration is read, never expanded to something surprising.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Variable {
    /// One of the names without a parameter.
    Known(Known),
    /// `$http_NAME`: request header; `_` stands for `-`.
    Header(Box<str>),
    /// `$sent_http_NAME`: response header as sent to the client.
    SentHeader(Box<str>),
    /// `$upstream_http_NAME`: response header of the upstream.
    UpstreamHeader(Box<str>),
    /// `$cookie_NAME`.
    Cookie(Box<str>),
    /// `$arg_NAME`: query parameter.
    Argument(Box<str>),
}

macro_rules! known {
    ($($(#[$doc:meta])* $variant:ident = $($name:literal)|+,)*) => {
        /// Variables without a parameter.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub enum Known { $($(#[$doc])* $variant,)* }

        impl Known {
            fn parse(name: &str) -> Option<Self> {
                match name { $($($name)|+ => Some(Self::$variant),)* _ => None }
            }

            /// The usual name, without `$`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => [$($name),+][0],)* }
            }
        }
    };
}

known! {
    /// Client address after real-ip processing.
    RemoteAddr = "remote_addr" | "the_real_ip",
    /// User of basic authentication.
    RemoteUser = "remote_user",
    /// Client address as octets; the text form here.
    BinaryRemoteAddr = "binary_remote_addr",
    /// Client port.
    RemotePort = "remote_port",
    /// `02/Jan/2026:15:04:05 +0000`.
    TimeLocal = "time_local",
    /// `2026-01-02T15:04:05+00:00`.
    TimeIso8601 = "time_iso8601",
    /// Seconds since 1970 with milliseconds.
    Msec = "msec",
    /// The request line.
    Request = "request",
    /// Method.
    RequestMethod = "request_method",
    /// Raw request target with query.
    RequestUri = "request_uri",
    /// Canonical path.
    Uri = "uri" | "document_uri",
    /// Query without `?`.
    Args = "args" | "query_string",
    /// `?` where there is a query.
    IsArgs = "is_args",
    /// Connection scheme.
    Scheme = "scheme",
    /// Effective scheme, after trusted forwarded headers.
    PassAccessScheme = "pass_access_scheme",
    /// `HTTP/1.1`, `HTTP/2.0`.
    ServerProtocol = "server_protocol",
    /// Listener port.
    ServerPort = "server_port",
    /// Host of the virtual host.
    ServerName = "server_name",
    /// Host of the request, lower case, without port.
    Host = "host",
    /// Host to the upstream, after trusted forwarded headers.
    BestHttpHost = "best_http_host",
    /// Status sent.
    Status = "status",
    /// Body octets sent.
    BodyBytesSent = "body_bytes_sent",
    /// Octets sent, head included.
    BytesSent = "bytes_sent",
    /// Octets received, head included.
    RequestLength = "request_length",
    /// Seconds from the first octet to the log line.
    RequestTime = "request_time",
    /// Number of the connection.
    Connection = "connection",
    /// Number of the request on its connection.
    ConnectionRequests = "connection_requests",
    /// `X-Request-ID`.
    RequestId = "req_id" | "request_id",
    /// `namespace-service-port` of the backend.
    ProxyUpstreamName = "proxy_upstream_name",
    /// The same of the canary used.
    ProxyAlternativeUpstreamName = "proxy_alternative_upstream_name",
    /// Addresses tried.
    UpstreamAddr = "upstream_addr",
    /// Body octets per try.
    UpstreamResponseLength = "upstream_response_length",
    /// Seconds per try.
    UpstreamResponseTime = "upstream_response_time",
    /// Seconds to connect per try.
    UpstreamConnectTime = "upstream_connect_time",
    /// Seconds to the response head per try.
    UpstreamHeaderTime = "upstream_header_time",
    /// Status per try.
    UpstreamStatus = "upstream_status",
    /// Namespace of the Ingress.
    Namespace = "namespace",
    /// Name of the Ingress.
    IngressName = "ingress_name",
    /// Name of the Service.
    ServiceName = "service_name",
    /// Port of the Service as the Ingress writes it.
    ServicePort = "service_port",
    /// Path of the rule.
    LocationPath = "location_path",
    /// `TLSv1.3`.
    SslProtocol = "ssl_protocol",
    /// Cipher suite.
    SslCipher = "ssl_cipher",
    /// Server name of the TLS handshake.
    SslServerName = "ssl_server_name",
    /// Source address of the PROXY header.
    ProxyProtocolAddr = "proxy_protocol_addr",
    /// `X-Forwarded-For` received, with the client address added.
    ProxyAddXForwardedFor = "proxy_add_x_forwarded_for",
    /// Reason code of an answer made here (ours).
    Reason = "portcullis_reason",
    /// `namespace/ingress host path` of the rule that won (ours).
    Rule = "portcullis_rule",
}

impl Variable {
    /// Reads a name without `$`. `None` for a name that no part of Portcullis can give a value for.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let dashed = |rest: &str| rest.replace('_', "-").into_boxed_str();
        let parameter = |prefix: &str| name.strip_prefix(prefix).filter(|rest| !rest.is_empty());
        if let Some(known) = Known::parse(name) {
            return Some(Self::Known(known));
        }
        if let Some(rest) = parameter("sent_http_") {
            return Some(Self::SentHeader(dashed(rest)));
        }
        if let Some(rest) = parameter("upstream_http_") {
            return Some(Self::UpstreamHeader(dashed(rest)));
        }
        if let Some(rest) = parameter("http_") {
            return Some(Self::Header(dashed(rest)));
        }
        if let Some(rest) = parameter("cookie_") {
            return Some(Self::Cookie(rest.into()));
        }
        parameter("arg_").map(|rest| Self::Argument(rest.into()))
    }
}

impl Variable {
    /// Whether a request head gives it a value, so that it can decide something before there is a response.
    #[must_use]
    pub fn is_of_request(&self) -> bool {
        match self {
            Self::Known(known) => known.is_of_request(),
            Self::Header(_) | Self::Cookie(_) | Self::Argument(_) => true,
            Self::SentHeader(_) | Self::UpstreamHeader(_) => false,
        }
    }
}

impl Known {
    fn is_of_request(self) -> bool {
        match self {
            Self::RemoteAddr
            | Self::BinaryRemoteAddr
            | Self::RemotePort
            | Self::Request
            | Self::RequestMethod
            | Self::RequestUri
            | Self::Uri
            | Self::Args
            | Self::IsArgs
            | Self::Scheme
            | Self::PassAccessScheme
            | Self::ServerProtocol
            | Self::ServerPort
            | Self::ServerName
            | Self::Host
            | Self::BestHttpHost
            | Self::Connection
            | Self::ConnectionRequests
            | Self::ProxyUpstreamName
            | Self::Namespace
            | Self::IngressName
            | Self::ServiceName
            | Self::ServicePort
            | Self::LocationPath
            | Self::SslProtocol
            | Self::SslCipher
            | Self::SslServerName
            | Self::ProxyAddXForwardedFor
            | Self::Rule => true,
            Self::RemoteUser
            | Self::TimeLocal
            | Self::TimeIso8601
            | Self::Msec
            | Self::Status
            | Self::BodyBytesSent
            | Self::BytesSent
            | Self::RequestLength
            | Self::RequestTime
            | Self::RequestId
            | Self::ProxyAlternativeUpstreamName
            | Self::UpstreamAddr
            | Self::UpstreamResponseLength
            | Self::UpstreamResponseTime
            | Self::UpstreamConnectTime
            | Self::UpstreamHeaderTime
            | Self::UpstreamStatus
            | Self::ProxyProtocolAddr
            | Self::Reason => false,
        }
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(known) => out.write_str(known.name()),
            Self::Header(name) => write!(out, "http_{}", name.replace('-', "_")),
            Self::SentHeader(name) => write!(out, "sent_http_{}", name.replace('-', "_")),
            Self::UpstreamHeader(name) => write!(out, "upstream_http_{}", name.replace('-', "_")),
            Self::Cookie(name) => write!(out, "cookie_{name}"),
            Self::Argument(name) => write!(out, "arg_{name}"),
        }
    }
}
