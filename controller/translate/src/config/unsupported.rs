//! Keys of the ConfigMap that are known and have no effect: not yet, or because there is no nginx here.

use super::key::{Action, ConfigKey, Entry, boolean, integer};
use crate::annotations::Support;
use crate::annotations::value;

#[rustfmt::skip]
pub(super) static KEYS: &[Entry] = &[
    // Security and admission
    closes("block-cidrs", "addresses or networks, divided by commas", "Clients that get 403."),
    closes("block-user-agents", "texts or `~` expressions, divided by commas", "User agents that get 403."),
    closes("block-referers", "texts or `~` expressions, divided by commas", "Referers that get 403."),
    closes("denylist-source-range", "addresses or networks, divided by commas", "Default of the annotation."),
    closes("whitelist-source-range", "addresses or networks, divided by commas", "Default of `allowlist-source-range`."),

    // Clients
    nothing("client-header-buffer-size", "a size", "1k", "Buffers grow as needed here."),
    nothing("http2-max-field-size", "a size", "", "nginx no longer has it."),
    nothing("http2-max-header-size", "a size", "", "nginx no longer has it."),
    nothing("http2-max-requests", "a number of requests", "0", "nginx no longer has it."),
    later("bind-address", "addresses, divided by commas", "", "Addresses to listen on; all if absent."),
    later_flag("disable-ipv6", "false", "Listens on IPv4 only."),
    later_flag("disable-ipv6-dns", "false", "Asks for IPv4 addresses only."),
    nothing("reuse-port", "`true` or `false`", "true", "Each worker has its own listener here."),
    nothing("default-type", "a media type", "text/html", "Answers made here have the type of their content."),

    // Client address and forwarded headers
    nothing("forwarded-for-proxy-protocol-header", "the name of a header", "X-Forwarded-For-Proxy-Protocol", "No header is used for this inside."),

    // TLS
    nothing("ssl-dh-param", "`namespace/name` of a Secret", "", "Finite-field key exchange is not offered here."),
    nothing("ssl-early-data", "`true` or `false`", "false", "Early data of TLS 1.3 can be replayed by others, so it is never accepted."),
    nothing("ssl-session-cache-size", "a size", "10m", "The cache holds 10240 sessions here."),
    nothing("ssl-buffer-size", "a size", "4k", "Records are as large as what is sent."),
    later_flag("enable-ocsp", "false", "Sends OCSP responses with certificates."),
    nothing("proxy-ssl-location-only", "`true` or `false`", "false", "Settings of TLS to upstreams are those of the path here."),

    // Upstreams
    nothing("proxy-busy-buffers-size", "a size", "", "Buffers are bounded here in another way."),
    later("custom-http-errors", "statuses, divided by commas", "", "Default of the annotation."),
    later_flag("disable-proxy-intercept-errors", "false", "Default of the annotation."),
    later_number("limit-rate", "KiB per second", "0", "Default of the annotation."),
    later_number("limit-rate-after", "KiB", "0", "Default of the annotation."),
    later_number("limit-req-status-code", "a status", "503", "Answer to a client above its rate."),
    later_number("limit-conn-status-code", "a status", "503", "Answer to a client with too many requests at a time."),
    later("limit-conn-zone-variable", "an nginx variable", "$binary_remote_addr", "What limits tell clients apart by."),
    later("skip-access-log-urls", "paths, divided by commas", "", "Requests that are not logged."),
    nothing("app-root", "a path", "", "ingress-nginx reads it from annotations only."),
    nothing("upstream-hash-by", "nginx variables", "", "ingress-nginx reads it from annotations only."),
    nothing("upstream-hash-by-subset", "`true` or `false`", "false", "ingress-nginx reads it from annotations only."),
    nothing("upstream-hash-by-subset-size", "a number of endpoints", "3", "ingress-nginx reads it from annotations only."),
    nothing("global-external-auth", "text", "", "ingress-nginx reads the keys that begin with `global-auth-`."),

    // External authentication of every path
    closes("global-auth-url", "a URL", "Asks this service whether a request may pass."),
    later("global-auth-method", "an HTTP method", "", "Method of the question."),
    later("global-auth-signin", "a URL", "", "Where clients are sent on 401."),
    later("global-auth-signin-redirect-param", "the name of a query parameter", "rd", "Tells `global-auth-signin` where the client wanted to go."),
    later("global-auth-response-headers", "names of headers, divided by commas", "", "Headers of the answer that the upstream receives."),
    later("global-auth-request-redirect", "a URL", "", "Sent with the question as `X-Auth-Request-Redirect`."),
    later("global-auth-cache-key", "nginx variables", "", "By which answers are kept."),
    later("global-auth-cache-duration", "statuses and a time", "200 202 401 5m", "How long answers are kept."),
    later_flag("global-auth-always-set-cookie", "false", "Hands cookies of the answer to clients whatever its status."),
    snippet("global-auth-snippet"),
    later("no-auth-locations", "starts of paths, divided by commas", "/.well-known/acme-challenge", "Paths of rules that need no authentication."),

    // Logs
    later_flag("log-format-escape-none", "false", "Escapes nothing, which lets clients write log lines; the default escaping is used."),
    later("access-log-path", "a path", "/var/log/nginx/access.log", "Where the access log goes; standard output here."),
    nothing("http-access-log-path", "a path", "", "The access log goes to standard output."),
    nothing("stream-access-log-path", "a path", "", "The access log goes to standard output."),
    nothing("access-log-params", "text", "", "Arguments of nginx for its log files."),
    later_flag("enable-auth-access-log", "false", "Logs questions of external authentication."),
    nothing("error-log-path", "a path", "/var/log/nginx/error.log", "The log goes to standard error."),
    later("error-log-level", "a level", "notice", "What is logged."),
    later_flag("enable-syslog", "false", "Sends logs to syslog."),
    later("syslog-host", "a host name", "", "Where syslog listens."),
    later_number("syslog-port", "a port", "514", "Where syslog listens."),
    nothing("debug-connections", "addresses or networks, divided by commas", "", "The debug log of nginx."),

    // Compression
    later_flag("use-gzip", "false", "Compresses responses with gzip."),
    later_number("gzip-level", "1 to 9", "1", "How hard gzip tries."),
    later_number("gzip-min-length", "bytes", "256", "Shorter responses are left alone."),
    later("gzip-types", "media types, divided by spaces", "application/atom+xml application/javascript application/x-javascript application/json application/rss+xml application/vnd.ms-fontobject application/x-font-ttf application/x-web-app-manifest+json application/xhtml+xml application/xml font/opentype image/svg+xml image/x-icon text/css text/javascript text/plain text/x-component", "What gzip compresses."),
    nothing("gzip-disable", "a regular expression", "", "It is for browsers that are gone."),
    later_flag("enable-brotli", "false", "Compresses responses with brotli."),
    later_number("brotli-level", "0 to 11", "4", "How hard brotli tries."),
    later_number("brotli-min-length", "bytes", "20", "Shorter responses are left alone."),
    later("brotli-types", "media types, divided by spaces", "application/xml+rss application/atom+xml application/javascript application/x-javascript application/json application/rss+xml application/vnd.ms-fontobject application/x-font-ttf application/x-web-app-manifest+json application/xhtml+xml application/xml font/opentype image/svg+xml image/x-icon text/css text/javascript text/plain text/x-component", "What brotli compresses."),

    // Tracing, firewall, places
    later_flag("enable-opentelemetry", "false", "Default of the annotation."),
    later("otlp-collector-host", "a host name", "", "Where spans go."),
    later("otlp-collector-port", "a port", "4317", "Where spans go."),
    later("otel-service-name", "a name", "nginx", "Name of the service in spans."),
    later("otel-sampler", "`AlwaysOn`, `AlwaysOff` or `TraceIdRatioBased`", "AlwaysOn", "Which requests are traced."),
    later("otel-sampler-ratio", "a share from 0 to 1", "0.01", "How many requests are traced."),
    later_flag("otel-sampler-parent-based", "true", "Whether the caller decides."),
    later_number("otel-max-queuesize", "a number of spans", "2048", "How many spans wait."),
    later_number("otel-schedule-delay-millis", "milliseconds", "5000", "How often spans are sent."),
    later_number("otel-max-export-batch-size", "a number of spans", "512", "How many spans are sent at once."),
    later("opentelemetry-operation-name", "text with nginx variables", "", "Name of the spans."),
    later_flag("opentelemetry-trust-incoming-span", "true", "Continues the trace of the client."),
    nothing("opentelemetry-config", "a path", "/etc/ingress-controller/telemetry/opentelemetry.toml", "No file is written here."),
    later_flag("enable-modsecurity", "false", "Looks at requests with a rule engine, which only logs what it finds unless a snippet says otherwise."),
    later_flag("enable-owasp-modsecurity-crs", "false", "Rules for `enable-modsecurity`."),
    snippet("modsecurity-snippet"),
    later_flag("use-geoip2", "false", "Looks up where clients are."),
    later_number("geoip2-autoreload-in-minutes", "minutes", "0", "How often the databases are read."),

    // Process and memory of nginx
    nothing("worker-cpu-affinity", "text", "", "Threads are not bound to cores."),
    nothing("enable-serial-reloads", "`true` or `false`", "false", "Nothing reloads here."),
    nothing("max-worker-open-files", "a number of files", "0", "The limit of the process counts."),
    nothing("enable-multi-accept", "`true` or `false`", "true", "It is for the event loop of nginx."),
    nothing("enable-aio-write", "`true` or `false`", "true", "It is for the event loop of nginx."),
    nothing("map-hash-bucket-size", "a size", "64", "Tables of nginx."),
    nothing("server-name-hash-max-size", "a size", "1024", "Tables of nginx."),
    nothing("server-name-hash-bucket-size", "a size", "", "Tables of nginx."),
    nothing("proxy-headers-hash-max-size", "a size", "512", "Tables of nginx."),
    nothing("proxy-headers-hash-bucket-size", "a size", "64", "Tables of nginx."),
    nothing("variables-hash-bucket-size", "a size", "256", "Tables of nginx."),
    nothing("variables-hash-max-size", "a size", "2048", "Tables of nginx."),
    nothing("lua-shared-dicts", "names and sizes", "", "There is no Lua here."),
    nothing("nginx-status-ipv4-whitelist", "addresses, divided by commas", "127.0.0.1", "There is no status page of nginx here; metrics are on the admin address."),
    nothing("nginx-status-ipv6-whitelist", "addresses, divided by commas", "::1", "There is no status page of nginx here; metrics are on the admin address."),
    snippet("main-snippet"),
    snippet("http-snippet"),
    snippet("server-snippet"),
    snippet("stream-snippet"),
    snippet("location-snippet"),

    // Documented by ingress-nginx without any code behind
    dead("use-geoip"),
    dead("jaeger-collector-host"),
    dead("jaeger-collector-port"),
    dead("jaeger-endpoint"),
    dead("jaeger-service-name"),
    dead("jaeger-propagation-format"),
    dead("jaeger-sampler-type"),
    dead("jaeger-sampler-param"),
    dead("jaeger-sampler-host"),
    dead("jaeger-sampler-port"),
    dead("jaeger-trace-context-header-name"),
    dead("jaeger-debug-header"),
    dead("jaeger-baggage-header"),
    dead("jaeger-trace-baggage-header-prefix"),
];

const fn later(key: &'static str, value: &'static str, default: &'static str, doc: &'static str) -> Entry {
    let key = ConfigKey { key, value, default, support: Support::NotYet, protects: false, doc };
    Entry { key, action: Action::Later(|_| Ok(())) }
}

const fn later_flag(key: &'static str, default: &'static str, doc: &'static str) -> Entry {
    let key = ConfigKey { key, value: value::BOOLEAN, default, support: Support::NotYet, protects: false, doc };
    Entry { key, action: Action::Later(|text| boolean(text).map(drop)) }
}

const fn later_number(key: &'static str, value: &'static str, default: &'static str, doc: &'static str) -> Entry {
    let key = ConfigKey { key, value, default, support: Support::NotYet, protects: false, doc };
    Entry { key, action: Action::Later(|text| integer(text).map(drop)) }
}

/// Has no meaning without nginx.
const fn nothing(key: &'static str, value: &'static str, default: &'static str, doc: &'static str) -> Entry {
    let key = ConfigKey { key, value, default, support: Support::Never, protects: false, doc };
    Entry { key, action: Action::Nothing }
}

const fn dead(key: &'static str) -> Entry {
    nothing(key, "text", "", "ingress-nginx has no code behind it either.")
}

/// Keeps requests out, so that nothing may pass while it is not supported.
const fn closes(key: &'static str, value: &'static str, doc: &'static str) -> Entry {
    let key = ConfigKey { key, value, default: "", support: Support::NotYet, protects: true, doc };
    Entry { key, action: Action::Close }
}

const fn snippet(key: &'static str) -> Entry {
    let (value, doc) = ("nginx directives", "Directives are never executed here.");
    let key = ConfigKey { key, value, default: "", support: Support::Never, protects: false, doc };
    Entry { key, action: Action::Snippet }
}
