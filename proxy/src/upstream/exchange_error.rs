//! Why an exchange with an upstream gave no response.

use std::error::Error;
use std::io;

use crate::body::BodyError;

/// Why there is no response, where the endpoint was reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// The stream ended before the head of the response did.
    #[error("the connection ended before the response")]
    Incomplete,
    /// Reading or writing failed.
    #[error("the connection broke: {0}")]
    Io(#[source] io::Error),
    /// What came is no response.
    #[error("the response is malformed: {0}")]
    Malformed(&'static str),
    /// The body of the request could not be had.
    #[error("the request body failed: {0}")]
    Body(#[source] BodyError),
    /// What HTTP/2 failed with.
    #[error("HTTP/2 failed: {0}")]
    Http2(#[source] Box<dyn Error + Send + Sync>),
}

impl ExchangeError {
    /// Whether something came that is no response.
    pub(crate) fn is_malformed(&self) -> bool {
        matches!(self, Self::Malformed(_))
    }
}
