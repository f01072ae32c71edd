//! Polling only what was woken: for what nearly never happens and is waited for beside what happens all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Stands between a task and something that it waits for, which is polled only after it has woken the task.
///
/// To poll a timer or a notification takes several atomic operations, even where the task was woken for something else.
#[derive(Debug, Default)]
pub(crate) struct Bell(Option<Arc<Rope>>);

/// What the bell is rung by.
#[derive(Debug)]
struct Rope {
    pulled: AtomicBool,
    task: Waker,
}

impl Bell {
    /// Polls with `poll` if there may be news: what it waits for woke the task, was ready the last time, or has not been polled
    /// by this task yet.
    pub(crate) fn poll<T>(&mut self, cx: &mut Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        match &self.0 {
            Some(rope) if rope.task.will_wake(cx.waker()) && !rope.pulled.load(Ordering::Acquire) => Poll::Pending,
            _ => self.answer(cx, poll),
        }
    }

    /// Has the next poll come through.
    pub(crate) fn ring(&self) {
        if let Some(rope) = &self.0 {
            rope.pulled.store(true, Ordering::Release);
        }
    }

    #[cold]
    #[inline(never)]
    fn answer<T>(&mut self, cx: &mut Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        let rope = match self.0.take().filter(|rope| rope.task.will_wake(cx.waker())) {
            Some(rope) => rope,
            None => Arc::new(Rope { pulled: AtomicBool::new(true), task: cx.waker().clone() }),
        };
        // Whoever pulls it from now on is heard the next time.
        rope.pulled.swap(false, Ordering::AcqRel);
        let waker = Waker::from(Arc::clone(&rope));
        let polled = poll(&mut Context::from_waker(&waker));
        self.0 = Some(rope);
        if polled.is_ready() {
            self.ring();
        }
        polled
    }
}

impl Wake for Rope {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.pulled.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Counts how often it is polled, and keeps the waker.
    #[derive(Default)]
    struct Source {
        polls: usize,
        waker: RefCell<Option<Waker>>,
    }

    impl Source {
        fn poll(&mut self, cx: &mut Context<'_>, ready: bool) -> Poll<()> {
            self.polls += 1;
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            if ready { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    /// A task that notes that it was woken.
    #[derive(Default)]
    struct Task(AtomicBool);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn it_polls_at_first_and_then_what_has_woken_the_task() {
        let task = Arc::new(Task::default());
        let waker = Waker::from(Arc::clone(&task));
        let cx = &mut Context::from_waker(&waker);
        let (mut bell, mut source) = (Bell::default(), Source::default());
        for round in 1..4 {
            for _ in 0..3 {
                assert!(bell.poll(cx, |cx| source.poll(cx, false)).is_pending());
                assert_eq!(source.polls, round);
            }
            assert!(!task.0.swap(false, Ordering::Relaxed));
            source.waker.borrow().as_ref().unwrap().wake_by_ref();
            assert!(task.0.swap(false, Ordering::Relaxed));
        }
    }

    #[test]
    fn it_polls_again_what_was_ready_and_when_it_is_rung() {
        let waker = Waker::from(Arc::new(Task::default()));
        let cx = &mut Context::from_waker(&waker);
        let (mut bell, mut source) = (Bell::default(), Source::default());
        for polls in 1..4 {
            assert!(bell.poll(cx, |cx| source.poll(cx, true)).is_ready());
            assert_eq!(source.polls, polls);
        }
        assert!(bell.poll(cx, |cx| source.poll(cx, false)).is_pending());
        assert!(bell.poll(cx, |cx| source.poll(cx, false)).is_pending());
        assert_eq!(source.polls, 4);
        bell.ring();
        assert!(bell.poll(cx, |cx| source.poll(cx, false)).is_pending());
        assert_eq!(source.polls, 5);
    }

    #[test]
    fn another_task_polls_anew() {
        let (mut bell, mut source) = (Bell::default(), Source::default());
        let tasks = [(); 2].map(|()| Arc::new(Task::default()));
        for (polls, task) in [(1, 0), (1, 0), (2, 1), (2, 1), (3, 0)] {
            let waker = Waker::from(Arc::clone(&tasks[task]));
            assert!(bell.poll(&mut Context::from_waker(&waker), |cx| source.poll(cx, false)).is_pending());
            assert_eq!(source.polls, polls);
        }
        source.waker.borrow().as_ref().unwrap().wake_by_ref();
        assert_eq!(tasks.each_ref().map(|task| task.0.load(Ordering::Relaxed)), [true, false]);
    }
}
