//! The values of the ConfigMap before they are put together.

use std::sync::Arc;

use portcullis_model::policy::{BodyPolicy, HttpsRedirect, Retry, Timeouts};
use portcullis_model::{Balance, Hsts, LogEscape, SessionTickets, Settings, StreamTemplate, TicketKey};

use super::Config;
use crate::ObjectKey;
use crate::annotations::retry::with_non_idempotent;
use crate::annotations::{ResponseDefaults, Risk, https_redirect_mode};

/// What was written, key by key where several keys make one setting.
pub(super) struct Written {
    pub(super) settings: Settings,
    pub(super) ssl_redirect: bool,
    pub(super) force_ssl_redirect: bool,
    pub(super) preserve_trailing_slash: bool,
    pub(super) use_port_in_redirects: bool,
    pub(super) use_forwarded_headers: bool,
    pub(super) enable_real_ip: bool,
    pub(super) compute_full_forwarded_for: bool,
    pub(super) hsts: bool,
    pub(super) hsts_max_age: u64,
    pub(super) hsts_include_subdomains: bool,
    pub(super) hsts_preload: bool,
    pub(super) disable_access_log: bool,
    pub(super) disable_http_access_log: bool,
    pub(super) disable_stream_access_log: bool,
    pub(super) stream_log: Arc<StreamTemplate>,
    pub(super) log_escape_json: bool,
    pub(super) service_upstream: bool,
    pub(super) http10: bool,
    pub(super) body: BodyPolicy,
    pub(super) balance: Balance,
    pub(super) timeouts: Timeouts,
    pub(super) retry: Retry,
    pub(super) retry_non_idempotent: bool,
    pub(super) no_tls_redirect_locations: Vec<String>,
    pub(super) add_headers: Option<ObjectKey>,
    pub(super) proxy_set_headers: Option<ObjectKey>,
    pub(super) allowed_response_headers: Vec<String>,
    pub(super) response: ResponseDefaults,
    pub(super) allow_cross_namespace: bool,
    pub(super) risk_level: Risk,
    pub(super) word_blocklist: Vec<String>,
    pub(super) allow_snippets: bool,
    pub(super) strict_path_types: bool,
    pub(super) session_tickets: bool,
    pub(super) ticket_key: Option<TicketKey>,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            ssl_redirect: true,
            force_ssl_redirect: false,
            preserve_trailing_slash: false,
            use_port_in_redirects: false,
            use_forwarded_headers: false,
            enable_real_ip: false,
            compute_full_forwarded_for: false,
            hsts: true,
            hsts_max_age: 31_536_000,
            hsts_include_subdomains: true,
            hsts_preload: false,
            disable_access_log: false,
            disable_http_access_log: false,
            disable_stream_access_log: false,
            stream_log: Arc::default(),
            log_escape_json: false,
            service_upstream: false,
            http10: false,
            body: BodyPolicy::default(),
            balance: Balance::RoundRobin,
            timeouts: Timeouts::default(),
            retry: Retry::default(),
            retry_non_idempotent: false,
            no_tls_redirect_locations: vec!["/.well-known/acme-challenge".to_owned()],
            add_headers: None,
            proxy_set_headers: None,
            allowed_response_headers: Vec::new(),
            response: ResponseDefaults::default(),
            allow_cross_namespace: false,
            risk_level: Risk::High,
            word_blocklist: Vec::new(),
            allow_snippets: false,
            strict_path_types: true,
            session_tickets: false,
            ticket_key: None,
        }
    }
}

impl Written {
    /// Puts together what belongs together.
    pub(super) fn into_config(self) -> Config {
        let mut settings = self.settings;
        settings.body = self.body;
        settings.hsts =
            self.hsts.then(|| Hsts::new(self.hsts_max_age, self.hsts_include_subdomains, self.hsts_preload));
        settings.forwarded.fields = self.use_forwarded_headers;
        settings.forwarded.client_address = self.use_forwarded_headers || self.enable_real_ip;
        settings.forwarded.append = self.use_forwarded_headers && self.compute_full_forwarded_for;
        settings.access_log.enabled = !self.disable_access_log && !self.disable_http_access_log;
        let log_streams = !self.disable_access_log && !self.disable_stream_access_log;
        settings.stream.log = log_streams.then_some(self.stream_log);
        settings.access_log.escape = if self.log_escape_json { LogEscape::Json } else { LogEscape::Default };
        if self.session_tickets {
            let tickets = self.ticket_key.map_or(SessionTickets::OwnKeys, SessionTickets::SharedKey);
            Arc::make_mut(&mut settings.tls).tickets = tickets;
        }
        Config {
            settings,
            https_redirect: HttpsRedirect {
                mode: https_redirect_mode(self.ssl_redirect, self.force_ssl_redirect),
                keep_trailing_slash: self.preserve_trailing_slash,
                with_port: self.use_port_in_redirects,
            },
            ssl_redirect: self.ssl_redirect,
            force_ssl_redirect: self.force_ssl_redirect,
            service_upstream: self.service_upstream,
            http10: self.http10,
            body: self.body,
            balance: self.balance,
            timeouts: self.timeouts,
            retry: Retry {
                conditions: with_non_idempotent(self.retry.conditions, self.retry_non_idempotent),
                ..self.retry
            },
            retry_non_idempotent: self.retry_non_idempotent,
            no_tls_redirect_locations: self.no_tls_redirect_locations,
            add_headers: self.add_headers,
            proxy_set_headers: self.proxy_set_headers,
            allowed_response_headers: self.allowed_response_headers,
            response: self.response,
            allow_cross_namespace: self.allow_cross_namespace,
            closed: None,
            risk_level: self.risk_level,
            word_blocklist: self.word_blocklist,
            allow_snippets: self.allow_snippets,
            strict_path_types: self.strict_path_types,
        }
    }
}
