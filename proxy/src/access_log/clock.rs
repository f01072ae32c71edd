//! The time of day in log lines. Written out once a second, not once a line.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The local time, in the forms that nginx has variables for. One per worker.
#[derive(Debug)]
pub(crate) struct WallClock {
    zone: TimeZone,
    written: RefCell<Written>,
}

/// A second as text.
#[derive(Clone, Debug, Default)]
struct Written {
    second: u64,
    local: String,
    iso8601: String,
}

/// A form of the time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TimeForm {
    /// `$time_local`: `02/Jan/2026:15:04:05 +0000`.
    Local,
    /// `$time_iso8601`: `2026-01-02T15:04:05+00:00`.
    Iso8601,
    /// `$msec`: seconds since 1970 with three decimals.
    Milliseconds,
}

impl WallClock {
    /// A clock in the zone of the system (`TZ`, `/etc/localtime`).
    pub(crate) fn new() -> Self {
        Self::in_zone(TimeZone::system())
    }

    fn in_zone(zone: TimeZone) -> Self {
        Self { zone, written: RefCell::default() }
    }

    /// Appends the time now.
    pub(crate) fn push_now(&self, form: TimeForm, line: &mut Vec<u8>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.push(now, form, line);
    }

    fn push(&self, now: Duration, form: TimeForm, line: &mut Vec<u8>) {
        let mut written = self.written.borrow_mut();
        if written.second != now.as_secs() || written.local.is_empty() {
            *written = self.write(now.as_secs());
        }
        match form {
            TimeForm::Local => line.extend_from_slice(written.local.as_bytes()),
            TimeForm::Iso8601 => line.extend_from_slice(written.iso8601.as_bytes()),
            TimeForm::Milliseconds => push_seconds(now, line),
        }
    }

    fn write(&self, second: u64) -> Written {
        let timestamp = i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok());
        let time = timestamp.unwrap_or_default().to_zoned(self.zone.clone());
        Written {
            second,
            local: time.strftime("%d/%b/%Y:%H:%M:%S %z").to_string(),
            iso8601: time.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        }
    }
}

/// Appends seconds with three decimals, as nginx writes durations: cut off, not rounded.
pub(crate) fn push_seconds(duration: Duration, line: &mut Vec<u8>) {
    use std::io::Write;
    // Writing into memory cannot fail.
    write!(line, "{}.{:03}", duration.as_secs(), duration.subsec_millis()).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_nginx_writes_them() {
        let now = Duration::from_millis(1_767_366_245_071);
        let east = TimeZone::fixed(jiff::tz::offset(2));
        for (zone, form, want) in [
            (TimeZone::UTC, TimeForm::Local, "02/Jan/2026:15:04:05 +0000"),
            (TimeZone::UTC, TimeForm::Iso8601, "2026-01-02T15:04:05+00:00"),
            (TimeZone::UTC, TimeForm::Milliseconds, "1767366245.071"),
            (east.clone(), TimeForm::Local, "02/Jan/2026:17:04:05 +0200"),
            (east, TimeForm::Iso8601, "2026-01-02T17:04:05+02:00"),
        ] {
            let mut line = Vec::new();
            WallClock::in_zone(zone).push(now, form, &mut line);
            assert_eq!(String::from_utf8(line).unwrap(), want, "{form:?}");
        }
    }

    #[test]
    fn a_new_second_is_written_anew() {
        let clock = WallClock::in_zone(TimeZone::UTC);
        let mut line = Vec::new();
        for second in [1, 1, 2] {
            clock.push(Duration::from_secs(second), TimeForm::Iso8601, &mut line);
        }
        assert_eq!(line, b"1970-01-01T00:00:01+00:001970-01-01T00:00:01+00:001970-01-01T00:00:02+00:00");
    }
}
