//! Telling everything on a worker how far its end has come.

use std::cell::Cell;

use tokio::sync::Notify;

/// How far the end of a worker has come. A later stage includes the earlier ones.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Stage {
    /// It serves.
    #[default]
    Serving,
    /// Responses end their connections, HTTP/2 clients are told to go. New connections are still taken.
    LastRequests,
    /// Idle connections end. No connections are taken but those that wait already.
    Closing,
    /// Tunnels end, however much they are in use.
    EndingTunnels,
}

/// The end of a worker.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    stage: Cell<Stage>,
    moved: Notify,
}

impl Drain {
    /// Goes on to `stage`. There is no way back.
    pub(super) fn advance(&self, stage: Stage) {
        if stage > self.stage.get() {
            self.stage.set(stage);
            self.moved.notify_waiters();
        }
    }

    pub(crate) fn has_reached(&self, stage: Stage) -> bool {
        self.stage.get() >= stage
    }

    /// Waits for `stage`.
    pub(crate) async fn reached(&self, stage: Stage) {
        while !self.has_reached(stage) {
            self.moved.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_come_in_order_and_wake_those_who_wait_for_them() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let drain = Drain::default();
        runtime.block_on(async {
            let steps = async {
                drain.advance(Stage::LastRequests);
                tokio::task::yield_now().await;
                assert!(drain.has_reached(Stage::LastRequests) && !drain.has_reached(Stage::Closing));
                drain.advance(Stage::EndingTunnels);
                drain.advance(Stage::Closing);
            };
            tokio::join!(drain.reached(Stage::Closing), drain.reached(Stage::EndingTunnels), steps);
        });
        assert!(drain.has_reached(Stage::EndingTunnels));
    }
}
