//! How the upstream of a route is spoken to.

use std::sync::Arc;

use serde::Serialize;

use crate::{Protocol, Template, UpstreamTls};

/// `backend-protocol`, `proxy-http-version`, `upstream-vhost` and `proxy-ssl-*`.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct UpstreamPolicy {
    /// Protocol; default HTTP/1.1 in the clear.
    pub protocol: Protocol,
    /// `proxy-http-version: 1.0`: requests say HTTP/1.0 and end their connection. Without effect on HTTP/2.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub http10: bool,
    /// `Host` sent; the client's where none is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Template>,
    /// `proxy-ssl-secret` and its family; without it TLS is neither verified nor names anybody, as nginx.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Arc<UpstreamTls>>,
}
