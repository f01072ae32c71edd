//! What waits to be written: what is wrong goes before what is well, and each of the two has a bound.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::counts::{Counts, Outcome};
use super::note::{Note, Weight};

/// Notes of one weight that wait.
const MOST: usize = 1_024;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lanes: Mutex<Lanes>,
    bell: Notify,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Lanes {
    warnings: VecDeque<Note>,
    others: VecDeque<Note>,
    /// What waits.
    waiting: HashSet<u64>,
}

impl Queue {
    pub(super) fn new(counts: Arc<Counts>) -> Self {
        Self { counts, ..Self::default() }
    }

    /// Adds a note, unless it waits already. Where there are too many, the new one is lost, and counted.
    pub(super) fn push(&self, note: Note) {
        let mut lanes = self.lock();
        let Lanes { warnings, others, waiting } = &mut *lanes;
        let lane = if note.weight == Weight::Warning { warnings } else { others };
        if waiting.contains(&note.id()) {
            return;
        }
        if lane.len() >= MOST {
            self.counts.add(Outcome::Dropped);
            return;
        }
        waiting.insert(note.id());
        lane.push_back(note);
        drop(lanes);
        self.bell.notify_one();
    }

    /// Waits for the next one.
    pub(super) async fn next(&self) -> Note {
        loop {
            if let Some(note) = self.pop() {
                return note;
            }
            self.bell.notified().await;
        }
    }

    fn pop(&self) -> Option<Note> {
        let mut lanes = self.lock();
        let note = match lanes.warnings.pop_front() {
            Some(warning) => Some(warning),
            None => lanes.others.pop_front(),
        }?;
        lanes.waiting.remove(&note.id());
        Some(note)
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::note::testing::note;
    use super::*;

    #[tokio::test]
    async fn what_is_wrong_goes_first_and_nothing_waits_twice() {
        let queue = Queue::default();
        for (weight, message) in
            [(Weight::Normal, "a"), (Weight::Warning, "b"), (Weight::Normal, "a"), (Weight::Warning, "c")]
        {
            queue.push(note("1", weight, "Test", message));
        }
        let mut order = String::new();
        for _ in 0..3 {
            order.push_str(&queue.next().await.message);
        }
        assert_eq!(order, "bca");
        assert!(queue.pop().is_none());
        queue.push(note("1", Weight::Normal, "Test", "a"));
        assert!(queue.pop().is_some(), "it does not wait any more");
    }

    #[tokio::test]
    async fn a_full_queue_keeps_what_came_first_and_counts_the_rest() {
        let counts = Arc::new(Counts::default());
        let queue = Queue::new(counts.clone());
        for number in 0..MOST + 10 {
            queue.push(note("1", Weight::Normal, "Test", &number.to_string()));
        }
        assert_eq!(counts.of(Outcome::Dropped), 10);
        queue.push(note("1", Weight::Warning, "Test", "urgent"));
        assert_eq!(queue.next().await.message, "urgent");
        assert_eq!(queue.next().await.message, "0");
        let lanes = queue.lock();
        assert_eq!((lanes.others.len(), lanes.waiting.len()), (MOST - 1, MOST - 1));
    }
}
