//! Tasks that live on one worker. A panic ends the task, is counted, and harms nothing else.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::clock::TaskTurn;
use crate::metrics::Counters;

/// Starts a task on this worker.
pub(super) fn spawn(counters: Arc<Counters>, task: impl Future<Output = ()> + 'static) {
    drop(tokio::task::spawn_local(Isolated { task, counters }));
}

pin_project! {
    struct Isolated<F> {
        #[pin]
        task: F,
        counters: Arc<Counters>,
    }
}

impl<F: Future<Output = ()>> Future for Isolated<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let _turn = TaskTurn::begin();
        // What a panic may leave half done belongs to this task alone, which is not polled again.
        match std::panic::catch_unwind(AssertUnwindSafe(|| this.task.poll(cx))) {
            Ok(polled) => polled,
            Err(_) => {
                this.counters.panics.add(1);
                tracing::error!("task ended in a panic");
                Poll::Ready(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_its_task_alone_and_is_counted() {
        let counters = Arc::new(Counters::default());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let tasks = tokio::task::LocalSet::new();
        let other = tasks.block_on(&runtime, async {
            spawn(Arc::clone(&counters), async { panic!("on purpose") });
            tokio::task::yield_now().await;
            tokio::task::spawn_local(async { 7 }).await
        });
        assert_eq!((other.unwrap(), counters.panics.value()), (7, 1));
    }
}
