//! The time as tasks see it, which is read once in each of their turns.

use std::cell::Cell;

use tokio::time::Instant;

thread_local! {
    static TURN: Cell<Turn> = const { Cell::new(Turn::Nobodys) };
}

#[derive(Clone, Copy)]
enum Turn {
    /// No task runs that goes by this clock.
    Nobodys,
    /// None has asked for the time yet.
    Begun,
    At(Instant),
}

/// The present; in the turn of a task, the moment at which it was asked for first.
///
/// A turn takes microseconds, which no limit and no log is exact to. A request asks for the time about ten times, and to read
/// the clock each time would cost as much as all decisions about it.
pub(crate) fn now() -> Instant {
    match TURN.get() {
        Turn::At(now) => now,
        Turn::Begun => {
            let now = Instant::now();
            TURN.set(Turn::At(now));
            now
        }
        Turn::Nobodys => Instant::now(),
    }
}

/// The turn of a task on this thread, until it is dropped.
#[derive(Debug)]
pub(crate) struct TaskTurn(());

impl TaskTurn {
    /// Begins a turn. Turns are not nested.
    pub(crate) fn begin() -> Self {
        TURN.set(Turn::Begun);
        Self(())
    }
}

impl Drop for TaskTurn {
    fn drop(&mut self) {
        TURN.set(Turn::Nobodys);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_stands_still_in_a_turn_alone() {
        let goes_on = || {
            let before = now();
            std::thread::sleep(Duration::from_millis(2));
            now() - before >= Duration::from_millis(2)
        };
        assert!(goes_on());
        let turn = TaskTurn::begin();
        let begun = now();
        assert!(!goes_on());
        assert!(std::thread::spawn(goes_on).join().unwrap(), "the turn of another thread");
        drop(turn);
        assert!(goes_on() && now() > begun);
        let _turn = TaskTurn::begin();
        assert!(now() > begun && !goes_on());
    }
}
