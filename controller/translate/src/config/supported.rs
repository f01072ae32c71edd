//! Keys of the ConfigMap that have effect.

use http::HeaderName;
use portcullis_model::{Balance, RedirectCode, Template};

use super::headers;
use super::key::{Action, ConfigKey, Entry, Problem, integer};
use super::process;
use super::upstream;
use super::written::Written;
use crate::annotations::body;
use crate::annotations::value::{self, Fault, network};
use crate::annotations::{Risk, Support, retry, timeouts};

#[rustfmt::skip]
pub(super) static KEYS: &[Entry] = &[
    // Redirects
    flag("ssl-redirect", "true", "Default of the annotation.", |w, on| w.ssl_redirect = on),
    flag("force-ssl-redirect", "false", "Default of the annotation.", |w, on| w.force_ssl_redirect = on),
    entry("http-redirect-code", "301, 302, 307 or 308", "308", "Status of redirects to HTTPS and between `www.` and bare hosts.", redirect_code),
    flag("relative-redirects", "false", "Default of the annotation, and for redirects that no Ingress makes.", |w, on| w.settings.relative_redirects = on),
    flag("preserve-trailing-slash", "false", "Default of the annotation.", |w, on| w.preserve_trailing_slash = on),
    flag("use-port-in-redirects", "false", "Default of the annotation.", |w, on| w.use_port_in_redirects = on),
    entry("no-tls-redirect-locations", "starts of paths, divided by commas", "/.well-known/acme-challenge", "Paths of rules that begin so are never redirected to HTTPS.", |w, text| { w.no_tls_redirect_locations = owned(text); Ok(()) }),

    // HSTS
    flag("hsts", "true", "Sends `Strict-Transport-Security` over TLS.", |w, on| w.hsts = on),
    entry("hsts-max-age", "seconds", "31536000", "How long browsers keep to HTTPS.", |w, text| { w.hsts_max_age = seconds(text)?; Ok(()) }),
    flag("hsts-include-subdomains", "true", "Whether that holds for names below the host.", |w, on| w.hsts_include_subdomains = on),
    flag("hsts-preload", "false", "Whether browsers may ship with it.", |w, on| w.hsts_preload = on),

    // Headers
    flag("server-tokens", "false", "Sends `Server` with name and version.", |w, on| w.settings.server_tokens = on),
    flag("allow-backend-server-header", "false", "Lets `Server` of the upstream pass.", |w, on| w.settings.pass_server = on),
    entry("hide-headers", "names of headers, divided by commas", "", "Headers of upstreams that clients do not receive.", hide_headers),
    entry("add-headers", headers::REFERENCE, "", "Headers that are set on every response, in place of those of the same name. Values may hold nginx variables that are known when the request is read; an empty value removes the header.", headers::add_headers),
    entry("proxy-set-headers", headers::REFERENCE, "", "Headers that are set on requests to upstreams, in place of those of the same name. Values may hold nginx variables; an empty value removes the header.", headers::proxy_set_headers),
    entry("global-allowed-response-headers", "names of headers, divided by commas", "", "Names that `custom-headers` may set, spelt the same.", headers::allowed),
    entry("proxy-cookie-domain", "`off`, or a domain and its replacement", "off", "Default of the annotation.", headers::cookie_domain),
    entry("proxy-cookie-path", "`off`, or the start of a path and its replacement", "off", "Default of the annotation.", headers::cookie_path),
    entry("proxy-redirect-from", "`off`, `default` or the start of a URL", "off", "Default of the annotation.", headers::redirect_from),
    entry("proxy-redirect-to", "`off` or the start of a URL", "off", "Default of the annotation.", headers::redirect_to),
    flag("enable-underscores-in-headers", "false", "Lets request headers with `_` in their names pass.", |w, on| w.settings.header_names.underscores = on),
    flag("ignore-invalid-headers", "true", "Drops request headers with other characters than letters, digits and `-` in their names.", |w, on| w.settings.header_names.unusual = !on),
    flag("generate-request-id", "true", "Makes `X-Request-ID` where the client sent none.", |w, on| w.settings.request_id = on),
    flag("proxy-add-original-uri-header", "false", "Sends `X-Original-URI` to upstreams.", |w, on| w.settings.original_uri = on),

    // Client address
    flag("use-forwarded-headers", "false", "Believes `X-Forwarded-*` of the peers in `proxy-real-ip-cidr`.", |w, on| w.use_forwarded_headers = on),
    flag("enable-real-ip", "false", "Believes the client address alone.", |w, on| w.enable_real_ip = on),
    entry("proxy-real-ip-cidr", "addresses or networks, divided by commas", "0.0.0.0/0", "Peers that are believed.", peers),
    entry("forwarded-for-header", "the name of a header", "X-Forwarded-For", "Where the client address is read.", |w, text| { w.settings.forwarded.address_header = header(text)?; Ok(()) }),
    entry("forwarded-host-header", "the name of a header", "X-Forwarded-Host", "What `X-Original-Forwarded-Host` is read from.", |w, text| { w.settings.forwarded.host_header = header(text)?; Ok(()) }),
    flag("compute-full-forwarded-for", "false", "Appends to `X-Forwarded-For` instead of replacing it, together with `use-forwarded-headers`.", |w, on| w.compute_full_forwarded_for = on),

    // Access log
    entry("log-format-upstream", "text with nginx variables", "", "A line of the access log; the format of ingress-nginx if absent.", log_format),
    flag("log-format-escape-json", "false", "Escapes variables for JSON.", |w, on| w.log_escape_json = on),
    flag("disable-access-log", "false", "Writes no access log.", |w, on| w.disable_access_log = on),
    flag("disable-http-access-log", "false", "Writes no access log of HTTP.", |w, on| w.disable_http_access_log = on),
    flag("enable-access-log-for-default-backend", "false", "Logs requests that no Ingress answers.", |w, on| w.settings.access_log.default_backend = on),

    // Connections to upstreams
    entry("upstream-keepalive-connections", "a number of connections", "320", "Idle connections to upstreams that a worker keeps; 0 for a connection per request.", upstream::connections),
    entry("upstream-keepalive-time", "a time such as `1h`", "1h", "How old such a connection may get.", upstream::age),
    entry("upstream-keepalive-timeout", "seconds", "60", "How long it may be idle.", upstream::idle),
    entry("upstream-keepalive-requests", "a number of requests", "10000", "Requests on it.", upstream::requests),
    entry("grpc-buffer-size-kb", "KiB", "0", "How large the head of a gRPC response may be; 0 for 64, which is the most.", upstream::grpc_head),
    entry("proxy-http-version", "`1.0` or `1.1`", "1.1", "Default of the annotation.", |w, text| { w.http10 = value::word(text, &["1.0", "1.1"])? == "1.0"; Ok(()) }),

    // Bodies
    entry("proxy-body-size", "a size", "1m", "Default of the annotation.", |w, text| { w.body.largest = body::limit(body::octets(text)?); Ok(()) }),
    entry("client-body-buffer-size", "a size", "8k", "Default of the annotation.", |w, text| { w.body.request_memory = body::buffer(text)?; Ok(()) }),
    entry("proxy-request-buffering", "`on` or `off`", "on", "Default of the annotation.", |w, text| { w.body.buffer_request = value::switch(text)?; Ok(()) }),
    entry("proxy-buffering", "`on` or `off`", "off", "Default of the annotation.", |w, text| { w.body.buffer_response = value::switch(text)?; Ok(()) }),
    entry("proxy-buffers-number", "a whole number from 2 to 65536", "4", "Default of the annotation.", |w, text| { w.body.buffers = body::buffers(integer(text)?)?; Ok(()) }),
    entry("proxy-buffer-size", "a size", "4k", "Default of the annotation.", |w, text| { w.body.buffer_size = body::buffer(text)?; Ok(()) }),
    entry("proxy-max-temp-file-size", "a size", "1024m", "Default of the annotation.", |w, text| { w.body.response_disk = body::octets(text)?; Ok(()) }),
    // Process
    entry("worker-processes", "a number or `auto`", "auto", "Threads that serve requests; `auto` for as many as there are CPUs, or the quota of the control group. Read at the start.", process::workers),
    entry("max-worker-connections", "a number of connections", "16384", "Client connections per worker; 0 for three quarters of the files that may be open. Read at the start.", process::connections),
    entry("worker-shutdown-timeout", "a time", "240s", "How long requests may take when the program ends.", process::shutdown_timeout),

    // Upstreams and annotations
    flag("service-upstream", "false", "Default of the annotation.", |w, on| w.service_upstream = on),
    flag("allow-cross-namespace-resources", "false", "Lets `custom-headers` and `proxy-ssl-secret` name objects of other namespaces.", |w, on| w.allow_cross_namespace = on),
    entry("load-balance", "`round_robin` or `ewma`", "round_robin", "Default of the annotation.", load_balance),
    entry("proxy-connect-timeout", timeouts::SECONDS, "5", "Default of the annotation.", |w, text| { w.timeouts.connect = timeouts::connect(integer(text)?)?; Ok(()) }),
    entry("proxy-send-timeout", timeouts::SECONDS, "60", "Default of the annotation.", |w, text| { w.timeouts.send = timeouts::at_least_one_second(integer(text)?)?; Ok(()) }),
    entry("proxy-read-timeout", timeouts::SECONDS, "60", "Default of the annotation.", |w, text| { w.timeouts.read = timeouts::at_least_one_second(integer(text)?)?; Ok(()) }),
    entry("proxy-next-upstream", "conditions, divided by spaces", "error timeout", "Default of the annotation.", |w, text| { w.retry.conditions = retry::conditions(text)?; Ok(()) }),
    entry("proxy-next-upstream-timeout", retry::TIME_VALUE, "0", "Default of the annotation.", |w, text| { w.retry.within = retry::time(integer(text)?)?; Ok(()) }),
    entry("proxy-next-upstream-tries", retry::TRIES_VALUE, "3", "Default of the annotation.", |w, text| { w.retry.tries = retry::tries(integer(text)?)?; Ok(()) }),
    flag("retry-non-idempotent", "false", "Adds `non_idempotent` to `proxy-next-upstream` of every path, unless that is `off`.", |w, on| w.retry_non_idempotent = on),
    entry("annotations-risk-level", "`Low`, `Medium`, `High` or `Critical`", "High", "The highest risk of annotations that is accepted; an Ingress with a riskier one is refused.", risk_level),
    entry("annotation-value-word-blocklist", "words, divided by commas", "", "An Ingress with one of them in an annotation is refused.", |w, text| { w.word_blocklist = owned(text); Ok(()) }),
    flag("allow-snippet-annotations", "false", "Snippets are never executed. If on, an Ingress with a snippet is refused; if off and `annotations-risk-level` is `Critical`, it is served without.", |w, on| w.allow_snippets = on),
    flag("strict-validate-path-type", "true", "The admission webhook refuses Exact and Prefix paths with other characters than letters, digits and `._-/`.", |w, on| w.strict_path_types = on),
];

pub(super) const fn flag(
    key: &'static str,
    default: &'static str,
    doc: &'static str,
    set: fn(&mut Written, bool),
) -> Entry {
    let key = ConfigKey { key, value: value::BOOLEAN, default, support: Support::Full, protects: false, doc };
    Entry { key, action: Action::Flag(set) }
}

pub(super) const fn entry(
    key: &'static str,
    value: &'static str,
    default: &'static str,
    doc: &'static str,
    set: fn(&mut Written, &str) -> Result<(), Problem>,
) -> Entry {
    let key = ConfigKey { key, value, default, support: Support::Full, protects: false, doc };
    Entry { key, action: Action::Set(set) }
}

fn owned(text: &str) -> Vec<String> {
    value::list(text).map(str::to_owned).collect()
}

fn redirect_code(written: &mut Written, text: &str) -> Result<(), Problem> {
    let status = text.parse::<u16>().ok().filter(|status| [301, 302, 307, 308].contains(status));
    let code = status.and_then(RedirectCode::new).ok_or(Fault::not("one of 301, 302, 307, 308"))?;
    written.settings.redirect_code = code;
    Ok(())
}

fn load_balance(written: &mut Written, text: &str) -> Result<(), Problem> {
    written.balance = match value::word(text, &["round_robin", "ewma"])? {
        "ewma" => Balance::Ewma,
        _ => Balance::RoundRobin,
    };
    Ok(())
}

fn seconds(text: &str) -> Result<u64, Fault> {
    text.trim().parse().map_err(|_| Fault::not("a number of seconds"))
}

fn header(text: &str) -> Result<HeaderName, Fault> {
    text.trim().parse().map_err(|_| Fault::not("the name of a header"))
}

/// Entries that cannot be read are left out; the others count.
fn hide_headers(written: &mut Written, text: &str) -> Result<(), Problem> {
    let (names, faults): (Vec<_>, Vec<_>) = value::list(text).map(header).partition(Result::is_ok);
    written.settings.hide_headers = names.into_iter().flatten().collect();
    match faults.len() {
        0 => Ok(()),
        count => Err(left_out("a list of names of headers", count)),
    }
}

/// Entries that cannot be read are left out, so that nobody is believed by mistake; nothing written means nobody.
fn peers(written: &mut Written, text: &str) -> Result<(), Problem> {
    let (nets, faults): (Vec<_>, Vec<_>) = value::list(text).map(network).partition(Result::is_ok);
    written.settings.forwarded.peers = nets.into_iter().flatten().collect();
    match (faults.len(), written.settings.forwarded.peers.is_empty()) {
        (0, false) => Ok(()),
        (_, true) => Err(Problem::Instead(Fault::not("a list of networks"), "no peer is believed".to_owned())),
        (count, false) => Err(left_out("a list of networks", count)),
    }
}

pub(super) fn left_out(expected: &'static str, count: usize) -> Problem {
    let entries = if count == 1 { "1 entry is".to_owned() } else { format!("{count} entries are") };
    Problem::Instead(Fault::not(expected), format!("{entries} left out, the others count"))
}

/// The words are read in any case; another one means the lowest level.
fn risk_level(written: &mut Written, text: &str) -> Result<(), Problem> {
    written.risk_level = match text.to_ascii_lowercase().as_str() {
        "critical" => Risk::Critical,
        "high" => Risk::High,
        "medium" => Risk::Medium,
        "low" => Risk::Low,
        _ => {
            written.risk_level = Risk::Low;
            return Err(Problem::Instead(Fault::not("a level of risk"), "the level is Low".to_owned()));
        }
    };
    Ok(())
}

fn log_format(written: &mut Written, text: &str) -> Result<(), Problem> {
    let default = || "the default format is used".to_owned();
    if text.is_empty() {
        return Err(Problem::Instead(Fault::not("a format"), default()));
    }
    let format = Template::parse(&unescape(text))
        .map_err(|error| Problem::Instead(Fault::Because(error.to_string()), default()))?;
    written.settings.access_log.format = format;
    Ok(())
}

/// Escapes of a quoted string in the configuration of nginx (`ngx_conf_read_token`), where formats used to be put.
pub(super) fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let meant = match (character, characters.peek()) {
            ('\\', Some('t')) => Some('\t'),
            ('\\', Some('r')) => Some('\r'),
            ('\\', Some('n')) => Some('\n'),
            ('\\', Some(quoted @ ('"' | '\'' | '\\'))) => Some(*quoted),
            _ => None,
        };
        if meant.is_some() {
            characters.next();
        }
        plain.push(meant.unwrap_or(character));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_lose_the_escapes_of_a_quoted_string() {
        for (text, want) in [
            (r#"{"a": "$host"}"#, r#"{"a": "$host"}"#),
            (r#"\"$host\" \'x\'"#, r#""$host" 'x'"#),
            (r"a\tb\n", "a\tb\n"),
            (r"a\\tb", r"a\tb"),
            (r"\x22 \", r"\x22 \"),
        ] {
            assert_eq!(unescape(text), want, "{text}");
        }
    }
}
