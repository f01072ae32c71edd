//! Answers that no upstream gives.

use http::{HeaderValue, StatusCode};
use portcullis_model::Reason;

/// An answer made here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Why.
    pub reason: Reason,
    /// `Location` of a redirect.
    pub location: Option<HeaderValue>,
}

impl Answer {
    /// An answer that says only what is wrong.
    // Out of the way of requests that are sent on, as are branches that end here.
    #[must_use]
    #[cold]
    #[inline(never)]
    pub fn refusal(status: StatusCode, reason: Reason) -> Self {
        Self { status, reason, location: None }
    }

    /// A redirect. The text must be a valid field value; a redirect without one would be of no use and is a 500.
    #[must_use]
    #[cold]
    #[inline(never)]
    pub fn redirect(status: StatusCode, reason: Reason, location: String) -> Self {
        match HeaderValue::try_from(location) {
            Ok(location) => Self { status, reason, location: Some(location) },
            Err(_) => Self::refusal(StatusCode::INTERNAL_SERVER_ERROR, Reason::Internal),
        }
    }

    /// Whether the connection ends with this answer: the rest of the body is not wanted, or after a request that could be read in two ways, nothing that follows on
    /// the connection can be trusted to be a request (RFC 9112 section 9.6).
    #[must_use]
    pub fn ends_connection(&self) -> bool {
        matches!(
            self.reason,
            Reason::BadRequest
                | Reason::BadHost
                | Reason::BadPath
                | Reason::AmbiguousPath
                | Reason::UriTooLong
                | Reason::HeaderTooLarge
                | Reason::MethodNotAllowed
                | Reason::PlainHttpOnTls
                | Reason::BadBody
                | Reason::BodyTimeout
                | Reason::BodyTooLarge
                | Reason::BodyNoRoom
        )
    }
}
