//! How long to wait before the API server is asked again.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

/// The first pause.
const FIRST: Duration = Duration::from_millis(800);

/// The longest pause, but for one that the server asks for.
const MOST: Duration = Duration::from_secs(30);

/// The longest pause that the server may ask for.
const MOST_ASKED: Duration = Duration::from_secs(300);

/// After so long without a failure pauses begin with the first again.
const HEALTHY: Duration = Duration::from_secs(120);

/// Pauses from 0.8 s to 30 s, each twice the one before, between half and all of that, so that replicas do not come together.
///
/// Only time resets them: a server that takes a request and then fails would be asked without pause otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
    failed: Option<Instant>,
}

impl Backoff {
    /// How long to wait after a failure now; at least as long as the server asks for (RFC 9110 section 10.2.3, `Retry-After`).
    pub fn pause(&mut self, asked: Option<Duration>) -> Duration {
        let now = Instant::now();
        if self.failed.is_some_and(|failed| now.duration_since(failed) > HEALTHY) {
            self.failures = 0;
        }
        let whole = FIRST.saturating_mul(1 << self.failures.min(8)).min(MOST);
        self.failures = self.failures.saturating_add(1);
        let pause = whole.mul_f64(0.5 + random() / 2.0).max(asked.unwrap_or_default().min(MOST_ASKED));
        self.failed = Some(now + pause);
        pause
    }

    /// How often it failed since the last time of health.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

/// A pause that is up to a fifth longer, so that replicas do not come together.
#[must_use]
pub fn jitter(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + random() / 5.0)
}

/// From 0 to 1. Good enough to spread replicas.
fn random() -> f64 {
    let octets = RandomState::new().build_hasher().finish().to_le_bytes();
    f64::from(u16::from_le_bytes([octets[0], octets[1]])) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(pause: Duration, whole: f64) -> bool {
        (whole / 2.0..=whole).contains(&pause.as_secs_f64())
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_half_a_minute_and_begin_anew_after_two_minutes_of_health() {
        let mut backoff = Backoff::default();
        for whole in [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0, 30.0, 30.0, 30.0, 30.0] {
            let pause = backoff.pause(None);
            assert!(within(pause, whole), "{pause:?} for {whole}");
            tokio::time::sleep(pause).await;
        }
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert!(within(backoff.pause(None), 30.0), "not healthy for long enough");
        tokio::time::sleep(Duration::from_secs(190)).await;
        assert!(within(backoff.pause(None), 0.8));
    }

    #[tokio::test(start_paused = true)]
    async fn the_server_may_ask_for_more_and_not_for_less() {
        for (asked, least, most) in [(7, 7, 7), (0, 0, 1), (86_400, 300, 300)] {
            let pause = Backoff::default().pause(Some(Duration::from_secs(asked)));
            assert!((Duration::from_secs(least)..=Duration::from_secs(most)).contains(&pause), "{asked}: {pause:?}");
        }
    }
}
