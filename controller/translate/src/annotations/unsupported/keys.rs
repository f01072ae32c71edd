//! The table: every annotation of ingress-nginx that has no effect here yet, in the order of the features it belongs to.

use portcullis_model::{Pattern, PatternSyntax};

use super::{Chars, Fault, Later, OnError, Risk, Scope, value};
use crate::annotations::chars::Charset;

use OnError::{DenyRoute, IgnoreGroup, Reject};
use Risk::{High, Medium};
use Scope::{Host, Ingress};

const BASIC: Chars = Chars::OfSpaced(Charset::BASIC);
const URL: Chars = Chars::OfSpaced(Charset::URL);
const REFERENCE: &str = "`namespace/name`";

#[rustfmt::skip]
pub(super) const LATER: &[Later] = &[
    // Basic and digest authentication
    Later::text("auth-type", "`basic` or `digest`", "", "Asks clients for a user name and a password.").parsed(auth_type).on_error(Reject).protects(),
    Later::text("auth-secret", "`name` or `namespace/name` of a Secret", "", "The users of `auth-type`.").chars(BASIC).risk(Medium).on_error(DenyRoute).protects(),
    Later::text("auth-secret-type", "`auth-file` or `auth-map`", "auth-file", "How the Secret holds the users.").parsed(auth_secret_type).on_error(Reject).needs("auth-type"),
    Later::text("auth-realm", "text", "", "The realm that clients show.").chars(Chars::Of(Charset::BASIC_SPACE)).risk(Medium).on_error(Reject).needs("auth-type"),

    // External authentication
    Later::text("auth-url", "a URL, which may hold nginx variables", "", "Asks this service whether a request may pass.").chars(Chars::OfSpaced(Charset::URL_VARIABLES)).risk(High).on_error(Reject).protects(),
    Later::text("auth-method", "an HTTP method", "GET", "Method of the question.").parsed(method).on_error(DenyRoute).needs("auth-url"),
    Later::text("auth-signin", "a URL, which may hold nginx variables", "", "Where clients are sent on 401.").chars(Chars::OfSpaced(Charset::URL_VARIABLES)).risk(High).needs("auth-url"),
    Later::text("auth-signin-redirect-param", "the name of a query parameter", "rd", "Tells `auth-signin` where the client wanted to go.").chars(URL).risk(Medium).needs("auth-url"),
    Later::text("auth-response-headers", "names of headers, divided by commas", "", "Headers of the answer that the upstream receives.").chars(Chars::OfSpaced(Charset::HEADERS)).risk(Medium).on_error(DenyRoute).needs("auth-url"),
    Later::text("auth-proxy-set-headers", "`namespace/name` of a ConfigMap", "", "Headers of the question.").chars(BASIC).risk(Medium).needs("auth-url"),
    Later::text("auth-request-redirect", "a URL", "", "Sent with the question as `X-Auth-Request-Redirect`.").chars(URL).risk(Medium).on_error(IgnoreGroup).needs("auth-url"),
    Later::text("auth-cache-key", "nginx variables", "", "By which answers are kept.").chars(Chars::OfSpaced(Charset::VARIABLES)).risk(Medium).needs("auth-url"),
    Later::text("auth-cache-duration", "statuses and a time, such as `200 202 401 5m`", "200 202 401 5m", "How long answers are kept.").chars(Chars::Of(Charset::EXTENDED)).risk(Medium).on_error(IgnoreGroup).needs("auth-url"),
    Later::boolean("auth-always-set-cookie", "false", "Hands cookies of the answer to clients whatever its status.").on_error(IgnoreGroup).needs("auth-url"),
    Later::number("auth-keepalive", "a number of connections", "0", "Connections kept open to the service.").needs("auth-url"),
    Later::boolean("auth-keepalive-share-vars", "false", "Shares nginx variables with the question.").needs("auth-url"),
    Later::number("auth-keepalive-requests", "a number of requests", "1000", "Requests per kept connection.").needs("auth-url"),
    Later::number("auth-keepalive-timeout", "a number of seconds", "60", "How long a connection is kept.").needs("auth-url"),
    Later::boolean("enable-global-auth", "true", "Whether `global-auth-url` of the ConfigMap counts here."),

    // Client certificates
    Later::text("auth-tls-secret", REFERENCE, "", "The authorities whose client certificates are accepted.").chars(BASIC).scope(Host).risk(Medium).on_error(Reject).protects(),
    Later::text("auth-tls-verify-client", "`on`, `off`, `optional` or `optional_no_ca`", "on", "How client certificates are asked for.").parsed(verify_client).scope(Host).risk(Medium).on_error(DenyRoute).protects(),
    Later::number("auth-tls-verify-depth", "a number of certificates", "1", "How long the chain may be.").scope(Host).needs("auth-tls-secret"),
    Later::text("auth-tls-error-page", "a URL or `@name`", "", "Where clients without a good certificate are sent.").chars(Chars::OfSpaced(Charset::ERROR_PAGE)).scope(Host).risk(High).on_error(Reject).needs("auth-tls-secret"),
    Later::boolean("auth-tls-pass-certificate-to-upstream", "false", "Sends the certificate to the upstream.").scope(Host).on_error(Reject).needs("auth-tls-secret"),
    Later::text("auth-tls-match-cn", "`CN=` and a regular expression", "", "Which subjects of certificates are let in.").parsed(match_cn).scope(Host).risk(High).on_error(Reject).protects(),

    // Access lists
    Later::networks("allowlist-source-range", "Clients that are let in; all others get 403.").aliases(&["whitelist-source-range"]).config_key("whitelist-source-range").risk(Medium).on_error(DenyRoute).protects(),
    Later::networks("denylist-source-range", "Clients that get 403.").config_key("denylist-source-range").risk(Medium).on_error(DenyRoute).protects(),
    Later::text("satisfy", "`all` or `any`", "all", "Whether a request must pass every check or one of them.").parsed(|text| value::word(text, &["all", "any"]).map(|word| word == "any")).on_error(DenyRoute).protects(),

    // Limits
    Later::above_zero("limit-rps", "a number of requests per second", "How many requests of one client are served.").on_error(Reject).protects(),
    Later::above_zero("limit-rpm", "a number of requests per minute", "How many requests of one client are served.").on_error(Reject).protects(),
    Later::above_zero("limit-connections", "a number of requests at a time", "How many requests of one client are served at a time.").on_error(Reject).protects(),
    Later::number("limit-burst-multiplier", value::INTEGER, "5", "How far a client may be ahead of its rate."),
    Later::networks("limit-allowlist", "Clients without limits.").aliases(&["limit-whitelist"]).on_error(Reject),
    Later::above_zero("limit-rate", "a number of KiB per second", "How fast a response is sent.").config_key("limit-rate"),
    Later::above_zero("limit-rate-after", "a number of KiB", "What is sent before `limit-rate` counts.").config_key("limit-rate-after"),

    // Cross-origin requests
    Later::boolean("enable-cors", "false", "Answers preflight requests and marks responses for other origins."),
    Later::text("cors-allow-origin", "origins, divided by commas", "*", "Origins that are let in.").risk(Medium).needs("enable-cors"),
    Later::text("cors-allow-methods", "methods, divided by commas", "GET, PUT, POST, DELETE, PATCH, OPTIONS", "Methods that are let in.").chars(Chars::OfSpaced(Charset::HEADERS)).risk(Medium).needs("enable-cors"),
    Later::text("cors-allow-headers", "names of headers, divided by commas", "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization", "Headers that are let in.").chars(Chars::OfSpaced(Charset::HEADERS)).risk(Medium).needs("enable-cors"),
    Later::text("cors-expose-headers", "names of headers, divided by commas, or `*`", "", "Headers that scripts may read.").risk(Medium).needs("enable-cors"),
    Later::boolean("cors-allow-credentials", "true", "Whether credentials are let in.").needs("enable-cors"),
    Later::number("cors-max-age", "a number of seconds", "1728000", "How long a browser may keep the answer to a preflight request.").needs("enable-cors"),

    // Protocols to the upstream
    Later::boolean("http2-push-preload", "false", "Nothing is pushed to clients, nor does nginx any longer.").on_error(Reject).without_effect(),
    Later::text("fastcgi-index", "the name of a file", "", "Index of FastCGI.").chars(Chars::Of(Charset::FILE)).risk(Medium).on_error(Reject),
    Later::text("fastcgi-params-configmap", "`name` or `namespace/name` of a ConfigMap", "", "Parameters of FastCGI.").chars(BASIC).risk(Medium).on_error(Reject),

    // Bodies and buffers
    Later::size("proxy-busy-buffers-size", "", "Buffers are bounded here in another way.").config_key("proxy-busy-buffers-size").without_effect(),

    // Headers and errors of responses
    Later::text("custom-http-errors", "statuses from 400 to 599, divided by commas", "", "Errors for which the default backend answers.").parsed(http_errors).on_error(Reject).config_key("custom-http-errors"),
    Later::boolean("disable-proxy-intercept-errors", "false", "Leaves errors of the upstream alone.").config_key("disable-proxy-intercept-errors"),

    // Mirror
    Later::text("mirror-target", "a URL, which may end in `$request_uri`", "", "Receives a copy of each request.").chars(Chars::Trimmed(Charset::REGEX)).scope(Ingress).risk(High),
    Later::text("mirror-host", "a host name", "", "`Host` of the copies.").chars(Chars::Trimmed(Charset::REGEX)).scope(Ingress).risk(High).needs("mirror-target"),
    Later::switch("mirror-request-body", "on", "Copies bodies, too.").scope(Ingress).needs("mirror-target"),

    // TLS to clients
    Later::boolean("ssl-passthrough", "false", "Hands TLS connections to the upstream as they are.").scope(Host).on_error(Reject),

    // Tracing and firewall
    Later::boolean("enable-opentelemetry", "false", "Traces requests.").config_key("enable-opentelemetry"),
    Later::boolean("opentelemetry-trust-incoming-span", "true", "Continues the trace of the client.").config_key("opentelemetry-trust-incoming-span").needs("enable-opentelemetry"),
    Later::text("opentelemetry-operation-name", "the name of a span", "", "Name of the spans.").chars(Chars::Of(Charset::WORD)).risk(Medium).on_error(Reject).needs("enable-opentelemetry"),
    Later::boolean("enable-modsecurity", "false", "Looks at requests with a rule engine, which only logs what it finds unless a snippet says otherwise.").scope(Ingress).config_key("enable-modsecurity"),
    Later::boolean("enable-owasp-core-rules", "false", "Rules for `enable-modsecurity`.").scope(Ingress).config_key("enable-owasp-modsecurity-crs"),
    Later::text("modsecurity-transaction-id", "nginx variables", "", "Name of a transaction of the rule engine.").chars(Chars::OfSpaced(Charset::VARIABLES)).scope(Ingress).risk(High),
];

/// ingress-nginx looks for the words anywhere in the value.
fn auth_type(text: &str) -> Result<bool, Fault> {
    let known = text.contains("basic") || text.contains("digest");
    if known { Ok(true) } else { Err(Fault::not("`basic` or `digest`")) }
}

fn auth_secret_type(text: &str) -> Result<bool, Fault> {
    let known = text.contains("auth-file") || text.contains("auth-map");
    if known { Ok(true) } else { Err(Fault::not("`auth-file` or `auth-map`")) }
}

fn method(text: &str) -> Result<bool, Fault> {
    value::word(text, &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"]).map(|_| true)
}

fn verify_client(text: &str) -> Result<bool, Fault> {
    value::word(text, &["on", "off", "optional", "optional_no_ca"]).map(|word| word != "off")
}

fn match_cn(text: &str) -> Result<bool, Fault> {
    let expression = text.strip_prefix("CN=").ok_or(Fault::not("`CN=` and a regular expression"))?;
    let pattern = Pattern::new(expression, PatternSyntax::HEADER);
    pattern.map(|_| true).map_err(|error| Fault::Because(error.to_string()))
}

fn http_errors(text: &str) -> Result<bool, Fault> {
    let status = |entry: &str| value::integer(entry).is_ok_and(|number| (400..=599).contains(&number));
    let valid = text.split(',').all(|entry| status(entry.trim()));
    if valid { Ok(true) } else { Err(Fault::not("a list of statuses from 400 to 599")) }
}
