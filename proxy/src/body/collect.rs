//! Receiving a body whole before it is sent (nginx: `proxy_request_buffering on`).

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::source::{BodySource, Extent, Fault};
use super::spool::PIECE;
use super::storage::{Full, Storage};
use crate::error::ProxyError;
use crate::timer::Alarm;

/// How a body is received whole.
#[derive(Debug)]
pub(crate) struct Collecting<'s> {
    /// Octets that stay in memory; the rest goes to disk.
    pub(crate) memory: u64,
    /// Where they stay.
    pub(crate) storage: &'s Rc<Storage>,
    /// How long the client may send nothing, where its stream does not look after that itself.
    pub(crate) gap: Option<Duration>,
}

impl BodySource {
    /// Receives all of it. Then it can be sent any number of times, and its length is [`BodySource::octets`].
    ///
    /// # Errors
    ///
    /// What the client did wrong, or that the body cannot be kept.
    pub(crate) async fn collect(&self, how: &Collecting<'_>) -> Result<(), ProxyError> {
        let mut patience = Patience::new(how.gap);
        while let Some(piece) = self.next(&mut patience).await? {
            if !self.state.borrow_mut().kept.keep(&piece, how.memory) {
                Box::pin(self.spill(&piece, how.storage, &mut patience)).await?;
                break;
            }
        }
        let mut state = self.state.borrow_mut();
        state.kept.settle();
        state.extent = Extent::Whole;
        Ok(())
    }

    /// Receives the rest of it, and writes it to disk.
    async fn spill(&self, first: &Bytes, storage: &Rc<Storage>, patience: &mut Patience) -> Result<(), ProxyError> {
        let spool = storage.file().await?;
        let mut buffer = Vec::with_capacity(PIECE);
        buffer.extend_from_slice(first);
        while let Some(piece) = self.next(patience).await? {
            if buffer.len() + piece.len() > PIECE {
                buffer = spool.append(buffer).await?;
            }
            buffer.extend_from_slice(&piece);
        }
        spool.append(buffer).await?;
        self.state.borrow_mut().spool = Some(Rc::new(spool));
        Ok(())
    }

    /// The next piece; none at the end.
    async fn next(&self, patience: &mut Patience) -> Result<Option<Bytes>, ProxyError> {
        poll_fn(|cx| self.poll_next(patience, cx)).await
    }

    fn poll_next(&self, patience: &mut Patience, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ProxyError>> {
        if self.has_ended() {
            return Poll::Ready(Ok(None));
        }
        let Poll::Ready(received) = self.receive(&mut self.state.borrow_mut(), cx) else {
            ready!(patience.poll(cx));
            self.set_fault(Fault::Timeout);
            return Poll::Ready(Err(ProxyError::BodyTimeout));
        };
        patience.renew();
        let failed = |_| self.fault().unwrap_or(ProxyError::BadBody);
        Poll::Ready(received.transpose().map_err(failed))
    }
}

/// How long the client may still send nothing.
struct Patience {
    gap: Option<Duration>,
    deadline: Option<Instant>,
    alarm: Alarm,
}

impl Patience {
    fn new(gap: Option<Duration>) -> Self {
        Self { gap, deadline: None, alarm: Alarm::default() }
    }

    fn renew(&mut self) {
        self.deadline = None;
    }

    /// Ready when it is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(gap) = self.gap else { return Poll::Pending };
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + gap);
        if self.alarm.poll(deadline, cx) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl From<Full> for ProxyError {
    fn from(full: Full) -> Self {
        match full {
            Full::NoRoom => Self::BodyNoRoom,
            Full::Unwritable(error) => Self::BodyUnwritable(error),
        }
    }
}
