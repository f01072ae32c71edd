//! Streams of HTTP/2 whose client takes nothing: they end, so that what they hold of an upstream is free again.
//!
//! hyper asks a response body for its next piece when the one before is on its way, which is when the client's windows have
//! room for it. A client that never gives any holds the stream, and with it the upstream's response, as long as it likes.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::connection::{BodyStep, ClientConnection};
use super::exec::WorkerExecutor;
use crate::timer::Alarm;

/// Starts the tasks of streams of one connection, and ends those that stall.
#[derive(Clone)]
pub(super) struct StreamExecutor {
    worker: WorkerExecutor,
    connection: Rc<ClientConnection>,
}

impl StreamExecutor {
    pub(super) fn new(connection: &Rc<ClientConnection>) -> Self {
        Self { worker: WorkerExecutor(Rc::clone(connection.worker())), connection: Rc::clone(connection) }
    }
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for StreamExecutor {
    fn execute(&self, stream: F) {
        let limit = self.connection.worker().config().client.write;
        let connection = Rc::clone(&self.connection);
        self.worker.execute(Watched { stream, connection, limit, since: None, alarm: Alarm::default() });
    }
}

pin_project! {
    /// The task of a stream. When it is dropped, the stream is reset.
    struct Watched<F> {
        #[pin]
        stream: F,
        connection: Rc<ClientConnection>,
        limit: Duration,
        since: Option<Instant>,
        alarm: Alarm,
    }
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        // What another stream left there.
        this.connection.take_body_step();
        if this.stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match this.connection.take_body_step() {
            Some(BodyStep::HandedOut) => *this.since = Some(Instant::now()),
            Some(BodyStep::Waits) => *this.since = None,
            None => {}
        }
        let Some(since) = *this.since else { return Poll::Pending };
        // As long as the whole connection is slow it is not the fault of the stream, and has a limit of its own.
        let begin = |blocked: Option<Instant>| blocked.map_or(since, |blocked| blocked.max(since)) + *this.limit;
        if this.alarm.poll(begin(this.connection.meter().last_blocked()), cx) {
            tracing::debug!("stream ended: its client takes nothing");
            return Poll::Ready(());
        }
        Poll::Pending
    }
}
