//! A second backend for a share of a route's requests.

use std::sync::Arc;

use http::HeaderName;
use serde::{Serialize, Serializer};

use crate::{ClusterId, Pattern};

/// What sends a request to the canary: header, else cookie, else weight.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Canary {
    /// Where such requests go.
    pub cluster: ClusterId,
    /// `canary-by-header` with its value or pattern.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<(CanaryHeaderName, CanaryHeader)>,
    /// `canary-by-cookie`: `always` and `never` decide, anything else goes on to the weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<Arc<str>>,
    /// `canary-weight`, out of [`Canary::total`].
    pub weight: u32,
    /// `canary-weight-total`, at least 100.
    pub total: u32,
}

/// The name of the header that decides.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CanaryHeaderName(pub HeaderName);

impl Serialize for CanaryHeaderName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

/// What the value of the header must be. Where it decides nothing, the cookie is asked.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CanaryHeader {
    /// `always` sends to the canary, `never` to the primary.
    AlwaysOrNever,
    /// `canary-by-header-value`: this value, case counts.
    Value(Arc<str>),
    /// `canary-by-header-pattern`: found anywhere in the value.
    Pattern(Arc<Pattern>),
    /// `canary-by-header-pattern` with an expression that cannot be used: whoever sends the header stays on the primary.
    Unusable,
}
