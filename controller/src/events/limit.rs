//! How many Events there may be: of one object, and of all together.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::note::{Note, Weight};
use super::recent::Recent;

/// Events of one object and weight at once.
const BURST: u32 = 25;

/// After that, one more each five minutes.
const PER_OBJECT: Duration = Duration::from_secs(300);

/// Objects that are remembered.
const OBJECTS: usize = 4_096;

/// All Events together: ten a second.
const BETWEEN: Duration = Duration::from_millis(100);

/// Of these so many at once.
const TOGETHER: u32 = 10;

/// Tokens that come back with time.
#[derive(Debug)]
struct Bucket {
    burst: f64,
    /// How long one token takes.
    every: Duration,
    tokens: f64,
    counted: Instant,
}

impl Bucket {
    fn new(burst: u32, every: Duration) -> Self {
        Self { burst: burst.into(), every, tokens: burst.into(), counted: Instant::now() }
    }

    /// Takes a token; how long it is until there is one, where there is none.
    fn take(&mut self) -> Result<(), Duration> {
        let now = Instant::now();
        let come = now.duration_since(self.counted).as_secs_f64() / self.every.as_secs_f64();
        self.tokens = (self.tokens + come).min(self.burst);
        self.counted = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(self.every.mul_f64(1.0 - self.tokens))
    }
}

/// Of one object. What is wrong with it has a bucket of its own, which no amount of changes empties.
#[derive(Debug)]
pub(super) struct PerObject {
    buckets: Recent<(Arc<str>, Weight), Bucket>,
}

impl Default for PerObject {
    fn default() -> Self {
        Self { buckets: Recent::new(OBJECTS) }
    }
}

impl PerObject {
    /// Whether there may be another one.
    pub(super) fn allows(&mut self, note: &Note) -> bool {
        let key = (note.reference.uid.clone(), note.weight);
        if let Some(bucket) = self.buckets.get(&key) {
            return bucket.take().is_ok();
        }
        let mut bucket = Bucket::new(BURST, PER_OBJECT);
        let allowed = bucket.take().is_ok();
        self.buckets.insert(key, bucket);
        allowed
    }
}

/// Of all together.
#[derive(Debug)]
pub(super) struct Overall(Bucket);

impl Default for Overall {
    fn default() -> Self {
        Self(Bucket::new(TOGETHER, BETWEEN))
    }
}

impl Overall {
    /// Waits until there may be another one.
    pub(super) async fn wait(&mut self) {
        while let Err(pause) = self.0.take() {
            // The clock of sleeps counts milliseconds.
            sleep(pause.max(Duration::from_millis(1))).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::note::testing::note;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_object_has_25_at_once_and_one_more_each_five_minutes() {
        let mut limit = PerObject::default();
        let warning = |uid: &str| note(uid, Weight::Warning, "Test", "x");
        let allowed = |limit: &mut PerObject, uid: &str| (0..100).filter(|_| limit.allows(&warning(uid))).count();
        assert_eq!(allowed(&mut limit, "1"), 25);
        tokio::time::sleep(Duration::from_secs(299)).await;
        assert_eq!(allowed(&mut limit, "1"), 0);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(allowed(&mut limit, "1"), 1);
        assert_eq!(allowed(&mut limit, "2"), 25, "another object");
        assert!(limit.allows(&note("1", Weight::Normal, "Sync", "x")), "changes and faults are counted apart");
        tokio::time::sleep(Duration::from_secs(86_400)).await;
        assert_eq!(allowed(&mut limit, "1"), 25, "never more than at first");
    }

    #[tokio::test(start_paused = true)]
    async fn objects_that_are_remembered_are_bounded() {
        let mut limit = PerObject::default();
        for number in 0..=OBJECTS {
            for _ in 0..25 {
                assert!(limit.allows(&note(&number.to_string(), Weight::Warning, "Test", "x")));
            }
        }
        assert!(limit.allows(&note("0", Weight::Warning, "Test", "x")), "the first one is forgotten");
        assert!(!limit.allows(&note(&OBJECTS.to_string(), Weight::Warning, "Test", "x")));
    }

    #[tokio::test(start_paused = true)]
    async fn all_together_are_ten_at_once_and_ten_a_second() {
        let (mut limit, begin) = (Overall::default(), Instant::now());
        for _ in 0..10 {
            limit.wait().await;
        }
        assert_eq!(begin.elapsed(), Duration::ZERO);
        for _ in 0..100 {
            limit.wait().await;
        }
        let took = begin.elapsed().as_secs_f64();
        assert!((9.9..=10.2).contains(&took), "{took}");
    }
}
