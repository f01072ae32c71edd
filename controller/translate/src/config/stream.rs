//! Keys of the ConfigMap about TCP and UDP services.

use std::sync::Arc;

use portcullis_model::StreamTemplate;

use super::key::{Entry, Problem, integer};
use super::supported::{entry, flag, unescape};
use super::time;
use super::written::Written;
use crate::annotations::value::Fault;

#[rustfmt::skip]
pub(super) static KEYS: &[Entry] = &[
    entry("proxy-stream-timeout", "a time", "600s", "How long nothing may come from either side of a connection or session.", timeout),
    flag("proxy-stream-next-upstream", "true", "Tries another endpoint when one cannot be connected to.", |w, on| w.settings.stream.next_upstream = on),
    entry("proxy-stream-next-upstream-timeout", "a time; 0 for no limit", "600s", "How long endpoints are tried.", |w, text| { w.settings.stream.next_upstream_timeout = time::parse(text)?; Ok(()) }),
    entry("proxy-stream-next-upstream-tries", "a number of tries; 0 for no limit", "3", "How many endpoints are tried, each once.", |w, text| { w.settings.stream.next_upstream_tries = number(text)?; Ok(()) }),
    entry("proxy-stream-responses", "a number of datagrams", "1", "Answers to a datagram, after which a session is over; 0 for none.", |w, text| { w.settings.stream.responses = number(text)?; Ok(()) }),
    entry("log-format-stream", "text with variables of nginx' stream module", StreamTemplate::DEFAULT, "A line of the log of TCP and UDP.", log_format),
    flag("disable-stream-access-log", "false", "Writes no access log of TCP and UDP.", |w, on| w.disable_stream_access_log = on),
];

/// Without any time nothing would ever pass, so zero is refused.
fn timeout(written: &mut Written, text: &str) -> Result<(), Problem> {
    let time = time::parse(text)?;
    if time.is_zero() {
        return Err(Fault::not("a time above 0").into());
    }
    written.settings.stream.idle = time;
    Ok(())
}

fn number(text: &str) -> Result<u32, Fault> {
    u32::try_from(integer(text)?).map_err(|_| Fault::not("a number from 0"))
}

fn log_format(written: &mut Written, text: &str) -> Result<(), Problem> {
    if text.is_empty() {
        return Err(Fault::not("a format").into());
    }
    let format = StreamTemplate::parse(&unescape(text)).map_err(|error| Fault::Because(error.to_string()))?;
    written.stream_log = Arc::new(format);
    Ok(())
}
