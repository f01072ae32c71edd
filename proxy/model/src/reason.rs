//! Why an answer was made here: the stable codes of logs, metrics and `explain`.

use std::fmt;

use serde::Serialize;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $code:literal,)*) => {
        /// The reason code of an answer that no upstream gave.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason, for counters and documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The code as logs and metrics write it.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }
        }
    };
}

reasons! {
    /// No virtual host for the request's host, and no default backend: 404.
    NoHost = "no-host",
    /// The virtual host has no route for the path, and there is no default backend: 404.
    NoPath = "no-path",
    /// The health path on the default server: 200.
    Health = "health",
    /// The Service has no usable endpoint, or does not exist: 503.
    NoEndpoints = "no-endpoints",
    /// A protecting setting of the Ingress cannot be honoured: 503.
    RouteClosed = "route-closed",
    /// `app-root`: 302.
    AppRoot = "app-root",
    /// `permanent-redirect` or `temporal-redirect`: 3xx.
    Redirect = "redirect",
    /// Plain HTTP to HTTPS: 308 by default.
    HttpsRedirect = "https-redirect",
    /// `from-to-www-redirect`: 308 by default.
    WwwRedirect = "www-redirect",
    /// A path that only lacks its trailing slash: 301.
    TrailingSlash = "trailing-slash",
    /// `rewrite-target` that is a URL: 302.
    RewriteRedirect = "rewrite-redirect",
    /// A request that cannot be parsed: 400.
    BadRequest = "bad-request",
    /// A missing, repeated or malformed host: 400.
    BadHost = "bad-host",
    /// A malformed path: 400.
    BadPath = "bad-path",
    /// A path that another server would read as one of another route: 400.
    AmbiguousPath = "ambiguous-path",
    /// A request line over the limit: 414.
    UriTooLong = "uri-too-long",
    /// A header section over the limit: 400.
    HeaderTooLarge = "header-too-large",
    /// CONNECT or TRACE: 405.
    MethodNotAllowed = "method-not-allowed",
    /// The header did not come in time: connection closed, 408 in the log.
    HeaderTimeout = "header-timeout",
    /// Plain HTTP on the TLS port: 400.
    PlainHttpOnTls = "plain-http-on-tls",
    /// No connection to any endpoint: 502.
    ConnectFailed = "connect-failed",
    /// Connecting took too long: 504.
    ConnectTimeout = "connect-timeout",
    /// The upstream closed or broke the protocol before its response: 502.
    UpstreamError = "upstream-error",
    /// The upstream was silent too long: 504.
    UpstreamTimeout = "upstream-timeout",
    /// TLS to the upstream failed: 502.
    UpstreamTls = "upstream-tls",
    /// An upgrade that the upstream did not name, or that nobody asked for: 502.
    BadUpgrade = "bad-upgrade",
    /// The request body ended early or is malformed: 400.
    BadBody = "bad-body",
    /// The request body did not come in time: 408.
    BodyTimeout = "body-timeout",
    /// The request body is larger than `proxy-body-size`, or too large to be kept anywhere: 413.
    BodyTooLarge = "body-too-large",
    /// As many request bodies are being received as there is room for: 503.
    BodyNoRoom = "body-no-room",
    /// The upstream's response head is larger than `proxy-buffer-size`: 502.
    UpstreamHeaderTooLarge = "upstream-header-too-large",
    /// The client went away: 499 in the log.
    ClientGone = "client-gone",
    /// Anything that is a fault of ours: 500.
    Internal = "internal",
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code())
    }
}

impl Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}
