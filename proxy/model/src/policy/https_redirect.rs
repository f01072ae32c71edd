//! From plain HTTP to HTTPS.

use serde::Serialize;

/// When plain HTTP requests are sent to HTTPS, and how the `Location` is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct HttpsRedirect {
    /// When.
    pub mode: HttpsRedirectMode,
    /// `preserve-trailing-slash`: keep one trailing slash of the request URI.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep_trailing_slash: bool,
    /// `use-port-in-redirects`: name the HTTPS port.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub with_port: bool,
}

/// When plain HTTP requests are sent to HTTPS.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpsRedirectMode {
    /// `ssl-redirect: false`, or a path of `no-tls-redirect-locations`.
    Never,
    /// `ssl-redirect`: where a certificate is registered for the host.
    #[default]
    WithCertificate,
    /// `force-ssl-redirect`.
    Always,
}
