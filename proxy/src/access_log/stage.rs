//! When the value of a variable in a log line is known, and what is asked for to get it.

use http::HeaderName;
use portcullis_model::{Known, Variable};

/// When the value of a variable is known, and so when it is written down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// When the request head was read.
    Request,
    /// When the response head is sent.
    Response,
    /// When everything is over.
    End,
}

/// A variable of a request or response head, ready to be looked up.
#[derive(Clone, Debug)]
pub(crate) enum HeadVariable {
    /// One without a parameter.
    Known(Known),
    /// All lines of a field of the head.
    Field(HeaderName),
    /// `User-Agent` of the request.
    UserAgent,
    /// `Referer` of the request.
    Referer,
    /// A cookie of the request.
    Cookie(Box<str>),
    /// A query parameter.
    Argument(Box<str>),
    /// A field that no head can have.
    Nothing,
}

impl HeadVariable {
    pub(crate) fn new(variable: &Variable) -> Self {
        match variable {
            Variable::Known(known) => Self::Known(*known),
            Variable::Cookie(name) => Self::Cookie(name.clone()),
            Variable::Argument(name) => Self::Argument(name.clone()),
            // These two are in the usual format, and known when the head is read, so that they are not looked up.
            Variable::Header(name) if name.eq_ignore_ascii_case("user-agent") => Self::UserAgent,
            Variable::Header(name) if name.eq_ignore_ascii_case("referer") => Self::Referer,
            Variable::Header(name) | Variable::SentHeader(name) | Variable::UpstreamHeader(name) => {
                HeaderName::from_bytes(name.as_bytes()).map_or(Self::Nothing, Self::Field)
            }
        }
    }
}

/// When a variable is known.
pub(super) fn stage(variable: &Variable) -> Stage {
    match variable {
        Variable::Header(_) | Variable::Cookie(_) | Variable::Argument(_) => Stage::Request,
        Variable::SentHeader(_) | Variable::UpstreamHeader(_) => Stage::Response,
        Variable::Known(known) => match known {
            Known::RemoteAddr
            | Known::RemoteUser
            | Known::BinaryRemoteAddr
            | Known::RemotePort
            | Known::Request
            | Known::RequestMethod
            | Known::RequestUri
            | Known::Uri
            | Known::Args
            | Known::IsArgs
            | Known::Scheme
            | Known::PassAccessScheme
            | Known::ServerProtocol
            | Known::ServerPort
            | Known::Host
            | Known::BestHttpHost
            | Known::Connection
            | Known::ConnectionRequests
            | Known::SslProtocol
            | Known::SslCipher
            | Known::SslServerName
            | Known::ProxyProtocolAddr
            | Known::ProxyAddXForwardedFor => Stage::Request,
            Known::TimeLocal
            | Known::TimeIso8601
            | Known::Msec
            | Known::ServerName
            | Known::Status
            | Known::BodyBytesSent
            | Known::BytesSent
            | Known::RequestLength
            | Known::RequestTime
            | Known::RequestId
            | Known::ProxyUpstreamName
            | Known::ProxyAlternativeUpstreamName
            | Known::UpstreamAddr
            | Known::UpstreamResponseLength
            | Known::UpstreamResponseTime
            | Known::UpstreamConnectTime
            | Known::UpstreamHeaderTime
            | Known::UpstreamStatus
            | Known::Namespace
            | Known::IngressName
            | Known::ServiceName
            | Known::ServicePort
            | Known::LocationPath
            | Known::Reason
            | Known::Rule => Stage::End,
        },
    }
}
