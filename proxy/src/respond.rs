//! Pages for answers made here: short, fixed, and silent about the request, like those that nginx builds in.

use bytes::Bytes;
use http::StatusCode;
use portcullis_model::Reason;

/// `Content-Type` of all pages.
pub(crate) const CONTENT_TYPE: &str = "text/html";

/// A page as nginx builds it: title, heading, and a line about the case where there is one.
macro_rules! page {
    ($title:literal, $heading:literal, $detail:literal) => {
        concat!(
            "<html>\r\n<head><title>",
            $title,
            "</title></head>\r\n<body>\r\n<center><h1>",
            $heading,
            "</h1></center>\r\n",
            $detail,
            "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
        )
    };
    ($title:literal) => {
        page!($title, $title, "")
    };
}

/// The page of an answer; empty where a status has none.
pub(crate) fn page(status: StatusCode, reason: Reason) -> Bytes {
    let text = match reason {
        Reason::Health => "",
        Reason::HeaderTooLarge => page!(
            "400 Request Header Or Cookie Too Large",
            "400 Bad Request",
            "<center>Request Header Or Cookie Too Large</center>\r\n"
        ),
        Reason::PlainHttpOnTls => page!(
            "400 The plain HTTP request was sent to HTTPS port",
            "400 Bad Request",
            "<center>The plain HTTP request was sent to HTTPS port</center>\r\n"
        ),
        _ => by_status(status),
    };
    Bytes::from_static(text.as_bytes())
}

/// The words are nginx's, where they differ from those of RFC 9110 too.
fn by_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        301 => page!("301 Moved Permanently"),
        302 => page!("302 Found"),
        303 => page!("303 See Other"),
        307 => page!("307 Temporary Redirect"),
        308 => page!("308 Permanent Redirect"),
        400 => page!("400 Bad Request"),
        404 => page!("404 Not Found"),
        405 => page!("405 Not Allowed"),
        408 => page!("408 Request Time-out"),
        413 => page!("413 Request Entity Too Large"),
        414 => page!("414 Request-URI Too Large"),
        500 => page!("500 Internal Server Error"),
        501 => page!("501 Not Implemented"),
        502 => page!("502 Bad Gateway"),
        503 => page!("503 Service Temporarily Unavailable"),
        504 => page!("504 Gateway Time-out"),
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_look_like_those_of_nginx() {
        let text = |status: u16, reason| {
            String::from_utf8(page(StatusCode::from_u16(status).unwrap(), reason).to_vec()).unwrap()
        };
        assert_eq!(
            text(404, Reason::NoHost),
            "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<center><h1>404 Not Found</h1></center>\r\n\
             <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
        );
        for (status, reason, want) in [
            (503, Reason::NoEndpoints, "<h1>503 Service Temporarily Unavailable</h1>"),
            (504, Reason::UpstreamTimeout, "<h1>504 Gateway Time-out</h1>"),
            (400, Reason::HeaderTooLarge, "<title>400 Request Header Or Cookie Too Large</title>"),
            (400, Reason::PlainHttpOnTls, "The plain HTTP request was sent to HTTPS port"),
            (308, Reason::HttpsRedirect, "<title>308 Permanent Redirect</title>"),
        ] {
            assert!(text(status, reason).contains(want), "{want}");
        }
        assert_eq!((text(200, Reason::Health).as_str(), text(304, Reason::Redirect).as_str()), ("", ""));
    }
}
