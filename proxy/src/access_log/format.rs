//! `log-format-upstream`, filled in as a request goes along: what its head says when it is read, the rest at the end.

use std::sync::Arc;

use portcullis_model::{AccessLogSettings, Known, Part, Settings, Variable};

use super::escape;

/// The log format in use, shared by the requests of a worker.
#[derive(Debug)]
pub(crate) struct LogFormat {
    settings: Arc<Settings>,
    response_headers: bool,
}

/// When the value of a variable is known, and so when it is written down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    /// When the request head was read.
    Request,
    /// When the response head is sent.
    Response,
    /// When everything is over.
    End,
}

/// Whether a variable has a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Value {
    /// It was appended.
    Set,
    /// It has none.
    Unset,
}

/// Values written down at one stage, escaped, in the order of the format. Reused from request to request.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    text: Vec<u8>,
    ends: Vec<usize>,
    /// One value before it is escaped.
    raw: Vec<u8>,
}

impl LogFormat {
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        let parts = settings.access_log.format.parts().iter();
        let response_headers = parts
            .into_iter()
            .any(|part| matches!(part, Part::Variable(variable) if stage(variable) == Stage::Response));
        Self { settings, response_headers }
    }

    /// Whether it was made from `settings`.
    pub(crate) fn is_of(&self, settings: &Arc<Settings>) -> bool {
        Arc::ptr_eq(&self.settings, settings)
    }

    /// Whether anything, and what, is logged.
    pub(crate) fn settings(&self) -> &AccessLogSettings {
        &self.settings.access_log
    }

    /// Whether a line needs anything of the response head.
    pub(crate) fn needs_response_headers(&self) -> bool {
        self.response_headers
    }

    /// Writes down the values of `stage`; `value` appends one unescaped.
    pub(crate) fn capture(
        &self,
        wanted: Stage,
        into: &mut Captured,
        mut value: impl FnMut(&Variable, &mut Vec<u8>) -> Value,
    ) {
        let Captured { text, ends, raw } = into;
        for part in self.settings().format.parts() {
            if let Part::Variable(variable) = part
                && stage(variable) == wanted
            {
                self.push(variable, raw, text, &mut value);
                ends.push(text.len());
            }
        }
    }

    /// Appends a line: values written down before, and those that `value` gives now.
    pub(crate) fn render(
        &self,
        request: &mut Captured,
        response: &Captured,
        line: &mut Vec<u8>,
        mut value: impl FnMut(&Variable, &mut Vec<u8>) -> Value,
    ) {
        let mut raw = std::mem::take(&mut request.raw);
        let (mut values, mut response) = (request.values(), response.values());
        let unset = escape::unset(self.settings().escape);
        for part in self.settings().format.parts() {
            match part {
                Part::Literal(text) => line.extend_from_slice(text.as_bytes()),
                Part::Capture(group) => line.extend([b'$', b'0' + group]),
                Part::Variable(variable) => match stage(variable) {
                    Stage::Request => line.extend_from_slice(values.next().unwrap_or(unset)),
                    Stage::Response => line.extend_from_slice(response.next().unwrap_or(unset)),
                    Stage::End => self.push(variable, &mut raw, line, &mut value),
                },
            }
        }
        drop(values);
        request.raw = raw;
    }

    fn push(
        &self,
        variable: &Variable,
        raw: &mut Vec<u8>,
        line: &mut Vec<u8>,
        value: &mut impl FnMut(&Variable, &mut Vec<u8>) -> Value,
    ) {
        let escape = self.settings().escape;
        raw.clear();
        match value(variable, raw) {
            Value::Set => escape::push(escape, raw, line),
            Value::Unset => line.extend_from_slice(escape::unset(escape)),
        }
    }
}

/// A buffer that grew beyond this is not kept for the next request.
const USUAL: usize = 4096;

impl Captured {
    /// Whether it has room, and not too much.
    pub(crate) fn is_worth_keeping(&self) -> bool {
        (1..=USUAL).contains(&self.text.capacity())
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    fn values(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).filter_map(|(begin, end)| self.text.get(begin..*end))
    }
}

/// When a variable is known.
fn stage(variable: &Variable) -> Stage {
    match variable {
        Variable::Header(_) | Variable::Cookie(_) | Variable::Argument(_) => Stage::Request,
        Variable::SentHeader(_) | Variable::UpstreamHeader(_) => Stage::Response,
        Variable::Known(known) => match known {
            Known::RemoteAddr
            | Known::RemoteUser
            | Known::BinaryRemoteAddr
            | Known::RemotePort
            | Known::Request
            | Known::RequestMethod
            | Known::RequestUri
            | Known::Uri
            | Known::Args
            | Known::IsArgs
            | Known::Scheme
            | Known::PassAccessScheme
            | Known::ServerProtocol
            | Known::ServerPort
            | Known::Host
            | Known::BestHttpHost
            | Known::Connection
            | Known::ConnectionRequests
            | Known::SslProtocol
            | Known::SslCipher
            | Known::SslServerName
            | Known::ProxyProtocolAddr
            | Known::ProxyAddXForwardedFor => Stage::Request,
            Known::TimeLocal
            | Known::TimeIso8601
            | Known::Msec
            | Known::ServerName
            | Known::Status
            | Known::BodyBytesSent
            | Known::BytesSent
            | Known::RequestLength
            | Known::RequestTime
            | Known::RequestId
            | Known::ProxyUpstreamName
            | Known::ProxyAlternativeUpstreamName
            | Known::UpstreamAddr
            | Known::UpstreamResponseLength
            | Known::UpstreamResponseTime
            | Known::UpstreamConnectTime
            | Known::UpstreamHeaderTime
            | Known::UpstreamStatus
            | Known::Namespace
            | Known::IngressName
            | Known::ServiceName
            | Known::ServicePort
            | Known::LocationPath
            | Known::Reason
            | Known::Rule => Stage::End,
        },
    }
}

#[cfg(test)]
mod tests {
    use portcullis_model::{LogEscape, Template};

    use super::*;

    fn format(text: &str, escape: LogEscape) -> LogFormat {
        let access_log = AccessLogSettings { format: Template::parse(text).unwrap(), escape, ..Default::default() };
        LogFormat::new(Arc::new(Settings { access_log, ..Settings::default() }))
    }

    /// A line in which every variable has its own name as value, but for those that have none.
    fn line(format: &LogFormat, without: &[&str]) -> String {
        let value = |variable: &Variable, out: &mut Vec<u8>| {
            let name = variable.to_string();
            if without.contains(&name.as_str()) {
                return Value::Unset;
            }
            out.extend_from_slice(format!("<\"{name}\">").as_bytes());
            Value::Set
        };
        let (mut request, mut response, mut line) = (Captured::default(), Captured::default(), Vec::new());
        format.capture(Stage::Request, &mut request, value);
        format.capture(Stage::Response, &mut response, value);
        format.render(&mut request, &response, &mut line, value);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn values_of_all_stages_come_in_the_order_of_the_format() {
        let mixed = format("$status $http_a [$sent_http_b] $host $upstream_http_c $req_id", LogEscape::Default);
        assert!(mixed.needs_response_headers());
        assert_eq!(
            line(&mixed, &[]).replace(r"\x22", ""),
            "<status> <http_a> [<sent_http_b>] <host> <upstream_http_c> <req_id>"
        );
        assert!(!format("$status $http_a", LogEscape::Default).needs_response_headers());
    }

    #[test]
    fn unset_variables_are_a_dash_or_nothing() {
        assert_eq!(line(&format("[$http_a] [$status]", LogEscape::Default), &["http_a", "status"]), "[-] [-]");
        assert_eq!(line(&format(r#"{"a":"$http_a"}"#, LogEscape::Json), &["http_a"]), r#"{"a":""}"#);
        assert_eq!(line(&format(r#"{"a":"$http_a"}"#, LogEscape::Json), &[]), r#"{"a":"<\"http_a\">"}"#);
    }

    #[test]
    fn a_line_for_a_request_that_was_never_read_has_no_values_of_it() {
        let format = format("$request $status", LogEscape::Default);
        let mut line = Vec::new();
        format.render(&mut Captured::default(), &Captured::default(), &mut line, |_, out| {
            out.extend_from_slice(b"400");
            Value::Set
        });
        assert_eq!(line, b"- 400");
    }
}
