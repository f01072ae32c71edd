//! The access log: lines are made by workers, written by one thread, and never wait for whoever reads them.

mod addresses;
mod captured;
mod clock;
mod digits;
mod escape;
mod format;
mod literal;
mod pieces;
mod room;
mod stage;
mod usual;

use std::cell::{Cell, RefCell, RefMut};
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::metrics::Counters;

use room::Buffer;

pub(crate) use addresses::AddressTexts;
pub(crate) use captured::Captured;
pub(crate) use clock::{TimeForm, WallClock};
pub(crate) use digits::{put_ip, put_number, put_seconds, put_socket};
pub(crate) use escape::Style;
pub(crate) use format::LogFormat;
pub(crate) use room::Room;
pub(crate) use stage::HeadVariable;
pub(crate) use usual::{ClientText, UpstreamNames, UsualEnd, UsualHead};

/// Writes lines to one place from a thread of its own.
///
/// The queue holds 64 batches of 64 KiB; while it is full, further lines are dropped and counted. What is queued is flushed
/// as soon as nothing more waits, and when the server ends.
#[derive(Debug)]
pub struct Writer {
    batches: Queue,
    written: oneshot::Receiver<()>,
}

/// Where workers hand over their lines.
pub(crate) type Queue = SyncSender<Batch>;

/// Lines of a worker.
#[derive(Debug)]
pub(crate) struct Batch {
    lines: Buffer,
    /// Where the buffer goes when it is written.
    back: SyncSender<Buffer>,
}

/// Batches that may wait for the writer, each [`BATCH`] octets or little more: some 4 MiB at most.
const QUEUE: usize = 64;
/// A worker hands over its lines when it has this many octets of them,
const BATCH: usize = 64 * 1024;
/// or this long after the first.
const DELAY: Duration = Duration::from_millis(25);

impl Writer {
    /// Writes to standard output.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn stdout() -> io::Result<Self> {
        Self::to(io::stdout())
    }

    /// Writes to `sink`. Where that fails, lines are lost: the log never stops the server.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn to(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (batches, queue) = sync_channel(QUEUE);
        let (done, written) = oneshot::channel();
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            write_all(&queue, sink);
            // Nobody waits for it unless the server shuts down.
            done.send(()).ok();
        })?;
        Ok(Self { batches, written })
    }

    pub(crate) fn queue(&self) -> Queue {
        self.batches.clone()
    }

    /// Waits until everything that was handed over is written, once all queues are gone.
    pub(crate) async fn close(self) {
        drop(self.batches);
        // An error means that the thread is gone, which is as good.
        self.written.await.ok();
    }
}

fn write_all(queue: &Receiver<Batch>, mut sink: impl Write) {
    while let Ok(first) = queue.recv() {
        let mut next = Some(first);
        let mut outcome = Ok(());
        while let Some(batch) = next {
            outcome = outcome.and_then(|()| sink.write_all(batch.lines.text()));
            batch.give_back();
            next = queue.try_recv().ok();
        }
        if let Err(error) = outcome.and_then(|()| sink.flush()) {
            tracing::debug!(%error, "access log not written");
        }
    }
}

impl Batch {
    /// The worker needs no new buffer then. Where it has enough of them, or is gone, so is this one.
    pub(crate) fn give_back(self) {
        let Self { mut lines, back } = self;
        lines.clear();
        if lines.room() <= 2 * BATCH {
            back.try_send(lines).ok();
        }
    }
}

/// The lines of one worker that are not handed over yet.
#[derive(Debug)]
pub(crate) struct Lines {
    waiting: RefCell<Buffer>,
    /// Buffers that are written, and where they come from.
    spent: Receiver<Buffer>,
    back: SyncSender<Buffer>,
    count: Cell<u64>,
    some: Notify,
    queue: Queue,
    counters: Arc<Counters>,
}

/// Buffers that a worker keeps for further lines.
const SPENT: usize = 2;

impl Lines {
    pub(crate) fn new(queue: Queue, counters: Arc<Counters>) -> Self {
        let (back, spent) = sync_channel(SPENT);
        let (waiting, count) = (RefCell::default(), Cell::new(0));
        Self { waiting, spent, back, count, some: Notify::new(), queue, counters }
    }

    /// Adds the line that `render` writes, without its end; it may be called again with more room.
    #[inline]
    pub(crate) fn add(&self, mut render: impl FnMut(&mut [u8]) -> Option<&mut [u8]>) {
        let mut waiting = self.some();
        waiting.add(|room| render(room)?.put_first(b"\n", 1));
        self.count(waiting);
    }

    /// Adds the line that `render` writes, if it has no more than `most` octets with its end. Otherwise the answer is false.
    #[inline]
    pub(crate) fn add_within(&self, most: usize, render: impl FnOnce(&mut [u8]) -> Option<&mut [u8]>) -> bool {
        let mut waiting = self.some();
        let is_added = waiting.add_within(most, |room| render(room)?.put_first(b"\n", 1));
        if is_added {
            self.count(waiting);
        }
        is_added
    }

    #[inline]
    fn some(&self) -> RefMut<'_, Buffer> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() == 0 {
            self.begin(&mut waiting);
        }
        waiting
    }

    /// A line was added.
    #[inline]
    fn count(&self, waiting: RefMut<'_, Buffer>) {
        self.count.set(self.count.get() + 1);
        if waiting.len() >= BATCH {
            drop(waiting);
            self.hand_over();
        }
    }

    #[inline(never)]
    fn begin(&self, waiting: &mut Buffer) {
        if waiting.room() == 0 {
            *waiting = self.spent.try_recv().unwrap_or_default();
        }
        self.some.notify_one();
    }

    /// Hands lines over a little after they came. Runs as long as the worker.
    pub(crate) async fn hand_over_in_time(self: Rc<Self>) {
        loop {
            self.some.notified().await;
            tokio::time::sleep(DELAY).await;
            self.hand_over();
        }
    }

    /// Lines that are not handed over yet, which nobody else gets.
    #[cfg(test)]
    pub(crate) fn take_waiting(&self) -> Vec<u8> {
        self.count.set(0);
        self.waiting.take().text().to_vec()
    }

    /// Hands over all lines.
    pub(crate) fn hand_over(&self) {
        let lines = self.count.take();
        if lines == 0 {
            return;
        }
        let batch = Batch { lines: self.waiting.take(), back: self.back.clone() };
        if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) = self.queue.try_send(batch) {
            self.counters.log_lines_dropped.add(lines);
            batch.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test)
    }

    #[test]
    fn lines_are_written_in_order_before_the_writer_closes() {
        let sink = Sink::default();
        let writer = Writer::to(sink.clone()).unwrap();
        let lines = Lines::new(writer.queue(), Arc::default());
        lines.add(|room| room.put(b"one"));
        lines.add(|room| room.put(b"two"));
        lines.hand_over();
        drop(lines);
        run(writer.close());
        assert_eq!(sink.0.lock().unwrap().as_slice(), b"one\ntwo\n");
    }

    #[test]
    fn lines_that_nobody_takes_are_dropped_and_counted() {
        let (queue, taker) = sync_channel(1);
        let counters = Arc::new(Counters::default());
        let lines = Lines::new(queue, Arc::clone(&counters));
        for _ in 0..2 {
            lines.add(|room| room.put(b"x"));
            lines.add(|room| room.put(b"y"));
            lines.hand_over();
        }
        assert_eq!(counters.log_lines_dropped.value(), 2);
        assert_eq!(taker.try_iter().map(|batch| batch.lines.text().to_vec()).collect::<Vec<_>>(), [b"x\ny\n"]);
    }

    #[test]
    fn a_full_batch_is_handed_over_at_once_and_a_small_one_soon() {
        let (queue, taker) = sync_channel(4);
        let lines = Rc::new(Lines::new(queue, Arc::default()));
        lines.add(|room| room.put(&[b'x'; BATCH]));
        assert_eq!(taker.try_iter().count(), 1);
        lines.add(|room| room.put(b"x"));
        run(async {
            let soon = tokio::time::timeout(20 * DELAY, Rc::clone(&lines).hand_over_in_time());
            soon.await.unwrap_err();
        });
        assert_eq!(taker.try_iter().count(), 1);
    }
}
