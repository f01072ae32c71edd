//! The access log: lines are made by workers, written by one thread, and never wait for whoever reads them.

mod clock;
mod escape;
mod format;

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::metrics::Counters;

pub(crate) use clock::{TimeForm, WallClock, push_seconds};
pub(crate) use format::{Captured, LogFormat, Stage, Value};

/// Writes lines to one place from a thread of its own.
///
/// The queue holds 64 batches of 64 KiB; while it is full, further lines are dropped and counted. What is queued is flushed
/// as soon as nothing more waits, and when the server ends.
#[derive(Debug)]
pub struct Writer {
    batches: SyncSender<Vec<u8>>,
    written: oneshot::Receiver<()>,
}

/// Batches that may wait for the writer, each [`BATCH`] octets or little more: some 4 MiB at most.
const QUEUE: usize = 64;
/// A worker hands over its lines when it has this many octets of them,
const BATCH: usize = 64 * 1024;
/// or this long after the first.
const DELAY: Duration = Duration::from_millis(10);

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

    pub(crate) fn queue(&self) -> SyncSender<Vec<u8>> {
        self.batches.clone()
    }

    /// Waits until everything that was handed over is written, once all queues are gone.
    pub(crate) async fn close(self) {
        drop(self.batches);
        // An error means that the thread is gone, which is as good.
        self.written.await.ok();
    }
}

fn write_all(queue: &Receiver<Vec<u8>>, mut sink: impl Write) {
    while let Ok(first) = queue.recv() {
        let mut next = Some(first);
        let mut outcome = Ok(());
        while let Some(batch) = next {
            outcome = outcome.and_then(|()| sink.write_all(&batch));
            next = queue.try_recv().ok();
        }
        if let Err(error) = outcome.and_then(|()| sink.flush()) {
            tracing::debug!(%error, "access log not written");
        }
    }
}

/// The lines of one worker that are not handed over yet.
#[derive(Debug)]
pub(crate) struct Lines {
    waiting: RefCell<Vec<u8>>,
    count: Cell<u64>,
    some: Notify,
    queue: SyncSender<Vec<u8>>,
    counters: Arc<Counters>,
}

impl Lines {
    pub(crate) fn new(queue: SyncSender<Vec<u8>>, counters: Arc<Counters>) -> Self {
        Self { waiting: RefCell::default(), count: Cell::new(0), some: Notify::new(), queue, counters }
    }

    /// Adds the line that `render` writes, without its end.
    pub(crate) fn add(&self, render: impl FnOnce(&mut Vec<u8>)) {
        let full = {
            let mut waiting = self.waiting.borrow_mut();
            if waiting.is_empty() {
                self.some.notify_one();
            }
            render(&mut waiting);
            waiting.push(b'\n');
            waiting.len() >= BATCH
        };
        self.count.set(self.count.get() + 1);
        if full {
            self.hand_over();
        }
    }

    /// Hands lines over a little after they came. Runs as long as the worker.
    pub(crate) async fn hand_over_in_time(self: Rc<Self>) {
        loop {
            self.some.notified().await;
            tokio::time::sleep(DELAY).await;
            self.hand_over();
        }
    }

    /// Hands over all lines.
    pub(crate) fn hand_over(&self) {
        let batch = self.waiting.take();
        let lines = self.count.take();
        if !batch.is_empty() && self.queue.try_send(batch).is_err() {
            self.counters.log_lines_dropped.add(lines);
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
        lines.add(|line| line.extend_from_slice(b"one"));
        lines.add(|line| line.extend_from_slice(b"two"));
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
            lines.add(|line| line.push(b'x'));
            lines.add(|line| line.push(b'y'));
            lines.hand_over();
        }
        assert_eq!(counters.log_lines_dropped.value(), 2);
        assert_eq!(taker.try_iter().collect::<Vec<_>>(), [b"x\ny\n"]);
    }

    #[test]
    fn a_full_batch_is_handed_over_at_once_and_a_small_one_soon() {
        let (queue, taker) = sync_channel(4);
        let lines = Rc::new(Lines::new(queue, Arc::default()));
        lines.add(|line| line.resize(BATCH, b'x'));
        assert_eq!(taker.try_iter().count(), 1);
        lines.add(|line| line.push(b'x'));
        run(async {
            let soon = tokio::time::timeout(20 * DELAY, Rc::clone(&lines).hand_over_in_time());
            soon.await.unwrap_err();
        });
        assert_eq!(taker.try_iter().count(), 1);
    }
}
