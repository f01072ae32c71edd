//! `/debug/explain`: which route of the running table serves a request, and why.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use portcullis_proxy::table::explain::explain;

use super::{Admin, pages, text};
use crate::question::Question;

const HELP: &str = "ask with url=, and if needed method=, header=Name:value (repeated), client=IP, output=text; \
                    values are percent-encoded, & as %26 and # as %23\n";

pub(super) fn page(admin: &Admin, query: &str) -> Response<Full<Bytes>> {
    let (question, as_text) = match read(query) {
        Ok(read) => read,
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error}; {HELP}")),
    };
    let Some(ports) = admin.ports.get() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "no table has been published yet\n".to_owned());
    };
    let request = match question.request(*ports) {
        Ok(request) => request,
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    let Some(table) = admin.status.table() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "no table has been published yet\n".to_owned());
    };
    let explanation = explain(&table.load(), &request);
    if as_text { text(StatusCode::OK, explanation.to_string()) } else { pages::json(&explanation) }
}

fn read(query: &str) -> Result<(Question, bool), String> {
    let (mut question, mut as_text) = (Question::default(), false);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode_str(value)
            .decode_utf8()
            .map_err(|_| format!("the value of {name} is not UTF-8"))?
            .into_owned();
        match name {
            "url" => question.url = value,
            "method" => question.method = Some(value),
            "header" => question.headers.push(value),
            "client" => question.client = Some(value),
            "output" => as_text = value == "text",
            other => return Err(format!("`{other}` is not known")),
        }
    }
    Ok((question, as_text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read_from_a_query() {
        let query = "url=http://a.example/p%3Fx=1%26y=2&method=POST&header=X-A:%20b&header=Cookie:c=d&client=192.0.2.1&output=text";
        let (question, as_text) = read(query).unwrap();
        assert_eq!(question.url, "http://a.example/p?x=1&y=2");
        assert_eq!(question.headers, ["X-A: b", "Cookie:c=d"]);
        assert!(as_text);
        assert!(read("url=http://a.example/?x=1&y=2").is_err(), "an unencoded & is not passed over");
        assert!(read("url=%ff").is_err());
    }
}
