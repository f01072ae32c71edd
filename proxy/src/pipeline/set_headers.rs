//! Fields that the configuration sets: `proxy-set-headers`, `add-headers`, `custom-headers`.

use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis_model::policy::{HeaderText, SetHeader};
use portcullis_model::{Known, Part, Template, Variable};

use super::variables::Variables;
use crate::access_log::{TimeForm, WallClock};

/// What templates are filled in with.
#[derive(Clone, Copy)]
pub(super) struct Expander<'r> {
    pub(super) variables: &'r Variables<'r>,
    /// `$req_id`: the `X-Request-ID` that the upstream receives.
    pub(super) request_id: Option<&'r HeaderValue>,
    pub(super) clock: &'r WallClock,
}

impl Expander<'_> {
    /// All of `headers` with their values; none where the field is removed.
    pub(super) fn all(self, headers: &[SetHeader]) -> Vec<(HeaderName, Option<HeaderValue>)> {
        let ready = |header: &SetHeader| match header.text() {
            HeaderText::Remove => None,
            HeaderText::Fixed(value) => Some(value.clone()),
            HeaderText::Template(template) => self.expand(template),
        };
        headers.iter().map(|header| (header.name().clone(), ready(header))).collect()
    }

    /// The values of the templates among `headers`, in their order, for [`set`].
    pub(super) fn templates(self, headers: &[SetHeader]) -> Vec<Option<HeaderValue>> {
        let expanded = headers.iter().filter_map(|header| match header.text() {
            HeaderText::Template(template) => Some(self.expand(template)),
            HeaderText::Remove | HeaderText::Fixed(_) => None,
        });
        expanded.collect()
    }

    /// None for an empty value, and for one that no field may have: it came with the request.
    fn expand(self, template: &Template) -> Option<HeaderValue> {
        let mut text = Vec::new();
        for part in template.parts() {
            match part {
                Part::Literal(literal) => text.extend_from_slice(literal.as_bytes()),
                Part::Capture(_) => {}
                Part::Variable(variable) => self.push(variable, &mut text),
            }
        }
        HeaderValue::from_bytes(&text).ok().filter(|value| !value.is_empty())
    }

    fn push(self, variable: &Variable, text: &mut Vec<u8>) {
        let time = match variable {
            Variable::Known(Known::RequestId) => {
                return text.extend_from_slice(self.request_id.map_or(b"", HeaderValue::as_bytes));
            }
            Variable::Known(Known::Msec) => TimeForm::Milliseconds,
            Variable::Known(Known::TimeLocal) => TimeForm::Local,
            Variable::Known(Known::TimeIso8601) => TimeForm::Iso8601,
            other => return self.variables.push(other, text),
        };
        self.clock.put_now(time, text);
    }
}

/// Sets `wanted` in place of fields of the same name. `expanded` are the values of its templates.
pub(super) fn set(headers: &mut HeaderMap, wanted: &[SetHeader], expanded: &[Option<HeaderValue>]) {
    let mut expanded = expanded.iter();
    for header in wanted {
        let value = match header.text() {
            HeaderText::Remove => None,
            HeaderText::Fixed(value) => Some(value),
            HeaderText::Template(_) => expanded.next().and_then(Option::as_ref),
        };
        match value {
            Some(value) => drop(headers.insert(header.name(), value.clone())),
            None => drop(headers.remove(header.name())),
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_model::Settings;

    use super::super::head::RequestHead;
    use super::super::testing::{PLAIN, parts};
    use super::super::variables::ConnectionVariables;
    use super::*;

    fn wanted(pairs: &[(&str, &str)]) -> Vec<SetHeader> {
        pairs.iter().map(|(name, value)| SetHeader::new(name, value).unwrap()).collect()
    }

    fn expand<T>(lines: &str, make: impl Fn(Expander<'_>) -> T) -> T {
        let parts = parts(lines);
        let head = RequestHead::new(&parts, PLAIN, &Settings::default());
        let reading = head.read().unwrap();
        let connection = ConnectionVariables::default();
        let variables = Variables { head: &head, reading: Some(&reading), route: None, connection };
        let request_id = HeaderValue::from_static("id-1");
        make(Expander { variables: &variables, request_id: Some(&request_id), clock: &WallClock::new() })
    }

    #[test]
    fn templates_are_filled_in_from_the_request() {
        for (value, want) in [
            ("$host:$server_port", Some("a.example:8080")),
            ("$req_id", Some("id-1")),
            ("$http_x_user", Some("u")),
            ("$http_x_other", None),
            ("x$http_x_other", Some("x")),
            ("fixed", Some("fixed")),
            ("", None),
        ] {
            let all = expand("GET / HTTP/1.1\nHost: a.example\nX-User: u", |expander| {
                expander.all(&wanted(&[("X-A", value)]))
            });
            let got = all[0].1.as_ref().map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(got.as_deref(), want, "{value}");
        }
        let time = expand("GET / HTTP/1.1\nHost: a", |expander| expander.all(&wanted(&[("X-Start", "t=${msec}")])));
        let time = time[0].1.as_ref().unwrap().to_str().unwrap().to_owned();
        let seconds: f64 = time.strip_prefix("t=").unwrap().parse().unwrap();
        assert!(seconds > 1.0e9, "{time}");
    }

    #[test]
    fn fields_take_the_place_of_all_of_their_name() {
        let wanted = wanted(&[("X-A", "1"), ("X-B", "$host"), ("X-C", ""), ("X-D", "$http_none")]);
        let expanded = expand("GET / HTTP/1.1\nHost: a.example", |expander| expander.templates(&wanted));
        let mut headers = parts("GET / HTTP/1.1\nX-A: x\nX-A: y\nX-C: x\nX-D: x\nX-E: x").headers;
        set(&mut headers, &wanted, &expanded);
        let mut got: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        got.sort_unstable();
        assert_eq!(got, [("x-a", "1"), ("x-b", "a.example"), ("x-e", "x")]);
    }
}
