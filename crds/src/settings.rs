//! The settings, one field for each key of the ConfigMap that is supported.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::{HttpVersion, LoadBalance, RetryWord, RiskLevel, TlsVersion, Workers};

/// An entry of a list that the ConfigMap divides by commas.
const ENTRY: &str = "^[^,]+$";
/// An entry of a list that it divides by colons.
const COLON_ENTRY: &str = "^[^:]+$";
/// `namespace/name`
const REFERENCE: &str = "^[^/]+/[^/]+$";
const HEADER_NAME: &str = "^[A-Za-z0-9_-]+$";
/// nginx: configuration file measurement units.
const SIZE: &str = "^[0-9]+[kKmMgG]?$";
const TIME: &str = "^([0-9]+(ms|[yMwdhms])? *)+$";
/// As Go writes it.
const DURATION: &str = "^([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$";
const BUFFERS: &str = "^[0-9]+ +[0-9]+[kKmM]?$";

/// Settings of the controller. What is absent is as the ConfigMap says.
///
/// The descriptions are those of the ConfigMap's keys, which a test of the translation compares.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ControllerSettings {
    // Redirects
    /// Default of the annotation `ssl-redirect`. Default: `true`.
    pub ssl_redirect: Option<bool>,
    /// Default of the annotation `force-ssl-redirect`. Default: `false`.
    pub force_ssl_redirect: Option<bool>,
    /// Status of redirects to HTTPS and between `www.` and bare hosts. Default: `308`.
    #[schemars(extend("enum" = [301, 302, 307, 308]))]
    pub http_redirect_code: Option<i64>,
    /// Default of the annotation `relative-redirects`, and for redirects that no Ingress makes. Default: `false`.
    pub relative_redirects: Option<bool>,
    /// Default of the annotation `preserve-trailing-slash`. Default: `false`.
    pub preserve_trailing_slash: Option<bool>,
    /// Default of the annotation `use-port-in-redirects`. Default: `false`.
    pub use_port_in_redirects: Option<bool>,
    /// Paths of rules that begin so are never redirected to HTTPS. Default: `/.well-known/acme-challenge`.
    #[schemars(inner(regex(pattern = ENTRY)))]
    pub no_tls_redirect_locations: Option<Vec<String>>,

    // HSTS
    /// Sends `Strict-Transport-Security` over TLS. Default: `true`.
    pub hsts: Option<bool>,
    /// How long browsers keep to HTTPS. Value: seconds. Default: `31536000`.
    #[schemars(range(min = 0))]
    pub hsts_max_age: Option<i64>,
    /// Whether that holds for names below the host. Default: `true`.
    pub hsts_include_subdomains: Option<bool>,
    /// Whether browsers may ship with it. Default: `false`.
    pub hsts_preload: Option<bool>,

    // Headers
    /// Sends `Server` with name and version. Default: `false`.
    pub server_tokens: Option<bool>,
    /// Lets `Server` of the upstream pass. Default: `false`.
    pub allow_backend_server_header: Option<bool>,
    /// Headers of upstreams that clients do not receive.
    #[schemars(inner(regex(pattern = ENTRY)))]
    pub hide_headers: Option<Vec<String>>,
    /// Headers that are set on every response, in place of those of the same name. Values may hold nginx variables that
    /// are known when the request is read; an empty value removes the header. Value: `namespace/name` of a ConfigMap.
    #[schemars(regex(pattern = REFERENCE))]
    pub add_headers: Option<String>,
    /// Headers that are set on requests to upstreams, in place of those of the same name. Values may hold nginx
    /// variables; an empty value removes the header. Value: `namespace/name` of a ConfigMap.
    #[schemars(regex(pattern = REFERENCE))]
    pub proxy_set_headers: Option<String>,
    /// Names that `custom-headers` may set, spelt the same.
    #[schemars(inner(regex(pattern = ENTRY)))]
    pub global_allowed_response_headers: Option<Vec<String>>,
    /// Default of the annotation `proxy-cookie-domain`. Value: `off`, or a domain and its replacement. Default: `off`.
    pub proxy_cookie_domain: Option<String>,
    /// Default of the annotation `proxy-cookie-path`. Value: `off`, or the start of a path and its replacement.
    /// Default: `off`.
    pub proxy_cookie_path: Option<String>,
    /// Default of the annotation `proxy-redirect-from`. Value: `off`, `default` or the start of a URL. Default: `off`.
    pub proxy_redirect_from: Option<String>,
    /// Default of the annotation `proxy-redirect-to`. Value: `off` or the start of a URL. Default: `off`.
    pub proxy_redirect_to: Option<String>,
    /// Lets request headers with `_` in their names pass. Default: `false`.
    pub enable_underscores_in_headers: Option<bool>,
    /// Drops request headers with other characters than letters, digits and `-` in their names. Default: `true`.
    pub ignore_invalid_headers: Option<bool>,
    /// Makes `X-Request-ID` where the client sent none. Default: `true`.
    pub generate_request_id: Option<bool>,
    /// Sends `X-Original-URI` to upstreams. Default: `false`.
    pub proxy_add_original_uri_header: Option<bool>,

    // Client address
    /// Believes `X-Forwarded-*` of the peers in `proxyRealIpCidr`. Default: `false`.
    pub use_forwarded_headers: Option<bool>,
    /// Believes the client address alone. Default: `false`.
    pub enable_real_ip: Option<bool>,
    /// Peers that are believed. Default: `0.0.0.0/0`.
    #[schemars(inner(regex(pattern = ENTRY)))]
    pub proxy_real_ip_cidr: Option<Vec<String>>,
    /// Where the client address is read. Value: the name of a header. Default: `X-Forwarded-For`.
    #[schemars(regex(pattern = HEADER_NAME))]
    pub forwarded_for_header: Option<String>,
    /// What `X-Original-Forwarded-Host` is read from. Value: the name of a header. Default: `X-Forwarded-Host`.
    #[schemars(regex(pattern = HEADER_NAME))]
    pub forwarded_host_header: Option<String>,
    /// Appends to `X-Forwarded-For` instead of replacing it, together with `useForwardedHeaders`. Default: `false`.
    pub compute_full_forwarded_for: Option<bool>,

    // Access log
    /// A line of the access log; the format of ingress-nginx if absent. Value: text with nginx variables.
    pub log_format_upstream: Option<String>,
    /// Escapes variables for JSON. Default: `false`.
    pub log_format_escape_json: Option<bool>,
    /// Writes no access log. Default: `false`.
    pub disable_access_log: Option<bool>,
    /// Writes no access log of HTTP. Default: `false`.
    pub disable_http_access_log: Option<bool>,
    /// Logs requests that no Ingress answers. Default: `false`.
    pub enable_access_log_for_default_backend: Option<bool>,

    // Connections to upstreams
    /// Idle connections to upstreams that a worker keeps; 0 for a connection per request. Value: a number of
    /// connections. Default: `320`.
    #[schemars(range(min = 0))]
    pub upstream_keepalive_connections: Option<i64>,
    /// How old such a connection may get. Value: a time such as `1h`. Default: `1h`.
    #[schemars(regex(pattern = TIME))]
    pub upstream_keepalive_time: Option<String>,
    /// How long it may be idle. Value: seconds. Default: `60`.
    #[schemars(range(min = 0))]
    pub upstream_keepalive_timeout: Option<i64>,
    /// Requests on it. Value: a number of requests. Default: `10000`.
    #[schemars(range(min = 0))]
    pub upstream_keepalive_requests: Option<i64>,
    /// How large the head of a gRPC response may be; 0 for 64, which is the most. Value: KiB. Default: `0`.
    #[schemars(range(min = 0, max = 64))]
    pub grpc_buffer_size_kb: Option<i64>,
    /// Default of the annotation `proxy-http-version`. Default: `1.1`.
    pub proxy_http_version: Option<HttpVersion>,

    // Bodies
    /// Default of the annotation `proxy-body-size`. Value: a size. Default: `1m`.
    #[schemars(regex(pattern = SIZE))]
    pub proxy_body_size: Option<String>,
    /// Default of the annotation `client-body-buffer-size`. Value: a size. Default: `8k`.
    #[schemars(regex(pattern = SIZE))]
    pub client_body_buffer_size: Option<String>,
    /// Default of the annotation `proxy-request-buffering`. Default: `true`.
    pub proxy_request_buffering: Option<bool>,
    /// Default of the annotation `proxy-buffering`. Default: `false`.
    pub proxy_buffering: Option<bool>,
    /// Default of the annotation `proxy-buffers-number`. Value: a whole number from 2 to 65536. Default: `4`.
    #[schemars(range(min = 2, max = 65536))]
    pub proxy_buffers_number: Option<i64>,
    /// Default of the annotation `proxy-buffer-size`. Value: a size. Default: `4k`.
    #[schemars(regex(pattern = SIZE))]
    pub proxy_buffer_size: Option<String>,
    /// Default of the annotation `proxy-max-temp-file-size`. Value: a size. Default: `1024m`.
    #[schemars(regex(pattern = SIZE))]
    pub proxy_max_temp_file_size: Option<String>,

    // Process
    /// Threads that serve requests; `auto` for as many as there are CPUs, or the quota of the control group. Read at
    /// the start. Value: a number or `auto`. Default: `auto`.
    pub worker_processes: Option<Workers>,
    /// Client connections per worker; 0 for three quarters of the files that may be open. Read at the start. Value: a
    /// number of connections. Default: `16384`.
    #[schemars(range(min = 0))]
    pub max_worker_connections: Option<i64>,
    /// How long requests may take when the program ends. Value: a time. Default: `240s`.
    #[schemars(regex(pattern = TIME))]
    pub worker_shutdown_timeout: Option<String>,

    // Upstreams and annotations
    /// Default of the annotation `service-upstream`. Default: `false`.
    pub service_upstream: Option<bool>,
    /// Lets `custom-headers` and `proxy-ssl-secret` name objects of other namespaces. Default: `false`.
    pub allow_cross_namespace_resources: Option<bool>,
    /// Default of the annotation `load-balance`. Default: `round_robin`.
    pub load_balance: Option<LoadBalance>,
    /// Default of the annotation `proxy-connect-timeout`. Value: a number of seconds, at least 1. Default: `5`.
    #[schemars(range(min = 1))]
    pub proxy_connect_timeout: Option<i64>,
    /// Default of the annotation `proxy-send-timeout`. Value: a number of seconds, at least 1. Default: `60`.
    #[schemars(range(min = 1))]
    pub proxy_send_timeout: Option<i64>,
    /// Default of the annotation `proxy-read-timeout`. Value: a number of seconds, at least 1. Default: `60`.
    #[schemars(range(min = 1))]
    pub proxy_read_timeout: Option<i64>,
    /// Default of the annotation `proxy-next-upstream`. Default: `error timeout`.
    pub proxy_next_upstream: Option<Vec<RetryWord>>,
    /// Default of the annotation `proxy-next-upstream-timeout`. Value: a number of seconds. Default: `0`.
    #[schemars(range(min = 0))]
    pub proxy_next_upstream_timeout: Option<i64>,
    /// Default of the annotation `proxy-next-upstream-tries`. Value: a number of tries. Default: `3`.
    #[schemars(range(min = 0))]
    pub proxy_next_upstream_tries: Option<i64>,
    /// Adds `non_idempotent` to `proxyNextUpstream` of every path, unless that is `off`. Default: `false`.
    pub retry_non_idempotent: Option<bool>,
    /// The highest risk of annotations that is accepted; an Ingress with a riskier one is refused. Default: `High`.
    pub annotations_risk_level: Option<RiskLevel>,
    /// An Ingress with one of them in an annotation is refused.
    #[schemars(inner(regex(pattern = ENTRY)))]
    pub annotation_value_word_blocklist: Option<Vec<String>>,
    /// Snippets are never executed. If on, an Ingress with a snippet is refused; if off and `annotationsRiskLevel` is
    /// `Critical`, it is served without. Default: `false`.
    pub allow_snippet_annotations: Option<bool>,
    /// The admission webhook refuses Exact and Prefix paths with other characters than letters, digits and `._-/`.
    /// Default: `true`.
    pub strict_validate_path_type: Option<bool>,

    // Connections of clients
    /// How long an idle connection is kept; 0 for not at all. Value: seconds. Default: `75`.
    #[schemars(range(min = 0))]
    pub keep_alive: Option<i64>,
    /// Requests per connection. Value: a number of requests. Default: `1000`.
    #[schemars(range(min = 0))]
    pub keep_alive_requests: Option<i64>,
    /// How long a request head may take. Value: seconds, at least 1. Default: `60`.
    #[schemars(range(min = 1))]
    pub client_header_timeout: Option<i64>,
    /// How long a client may send nothing of a body. Value: seconds, at least 1. Default: `60`.
    #[schemars(range(min = 1))]
    pub client_body_timeout: Option<i64>,
    /// The size is the limit of the request line (414) and of each header (400), both together that of the head (400).
    /// Value: a number and a size, such as `4 8k`. Default: `4 8k`.
    #[schemars(regex(pattern = BUFFERS))]
    pub large_client_header_buffers: Option<String>,
    /// Requests at a time on an HTTP/2 connection. Value: a number of streams, 1 to 10000. Default: `128`.
    #[schemars(range(min = 1, max = 10000))]
    pub http2_max_concurrent_streams: Option<i64>,
    /// Expects the PROXY protocol, version 1 or 2, on the ports of HTTP and HTTPS; connections without it are closed.
    /// Default: `false`.
    pub use_proxy_protocol: Option<bool>,
    /// How long the header of the PROXY protocol may take. Value: a duration such as `5s`. Default: `5s`.
    #[schemars(regex(pattern = DURATION))]
    pub proxy_protocol_header_timeout: Option<String>,

    // TLS
    /// Offers HTTP/2 in TLS handshakes, and takes it in the clear with prior knowledge. Default: `true`.
    pub use_http2: Option<bool>,
    /// Versions of TLS. Others are left out; where nothing is left, the default holds. Default: `TLSv1.2 TLSv1.3`.
    pub ssl_protocols: Option<Vec<TlsVersion>>,
    /// Cipher suites of TLS 1.2, in order of preference. Those with ECDHE and AES-GCM or ChaCha20 are offered, others
    /// are left out; where nothing is left, the default holds. Suites of TLS 1.3 are not affected.
    #[schemars(inner(regex(pattern = COLON_ENTRY)))]
    pub ssl_ciphers: Option<Vec<String>>,
    /// Groups of the key exchange, of `X25519MLKEM768`, `X25519`, `prime256v1` (`P-256`) and `secp384r1` (`P-384`);
    /// `auto` is all of them. Of those offered here, a client gets the one it names first. Default: `auto`.
    #[schemars(inner(regex(pattern = COLON_ENTRY)))]
    pub ssl_ecdh_curve: Option<Vec<String>>,
    /// Keeps TLS sessions, 10240 of them. Default: `true`.
    pub ssl_session_cache: Option<bool>,
    /// How long a TLS session may be resumed, by cache or ticket; at most 7 days. Value: a time. Default: `10m`.
    #[schemars(regex(pattern = TIME))]
    pub ssl_session_timeout: Option<String>,
    /// Hands sessions to clients as tickets. Default: `false`.
    pub ssl_session_tickets: Option<bool>,
    /// Key of the tickets, by which replicas resume sessions of each other; each has random ones if absent. Value: 48
    /// or 80 bytes in base64.
    pub ssl_session_ticket_key: Option<String>,
    /// Ends handshakes without a name, and for names that no host has. Default: `false`.
    pub ssl_reject_handshake: Option<bool>,

    // TCP and UDP
    /// How long nothing may come from either side of a connection or session. Value: a time. Default: `600s`.
    #[schemars(regex(pattern = TIME))]
    pub proxy_stream_timeout: Option<String>,
    /// Tries another endpoint when one cannot be connected to. Default: `true`.
    pub proxy_stream_next_upstream: Option<bool>,
    /// How long endpoints are tried. Value: a time; 0 for no limit. Default: `600s`.
    #[schemars(regex(pattern = TIME))]
    pub proxy_stream_next_upstream_timeout: Option<String>,
    /// How many endpoints are tried, each once. Value: a number of tries; 0 for no limit. Default: `3`.
    #[schemars(range(min = 0))]
    pub proxy_stream_next_upstream_tries: Option<i64>,
    /// Answers to a datagram, after which a session is over; 0 for none. Value: a number of datagrams. Default: `1`.
    #[schemars(range(min = 0))]
    pub proxy_stream_responses: Option<i64>,
    /// A line of the log of TCP and UDP. Value: text with variables of nginx' stream module. Default:
    /// `[$remote_addr] [$time_local] $protocol $status $bytes_sent $bytes_received $session_time`.
    pub log_format_stream: Option<String>,
    /// Writes no access log of TCP and UDP. Default: `false`.
    pub disable_stream_access_log: Option<bool>,
}
