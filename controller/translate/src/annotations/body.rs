//! How large bodies may be, and how much of them is held back.

use super::chars::Chars;
use super::reader::Reader;
use super::spec::{Group, Key, OnError, Spec};
use super::value::{self, Fault};
use super::{Draft, Risk};
use crate::quoted;

pub(super) const GROUP: Group = Group {
    name: "body",
    doc: "How large bodies may be, and how much of them is held back.",
    keys: &[
        &BODY_SIZE,
        &REQUEST_BUFFERING,
        &REQUEST_MEMORY,
        &RESPONSE_BUFFERING,
        &BUFFERS_NUMBER,
        &BUFFER_SIZE,
        &TEMP_FILE_SIZE,
    ],
    parse,
};

const SIZE: &str = "a size, such as `8k` or `1m`";

const BODY_SIZE: Key<Written> = Key {
    parse: written,
    spec: Spec {
        key: "proxy-body-size",
        value: "a size, such as `8k` or `1m`; `0` for no limit",
        default: "1m",
        config_key: Some("proxy-body-size"),
        risk: Risk::Medium,
        chars: Chars::Text,
        doc: "The largest request body; a larger one answers 413, at once where its length is declared. \
              With the unit `b` nginx's own limit of 1m holds.",
        ..Spec::BASE
    },
};

const REQUEST_MEMORY: Key<Written> = Key {
    parse: written,
    spec: Spec {
        key: "client-body-buffer-size",
        value: SIZE,
        default: "8k",
        config_key: Some("client-body-buffer-size"),
        on_error: OnError::Reject,
        chars: Chars::Text,
        doc: "What of a buffered request body is kept in memory, at least 64k; the rest goes to disk, and more of it while \
              many bodies are kept at once. The units `b` and `g` have no effect.",
        ..Spec::BASE
    },
};

const REQUEST_BUFFERING: Key<bool> = Key {
    parse: value::switch,
    spec: Spec {
        key: "proxy-request-buffering",
        value: "`on` or `off`",
        default: "on",
        config_key: Some("proxy-request-buffering"),
        chars: Chars::Text,
        doc: "`on`: a request body is received whole before an upstream is asked. `off`: it is passed on as it comes.",
        ..Spec::BASE
    },
};

const RESPONSE_BUFFERING: Key<bool> = Key {
    parse: value::switch,
    spec: Spec {
        key: "proxy-buffering",
        value: "`on` or `off`",
        default: "off",
        config_key: Some("proxy-buffering"),
        chars: Chars::Text,
        doc: "`on`: a response is received as fast as the upstream sends it, so that the upstream need not wait for a slow \
              client. The response header `X-Accel-Buffering` decides otherwise.",
        ..Spec::BASE
    },
};

const BUFFERS_NUMBER: Key<u32> = Key {
    parse: |text| buffers(value::integer(text)?),
    spec: Spec {
        key: "proxy-buffers-number",
        value: "a whole number from 2 to 65536",
        default: "4",
        config_key: Some("proxy-buffers-number"),
        doc: "Times `proxy-buffer-size`, this is how much of a buffered response is kept in memory, at least 64k.",
        ..Spec::BASE
    },
};

const BUFFER_SIZE: Key<u64> = Key {
    parse: buffer,
    spec: Spec {
        key: "proxy-buffer-size",
        value: SIZE,
        default: "4k",
        config_key: Some("proxy-buffer-size"),
        chars: Chars::Text,
        doc: "The largest head of a response; a larger one answers 502, with `proxy-buffering` off, too. \
              Heads over 64k always do.",
        ..Spec::BASE
    },
};

const TEMP_FILE_SIZE: Key<u64> = Key {
    parse: |text| octets(text),
    spec: Spec {
        key: "proxy-max-temp-file-size",
        value: SIZE,
        default: "1024m",
        config_key: Some("proxy-max-temp-file-size"),
        chars: Chars::Text,
        doc: "What of a buffered response goes to disk beyond its buffers; `0` for nothing, so that the upstream waits.",
        ..Spec::BASE
    },
};

fn parse(read: &mut Reader<'_>, draft: &mut Draft) {
    match read.value(&BODY_SIZE) {
        None => {}
        Some(Written::Octets(size)) => draft.body.largest = limit(size),
        Some(Written::LeftOut(unit)) => {
            draft.body.largest = Some(BUILT_IN_LIMIT);
            let message = format!("the unit {} is left out of nginx's configuration, so 1m holds", quoted(unit));
            read.warn(BODY_SIZE.spec.key, "invalid-annotation", message, "expected: a size, such as `8k` or `1m`");
        }
    }
    match read.value(&REQUEST_MEMORY) {
        None => {}
        Some(Written::Octets(size)) if !is_giga(read.raw(&REQUEST_MEMORY.spec)) => draft.body.request_memory = size,
        Some(Written::Octets(_) | Written::LeftOut(_)) => {
            let message = "the units b and g are left out of nginx's configuration, so the default is used".to_owned();
            let help = "expected: a size, such as `8k` or `1m`";
            read.warn(REQUEST_MEMORY.spec.key, "invalid-annotation", message, help);
        }
    }
    let body = &mut draft.body;
    body.buffer_request = read.value(&REQUEST_BUFFERING).unwrap_or(body.buffer_request);
    body.buffer_response = read.value(&RESPONSE_BUFFERING).unwrap_or(body.buffer_response);
    body.buffers = read.value(&BUFFERS_NUMBER).unwrap_or(body.buffers);
    body.buffer_size = read.value(&BUFFER_SIZE).unwrap_or(body.buffer_size);
    body.response_disk = read.value(&TEMP_FILE_SIZE).unwrap_or(body.response_disk);
}

/// `client_max_body_size` of nginx where nothing is configured.
const BUILT_IN_LIMIT: u64 = 1 << 20;

/// A size that ingress-nginx accepts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Written {
    /// With a unit that nginx knows, too.
    Octets(u64),
    /// With a unit that nginx does not know: ingress-nginx writes no directive.
    LeftOut(&'static str),
}

fn written(text: &str) -> Result<Written, Fault> {
    let size = value::size(text)?;
    Ok(if text.trim().ends_with(['b', 'B']) { Written::LeftOut("b") } else { Written::Octets(size.bytes()) })
}

/// `client_body_buffer_size` takes no gigabytes.
fn is_giga(text: Option<&str>) -> bool {
    text.is_some_and(|text| text.trim().ends_with(['g', 'G']))
}

/// A size with a unit that nginx knows.
pub(crate) fn octets(text: &str) -> Result<u64, Fault> {
    match written(text)? {
        Written::Octets(octets) => Ok(octets),
        Written::LeftOut(_) => Err(Fault::not(SIZE)),
    }
}

/// A size that something fits in.
pub(crate) fn buffer(text: &str) -> Result<u64, Fault> {
    let octets = octets(text)?;
    if octets == 0 || is_giga(Some(text)) { Err(Fault::not(SIZE)) } else { Ok(octets) }
}

/// No limit where `0` is written.
pub(crate) fn limit(octets: u64) -> Option<u64> {
    (octets > 0).then_some(octets)
}

/// nginx takes no less than two.
pub(crate) fn buffers(number: i64) -> Result<u32, Fault> {
    let number = u32::try_from(number).ok().filter(|number| (2..=65_536).contains(number));
    number.ok_or(Fault::not("a whole number from 2 to 65536"))
}

#[cfg(test)]
mod tests {
    use portcullis_model::policy::BodyPolicy;

    use super::super::testing::{Outcome, read, read_with};
    use crate::Config;

    fn changed(change: impl FnOnce(&mut BodyPolicy)) -> BodyPolicy {
        let mut body = BodyPolicy::default();
        change(&mut body);
        body
    }

    #[test]
    fn keys_change_what_they_name() {
        for (key, value, want) in [
            ("proxy-body-size", "8m", changed(|body| body.largest = Some(8 << 20))),
            ("proxy-body-size", "2 G", changed(|body| body.largest = Some(2 << 30))),
            ("proxy-body-size", "0", changed(|body| body.largest = None)),
            ("client-body-buffer-size", "1M", changed(|body| body.request_memory = 1 << 20)),
            ("client-body-buffer-size", "1000", changed(|body| body.request_memory = 1000)),
            ("proxy-request-buffering", "off", changed(|body| body.buffer_request = false)),
            ("proxy-buffering", "on", changed(|body| body.buffer_response = true)),
            ("proxy-buffers-number", "8", changed(|body| body.buffers = 8)),
            ("proxy-buffer-size", "16k", changed(|body| body.buffer_size = 16 << 10)),
            ("proxy-max-temp-file-size", "0", changed(|body| body.response_disk = 0)),
        ] {
            let got = read(&[(key, value)]);
            assert_eq!((got.draft.body, got.codes()), (want, vec![]), "{key} {value}");
        }
    }

    #[test]
    fn bad_values_leave_the_default() {
        let config = Config {
            body: changed(|body| {
                body.largest = Some(5);
                body.buffer_size = 6;
                body.buffer_request = false;
                body.request_memory = 7;
            }),
            ..Config::default()
        };
        for (key, value) in [
            ("proxy-body-size", "8mb"),
            ("proxy-body-size", "-1"),
            ("proxy-body-size", "1m; return 200"),
            ("proxy-buffer-size", "8kb"),
            ("proxy-buffer-size", "0"),
            ("proxy-buffer-size", "8b"),
            ("proxy-buffers-number", "1"),
            ("proxy-buffers-number", "4k"),
            ("proxy-request-buffering", "yes"),
            ("proxy-max-temp-file-size", "all"),
            ("client-body-buffer-size", "1b"),
            ("client-body-buffer-size", "1g"),
        ] {
            let got = read_with(&[(key, value)], &config);
            assert_eq!((got.draft.body, got.outcome()), (config.body, Outcome::Served), "{key} {value}");
            assert_eq!(got.codes(), ["invalid-annotation"], "{key} {value}");
        }
        assert_eq!(read(&[("client-body-buffer-size", "8x")]).outcome(), Outcome::TakenOut("client-body-buffer-size"));
    }

    #[test]
    fn a_limit_in_octets_is_left_out_of_nginx_and_its_own_holds() {
        let config = Config { body: changed(|body| body.largest = Some(5)), ..Config::default() };
        let got = read_with(&[("proxy-body-size", "500b")], &config);
        assert_eq!((got.draft.body.largest, got.codes()), (Some(1 << 20), vec!["invalid-annotation"]));
    }
}
