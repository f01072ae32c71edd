//! Keys of the ConfigMap about connections to upstreams.

use std::time::Duration;

use portcullis_model::UpstreamKeepalive;

use super::key::{Problem, integer};
use super::time;
use super::written::Written;
use crate::annotations::value::Fault;

pub(super) fn connections(written: &mut Written, text: &str) -> Result<(), Problem> {
    written.settings.upstream.connections = number(text)?;
    Ok(())
}

pub(super) fn requests(written: &mut Written, text: &str) -> Result<(), Problem> {
    written.settings.upstream.requests = number(text)?;
    Ok(())
}

pub(super) fn idle(written: &mut Written, text: &str) -> Result<(), Problem> {
    written.settings.upstream.idle = Duration::from_secs(number(text)?);
    Ok(())
}

pub(super) fn age(written: &mut Written, text: &str) -> Result<(), Problem> {
    written.settings.upstream.age = time::parse(text)?;
    Ok(())
}

pub(super) fn grpc_head(written: &mut Written, text: &str) -> Result<(), Problem> {
    let kilobytes: usize = number(text)?;
    let octets = kilobytes.saturating_mul(1024);
    let head = &mut written.settings.upstream.grpc_head;
    *head = if octets == 0 { UpstreamKeepalive::LARGEST_HEAD } else { octets.min(UpstreamKeepalive::LARGEST_HEAD) };
    if octets > UpstreamKeepalive::LARGEST_HEAD {
        return Err(Problem::Instead(Fault::not("at most 64"), "64 is used".to_owned()));
    }
    Ok(())
}

fn number<T: TryFrom<i64>>(text: &str) -> Result<T, Fault> {
    T::try_from(integer(text)?).map_err(|_| Fault::not("a whole number that is not below 0"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Config;

    #[test]
    fn keys_are_read_and_bad_values_leave_the_defaults() {
        for (key, value, want, findings) in [
            ("upstream-keepalive-connections", "0", UpstreamKeepalive { connections: 0, ..Default::default() }, 0),
            ("upstream-keepalive-connections", "-1", UpstreamKeepalive::default(), 1),
            ("upstream-keepalive-requests", "1", UpstreamKeepalive { requests: 1, ..Default::default() }, 0),
            ("upstream-keepalive-requests", "99999999999", UpstreamKeepalive::default(), 1),
            (
                "upstream-keepalive-timeout",
                "5",
                UpstreamKeepalive { idle: Duration::from_secs(5), ..Default::default() },
                0,
            ),
            ("upstream-keepalive-timeout", "5s", UpstreamKeepalive::default(), 1),
            (
                "upstream-keepalive-time",
                "5m",
                UpstreamKeepalive { age: Duration::from_secs(300), ..Default::default() },
                0,
            ),
            ("upstream-keepalive-time", "soon", UpstreamKeepalive::default(), 1),
            ("grpc-buffer-size-kb", "8", UpstreamKeepalive { grpc_head: 8192, ..Default::default() }, 0),
            ("grpc-buffer-size-kb", "0", UpstreamKeepalive::default(), 0),
            ("grpc-buffer-size-kb", "65", UpstreamKeepalive::default(), 1),
        ] {
            let mut found = Vec::new();
            let data = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            let config = Config::read(None, Some(&data), &mut found);
            assert_eq!((config.settings.upstream, found.len()), (want, findings), "{key} {value}");
        }
    }
}
