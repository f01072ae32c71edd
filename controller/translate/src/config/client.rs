//! Keys of the ConfigMap about connections of clients.

use std::time::Duration;

use portcullis_model::HeaderBuffers;

use super::key::{Entry, Problem, integer};
use super::supported::{entry, flag};
use super::written::Written;
use crate::annotations::value::{self, Fault};

#[rustfmt::skip]
pub(super) static KEYS: &[Entry] = &[
    entry("keep-alive", "seconds", "75", "How long an idle connection is kept; 0 for not at all.", keep_alive),
    entry("keep-alive-requests", "a number of requests", "1000", "Requests per connection.", keep_alive_requests),
    entry("client-header-timeout", "seconds, at least 1", "60", "How long a request head may take.", |w, text| { w.settings.client.header_timeout = time(text)?; Ok(()) }),
    entry("client-body-timeout", "seconds, at least 1", "60", "How long a client may send nothing of a body.", |w, text| { w.settings.client.body_timeout = time(text)?; Ok(()) }),
    entry("large-client-header-buffers", "a number and a size, such as `4 8k`", "4 8k", "The size is the limit of the request line (414) and of each header (400), both together that of the head (400).", header_buffers),
    entry("http2-max-concurrent-streams", "a number of streams, 1 to 10000", "128", "Requests at a time on an HTTP/2 connection.", concurrent_streams),
    flag("use-proxy-protocol", "false", "Expects the PROXY protocol, version 1 or 2, on the ports of HTTP and HTTPS; connections without it are closed.", |w, on| w.settings.client.proxy_protocol = on),
    entry("proxy-protocol-header-timeout", "a duration such as `5s`", "5s", "How long the header of the PROXY protocol may take.", |w, text| { w.settings.client.proxy_protocol_timeout = duration(text)?; Ok(()) }),
];

/// Longest time that is taken for one: a year.
const LONGEST: u64 = 365 * 24 * 3600;
/// Most requests at a time on one connection: each costs memory.
const MOST_STREAMS: i64 = 10_000;

fn keep_alive(written: &mut Written, text: &str) -> Result<(), Problem> {
    written.settings.client.keep_alive = seconds(text, 0)?;
    Ok(())
}

fn keep_alive_requests(written: &mut Written, text: &str) -> Result<(), Problem> {
    let number = u64::try_from(integer(text)?).map_err(|_| Fault::not("a number of requests"))?;
    written.settings.client.keep_alive_requests = number;
    Ok(())
}

fn concurrent_streams(written: &mut Written, text: &str) -> Result<(), Problem> {
    let number = Some(integer(text)?).filter(|number| (1..=MOST_STREAMS).contains(number));
    let number = number.and_then(|number| u32::try_from(number).ok());
    written.settings.client.concurrent_streams = number.ok_or(Fault::not("a number from 1 to 10000"))?;
    Ok(())
}

/// A time limit; without one nobody would ever be served, so zero is refused.
fn time(text: &str) -> Result<Duration, Fault> {
    seconds(text, 1)
}

fn seconds(text: &str, least: u64) -> Result<Duration, Fault> {
    let number = u64::try_from(integer(text)?).ok().filter(|number| (least..=LONGEST).contains(number));
    number.map(Duration::from_secs).ok_or(Fault::not(if least == 0 {
        "a number of seconds"
    } else {
        "a number of seconds, at least 1"
    }))
}

fn header_buffers(written: &mut Written, text: &str) -> Result<(), Problem> {
    let expected = || Fault::not("a number and a size, such as `4 8k`");
    let mut words = text.split_whitespace();
    let (Some(number), Some(size), None) = (words.next(), words.next(), words.next()) else {
        return Err(expected().into());
    };
    let number = number.parse::<usize>().map_err(|_| expected())?;
    let size = usize::try_from(value::size(size)?.bytes()).map_err(|_| expected())?;
    let buffers = HeaderBuffers::new(number, size);
    let bounds = "a number and a size that are at least 1, at most 64k each and 1m together";
    written.settings.client.header_buffers = buffers.ok_or(Fault::not(bounds))?;
    Ok(())
}

/// A duration as Go writes it: `5s`, `1m30s`, `1.5h`, `500ms`. It is longer than nothing.
fn duration(text: &str) -> Result<Duration, Fault> {
    let expected = || Fault::not("a duration such as `5s`");
    let mut rest = text.trim().strip_prefix('+').unwrap_or(text.trim());
    let mut all = 0.0_f64;
    while !rest.is_empty() {
        let tail = rest.trim_start_matches(|character: char| character.is_ascii_digit() || character == '.');
        let number = rest.strip_suffix(tail).and_then(|number| number.parse::<f64>().ok()).ok_or_else(expected)?;
        let after = tail.trim_start_matches(|character: char| character.is_alphabetic());
        let unit = match tail.strip_suffix(after).unwrap_or_default() {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(expected()),
        };
        all += number * unit;
        rest = after;
    }
    let duration = Duration::try_from_secs_f64(all).map_err(|_| expected())?;
    let longest = Duration::from_secs(LONGEST);
    if duration.is_zero() || duration > longest { Err(expected()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use portcullis_model::ClientSettings;

    use super::*;

    fn read(key: &str, text: &str) -> Option<ClientSettings> {
        let mut written = Written::default();
        let entry = KEYS.iter().find(|entry| entry.key.key == key).unwrap();
        entry.apply(&mut written, text).ok()?;
        Some(written.settings.client)
    }

    #[test]
    fn values_are_read_or_refused() {
        let default = ClientSettings::default();
        let seconds = Duration::from_secs;
        for (key, text, want) in [
            ("keep-alive", "0", Some(ClientSettings { keep_alive: Duration::ZERO, ..default })),
            ("keep-alive", "140", Some(ClientSettings { keep_alive: seconds(140), ..default })),
            ("keep-alive", "-1", None),
            ("keep-alive", "75s", None),
            ("keep-alive", "99999999999", None),
            ("keep-alive-requests", "0", Some(ClientSettings { keep_alive_requests: 0, ..default })),
            ("keep-alive-requests", "-5", None),
            ("client-header-timeout", "0x10", Some(ClientSettings { header_timeout: seconds(16), ..default })),
            ("client-header-timeout", "0", None),
            ("client-body-timeout", "1", Some(ClientSettings { body_timeout: seconds(1), ..default })),
            ("http2-max-concurrent-streams", "1", Some(ClientSettings { concurrent_streams: 1, ..default })),
            ("http2-max-concurrent-streams", "0", None),
            ("http2-max-concurrent-streams", "10001", None),
            ("use-proxy-protocol", "true", Some(ClientSettings { proxy_protocol: true, ..default })),
            (
                "proxy-protocol-header-timeout",
                "1m30s",
                Some(ClientSettings { proxy_protocol_timeout: seconds(90), ..default }),
            ),
            (
                "proxy-protocol-header-timeout",
                "500ms",
                Some(ClientSettings { proxy_protocol_timeout: Duration::from_millis(500), ..default }),
            ),
            ("proxy-protocol-header-timeout", "5", None),
            ("proxy-protocol-header-timeout", "0s", None),
            ("proxy-protocol-header-timeout", "-5s", None),
            ("proxy-protocol-header-timeout", "", None),
            ("proxy-protocol-header-timeout", "1.s.", None),
            ("proxy-protocol-header-timeout", "5 s", None),
        ] {
            assert_eq!(read(key, text), want, "{key} {text:?}");
        }
    }

    #[test]
    fn header_buffers_are_a_number_and_a_size() {
        for (text, want) in [
            ("4 16k", Some((16_384, 65_536))),
            (" 2  1000 ", Some((1000, 2000))),
            ("8k", None),
            ("4 8k 1", None),
            ("4, 8k", None),
            ("0 8k", None),
            ("4 128k", None),
            ("many 8k", None),
        ] {
            let got = read("large-client-header-buffers", text).map(|client| client.header_buffers);
            assert_eq!(got.map(|buffers| (buffers.line(), buffers.total())), want, "{text:?}");
        }
    }
}
