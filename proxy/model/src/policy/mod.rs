//! What annotations decide for a route, one field per group.

mod body;
mod canary;
mod closed;
mod headers;
mod https_redirect;
mod observe;
mod redirect;
mod response;
mod retry;
mod rewrite;
mod timeouts;
mod upstream;

use serde::Serialize;

pub use body::BodyPolicy;
pub use canary::{Canary, CanaryHeader, CanaryHeaderName};
pub use closed::Closed;
pub use headers::{ConnectionHeader, HeaderPolicy, HeaderText, InvalidSetHeader, SetHeader};
pub use https_redirect::{HttpsRedirect, HttpsRedirectMode};
pub use observe::Observe;
pub use redirect::{Location, Redirect};
pub use response::{CookieDomain, PrefixChange, ResponseRewrite};
pub use retry::{FailedTry, Retry, RetryCondition, RetryConditions};
pub use rewrite::Rewrite;
pub use timeouts::{Limit, Timeouts};
pub use upstream::UpstreamPolicy;

use crate::ClusterId;

/// The effective policy of a route. The proxy takes it apart field by field, so that none is forgotten.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct RoutePolicy {
    /// Set where a protecting setting cannot be honoured: everything answers 503.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
    /// `permanent-redirect`, `temporal-redirect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// `ssl-redirect`, `force-ssl-redirect` and how their `Location` is written.
    pub https_redirect: HttpsRedirect,
    /// `relative-redirects`: redirects to a path stay relative.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub relative_redirects: bool,
    /// `rewrite-target`, `x-forwarded-prefix`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Rewrite>,
    /// `canary*`: where a share of the requests goes instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// `affinity: cookie` on the Ingress of the route: clients without a session get a cookie here. Sessions are followed
    /// wherever their cluster is used.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub session: bool,
    /// `backend-protocol`, `upstream-vhost`.
    pub upstream: UpstreamPolicy,
    /// `default-backend`: takes all requests while the backend has no endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<ClusterId>,
    /// `proxy-body-size` and what is buffered of bodies.
    #[serde(skip_serializing_if = "is_default_body")]
    pub body: BodyPolicy,
    /// `connection-proxy-header`, `custom-headers`.
    pub headers: HeaderPolicy,
    /// `proxy-cookie-domain`, `proxy-cookie-path`, `proxy-redirect-from`, `proxy-redirect-to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<Box<ResponseRewrite>>,
    /// `proxy-connect-timeout`, `proxy-send-timeout`, `proxy-read-timeout`.
    #[serde(skip_serializing_if = "Timeouts::is_default")]
    pub timeouts: Timeouts,
    /// `proxy-next-upstream` and its family.
    #[serde(skip_serializing_if = "Retry::is_default")]
    pub retry: Retry,
    /// `enable-access-log`.
    pub observe: Observe,
}

fn is_default_body(body: &BodyPolicy) -> bool {
    *body == BodyPolicy::default()
}

impl RoutePolicy {
    /// Whether nothing differs from the defaults.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
