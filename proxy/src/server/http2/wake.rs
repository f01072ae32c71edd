//! Which part of an HTTP/2 connection has something to do: the connection itself, or some of its streams.
//!
//! All of them are driven by one task. While it runs, whoever wakes a part only leaves a mark, which the task finds before it
//! rests; only then is the task itself woken.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// The task of a connection. As a waker it wakes the connection itself.
#[derive(Debug, Default)]
pub(super) struct Hub {
    marks: AtomicU8,
    task: Mutex<Option<Waker>>,
}

/// What has something to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Marks(u8);

const RUNS: u8 = 1;
const CONNECTION: u8 = 2;
const STREAMS: u8 = 4;

impl Marks {
    pub(super) fn connection(self) -> bool {
        self.0 & CONNECTION != 0
    }

    pub(super) fn streams(self) -> bool {
        self.0 & STREAMS != 0
    }

    pub(super) fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }
}

impl Hub {
    /// The task runs. It is to be woken by `waker` when it rests.
    pub(super) fn run(&self, waker: &Waker) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *task = Some(waker.clone());
        }
        drop(task);
        self.marks.fetch_or(RUNS, Ordering::AcqRel);
    }

    /// Takes the marks that were left.
    pub(super) fn take(&self) -> Marks {
        Marks(self.marks.swap(RUNS, Ordering::AcqRel) & !RUNS)
    }

    /// Takes the mark of the connection alone.
    pub(super) fn take_connection(&self) -> Marks {
        Marks(self.marks.fetch_and(!CONNECTION, Ordering::AcqRel) & CONNECTION)
    }

    /// Whether the task can rest: it cannot where marks were left meanwhile.
    pub(super) fn rest(&self) -> bool {
        self.marks.compare_exchange(RUNS, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// The task stops for a while, and comes back by itself for what is marked.
    pub(super) fn pause(&self) {
        self.marks.fetch_and(!RUNS, Ordering::AcqRel);
        self.wake_task();
    }

    /// The connection itself has something to do.
    pub(super) fn mark_connection(&self) {
        self.mark(CONNECTION);
    }

    fn mark(&self, mark: u8) {
        // Who left the first one has woken the task, or it runs.
        if self.marks.fetch_or(mark, Ordering::AcqRel) == 0 {
            self.wake_task();
        }
    }

    /// The task is over: nobody is to be woken any more.
    pub(super) fn forget(&self) {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn wake_task(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = &*task {
            task.wake_by_ref();
        }
    }
}

impl Wake for Hub {
    fn wake(self: Arc<Self>) {
        self.mark_connection();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.mark_connection();
    }
}

/// Which of so many streams have something to do.
#[derive(Debug)]
pub(super) struct Group {
    ready: AtomicU64,
    hub: Arc<Hub>,
}

/// Streams of a group.
pub(super) const GROUP: usize = u64::BITS as usize;

impl Group {
    pub(super) fn new(hub: &Arc<Hub>) -> Arc<Self> {
        Arc::new(Self { ready: AtomicU64::new(0), hub: Arc::clone(hub) })
    }

    /// What wakes the stream with this number in the group.
    pub(super) fn waker(self: &Arc<Self>, number: usize) -> Waker {
        Waker::from(Arc::new(StreamWaker { group: Arc::clone(self), bit: 1 << (number % GROUP) }))
    }

    /// The streams that have something to do, the first in the lowest bit.
    pub(super) fn take(&self) -> u64 {
        self.ready.swap(0, Ordering::AcqRel)
    }
}

struct StreamWaker {
    group: Arc<Group>,
    bit: u64,
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        Wake::wake_by_ref(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.group.ready.fetch_or(self.bit, Ordering::AcqRel) & self.bit == 0 {
            self.group.hub.mark(STREAMS);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_is_woken_once_and_only_while_it_rests() {
        let (hub, count) = (Arc::new(Hub::default()), Arc::new(Count::default()));
        let group = Group::new(&hub);
        let (task, connection) = (Waker::from(Arc::clone(&count)), Waker::from(Arc::clone(&hub)));
        let (one, last) = (group.waker(1), group.waker(63));
        let woken = || count.0.load(Ordering::Relaxed);
        hub.run(&task);
        one.wake_by_ref();
        assert!(!hub.rest(), "a mark was left");
        let marks = hub.take();
        assert!(marks.streams() && !marks.connection());
        assert_eq!((group.take(), group.take(), woken()), (2, 0, 0));
        assert!(hub.rest());
        last.wake_by_ref();
        one.wake_by_ref();
        connection.wake_by_ref();
        assert_eq!(woken(), 1);
        hub.run(&task);
        let marks = hub.take();
        assert!(marks.streams() && marks.connection());
        assert_eq!((group.take(), hub.take()), (2 | 1 << 63, Marks(0)));
        connection.wake_by_ref();
        hub.pause();
        assert_eq!(woken(), 2);
        connection.wake();
        last.wake_by_ref();
        assert_eq!(woken(), 2, "it comes back anyway");
        drop(task);
        hub.forget();
        assert_eq!(Arc::strong_count(&count), 1, "wakers of streams do not keep the task");
    }

    #[test]
    fn wakes_of_other_threads_are_not_lost() {
        const TIMES: usize = 500;
        let (hub, count) = (Arc::new(Hub::default()), Arc::new(Count::default()));
        let group = Group::new(&hub);
        let task = Waker::from(Arc::clone(&count));
        let seen = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..TIMES {
                    group.waker(number % 2).wake();
                    while seen.load(Ordering::Acquire) <= number {
                        std::thread::yield_now();
                    }
                }
            });
            let mut polls = 0;
            while seen.load(Ordering::Acquire) < TIMES {
                if polls > 0 && count.0.load(Ordering::Acquire) < polls {
                    std::thread::yield_now();
                    continue;
                }
                polls = count.0.load(Ordering::Acquire) + 1;
                hub.run(&task);
                loop {
                    if hub.take().streams() && group.take() != 0 {
                        seen.fetch_add(1, Ordering::AcqRel);
                    }
                    if hub.rest() {
                        break;
                    }
                }
            }
        });
        assert_eq!(seen.into_inner(), TIMES);
    }
}
