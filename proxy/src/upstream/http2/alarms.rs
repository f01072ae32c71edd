//! Alarms of exchanges that are over, for those to come: setting one anew is cheaper than making one.

use std::cell::RefCell;
use std::fmt;
use std::task::Waker;

use crate::timer::Alarm;

/// The alarms of a connection that nobody uses.
///
/// One that was last used by the same task costs least: its timer still wakes that task. Clients' streams have few tasks, one
/// after the other.
pub(in crate::upstream) struct Alarms(RefCell<Kept>);

struct Kept {
    /// By the task that used them.
    by_task: Box<[Option<Alarm>; TASKS]>,
    /// Others.
    spare: Vec<Alarm>,
}

/// An alarm in use.
#[derive(Debug)]
pub(in crate::upstream) struct Lent {
    pub(in crate::upstream) alarm: Alarm,
    place: usize,
}

/// Tasks that are told apart.
const TASKS: usize = 32;
/// Alarms that are kept beside those of tasks.
const SPARE: usize = 100;

impl Alarms {
    pub(super) fn new() -> Self {
        Self(RefCell::new(Kept { by_task: Box::new([const { None }; TASKS]), spare: Vec::new() }))
    }

    /// An alarm for the task of this waker.
    pub(in crate::upstream) fn lend(&self, waker: &Waker) -> Lent {
        let place = place(waker);
        let mut kept = self.0.borrow_mut();
        let known = kept.by_task.get_mut(place).and_then(Option::take);
        Lent { alarm: known.or_else(|| kept.spare.pop()).unwrap_or_default(), place }
    }

    /// Takes one back.
    pub(in crate::upstream) fn give_back(&self, Lent { alarm, place }: Lent) {
        let Kept { by_task, spare } = &mut *self.0.borrow_mut();
        match by_task.get_mut(place) {
            Some(room @ None) => *room = Some(alarm),
            _ if spare.len() < SPARE => spare.push(alarm),
            _ => {}
        }
    }
}

/// Wakers of one task usually have the same address, and others never.
fn place(waker: &Waker) -> usize {
    // Multiplying spreads addresses, which are multiples of their size (Fibonacci hashing).
    let hash = (waker.data().addr() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(hash >> (u64::BITS - TASKS.ilog2())).unwrap_or_default()
}

impl fmt::Debug for Alarms {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Alarms")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::{Context, Wake};
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    struct Task;

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    /// Whether an alarm was armed before.
    fn is_armed(alarm: &Alarm) -> bool {
        format!("{alarm:?}").contains("Armed")
    }

    #[tokio::test]
    async fn a_task_gets_its_own_alarm_again_and_few_are_kept() {
        let alarms = Alarms::new();
        let waker = Waker::from(Arc::new(Task));
        let mut lent = alarms.lend(&waker);
        assert!(!is_armed(&lent.alarm));
        let deadline = Instant::now() + Duration::from_secs(60);
        assert!(!lent.alarm.poll(deadline, &mut Context::from_waker(&waker)));
        alarms.give_back(lent);
        let again = alarms.lend(&waker);
        assert!(is_armed(&again.alarm));
        assert!(!is_armed(&alarms.lend(&waker).alarm), "it is in use");
        alarms.give_back(again);
        let many: Vec<Lent> = (0..2 * SPARE).map(|_| alarms.lend(&waker)).collect();
        assert_eq!(many.iter().filter(|lent| is_armed(&lent.alarm)).count(), 1);
        many.into_iter().for_each(|lent| alarms.give_back(lent));
        assert_eq!(alarms.0.borrow().spare.len(), SPARE);
    }
}
