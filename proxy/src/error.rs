//! What can go wrong with one request once it has a route, whose fault it is, and whether another try may help.

use std::io;

use http::StatusCode;
use portcullis_model::Reason;
use portcullis_model::policy::RetryCondition;

use crate::upstream::ExchangeError;

/// One failed try to get a response, or one failed request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    /// There is no endpoint to try.
    #[error("the upstream has no endpoint")]
    NoEndpoints,
    /// The connection was refused or broke while it was made.
    #[error("no connection to the upstream")]
    Connect(#[source] io::Error),
    /// The connection was not made in time.
    #[error("the upstream did not take the connection in time")]
    ConnectTimeout,
    /// TLS to the upstream failed.
    #[error("TLS to the upstream failed")]
    Tls(#[source] io::Error),
    /// The upstream closed the connection or broke the protocol before its response was complete.
    #[error("the upstream gave no valid response")]
    Upstream(#[source] ExchangeError),
    /// The upstream neither sent nor took anything for too long.
    #[error("the upstream was silent too long")]
    UpstreamTimeout,
    /// The upstream switched protocols unasked, or to another one than asked for.
    #[error("the upstream switched to a protocol that was not asked for")]
    BadUpgrade,
    /// The client's request body ended early or is malformed.
    #[error("the request body is incomplete or malformed")]
    BadBody,
    /// The client's request body did not come in time.
    #[error("the request body did not come in time")]
    BodyTimeout,
    /// The length of the request body is not known, and the upstream takes no other.
    #[error("the request body has no length")]
    LengthRequired,
    /// The client's request body is larger than it may be.
    #[error("the request body is too large")]
    BodyTooLarge,
    /// The client's request body is too large for memory, and the disk does not take it.
    #[error("the request body cannot be kept")]
    BodyUnwritable(#[source] io::Error),
    /// The bodies of other requests take all the room.
    #[error("there is no room for the request body")]
    BodyNoRoom,
    /// The client's request body cannot be read back from disk.
    #[error("the request body is lost")]
    BodyLost,
    /// The upstream's response head is larger than it may be.
    #[error("the head of the response is too large")]
    UpstreamHeadTooLarge,
    /// A request that cannot be written, which checks before should have prevented.
    #[error("the request cannot be sent on")]
    Unsendable,
}

/// Who is at fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    /// Whoever sent the request.
    Client,
    /// Whoever should have answered it.
    Upstream,
    /// We.
    Internal,
}

impl ProxyError {
    pub(crate) fn side(&self) -> Side {
        match self {
            Self::BadBody | Self::BodyTimeout | Self::BodyTooLarge | Self::LengthRequired => Side::Client,
            // Whoever could not keep them has said so, and not for each of them.
            Self::BodyUnwritable(_) | Self::BodyNoRoom => Side::Client,
            Self::BodyLost | Self::Unsendable => Side::Internal,
            Self::NoEndpoints
            | Self::Connect(_)
            | Self::ConnectTimeout
            | Self::Tls(_)
            | Self::Upstream(_)
            | Self::UpstreamTimeout
            | Self::UpstreamHeadTooLarge
            | Self::BadUpgrade => Side::Upstream,
        }
    }

    /// Under which condition another endpoint is asked (nginx: `proxy_next_upstream`); none where that cannot help.
    pub(crate) fn retry_condition(&self) -> Option<RetryCondition> {
        match self {
            Self::Upstream(error) if error.is_malformed() => Some(RetryCondition::InvalidHeader),
            Self::UpstreamHeadTooLarge => Some(RetryCondition::InvalidHeader),
            Self::Connect(_) | Self::Tls(_) | Self::Upstream(_) => Some(RetryCondition::Error),
            Self::ConnectTimeout | Self::UpstreamTimeout => Some(RetryCondition::Timeout),
            Self::NoEndpoints | Self::BadUpgrade | Self::BadBody | Self::BodyTimeout | Self::Unsendable => None,
            Self::BodyTooLarge | Self::BodyUnwritable(_) | Self::BodyNoRoom | Self::BodyLost | Self::LengthRequired => {
                None
            }
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoEndpoints | Self::BodyNoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::Connect(_) | Self::Tls(_) | Self::Upstream(_) | Self::BadUpgrade => StatusCode::BAD_GATEWAY,
            Self::UpstreamHeadTooLarge => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout | Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::BadBody => StatusCode::BAD_REQUEST,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::LengthRequired => StatusCode::LENGTH_REQUIRED,
            Self::BodyTooLarge | Self::BodyUnwritable(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyLost | Self::Unsendable => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::NoEndpoints => Reason::NoEndpoints,
            Self::Connect(_) => Reason::ConnectFailed,
            Self::ConnectTimeout => Reason::ConnectTimeout,
            Self::Tls(_) => Reason::UpstreamTls,
            Self::Upstream(_) => Reason::UpstreamError,
            Self::UpstreamTimeout => Reason::UpstreamTimeout,
            Self::BadUpgrade => Reason::BadUpgrade,
            Self::BadBody | Self::LengthRequired => Reason::BadBody,
            Self::BodyTimeout => Reason::BodyTimeout,
            Self::BodyTooLarge | Self::BodyUnwritable(_) => Reason::BodyTooLarge,
            Self::BodyNoRoom => Reason::BodyNoRoom,
            Self::UpstreamHeadTooLarge => Reason::UpstreamHeaderTooLarge,
            Self::BodyLost | Self::Unsendable => Reason::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_faults_of_upstreams_are_tried_again() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        for (error, status, condition) in [
            (ProxyError::Connect(refused()), 502, Some(RetryCondition::Error)),
            (ProxyError::ConnectTimeout, 504, Some(RetryCondition::Timeout)),
            (ProxyError::Tls(refused()), 502, Some(RetryCondition::Error)),
            (ProxyError::UpstreamTimeout, 504, Some(RetryCondition::Timeout)),
            (ProxyError::NoEndpoints, 503, None),
            (ProxyError::BadUpgrade, 502, None),
            (ProxyError::BadBody, 400, None),
            (ProxyError::BodyTimeout, 408, None),
            (ProxyError::LengthRequired, 411, None),
            (ProxyError::BodyTooLarge, 413, None),
            (ProxyError::BodyUnwritable(refused()), 413, None),
            (ProxyError::BodyNoRoom, 503, None),
            (ProxyError::BodyLost, 500, None),
            (ProxyError::UpstreamHeadTooLarge, 502, Some(RetryCondition::InvalidHeader)),
            (ProxyError::Unsendable, 500, None),
        ] {
            assert_eq!((error.status().as_u16(), error.retry_condition()), (status, condition), "{error}");
            assert!(error.side() == Side::Upstream || condition.is_none(), "{error}");
        }
    }
}
