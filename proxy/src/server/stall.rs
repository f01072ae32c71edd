//! Streams of HTTP/2 whose client takes nothing: they end, so that what they hold of an upstream is free again.
//!
//! A response body is asked for its next piece when the client's windows had room for some of the one before. A client that
//! never gives any would hold the stream, and with it the upstream's response, as long as it likes.

use std::task::{Context, Poll};

use tokio::time::Instant;

use super::connection::ClientConnection;
use crate::timer::Alarm;

/// How long a piece of a response has waited for room.
#[derive(Debug, Default)]
pub(super) struct Stall {
    since: Option<Instant>,
    alarm: Alarm,
}

impl Stall {
    /// The piece waits. Ready when it did so for too long.
    pub(super) fn poll(&mut self, connection: &ClientConnection, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        // As long as the whole connection is slow it is not the fault of the stream, and has a limit of its own.
        let blocked = connection.meter().last_blocked();
        let begin = blocked.map_or(since, |blocked| blocked.max(since));
        if self.alarm.poll(begin + connection.worker().config().client.write, cx) {
            tracing::debug!("stream ended: its client takes nothing");
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// The piece is on its way.
    pub(super) fn over(&mut self) {
        self.since = None;
    }
}
