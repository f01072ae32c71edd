//! `log-format-upstream`, filled in as a request goes along: what its head says when it is read, the rest at the end.

use std::sync::Arc;

use portcullis_model::{AccessLogSettings, Known, Settings};

use super::captured::{Captured, Runs, RunsLeft};
use super::escape::Style;
use super::pieces::{Gap, Head, HeadPiece, LatePiece, Pieces};
use super::room::Room;
use super::stage::HeadVariable;
use super::usual;

/// The log format in use, shared by the requests of a worker.
#[derive(Debug)]
pub(crate) struct LogFormat {
    settings: Arc<Settings>,
    style: Style,
    is_usual: bool,
    pieces: Pieces,
}

impl LogFormat {
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        let AccessLogSettings { format, escape, .. } = &settings.access_log;
        let is_usual = usual::is_usual(&settings.access_log);
        Self { style: Style::from(*escape), is_usual, pieces: Pieces::of(format), settings }
    }

    /// Whether it is the default: [`UsualHead`](usual::UsualHead) and [`UsualEnd`](usual::UsualEnd) write the same lines.
    pub(crate) fn is_usual(&self) -> bool {
        self.is_usual
    }

    /// The same format, written part by part.
    #[cfg(test)]
    pub(crate) fn in_parts(self) -> Self {
        Self { is_usual: false, ..self }
    }

    /// Whether it was made from `settings`.
    pub(crate) fn is_of(&self, settings: &Arc<Settings>) -> bool {
        Arc::ptr_eq(&self.settings, settings)
    }

    /// Whether a line needs anything of the response head.
    pub(crate) fn needs_response_headers(&self) -> bool {
        !self.pieces.response.is_empty()
    }

    /// Writes down what a line needs of a request head; `value` writes one value.
    pub(crate) fn capture_request(
        &self,
        into: &mut Captured,
        value: impl for<'b> FnMut(&HeadVariable, Style, &'b mut [u8]) -> Option<&'b mut [u8]>,
    ) {
        self.capture(&self.pieces.request, &mut into.request, value);
    }

    /// The same of a response head.
    pub(crate) fn capture_response(
        &self,
        into: &mut Captured,
        value: impl for<'b> FnMut(&HeadVariable, Style, &'b mut [u8]) -> Option<&'b mut [u8]>,
    ) {
        self.capture(&self.pieces.response, &mut into.response, value);
    }

    fn capture(
        &self,
        pieces: &[HeadPiece],
        into: &mut Runs,
        mut value: impl for<'b> FnMut(&HeadVariable, Style, &'b mut [u8]) -> Option<&'b mut [u8]>,
    ) {
        let Runs { text, lengths } = into;
        text.clear();
        text.add(|room| {
            lengths.clear();
            let mut before = room.len();
            let mut room = room;
            for HeadPiece { variable, after, ends_run } in pieces {
                room = after.put(value(variable, self.style, room)?)?;
                if *ends_run {
                    lengths.push(before - room.len());
                    before = room.len();
                }
            }
            Some(room)
        });
    }

    /// Leaves nothing out of what would have been written down of heads that never came.
    pub(crate) fn complete(&self, captured: &mut Captured) {
        let Captured { request, response, .. } = captured;
        if request.is_empty() && !self.pieces.request.is_empty() {
            self.capture(&self.pieces.request, request, |_, style, room| style.put_unset(room));
        }
        if response.is_empty() && !self.pieces.response.is_empty() {
            self.capture(&self.pieces.response, response, |_, style, room| style.put_unset(room));
        }
    }

    /// Writes a line: what was written down before, and the values that `value` writes now.
    pub(crate) fn render<'r>(
        &self,
        captured: &Captured,
        room: &'r mut [u8],
        mut value: impl for<'b> FnMut(Known, Style, &'b mut [u8]) -> Option<&'b mut [u8]>,
    ) -> Option<&'r mut [u8]> {
        let Pieces { first, late, .. } = &self.pieces;
        let mut runs = [captured.request.begin(), captured.response.begin()];
        let mut room = put_gap(first, &mut runs, room)?;
        for LatePiece { known, after } in late {
            room = put_gap(after, &mut runs, value(*known, self.style, room)?)?;
        }
        Some(room)
    }
}

#[inline]
fn put_gap<'r>(gap: &Gap, [request, response]: &mut [RunsLeft<'_>; 2], room: &'r mut [u8]) -> Option<&'r mut [u8]> {
    let mut room = gap.text.put(room)?;
    for head in &gap.runs {
        let run = match head {
            Head::Request => request.next(),
            Head::Response => response.next(),
        };
        room = room.put(run.unwrap_or_default())?;
    }
    Some(room)
}

#[cfg(test)]
mod tests {
    use portcullis_model::{LogEscape, Template};
    use proptest::prelude::*;

    use super::super::room::Buffer;
    use super::*;

    fn format(text: &str, escape: LogEscape) -> LogFormat {
        let access_log = AccessLogSettings { format: Template::parse(text).unwrap(), escape, ..Default::default() };
        LogFormat::new(Arc::new(Settings { access_log, ..Settings::default() }))
    }

    fn text(buffer: &mut Buffer, format: &LogFormat, captured: &Captured, value: &'static [u8]) -> String {
        buffer.add(|room| format.render(captured, room, |_, _, room| room.put(value)));
        String::from_utf8_lossy(buffer.text()).into_owned()
    }

    /// A line in which every variable has its own name as value, but for those that have none.
    fn line(format: &LogFormat, without: &[&str]) -> String {
        fn put<'b>(name: &str, without: &[&str], style: Style, room: &'b mut [u8]) -> Option<&'b mut [u8]> {
            if without.contains(&name) {
                return style.put_unset(room);
            }
            // Numbers have no need to be escaped, and are not.
            match name {
                "status" => room.put(b"<status>"),
                _ => room.put_value(format!("<\"{name}\">").as_bytes(), style),
            }
        }
        let mut captured = Captured::default();
        fn of_head<'b>(
            variable: &HeadVariable,
            without: &[&str],
            style: Style,
            room: &'b mut [u8],
        ) -> Option<&'b mut [u8]> {
            match variable {
                HeadVariable::Known(known) => put(known.name(), without, style, room),
                HeadVariable::Field(name) => put(name.as_str(), without, style, room),
                HeadVariable::Cookie(name) | HeadVariable::Argument(name) => put(name, without, style, room),
                HeadVariable::UserAgent => put("agent", without, style, room),
                HeadVariable::Referer => put("referer", without, style, room),
                HeadVariable::Nothing => style.put_unset(room),
            }
        }
        format.capture_request(&mut captured, |variable, style, room| of_head(variable, without, style, room));
        format.capture_response(&mut captured, |variable, style, room| of_head(variable, without, style, room));
        format.complete(&mut captured);
        let mut buffer = Buffer::default();
        buffer.add(|room| room.put(b"line before\n"));
        buffer.add(|room| format.render(&captured, room, |known, style, room| put(known.name(), without, style, room)));
        String::from_utf8_lossy(buffer.text()).strip_prefix("line before\n").unwrap().to_owned()
    }

    #[test]
    fn values_of_all_stages_come_in_the_order_of_the_format() {
        let mixed = format("$status $http_a [$sent_http_b] $host $upstream_http_c $req_id", LogEscape::Default);
        assert!(mixed.needs_response_headers());
        assert_eq!(line(&mixed, &[]).replace(r"\x22", ""), "<status> <a> [<b>] <host> <c> <req_id>");
        assert!(!format("$status $http_a", LogEscape::Default).needs_response_headers());
    }

    #[test]
    fn unset_variables_are_a_dash_or_nothing() {
        assert_eq!(line(&format("[$http_a] [$status]", LogEscape::Default), &["a", "status"]), "[-] [-]");
        assert_eq!(line(&format(r#"{"a":"$http_a"}"#, LogEscape::Json), &["a"]), r#"{"a":""}"#);
        assert_eq!(line(&format(r#"{"a":"$http_a"}"#, LogEscape::Json), &[]), r#"{"a":"<\"a\">"}"#);
    }

    #[test]
    fn a_line_for_a_request_that_was_never_read_has_no_values_of_it() {
        let format = format("$request from $host: $status $sent_http_a.", LogEscape::Default);
        let mut captured = Captured::default();
        format.complete(&mut captured);
        assert_eq!(text(&mut Buffer::default(), &format, &captured, b"400"), "- from -: 400 -.");
    }

    #[test]
    fn buffers_are_used_again() {
        let format = format("$host $status $sent_http_a", LogEscape::Default);
        let (mut captured, mut buffer) = (Captured::default(), Buffer::default());
        for round in [&b"first"[..], b"2nd"] {
            format.capture_request(&mut captured, |_, _, room| room.put(round));
            format.capture_response(&mut captured, |_, _, room| room.put(round));
            format.complete(&mut captured);
            let want = [round, round, round].join(&b' ');
            assert_eq!(text(&mut buffer, &format, &captured, round).as_bytes(), want);
            captured.clear();
            buffer.clear();
        }
    }

    /// Parts of formats, and what they are in the lines of these tests.
    const PARTS: [(&str, &str); 14] = [
        (" ", " "),
        ("\" [", "\" ["),
        ("a text longer than most", "a text longer than most"),
        ("$1", "$1"),
        ("${host}", "<host>"),
        ("${request}", "<request>"),
        ("${cookie_a}", "<a>"),
        ("${http_b_c}", "<b-c>"),
        ("${http_user_agent}", "<agent>"),
        ("${http_Referer}", "<referer>"),
        ("${sent_http_d}", "<d>"),
        ("${upstream_http_e}", "<e>"),
        ("${status}", "<status>"),
        ("${req_id}", "<req_id>"),
    ];

    proptest! {
        #[test]
        fn any_format_is_its_parts_one_after_the_other(parts in prop::collection::vec(prop::sample::select(&PARTS[..]), 0..12)) {
            let (text, want): (String, String) = parts.into_iter().unzip();
            prop_assert_eq!(line(&format(&text, LogEscape::Default), &[]).replace(r"\x22", ""), want);
        }
    }
}
