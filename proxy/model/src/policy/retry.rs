//! When a request is tried again (nginx: `proxy_next_upstream` and its family).

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::Limit;

/// When and how often a request is tried again.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Retry {
    /// `proxy-next-upstream`: which failures; default `error timeout`.
    pub conditions: RetryConditions,
    /// `proxy-next-upstream-tries`: tries in all, the first included; default 3. 0 means as many as there are endpoints, and
    /// not less than 3. Never more than [`Retry::MOST_TRIES`].
    pub tries: u8,
    /// `proxy-next-upstream-timeout`: no try begins later than this after the first; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Limit>,
}

/// A try that failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FailedTry {
    /// How.
    pub condition: RetryCondition,
    /// Whether the upstream may have acted on it, and would act once more: not so for a request that was not sent, or whose
    /// method does the same when done twice (RFC 9110 section 9.2.2).
    pub may_do_twice: bool,
    /// Tries so far that count.
    pub tries: usize,
    /// Endpoints that there are.
    pub endpoints: usize,
    /// Time since the first try began.
    pub elapsed: Duration,
}

impl Retry {
    /// Tries at one request, whatever is configured: nginx goes on without end where no number is set and all endpoints are
    /// down.
    pub const MOST_TRIES: u8 = 32;
    /// Default of [`Retry::tries`].
    pub const DEFAULT_TRIES: u8 = 3;

    /// Whether another try may follow.
    #[must_use]
    pub fn may_repeat(&self, failed: &FailedTry) -> bool {
        let FailedTry { condition, may_do_twice, tries, endpoints, elapsed } = *failed;
        self.conditions.contains(condition)
            && (!may_do_twice || self.conditions.contains(RetryCondition::NonIdempotent))
            && tries < self.most_tries(endpoints)
            && self.within.is_none_or(|limit| elapsed < limit.duration())
    }

    fn most_tries(&self, endpoints: usize) -> usize {
        let wanted = match self.tries {
            0 => endpoints.max(Self::DEFAULT_TRIES.into()),
            tries => tries.into(),
        };
        wanted.min(Self::MOST_TRIES.into())
    }

    /// Whether nothing differs from the defaults.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { conditions: RetryConditions::default(), tries: Self::DEFAULT_TRIES, within: None }
    }
}

macro_rules! conditions {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// A word of `proxy-next-upstream`.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum RetryCondition { $($(#[$doc])* $variant,)* }

        impl RetryCondition {
            /// Every condition, in the order in which nginx documents them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word that nginx has for it.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

conditions! {
    /// No connection, failed TLS, or a connection that ended before a response head.
    Error = "error",
    /// No connection in time, a request that was not taken in time, or no response in time.
    Timeout = "timeout",
    /// A response head that is malformed or too large.
    InvalidHeader = "invalid_header",
    /// Status 500.
    Http500 = "http_500",
    /// Status 502.
    Http502 = "http_502",
    /// Status 503.
    Http503 = "http_503",
    /// Status 504.
    Http504 = "http_504",
    /// Status 403.
    Http403 = "http_403",
    /// Status 404.
    Http404 = "http_404",
    /// Status 429.
    Http429 = "http_429",
    /// The others hold also where the request may have been acted on already and would be once more.
    NonIdempotent = "non_idempotent",
}

impl RetryCondition {
    /// The condition that a response of this status meets.
    #[must_use]
    pub fn of_status(status: u16) -> Option<Self> {
        match status {
            500 => Some(Self::Http500),
            502 => Some(Self::Http502),
            503 => Some(Self::Http503),
            504 => Some(Self::Http504),
            403 => Some(Self::Http403),
            404 => Some(Self::Http404),
            429 => Some(Self::Http429),
            _ => None,
        }
    }
}

/// A set of [`RetryCondition`]s. The empty one is `off`.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct RetryConditions(u16);

impl RetryConditions {
    /// Nothing is tried again.
    pub const OFF: Self = Self(0);

    /// This set with one more.
    #[must_use]
    pub const fn with(self, condition: RetryCondition) -> Self {
        Self(self.0 | 1 << condition as u16)
    }

    /// Whether `condition` is one of them.
    #[must_use]
    pub const fn contains(self, condition: RetryCondition) -> bool {
        self.0 & 1 << condition as u16 != 0
    }
}

/// `error timeout`.
impl Default for RetryConditions {
    fn default() -> Self {
        Self::OFF.with(RetryCondition::Error).with(RetryCondition::Timeout)
    }
}

impl FromIterator<RetryCondition> for RetryConditions {
    fn from_iter<I: IntoIterator<Item = RetryCondition>>(conditions: I) -> Self {
        conditions.into_iter().fold(Self::OFF, Self::with)
    }
}

/// As in `proxy-next-upstream`.
impl fmt::Display for RetryConditions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::OFF {
            return formatter.write_str("off");
        }
        let words = RetryCondition::ALL.iter().filter(|condition| self.contains(**condition));
        for (place, condition) in words.enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(formatter, "{space}{}", condition.word())?;
        }
        Ok(())
    }
}

impl fmt::Debug for RetryConditions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for RetryConditions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::RetryCondition::{Error, Http404, Http503, InvalidHeader, NonIdempotent, Timeout};
    use super::*;

    const FIRST: FailedTry =
        FailedTry { condition: Error, may_do_twice: false, tries: 1, endpoints: 2, elapsed: Duration::ZERO };

    fn on(conditions: &[RetryCondition]) -> Retry {
        Retry { conditions: conditions.iter().copied().collect(), ..Retry::default() }
    }

    #[test]
    fn only_listed_failures_are_repeated() {
        for (retry, condition, want) in [
            (Retry::default(), Error, true),
            (Retry::default(), Timeout, true),
            (Retry::default(), InvalidHeader, false),
            (Retry::default(), Http503, false),
            (on(&[Http503]), Http503, true),
            (on(&[Http503]), Error, false),
            (on(&[Http503]), Http404, false),
            (on(&[InvalidHeader]), InvalidHeader, true),
            (on(&[InvalidHeader]), Error, false),
            (on(&[NonIdempotent]), Error, false),
            (on(&[]), Error, false),
        ] {
            assert_eq!(retry.may_repeat(&FailedTry { condition, ..FIRST }), want, "{retry:?} {condition:?}");
        }
    }

    #[test]
    fn what_would_be_done_twice_is_repeated_only_where_that_is_listed() {
        for (conditions, may_do_twice, want) in [
            (&[Error][..], false, true),
            (&[Error], true, false),
            (&[Error, NonIdempotent], true, true),
            (&[Timeout, NonIdempotent], true, false),
        ] {
            assert_eq!(on(conditions).may_repeat(&FailedTry { may_do_twice, ..FIRST }), want, "{conditions:?}");
        }
    }

    #[test]
    fn tries_and_time_are_bounded() {
        let second = Duration::from_secs(1);
        for (tries, within, done, endpoints, elapsed, want) in [
            (3, None, 2, 1, 900 * second, true),
            (3, None, 3, 9, Duration::ZERO, false),
            (1, None, 1, 9, Duration::ZERO, false),
            (1, None, 0, 1, Duration::ZERO, true),
            (0, None, 2, 1, Duration::ZERO, true),
            (0, None, 3, 1, Duration::ZERO, false),
            (0, None, 8, 9, Duration::ZERO, true),
            (0, None, 9, 9, Duration::ZERO, false),
            (0, None, 32, 500, Duration::ZERO, false),
            (200, None, 31, 1, Duration::ZERO, true),
            (200, None, 32, 1, Duration::ZERO, false),
            (3, Some(second), 1, 2, second - Duration::from_millis(1), true),
            (3, Some(second), 1, 2, second, false),
        ] {
            let retry = Retry { tries, within: within.map(Limit::from), ..Retry::default() };
            let failed = FailedTry { tries: done, endpoints, elapsed, ..FIRST };
            assert_eq!(retry.may_repeat(&failed), want, "{retry:?} {failed:?}");
        }
    }

    #[test]
    fn conditions_are_written_as_nginx_does() {
        assert_eq!(RetryConditions::default().to_string(), "error timeout");
        assert_eq!(RetryConditions::OFF.to_string(), "off");
        let all: RetryConditions = RetryCondition::ALL.iter().copied().collect();
        assert!(RetryCondition::ALL.iter().all(|condition| all.contains(*condition)));
        assert_eq!(on(&[Http404, Error]).conditions.to_string(), "error http_404");
        for condition in RetryCondition::ALL {
            let status = condition.word().strip_prefix("http_").map(|status| status.parse().unwrap());
            assert!(status.is_none_or(|status| RetryCondition::of_status(status) == Some(*condition)));
        }
        assert_eq!([200, 400, 501, 505].map(RetryCondition::of_status), [None; 4]);
    }
}
