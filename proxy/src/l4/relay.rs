//! A connection passed on: octets both ways until both sides have ended.
//!
//! While nothing comes, a relay holds no buffer. What one side does not take at once is kept until it does, and no more is read
//! for it meanwhile.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::buffer::Buffer;
use super::log::{Passed, Record};
use crate::clock;
use crate::timer::Alarm;

/// How long nothing may come from the other side once one has ended: it may have nothing more to say, and not know it.
const HALF_CLOSED: Duration = Duration::from_secs(60);

/// A connection of a client and one to an endpoint, tied together.
pub(super) struct Relay {
    client: TcpStream,
    upstream: TcpStream,
    up: Direction,
    down: Direction,
    idle: Duration,
    /// When octets passed last.
    last: Instant,
    alarm: Alarm,
    record: Record,
}

impl Relay {
    /// Ends when nothing comes from either side for `idle`.
    pub(super) fn new(client: TcpStream, upstream: TcpStream, idle: Duration, record: Record) -> Self {
        let (up, down, last) = (Direction::default(), Direction::default(), clock::now());
        Self { client, upstream, up, down, idle, last, alarm: Alarm::default(), record }
    }

    fn poll_relay(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { client, upstream, up, down, record, .. } = self;
        let worker = std::rc::Rc::clone(record.worker());
        let buffer = worker.l4_buffer();
        let before = (record.up, record.down, up.ended, down.ended);
        let sent = up.poll(client, upstream, &mut record.up, buffer, cx);
        let received = down.poll(upstream, client, &mut record.down, buffer, cx);
        // Not before both had their turn: an endpoint that takes no more may have said why.
        let (sent, received) = (sent?, received?);
        if (record.up, record.down, up.ended, down.ended) != before {
            self.last = clock::now();
        }
        if sent.is_ready() && received.is_ready() {
            return Poll::Ready(Ok(()));
        }
        let idle = if self.up.ended || self.down.ended { self.idle.min(HALF_CLOSED) } else { self.idle };
        if self.alarm.poll(self.last + idle, cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    /// With a reset, so that nobody takes what it got for complete.
    fn cut(&self) {
        for side in [&self.client, &self.upstream] {
            // A connection that is gone already needs none.
            SockRef::from(side).set_linger(Some(Duration::ZERO)).ok();
        }
    }
}

/// Completes when both sides have ended, one is broken, or nothing came for too long.
impl Future for Relay {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let relay = self.get_mut();
        match ready!(relay.poll_relay(cx)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => tracing::debug!("connection closed: idle"),
            Err(error) => {
                tracing::debug!(%error, "connection broken");
                relay.cut();
            }
        }
        Poll::Ready(())
    }
}

/// One direction.
#[derive(Debug, Default)]
struct Direction {
    /// What was read and not taken yet, from this place on.
    rest: Vec<u8>,
    place: usize,
    /// The source has ended.
    ended: bool,
    /// And so has the other side, towards its peer.
    passed_on: bool,
}

/// How often one direction is read from before others have their turn.
const ROUNDS: usize = 8;

impl Direction {
    /// Passes on what there is. Ready when the source has ended and all of it was passed on.
    fn poll(
        &mut self,
        from: &TcpStream,
        to: &TcpStream,
        passed: &mut Passed,
        buffer: &Buffer,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.passed_on {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..ROUNDS {
            if !self.rest.is_empty() {
                ready!(to.poll_write_ready(cx))?;
                self.write_rest(to, passed)?;
            } else if self.ended {
                // The only failure is that there is no connection any more.
                SockRef::from(to).shutdown(Shutdown::Write).ok();
                self.passed_on = true;
                return Poll::Ready(Ok(()));
            } else {
                ready!(from.poll_read_ready(cx))?;
                buffer.with(|room| self.pass(from, to, passed, room))?;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn write_rest(&mut self, to: &TcpStream, passed: &mut Passed) -> io::Result<()> {
        let waiting = self.rest.get(self.place..).unwrap_or_default();
        let taken = now_or_nothing(to.try_write(waiting))?;
        passed.given += taken as u64;
        self.place += taken;
        if self.place >= self.rest.len() {
            (self.rest, self.place) = (Vec::new(), 0);
        }
        Ok(())
    }

    /// Reads once and writes once.
    fn pass(&mut self, from: &TcpStream, to: &TcpStream, passed: &mut Passed, room: &mut [u8]) -> io::Result<()> {
        let octets = match from.try_read(room) {
            Ok(octets) => octets,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        self.ended = octets == 0;
        let read = room.get(..octets).unwrap_or_default();
        passed.taken += octets as u64;
        let taken = if read.is_empty() { 0 } else { now_or_nothing(to.try_write(read))? };
        passed.given += taken as u64;
        self.rest = read.get(taken..).unwrap_or_default().to_vec();
        Ok(())
    }
}

/// How much was written where it may be nothing.
fn now_or_nothing(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        written => written,
    }
}
