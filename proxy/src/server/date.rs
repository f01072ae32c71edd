//! The time of day for `Date` (RFC 9110 section 6.6.1). Written out once a second, not once a response.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use tokio::time::Instant;

/// The date of responses that have none. One per worker.
#[derive(Debug, Default)]
pub(crate) struct HttpDate(RefCell<Option<Written>>);

/// A second as text.
#[derive(Debug)]
struct Written {
    /// Until when it is that second. A clock that is set shows when it is over.
    until: Instant,
    value: HeaderValue,
}

impl HttpDate {
    /// The date at `now`, which is the present.
    pub(super) fn value(&self, now: Instant) -> HeaderValue {
        let mut written = self.0.borrow_mut();
        match &*written {
            Some(Written { until, value }) if now < *until => value.clone(),
            _ => {
                let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                written.insert(Written::new(now, time)).value.clone()
            }
        }
    }
}

impl Written {
    #[cold]
    fn new(now: Instant, time: Duration) -> Self {
        let second = i64::try_from(time.as_secs()).ok();
        let time_stamp = second.and_then(|second| jiff::Timestamp::from_second(second).ok()).unwrap_or_default();
        let text = time_stamp.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let past = Duration::from_nanos(time.subsec_nanos().into());
        Self {
            until: now + Duration::from_secs(1).saturating_sub(past),
            // Letters, digits and spaces.
            value: HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_the_rfc_says_and_holds_for_the_rest_of_its_second() {
        let now = Instant::now();
        for (millis, text, rest) in [
            (784_111_777_000, "Sun, 06 Nov 1994 08:49:37 GMT", 1000),
            (784_111_777_300, "Sun, 06 Nov 1994 08:49:37 GMT", 700),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT", 1000),
        ] {
            let written = Written::new(now, Duration::from_millis(millis));
            assert_eq!((written.value.to_str().unwrap(), written.until), (text, now + Duration::from_millis(rest)));
        }
    }

    #[test]
    fn the_next_second_has_another_date() {
        let (date, now) = (HttpDate::default(), Instant::now());
        let first = date.value(now);
        *date.0.borrow_mut() = Some(Written { until: now + Duration::from_secs(1), value: "kept".try_into().unwrap() });
        assert_eq!(date.value(now), "kept");
        let later = date.value(now + Duration::from_secs(1));
        assert_eq!(later.len(), first.len());
    }
}
