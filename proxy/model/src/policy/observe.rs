//! What is logged of a route.

use serde::Serialize;

/// Logging of a route's requests.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Observe {
    /// `enable-access-log`, default on.
    pub access_log: bool,
}

impl Default for Observe {
    fn default() -> Self {
        Self { access_log: true }
    }
}
