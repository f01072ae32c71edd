//! How the upstream of a route is spoken to.

use serde::Serialize;

use crate::{Protocol, Template};

/// `backend-protocol` and `upstream-vhost`.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct UpstreamPolicy {
    /// Protocol; default HTTP/1.1 in the clear.
    pub protocol: Protocol,
    /// `Host` sent; the client's where none is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Template>,
}
