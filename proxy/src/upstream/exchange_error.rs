//! Why an exchange with an upstream gave no response.

use std::error::Error;

/// Why there is no response, where the endpoint was reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// What HTTP/1 failed with.
    #[error(transparent)]
    Http1(hyper::Error),
    /// What HTTP/2 failed with.
    #[error("HTTP/2 failed: {0}")]
    Http2(#[source] Box<dyn Error + Send + Sync>),
}

impl ExchangeError {
    /// Whether something came that is no response.
    pub(crate) fn is_malformed(&self) -> bool {
        matches!(self, Self::Http1(error) if error.is_parse())
    }
}
