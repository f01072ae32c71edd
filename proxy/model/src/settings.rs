//! What holds for the whole controller: the ConfigMap, read once into checked values.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use crate::policy::{BodyPolicy, SetHeader};
use crate::{
    ClientSettings, ForwardedTrust, ProcessSettings, StreamSettings, Template, TlsSettings, UpstreamKeepalive,
};

/// Settings that no route changes. Defaults are those of ingress-nginx.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Settings {
    /// `http-redirect-code`, default 308: status of HTTPS and www redirects.
    pub redirect_code: RedirectCode,
    /// `hsts` and its family: what TLS answers of routes carry; none where `hsts` is off.
    pub hsts: Option<Hsts>,
    /// `server-tokens`, default off: send `Server` with name and version.
    pub server_tokens: bool,
    /// `allow-backend-server-header`, default off: let the upstream's `Server` pass.
    pub pass_server: bool,
    /// Which forwarded fields are believed.
    pub forwarded: ForwardedTrust,
    /// `generate-request-id`, default on: make `X-Request-ID` where the client sent none.
    pub request_id: bool,
    /// `proxy-add-original-uri-header`, default off: send `X-Original-URI` to upstreams.
    pub original_uri: bool,
    /// Connections of clients.
    pub client: ClientSettings,
    /// `use-http2`, default on: HTTP/2 over TLS by ALPN, and in the clear with prior knowledge.
    pub http2: bool,
    /// Which request header names reach upstreams.
    pub header_names: HeaderNameRules,
    /// `hide-headers`: response headers of upstreams that are dropped.
    #[serde(serialize_with = "names_as_text")]
    pub hide_headers: Vec<HeaderName>,
    /// `add-headers`: set on every response. Values may depend on the request.
    pub add_headers: Vec<SetHeader>,
    /// `proxy-set-headers`: set on every request to an upstream. Values may be secret, so that only names are shown.
    #[serde(serialize_with = "set_names_as_text")]
    pub proxy_set_headers: Vec<SetHeader>,
    /// `relative-redirects`, default off, for redirects that no route decides.
    pub relative_redirects: bool,
    /// `upstream-keepalive-*`, `grpc-buffer-size-kb`: connections to upstreams.
    pub upstream: UpstreamKeepalive,
    /// `proxy-body-size` and its like, for requests that no route decides about.
    pub body: BodyPolicy,
    /// Access log.
    pub access_log: AccessLogSettings,
    /// TLS with clients; the same one as long as nothing of it changes.
    pub tls: Arc<TlsSettings>,
    /// TCP and UDP services.
    pub stream: StreamSettings,
    /// Workers and the end of the process.
    pub process: ProcessSettings,
}

fn names_as_text<S: serde::Serializer>(names: &[HeaderName], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(names.iter().map(HeaderName::as_str))
}

fn set_names_as_text<S: serde::Serializer>(headers: &[SetHeader], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(headers.iter().map(|header| header.name().as_str()))
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            redirect_code: RedirectCode::default(),
            hsts: Some(Hsts::default()),
            server_tokens: false,
            pass_server: false,
            forwarded: ForwardedTrust::default(),
            request_id: true,
            original_uri: false,
            client: ClientSettings::default(),
            http2: true,
            header_names: HeaderNameRules::default(),
            hide_headers: Vec::new(),
            add_headers: Vec::new(),
            proxy_set_headers: Vec::new(),
            relative_redirects: false,
            upstream: UpstreamKeepalive::default(),
            body: BodyPolicy::default(),
            access_log: AccessLogSettings::default(),
            tls: Arc::default(),
            stream: StreamSettings::default(),
            process: ProcessSettings::default(),
        }
    }
}

/// A status that makes clients go elsewhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RedirectCode(StatusCode);

impl RedirectCode {
    /// 302, of `app-root` and the default of `temporal-redirect`.
    pub const FOUND: Self = Self(StatusCode::FOUND);
    /// 301, of trailing slashes and the default of `permanent-redirect`.
    pub const MOVED_PERMANENTLY: Self = Self(StatusCode::MOVED_PERMANENTLY);

    /// Takes a status from 300 to 308.
    #[must_use]
    pub fn new(status: u16) -> Option<Self> {
        (300..=308).contains(&status).then(|| StatusCode::from_u16(status).ok()).flatten().map(Self)
    }

    /// The status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.0
    }
}

/// 308, the default of `http-redirect-code`.
impl Default for RedirectCode {
    fn default() -> Self {
        Self(StatusCode::PERMANENT_REDIRECT)
    }
}

impl Serialize for RedirectCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.0.as_u16())
    }
}

/// The value of `Strict-Transport-Security` (RFC 6797 section 6.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hsts(HeaderValue);

impl Hsts {
    /// `max-age=<seconds>[; includeSubDomains][; preload]`.
    #[must_use]
    pub fn new(max_age: u64, include_subdomains: bool, preload: bool) -> Self {
        let mut text = format!("max-age={max_age}");
        if include_subdomains {
            text.push_str("; includeSubDomains");
        }
        if preload {
            text.push_str("; preload");
        }
        Self(
            HeaderValue::from_str(&text)
                .unwrap_or_else(|_| HeaderValue::from_static("max-age=31536000; includeSubDomains")),
        )
    }

    /// The header value.
    #[must_use]
    pub fn value(&self) -> &HeaderValue {
        &self.0
    }
}

/// One year and subdomains, as ingress-nginx.
impl Default for Hsts {
    fn default() -> Self {
        Self::new(31_536_000, true, false)
    }
}

impl Serialize for Hsts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.to_str().unwrap_or_default())
    }
}

/// Which request header names are forwarded; a name that is not is dropped silently.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct HeaderNameRules {
    /// `enable-underscores-in-headers`, default off.
    pub underscores: bool,
    /// `ignore-invalid-headers` set to false, default off: names with other characters than letters, digits and `-` pass.
    pub unusual: bool,
}

impl HeaderNameRules {
    /// Whether a header of this name is forwarded.
    #[must_use]
    pub fn admit(self, name: &HeaderName) -> bool {
        self.unusual
            || name
                .as_str()
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || (octet == b'_' && self.underscores))
    }
}

/// How requests are logged.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct AccessLogSettings {
    /// Off with `disable-access-log` or `disable-http-access-log`.
    pub enabled: bool,
    /// `log-format-upstream`.
    pub format: Template,
    /// How variable values are escaped.
    pub escape: LogEscape,
    /// `enable-access-log-for-default-backend`, default off: log what no Ingress answers.
    pub default_backend: bool,
}

/// Escaping of variable values in log lines.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogEscape {
    /// `"`, `\` and octets outside printable ASCII as `\xHH`; unset as `-`.
    #[default]
    Default,
    /// JSON string escapes; unset as nothing (`log-format-escape-json`).
    Json,
}

/// The default of `log-format-upstream`.
const DEFAULT_FORMAT: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \
    \"$http_user_agent\" $request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr \
    $upstream_response_length $upstream_response_time $upstream_status $req_id";

impl Default for AccessLogSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            format: Template::parse(DEFAULT_FORMAT).unwrap_or_default(),
            escape: LogEscape::Default,
            default_backend: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_ingress_nginx() {
        let settings = Settings::default();
        assert_eq!(settings.redirect_code.status(), 308);
        assert_eq!(settings.hsts.unwrap().value(), "max-age=31536000; includeSubDomains");
        assert_eq!(settings.access_log.format.parts().len(), 33);
    }

    #[test]
    fn header_names_pass_by_rule() {
        let name = |text: &'static str| HeaderName::from_static(text);
        let usual = HeaderNameRules::default();
        assert!(usual.admit(&name("x-user")));
        assert!(!usual.admit(&name("x_user")));
        assert!(!usual.admit(&name("x.user")));
        assert!(HeaderNameRules { underscores: true, unusual: false }.admit(&name("x_user")));
        assert!(HeaderNameRules { underscores: false, unusual: true }.admit(&name("x.user")));
    }
}
