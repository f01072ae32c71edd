//! The time of day in log lines. Written out once a second, not once a line.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::time::Instant;

use super::digits::put_seconds;
use super::literal::Literal;
use super::room::Room;

/// The local time, in the forms that nginx has variables for. One per worker.
#[derive(Debug)]
pub(crate) struct WallClock {
    zone: TimeZone,
    written: RefCell<Written>,
}

/// Octets of [`TimeForm::Local`].
pub(super) const LOCAL: usize = 26;

/// A second as text.
#[derive(Debug, Default)]
struct Written {
    second: u64,
    /// Until when it is that second, unless the clock is set.
    until: Option<Instant>,
    local: Literal<32>,
    iso8601: Literal<32>,
}

/// A form of the time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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

    /// Writes the time now.
    pub(crate) fn put_now<R: Room>(&self, form: TimeForm, room: R) -> Option<R> {
        self.put(since_1970(), form, room)
    }

    /// Writes the time at `now`, which is the present. A clock that is set shows a second later at most.
    pub(crate) fn put_at<R: Room>(&self, now: Instant, form: TimeForm, room: R) -> Option<R> {
        match form {
            TimeForm::Local | TimeForm::Iso8601 => self.put_known(now, since_1970, form, room),
            TimeForm::Milliseconds => self.put_now(form, room),
        }
    }

    /// Writes the time at `now`, which is the present, as [`TimeForm::Local`] into a place of its usual length.
    #[inline]
    pub(super) fn fill_in_at(&self, now: Instant, place: &mut [u8; LOCAL]) -> Option<()> {
        let mut written = self.written.borrow_mut();
        if written.until.is_none_or(|until| now >= until) {
            self.note(now, since_1970(), &mut written);
        }
        written.local.fill_in(place)
    }

    /// Asks for the `time` once a second, not once a line.
    #[inline]
    fn put_known<R: Room>(&self, now: Instant, time: impl FnOnce() -> Duration, form: TimeForm, room: R) -> Option<R> {
        let mut written = self.written.borrow_mut();
        if written.until.is_none_or(|until| now >= until) {
            self.note(now, time(), &mut written);
        }
        written.put(form, room)
    }

    #[cold]
    fn note(&self, now: Instant, time: Duration, written: &mut Written) {
        self.update(written, time.as_secs());
        let past = Duration::from_nanos(time.subsec_nanos().into());
        written.until = Some(now + Duration::from_secs(1).saturating_sub(past));
    }

    fn put<R: Room>(&self, time: Duration, form: TimeForm, room: R) -> Option<R> {
        if form == TimeForm::Milliseconds {
            return put_seconds(time, room);
        }
        let mut written = self.written.borrow_mut();
        self.update(&mut written, time.as_secs());
        written.put(form, room)
    }

    fn update(&self, written: &mut Written, second: u64) {
        if written.second != second || written.local.is_empty() {
            *written = self.write(second);
        }
    }

    fn write(&self, second: u64) -> Written {
        let timestamp = i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok());
        let time = timestamp.unwrap_or_default().to_zoned(self.zone.clone());
        Written {
            second,
            until: None,
            local: Literal::new(time.strftime("%d/%b/%Y:%H:%M:%S %z").to_string().as_bytes()),
            iso8601: Literal::new(time.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string().as_bytes()),
        }
    }
}

impl Written {
    fn put<R: Room>(&self, form: TimeForm, room: R) -> Option<R> {
        match form {
            TimeForm::Local => self.local.put(room),
            TimeForm::Iso8601 => self.iso8601.put(room),
            TimeForm::Milliseconds => Some(room),
        }
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
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
            WallClock::in_zone(zone).put(now, form, &mut line).unwrap();
            assert_eq!(String::from_utf8(line).unwrap(), want, "{form:?}");
        }
    }

    #[test]
    fn the_time_is_asked_for_when_a_second_is_over() {
        let clock = WallClock::in_zone(TimeZone::UTC);
        let start = Instant::now();
        let asked = std::cell::Cell::new(0);
        for (millis, second, asks) in [(0, 5, 1), (299, 5, 1), (300, 6, 2), (1299, 6, 2), (1300, 7, 3), (9300, 15, 4)] {
            let since_start = Duration::from_millis(millis);
            let time = || {
                asked.set(asked.get() + 1);
                Duration::from_millis(5700) + since_start
            };
            let mut line = Vec::new();
            clock.put_known(start + since_start, time, TimeForm::Iso8601, &mut line).unwrap();
            let want = format!("1970-01-01T00:00:{:02}+00:00", (5700 + millis) / 1000);
            assert_eq!(String::from_utf8(line).unwrap(), want);
            assert_eq!(((5700 + millis) / 1000, asked.get()), (second, asks), "{millis}");
        }
        let (mut at, mut now) = (Vec::new(), Vec::new());
        for form in [TimeForm::Local, TimeForm::Iso8601, TimeForm::Milliseconds] {
            clock.put_at(Instant::now() + Duration::from_secs(60), form, &mut at).unwrap();
            clock.put_now(form, &mut now).unwrap();
        }
        assert_eq!(at.len(), now.len());
    }

    #[test]
    fn a_new_second_is_written_anew() {
        let clock = WallClock::in_zone(TimeZone::UTC);
        let mut line = Vec::new();
        for second in [1, 1, 2] {
            clock.put(Duration::from_secs(second), TimeForm::Iso8601, &mut line).unwrap();
        }
        assert_eq!(line, b"1970-01-01T00:00:01+00:001970-01-01T00:00:01+00:001970-01-01T00:00:02+00:00");
    }
}
