//! A question to `explain`, as users write it: on the command line and on the admin address.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Method};
use portcullis_proxy::table::explain::{ExplainRequest, InvalidUrl, ListenerPorts};

/// Most header fields of a question.
const MAX_HEADERS: usize = 100;

/// The parts of a request, as texts.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The URL.
    pub url: String,
    /// The method, GET where there is none.
    pub method: Option<String>,
    /// Header fields as `Name: value`. `Host` takes the place of the host of the URL.
    pub headers: Vec<String>,
    /// Address of the client.
    pub client: Option<String>,
}

/// Why a question cannot be asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidQuestion {
    /// The URL.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// The method.
    #[error("`{0}` is not a method")]
    Method(String),
    /// A header field.
    #[error("`{0}` is not a header field; write it as `Name: value`")]
    Header(String),
    /// The client.
    #[error("`{0}` is not an IP address")]
    Client(String),
    /// Too much of it.
    #[error("there are more than {MAX_HEADERS} header fields")]
    TooMany,
}

impl Question {
    /// The request that is asked about; `ports` are those of the listeners.
    ///
    /// # Errors
    ///
    /// When a part is not what it should be.
    pub fn request(&self, ports: ListenerPorts) -> Result<ExplainRequest, InvalidQuestion> {
        let mut request = ExplainRequest::get(&self.url)?;
        request.ports = ports;
        if let Some(method) = &self.method {
            request.method =
                Method::from_bytes(method.as_bytes()).map_err(|_| InvalidQuestion::Method(method.clone()))?;
        }
        if let Some(client) = &self.client {
            request.client = Some(client.parse::<IpAddr>().map_err(|_| InvalidQuestion::Client(client.clone()))?);
        }
        if self.headers.len() > MAX_HEADERS {
            return Err(InvalidQuestion::TooMany);
        }
        for header in &self.headers {
            let (name, value) = field(header).ok_or_else(|| InvalidQuestion::Header(header.clone()))?;
            match value.to_str() {
                Ok(host) if name == http::header::HOST => host.clone_into(&mut request.authority),
                _ => drop(request.headers.append(name, value)),
            }
        }
        Ok(request)
    }
}

fn field(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':')?;
    Some((name.trim().parse().ok()?, HeaderValue::from_str(value.trim()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_becomes_a_request() {
        let question = Question {
            url: "https://a.example/x?y".to_owned(),
            method: Some("POST".to_owned()),
            headers: vec!["X-A: b".to_owned(), "Host: other.example".to_owned(), "cookie:c=d".to_owned()],
            client: Some("2001:db8::1".to_owned()),
        };
        let request = question.request(ListenerPorts::default()).unwrap();
        assert_eq!((request.authority.as_str(), request.target.as_str()), ("other.example", "/x?y"));
        assert_eq!(request.method, Method::POST);
        assert_eq!(request.headers["x-a"], "b");
        assert_eq!(request.headers["cookie"], "c=d");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let url = "http://a.example/".to_owned();
        let base = || Question { url: url.clone(), ..Question::default() };
        for question in [
            Question { url: "ftp://a.example/".to_owned(), ..Question::default() },
            Question::default(),
            Question { method: Some("G T".to_owned()), ..base() },
            Question { headers: vec!["no colon".to_owned()], ..base() },
            Question { headers: vec!["a b: c".to_owned()], ..base() },
            Question { headers: vec!["a: b\nc".to_owned()], ..base() },
            Question { headers: vec!["a: b".to_owned(); MAX_HEADERS + 1], ..base() },
            Question { client: Some("a.example".to_owned()), ..base() },
        ] {
            assert!(question.request(ListenerPorts::default()).is_err(), "{question:?}");
        }
    }
}
