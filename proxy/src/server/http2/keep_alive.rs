//! Whether the client of a silent connection is still there.

use std::task::Context;
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::Instant;

use crate::timer::Alarm;

/// How long a client may be silent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    /// After this long without an octet it is asked whether it is there,
    pub(super) ping: Duration,
    /// and has this long to say so.
    pub(super) pong: Duration,
}

/// Pings of one connection.
pub(super) struct KeepAlive {
    pings: PingPong,
    limits: Silence,
    /// When the client was last heard.
    heard: Instant,
    /// Until when it has to answer, where it was asked.
    answer: Option<Instant>,
    received: u64,
    alarm: Alarm,
}

impl KeepAlive {
    pub(super) fn new(pings: PingPong, limits: Silence) -> Self {
        Self { pings, limits, heard: Instant::now(), answer: None, received: 0, alarm: Alarm::default() }
    }

    /// So many octets were received until now.
    pub(super) fn note(&mut self, received: u64) {
        if self.received != received {
            self.received = received;
            self.heard = Instant::now();
        }
    }

    /// Asks when it is time to. Whether there was no answer.
    pub(super) fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        if self.answer.is_some() && self.pings.poll_pong(cx).is_ready() {
            self.answer = None;
            self.heard = Instant::now();
        }
        if let Some(answer) = self.answer {
            return self.alarm.poll(answer, cx);
        }
        if self.alarm.poll(self.heard + self.limits.ping, cx) {
            // Fails where the connection does.
            self.pings.send_ping(Ping::opaque()).ok();
            let answer = Instant::now() + self.limits.pong;
            self.answer = Some(answer);
            // Whoever is woken by either is this task.
            return self.pings.poll_pong(cx).is_pending() && self.alarm.poll(answer, cx);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use bytes::Bytes;

    use super::*;

    const SHORT: Duration = Duration::from_millis(60);
    const LIMITS: Silence = Silence { ping: SHORT, pong: Duration::from_millis(500) };

    /// How long it takes until a client is given up that answers or does not, and is heard up to this time; none
    /// where it is not for several pings.
    async fn given_up_after(answers: bool, heard: Duration) -> Option<Duration> {
        let (here, there) = tokio::io::duplex(1 << 16);
        let client = tokio::task::spawn_local(async move {
            let (sender, http) = h2::client::handshake(there).await.unwrap();
            if answers {
                http.await.unwrap();
            } else {
                std::future::pending::<()>().await;
            }
            drop(sender);
        });
        let mut http: h2::server::Connection<_, Bytes> = h2::server::handshake(here).await.unwrap();
        let mut keep_alive = KeepAlive::new(http.ping_pong().unwrap(), LIMITS);
        let began = Instant::now();
        let mut octets = 0;
        let over = poll_fn(|cx| {
            assert!(http.poll_accept(cx).is_pending());
            if began.elapsed() < heard {
                octets += 1;
            }
            keep_alive.note(octets);
            if keep_alive.is_over(cx) {
                return Poll::Ready(());
            }
            // What is asked is also sent.
            assert!(http.poll_accept(cx).is_pending());
            Poll::Pending
        });
        let mut ticks = tokio::time::interval(SHORT / 12);
        let limit = tokio::time::sleep(if answers { 10 * SHORT } else { 20 * LIMITS.pong });
        tokio::pin!(over, limit);
        let over = loop {
            tokio::select! {
                () = &mut over => break Some(began.elapsed()),
                () = &mut limit => break None,
                _ = ticks.tick() => {}
            }
        };
        client.abort();
        over
    }

    #[test]
    fn a_client_is_given_up_when_it_is_silent_and_does_not_answer() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            for (answers, heard, least) in [(true, 0, None), (false, 0, Some(1)), (false, 3, Some(4)), (true, 3, None)]
            {
                let over = given_up_after(answers, heard * SHORT).await;
                assert_eq!(over.is_some(), least.is_some(), "{answers} {heard}: {over:?}");
                // The last octet was heard a tick before.
                let least = least.map(|least| least * SHORT + LIMITS.pong - SHORT / 4);
                assert!(over >= least, "{answers} {heard}: {over:?}");
            }
        });
    }
}
