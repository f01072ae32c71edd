//! What the annotations of one Ingress decide, before paths and hosts are known.

use std::sync::Arc;

use portcullis_model::policy::{
    BodyPolicy, CanaryHeader, CanaryHeaderName, Closed, ConnectionHeader, HttpsRedirect, Observe, Redirect,
    ResponseRewrite, Retry, Timeouts, UpstreamPolicy,
};
use portcullis_model::{Affinity, AffinityMode, Balance, CipherList, HostAlias, HostTls, Template, TlsVersions};
use rustls_pki_types::ServerName;

use crate::{Config, ObjectKey};

/// Filled by the groups, read when hosts and routes are built. Starts from the ConfigMap's defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// A key whose bad value takes the whole Ingress out (outcome `Reject`); none where the Ingress is served.
    pub rejected: Option<&'static str>,
    /// A key that protects and cannot be honoured: every route of the Ingress answers 503.
    pub closed: Option<Closed>,
    /// A key that protects whole hosts and cannot be honoured: every route of the hosts of the Ingress answers 503, those of
    /// other Ingresses too. Then [`Draft::closed`] is set as well.
    pub closed_host: Option<Closed>,
    /// `rewrite-target`: text as written and as template.
    pub rewrite: Option<(Arc<str>, Template)>,
    /// `use-regex`.
    pub use_regex: bool,
    /// `x-forwarded-prefix`.
    pub forwarded_prefix: Option<Template>,
    /// `app-root`.
    pub app_root: Option<Arc<str>>,
    /// `ssl-redirect`, `force-ssl-redirect`, `preserve-trailing-slash`, `use-port-in-redirects`.
    pub https_redirect: HttpsRedirect,
    /// `temporal-redirect`, else `permanent-redirect`.
    pub redirect: Option<Redirect>,
    /// `relative-redirects`.
    pub relative_redirects: bool,
    /// `from-to-www-redirect`.
    pub www_redirect: bool,
    /// `server-alias`, sorted, without duplicates.
    pub aliases: Vec<HostAlias>,
    /// `ssl-ciphers`, `ssl-prefer-server-ciphers`.
    pub handshake: HostTls,
    /// `canary: "true"` with its rules; such an Ingress has no hosts or routes of its own.
    pub canary: Option<CanaryRules>,
    /// `backend-protocol`, `proxy-http-version`, `upstream-vhost`. Its TLS is made of [`Draft::upstream_tls`] once Secrets are at
    /// hand.
    pub upstream: UpstreamPolicy,
    /// `proxy-ssl-secret` and its family; none without it.
    pub upstream_tls: Option<UpstreamTlsRules>,
    /// `default-backend`: a Service of the Ingress' namespace.
    pub default_backend: Option<Arc<str>>,
    /// `service-upstream`.
    pub service_upstream: bool,
    /// `proxy-body-size` and what is buffered of bodies.
    pub body: BodyPolicy,
    /// `connection-proxy-header`.
    pub connection: Option<ConnectionHeader>,
    /// `custom-headers`: a ConfigMap, as written.
    pub custom_headers: Option<Arc<str>>,
    /// `proxy-cookie-domain`, `proxy-cookie-path`, `proxy-redirect-from`, `proxy-redirect-to`.
    pub response: Option<Box<ResponseRewrite>>,
    /// `load-balance`, `upstream-hash-by*`.
    pub balance: Balance,
    /// `affinity*`, `session-cookie-*`.
    pub session: SessionRules,
    /// `proxy-connect-timeout`, `proxy-send-timeout`, `proxy-read-timeout`.
    pub timeouts: Timeouts,
    /// `proxy-next-upstream` and its family.
    pub retry: Retry,
    /// `enable-access-log`.
    pub observe: Observe,
}

/// What the annotations `proxy-ssl-*` say, before the Secret is looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamTlsRules {
    /// The Secret, of the Ingress' namespace.
    pub secret: ObjectKey,
    /// `proxy-ssl-verify`.
    pub verify: bool,
    /// `proxy-ssl-verify-depth`, at least 1.
    pub depth: u32,
    /// `proxy-ssl-name`, or what ingress-nginx calls its upstreams.
    pub name: ServerName<'static>,
    /// `proxy-ssl-server-name`.
    pub send_name: bool,
    /// `proxy-ssl-protocols`.
    pub versions: TlsVersions,
    /// `proxy-ssl-ciphers`.
    pub ciphers: CipherList,
}

/// The rules of a canary Ingress.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CanaryRules {
    /// `canary-by-header`, with `canary-by-header-value` or `canary-by-header-pattern`.
    pub header: Option<(CanaryHeaderName, CanaryHeader)>,
    /// `canary-by-cookie`.
    pub cookie: Option<Arc<str>>,
    /// `canary-weight`.
    pub weight: u32,
    /// `canary-weight-total`, at least 100.
    pub total: u32,
}

/// What an Ingress says about sessions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionRules {
    /// `affinity: cookie`, with everything but the mode.
    pub affinity: Option<Affinity>,
    /// `affinity-mode`; counts without `affinity`, too, where another Ingress of the Service port has that.
    pub mode: Option<AffinityMode>,
    /// `affinity-canary-behavior: legacy`: a canary does not follow the sessions of its primary.
    pub legacy_canary: bool,
}

impl Draft {
    /// A draft of an Ingress without annotations.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            rejected: None,
            closed: config.closed.clone(),
            closed_host: None,
            rewrite: None,
            use_regex: false,
            forwarded_prefix: None,
            app_root: None,
            https_redirect: config.https_redirect,
            redirect: None,
            relative_redirects: config.settings.relative_redirects,
            www_redirect: false,
            aliases: Vec::new(),
            handshake: HostTls::default(),
            canary: None,
            upstream: UpstreamPolicy { http10: config.http10, ..UpstreamPolicy::default() },
            upstream_tls: None,
            default_backend: None,
            service_upstream: config.service_upstream,
            body: config.body,
            connection: None,
            custom_headers: None,
            response: config.response.clone().rewrite(),
            balance: config.balance.clone(),
            session: SessionRules::default(),
            timeouts: config.timeouts,
            retry: config.retry,
            observe: Observe::default(),
        }
    }
}
