//! Sessions that stay on one endpoint by a cookie.

use std::sync::Arc;

use serde::Serialize;

/// `affinity: cookie`: how a session finds its endpoint again, and the cookie that says which.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Affinity {
    /// `affinity-mode`.
    pub mode: AffinityMode,
    /// The cookie.
    pub cookie: SessionCookie,
    /// `session-cookie-change-on-failure`: whether a session moves on when its endpoint fails, or is tried there again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub change_on_failure: bool,
}

/// What happens to sessions when endpoints come (`affinity-mode`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AffinityMode {
    /// A share of them moves to the new endpoint.
    #[default]
    Balanced,
    /// None moves while its endpoint is there.
    Persistent,
}

/// The cookie of a session, `NAME=KEY|BACKENDKEY` (RFC 6265 section 4.1). `HttpOnly` is always set.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct SessionCookie {
    /// `session-cookie-name`, default `INGRESSCOOKIE`. Without blanks, control characters, `;`, `,` and `=`.
    pub name: Arc<str>,
    /// `session-cookie-path`; the path of the rule where there is none. Without control characters and `;`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Arc<str>>,
    /// `session-cookie-domain`. Without control characters and `;`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<Arc<str>>,
    /// `session-cookie-expires`: seconds from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
    /// `session-cookie-max-age`: seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<i64>,
    /// `session-cookie-secure`: `Secure` also where the client does not use TLS. Where it does, it is always set.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub secure: bool,
    /// `session-cookie-samesite`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_site: Option<SameSite>,
    /// `session-cookie-conditional-samesite-none`: no `SameSite=None` for clients known to misread it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub conditional_same_site_none: bool,
}

impl Default for SessionCookie {
    fn default() -> Self {
        Self {
            name: "INGRESSCOOKIE".into(),
            path: None,
            domain: None,
            expires: None,
            max_age: None,
            secure: false,
            same_site: None,
            conditional_same_site_none: false,
        }
    }
}

/// Which requests of other sites carry the cookie.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum SameSite {
    /// All.
    None,
    /// Those that follow a link.
    Lax,
    /// None.
    Strict,
}

impl SameSite {
    /// The value of the attribute.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Lax => "Lax",
            Self::Strict => "Strict",
        }
    }
}
