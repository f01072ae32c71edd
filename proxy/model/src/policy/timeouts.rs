//! How long an upstream may take.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Time limits towards the endpoints of a route, for each try.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Timeouts {
    /// For a connection, TLS included; default 5 s (nginx: `proxy_connect_timeout`).
    pub connect: Limit,
    /// Between two writes of a request; default 60 s (nginx: `proxy_send_timeout`).
    pub send: Limit,
    /// Between two reads of a response; default 60 s (nginx: `proxy_read_timeout`). Also how long a tunnel may be idle.
    pub read: Limit,
}

impl Timeouts {
    /// Whether nothing differs from the defaults.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Limit::from_secs(5), send: Limit::from_secs(60), read: Limit::from_secs(60) }
    }
}

/// A span of time from 1 ms to 49 days, in milliseconds. Small, since every request carries some; and no sum of it with a
/// moment overflows.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub struct Limit(NonZeroU32);

impl Limit {
    /// So many seconds; the shortest or longest span where they are outside it.
    #[must_use]
    pub fn from_secs(seconds: u64) -> Self {
        Duration::from_secs(seconds).into()
    }

    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_millis(u64::from(self.0.get()))
    }
}

/// The nearest one.
impl From<Duration> for Limit {
    fn from(duration: Duration) -> Self {
        let millis = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        Self(NonZeroU32::new(millis).unwrap_or(NonZeroU32::MIN))
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.duration(), formatter)
    }
}

/// `5s`, `1.5s`.
impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// As written: `5s`.
impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_stay_in_their_range() {
        for (duration, want) in [
            (Duration::ZERO, "1ms"),
            (Duration::from_micros(1500), "1ms"),
            (Duration::from_secs(5), "5s"),
            (Duration::from_millis(1500), "1.5s"),
            (Duration::MAX, "4294967.295s"),
        ] {
            assert_eq!(Limit::from(duration).to_string(), want);
        }
        assert_eq!(Limit::from_secs(u64::MAX), Limit::from(Duration::MAX));
        assert_eq!(size_of::<(Timeouts, Option<Limit>)>(), 16);
    }
}
