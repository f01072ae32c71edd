//! Routes that answer 503 because opening them would not be safe.

use std::sync::Arc;

use serde::Serialize;

/// Why a route is closed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Closed {
    /// The annotation or ConfigMap key that cannot be honoured.
    pub key: Arc<str>,
}
