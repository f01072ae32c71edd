//! The rest of a request whose response has begun: it is sent by a task of its own, whoever waits for the response or not.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Waker};

use tokio::task::JoinHandle;

use super::Wire;
use super::sending::{Sending, SendingError};

/// A request that is still being sent. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Upload {
    state: Rc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    outcome: Cell<Outcome>,
    /// Who waits for the response, which ends where the request fails.
    reader: RefCell<Option<Waker>>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Outcome {
    /// More is to be sent.
    #[default]
    UnderWay,
    /// Everything is sent.
    Sent,
    /// The other side takes no more, but may have said why.
    Refused,
    /// There is no more to be had, or nothing was taken for too long.
    Failed,
}

impl Upload {
    pub(super) fn start(mut sending: Sending, wire: Wire) -> Self {
        let state: Rc<State> = Rc::default();
        let its = Rc::clone(&state);
        let task = tokio::task::spawn_local(async move {
            let sent = poll_fn(|cx| sending.poll(&mut *wire.borrow_mut(), cx)).await;
            its.outcome.set(match sent {
                Ok(()) => Outcome::Sent,
                Err(SendingError::Write(error)) if error.kind() != std::io::ErrorKind::TimedOut => Outcome::Refused,
                Err(_) => Outcome::Failed,
            });
            // Before anybody may want it for something else.
            drop((sending, wire));
            let reader = its.reader.borrow_mut().take();
            if let Some(reader) = reader {
                reader.wake();
            }
        });
        Self { state, task }
    }

    pub(super) fn outcome(&self) -> Outcome {
        self.state.outcome.get()
    }

    /// Wakes this task when it is over.
    pub(super) fn wake_at_end(&self, cx: &Context<'_>) {
        *self.state.reader.borrow_mut() = Some(cx.waker().clone());
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.task.abort();
    }
}
