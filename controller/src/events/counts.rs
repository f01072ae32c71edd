//! What became of Events.

use std::sync::atomic::{AtomicU64, Ordering};

/// What became of one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// There is a new Event.
    Created,
    /// An Event has a higher count.
    Repeated,
    /// It was said before.
    Known,
    /// There were too many about its object.
    Limited,
    /// Too many waited.
    Dropped,
    /// The role does not allow it.
    Refused,
    /// It could not be written.
    Failed,
}

impl Outcome {
    const ALL: [Self; 7] =
        [Self::Created, Self::Repeated, Self::Known, Self::Limited, Self::Dropped, Self::Refused, Self::Failed];

    fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Repeated => "repeated",
            Self::Known => "known",
            Self::Limited => "limited",
            Self::Dropped => "dropped",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// How often each happened since the start.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; Outcome::ALL.len()]);

impl Counts {
    /// Counts by the name of what became of an Event.
    pub fn by_outcome(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Outcome::ALL.into_iter().map(|outcome| (outcome.name(), self.of(outcome)))
    }

    pub(super) fn add(&self, outcome: Outcome) {
        if let Some(count) = self.0.get(outcome as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn of(&self, outcome: Outcome) -> u64 {
        self.0.get(outcome as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}
