//! The way of a review to the thread of the loop and back: a bounded queue that wakes the source.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::networking::v1::Ingress;
use portcullis_translate::{ObjectKey, Options, Resources, Review, review};
use tokio::sync::{mpsc, oneshot};

use crate::source::Inbox;

/// Reviews that wait for the loop; whoever brings more waits as well.
const MAX_WAITING: usize = 32;

/// How long reviews may hold up the loop at a time, but for the last of them, which takes as long as it takes.
const TURN: Duration = Duration::from_millis(20);

/// Where reviews are asked for.
#[derive(Clone, Debug)]
pub struct Asker {
    waiting: mpsc::Sender<Waiting>,
    inbox: Arc<dyn Inbox>,
}

/// Where they are made.
#[derive(Debug)]
pub struct Reviews {
    waiting: mpsc::Receiver<Waiting>,
    inbox: Arc<dyn Inbox>,
}

#[derive(Debug)]
struct Waiting {
    key: ObjectKey,
    ingress: Arc<Ingress>,
    answer: oneshot::Sender<Made>,
}

/// A review with the time that making it took.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) review: Review,
    pub(super) took: Duration,
}

/// Both ends of the queue; `inbox` is that of the source that the loop waits for.
#[must_use]
pub fn queue(inbox: Arc<dyn Inbox>) -> (Asker, Reviews) {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    (Asker { waiting: sender, inbox: inbox.clone() }, Reviews { waiting: receiver, inbox })
}

impl Asker {
    /// Asks and waits; none where the loop has ended, or the review failed by a fault of ours.
    pub(super) async fn ask(&self, key: ObjectKey, ingress: Arc<Ingress>) -> Option<Made> {
        let (answer, made) = oneshot::channel();
        self.waiting.send(Waiting { key, ingress, answer }).await.ok()?;
        self.inbox.nudge();
        made.await.ok()
    }
}

impl Reviews {
    /// Makes the reviews that wait. What does not get its turn is made after the next step of the source, which comes at once.
    pub fn answer(&mut self, resources: &Resources, options: &Options) {
        let turn = Instant::now();
        for _ in 0..MAX_WAITING {
            if turn.elapsed() >= TURN {
                return self.inbox.nudge();
            }
            let Ok(Waiting { key, ingress, answer }) = self.waiting.try_recv() else { return };
            if answer.is_closed() {
                continue;
            }
            let begin = Instant::now();
            let review = catch_unwind(AssertUnwindSafe(|| review(resources, options, &key, &ingress)));
            // Without an answer, who asked sees that it failed.
            let Ok(review) = review else { continue };
            if answer.send(Made { review, took: begin.elapsed() }).is_err() {
                tracing::debug!(%key, "nobody waits for this review any more");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::self_signed::default_certificate;

    /// Counts how often it is nudged.
    #[derive(Debug, Default)]
    struct Counter(AtomicUsize);

    impl Inbox for Counter {
        fn nudge(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn close(&self) {}
    }

    #[tokio::test]
    async fn whoever_asks_nudges_and_the_loop_answers() {
        let inbox = Arc::new(Counter::default());
        let (asker, mut reviews) = queue(inbox.clone());
        let ask = |asker: Asker| async move { asker.ask(ObjectKey::new("demo", "a"), Arc::default()).await };
        let asked: Vec<_> = (0..MAX_WAITING + 2).map(|_| tokio::spawn(ask(asker.clone()))).collect();
        let gone = tokio::spawn(ask(asker.clone()));
        tokio::task::yield_now().await;
        assert_eq!(inbox.0.load(Ordering::Relaxed), MAX_WAITING, "the others wait for a place");
        gone.abort();
        let options = Options::new(Arc::new(default_certificate().unwrap()));
        while asked.iter().any(|asked| !asked.is_finished()) {
            reviews.answer(&Resources::default(), &options);
            tokio::task::yield_now().await;
        }
        for asked in asked {
            assert_eq!(asked.await.unwrap().unwrap().review, Review::default());
        }
        drop(reviews);
        assert!(ask(asker).await.is_none(), "the loop has ended");
    }
}
