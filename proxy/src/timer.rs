//! Time limits of streams, on tokio's clock.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::bell::Bell;

/// An alarm that is moved on every request and nearly never goes off.
///
/// Moving a deadline further away costs nothing: the timer goes off at the old one and is set anew then.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<Pin<Box<Armed>>>);

pin_project! {
    /// An alarm that was set once.
    #[derive(Debug)]
    struct Armed {
        #[pin]
        timer: tokio::time::Sleep,
        bell: Bell,
    }
}

impl Alarm {
    /// Whether `deadline` is over; if not, the task is woken then or earlier.
    pub(crate) fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> bool {
        let armed = self.0.get_or_insert_with(|| Armed::new(deadline));
        if armed.timer.deadline() > deadline {
            armed.as_mut().set(deadline);
        }
        while armed.as_mut().poll(cx).is_ready() {
            if armed.timer.deadline() >= deadline {
                return true;
            }
            armed.as_mut().set(deadline);
        }
        false
    }
}

impl Armed {
    #[cold]
    fn new(deadline: Instant) -> Pin<Box<Self>> {
        Box::pin(Self { timer: tokio::time::sleep_until(deadline), bell: Bell::default() })
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let armed = self.project();
        armed.bell.poll(cx, |cx| armed.timer.poll(cx))
    }

    #[cold]
    fn set(self: Pin<&mut Self>, deadline: Instant) {
        let armed = self.project();
        armed.timer.reset(deadline);
        armed.bell.ring();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use std::time::Duration;

    use super::*;

    /// Whether an alarm has gone off that is set to `deadline`.
    async fn polled(alarm: &mut Alarm, deadline: Instant) -> bool {
        poll_fn(|cx| Poll::Ready(alarm.poll(deadline, cx))).await
    }

    #[tokio::test]
    async fn it_goes_off_at_its_last_deadline_wherever_it_was_moved() {
        for moves in [&[10][..], &[2000, 10], &[5, 10], &[5, 2000, 10], &[1000, 10, 10]] {
            let begun = Instant::now();
            let at = |milliseconds| begun + Duration::from_millis(milliseconds);
            let mut alarm = Alarm::default();
            for milliseconds in moves {
                assert!(!polled(&mut alarm, at(*milliseconds)).await);
            }
            let went_off =
                poll_fn(|cx| if alarm.poll(at(10), cx) { Poll::Ready(Instant::now()) } else { Poll::Pending });
            let went_off = went_off.await;
            assert!((at(10)..at(900)).contains(&went_off), "{moves:?} {:?}", went_off - begun);
            // Until it is moved.
            assert!(polled(&mut alarm, at(10)).await);
            assert!(!polled(&mut alarm, at(100_000)).await);
        }
    }
}
