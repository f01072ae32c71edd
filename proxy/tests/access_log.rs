//! Lines of the access log, octet by octet.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their helpers with them"
)]

mod support;

use portcullis_model::{LogEscape, Template};
use support::client::Client;
use support::origin::Origin;
use support::{Plan, Site};

/// A site with one origin, and the line of one request to it.
fn logged(format: Option<&str>, escape: LogEscape, request: &str, response: &'static str) -> (String, Site, String) {
    let origin = Origin::answering(move |_| response.into());
    let mut plan = Plan::new(&[origin.address]);
    if let Some(format) = format {
        plan.settings.access_log.format = Template::parse(format).unwrap();
    }
    plan.settings.access_log.escape = escape;
    let site = plan.start();
    Client::connect(site.http).request(request);
    let line = site.log(1).remove(0);
    (line, site, origin.address.to_string())
}

const REQUEST: &str = "GET /a%20b/%22?x=1&Name=%0a HTTP/1.1\r\nHost: A.example:80\r\nUser-Agent: say \"hi\"\\\t\u{e4}\r\n\
    Referer: http://other.example/a-page?with=a&longer=query\r\nCookie: a=1; b=two\r\nX-Many: one\r\nX-Many: two\r\n\
    X-Empty: \r\nX-Request-ID: id-of-the-client\r\n\r\n";
const RESPONSE: &str = "HTTP/1.1 201 Created\r\nContent-Length: 1234\r\nX-Answer: \"yes\"\r\nX-Answer: \u{e4}\r\n\r\n";

fn response() -> &'static str {
    Box::leak(format!("{RESPONSE}{}", "x".repeat(1234)).into_boxed_str())
}

#[test]
fn the_usual_line_is_that_of_ingress_nginx() {
    let (line, _site, origin) = logged(None, LogEscape::Default, REQUEST, response());
    let (before, rest) = line.split_once(" [").unwrap();
    let (time, rest) = rest.split_once("] ").unwrap();
    assert_eq!(before, "127.0.0.1 - -");
    let shape: String = time.chars().map(|one| if one.is_ascii_digit() { '0' } else { one }).collect();
    assert_eq!((shape.len(), shape.get(..3), shape.get(6..21)), (26, Some("00/"), Some("/0000:00:00:00 ")), "{time}");
    // How long it took is the only thing that nobody knows in advance.
    let took: Vec<&str> = rest.split(' ').filter(|word| word.len() == 5 && word.starts_with("0.")).collect();
    let [whole, upstream] = took.as_slice() else { panic!("{rest}") };
    let length = REQUEST.len();
    let want = format!(
        r#""GET /a%20b/%22?x=1&Name=%0a HTTP/1.1" 201 1234 "http://other.example/a-page?with=a&longer=query" "say \x22hi\x22\x5C\x09\xC3\xA4" {length} {whole} [shop-web-80] [] {origin} 1234 {upstream} 201 id-of-the-client"#
    );
    assert_eq!(rest, want);
}

#[test]
fn a_plain_request_has_the_same_line() {
    let request = "POST /a HTTP/1.0\r\nHost: a.example\r\nUser-Agent: plain (1)\r\nX-Request-ID: 0123456789abcdef0123456789abcdef\r\n\r\n";
    let (line, _site, origin) = logged(None, LogEscape::Default, request, response());
    let words: Vec<&str> = line.split_whitespace().collect();
    let [before @ .., upstream, status, id] = words.as_slice() else { panic!("{line}") };
    let [first, .., took, _, _, _, _] = before else { panic!("{line}") };
    let want = format!(
        r#"] "POST /a HTTP/1.0" 201 1234 "-" "plain (1)" {} {took} [shop-web-80] [] {origin} 1234 {upstream} {status} {id}"#,
        request.len()
    );
    assert_eq!((line.split_once(" +").and_then(|(_, rest)| rest.get(4..)), *first), (Some(want.as_str()), "127.0.0.1"));
    assert_eq!((*status, *id), ("201", "0123456789abcdef0123456789abcdef"));
    assert!(took.starts_with("0.") && upstream.starts_with("0."), "{line}");
}

#[test]
fn every_kind_of_variable_has_its_value() {
    let cases = [
        ("$remote_addr|$remote_user|$scheme|$pass_access_scheme|$server_protocol", "127.0.0.1|-|http|http|HTTP/1.1"),
        ("$request_method|$request_uri|$uri", r"GET|/a%20b/%22?x=1&Name=%0a|/a b/\x22"),
        ("$args|$is_args|$arg_x|$arg_name|$arg_y", "x=1&Name=%0a|?|1|%0a|-"),
        ("$host|$best_http_host|$server_name", "a.example|A.example:80|a.example"),
        ("$http_x_many|$http_x_empty|$http_x_none|$http_X_MANY", "one, two||-|one, two"),
        ("$cookie_a|$cookie_b|$cookie_c", "1|two|-"),
        ("$status|$sent_http_x_answer|$upstream_http_x_answer", r"201|\x22yes\x22, \xC3\xA4|\x22yes\x22, \xC3\xA4"),
        ("$sent_http_content_length $status$sent_http_none$1.", "1234 201-$1."),
        ("$connection|$connection_requests", "1|1"),
        ("$ssl_protocol|$ssl_cipher|$ssl_server_name|$proxy_protocol_addr", "-|-|-|-"),
        ("$proxy_add_x_forwarded_for|$binary_remote_addr", "127.0.0.1|127.0.0.1"),
        ("$namespace|$ingress_name|$service_name|$service_port|$location_path", "shop|web|web|80|/"),
        ("$proxy_upstream_name|$proxy_alternative_upstream_name|$portcullis_reason", "shop-web-80||-"),
        ("$portcullis_rule", "shop/web a.example /"),
        ("$upstream_status|$upstream_response_length|$body_bytes_sent", "201|1234|1234"),
        ("$req_id|$request_id", "id-of-the-client|id-of-the-client"),
    ];
    for (format, want) in cases {
        assert_eq!(logged(Some(format), LogEscape::Default, REQUEST, response()).0, want, "{format}");
    }
    let (line, site, _) = logged(Some("$server_port"), LogEscape::Default, REQUEST, response());
    assert_eq!(line, site.http.port().to_string());
    let json = r#"{"agent":"$http_user_agent","answer":"$sent_http_x_answer","uri":"$uri","none":"$http_none"}"#;
    let want = r#"{"agent":"say \"hi\"\\\tä","answer":"\"yes\", ä","uri":"/a b/\"","none":""}"#;
    assert_eq!(logged(Some(json), LogEscape::Json, REQUEST, response()).0, want);
}

#[test]
fn a_request_that_is_refused_has_a_line_with_what_is_known() {
    let format =
        "$remote_addr \"$request\" $status $sent_http_content_type $upstream_addr [$proxy_upstream_name] $req_id";
    let cases = [
        ("GET / HTTP/1.1\r\nHost: b\r\nHost: c\r\n\r\n", r#"127.0.0.1 "GET / HTTP/1.1" 400 text/html - [-] -"#),
        ("nothing at all\r\n\r\n", r#"127.0.0.1 "-" 400 - - [-] -"#),
    ];
    for (request, want) in cases {
        assert_eq!(logged(Some(format), LogEscape::Default, request, "").0, want, "{request}");
    }
}
