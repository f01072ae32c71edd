//! What a stream is allowed to wait for, and what has gone through it.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

use super::HeadLines;
use crate::clock;

/// The limits and counts of one stream, shared between the stream and whoever steers it.
#[derive(Debug)]
pub(crate) struct Meter {
    patience: Cell<Patience>,
    silent_since: Cell<Option<Instant>>,
    stalled_since: Cell<Option<Instant>>,
    write_patience: Cell<Duration>,
    head_patience: Cell<Duration>,
    head_began: Cell<Option<Instant>>,
    voice: Cell<Voice>,
    doze: Cell<Doze>,
    blocked: Cell<Option<Instant>>,
    winding_down: Cell<bool>,
    expired: Cell<Option<Expired>>,
    ended: Cell<bool>,
    received: Cell<u64>,
    sent: Cell<u64>,
    head_lines: Cell<HeadLines>,
    /// Whether what comes is left of a body whose request is answered already.
    in_rest: Cell<bool>,
}

/// How long reading may wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Patience {
    /// As long as it takes: somebody else looks after it.
    Unlimited,
    /// Until then for the first octet of the next request (nginx: `keepalive_timeout`).
    Idle(Instant),
    /// Until then for the end of a request head (nginx: `client_header_timeout`). More octets do not move it.
    Head(Instant),
    /// At most this long between two octets (nginx: `client_body_timeout`, `proxy_read_timeout`).
    Gap(Duration),
}

/// Whether what is written is wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Voice {
    /// Everything is written.
    Free,
    /// A response is on its way.
    Speaking,
    /// Nothing is to be said: what is written all the same is an answer that was not asked for, and dropped.
    Silent,
    /// Something was dropped.
    Dropped,
}

/// Whether an idle stream gives back what it takes to be ready.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Doze {
    /// Never.
    Never,
    /// When it has been idle for [`DOZE`].
    Wanted,
    /// Then, if it still is idle.
    At(Instant),
    /// Now.
    Now,
}

/// How long a stream is idle before it dozes. Clients that send requests one after the other never let it come to that.
const DOZE: Duration = Duration::from_secs(1);
/// How long the rest of a request head may take when no more requests are wanted.
const LAST_HEAD: Duration = Duration::from_secs(5);

/// Which limit a stream has hit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Expired {
    /// No request came.
    Idle,
    /// A request head was not complete in time.
    Head,
    /// Nothing came in the middle of something.
    Gap,
    /// Nothing could be written.
    Write,
}

impl Meter {
    /// `head` is how long a request head may take from its first octet, `write` how long writing may make no progress.
    pub(crate) fn new(patience: Patience, head: Duration, write: Duration) -> Self {
        Self {
            patience: Cell::new(patience),
            silent_since: Cell::new(None),
            stalled_since: Cell::new(None),
            write_patience: Cell::new(write),
            head_patience: Cell::new(head),
            head_began: Cell::new(None),
            voice: Cell::new(Voice::Free),
            doze: Cell::new(Doze::Never),
            blocked: Cell::new(None),
            winding_down: Cell::new(false),
            expired: Cell::new(None),
            ended: Cell::new(false),
            received: Cell::new(0),
            sent: Cell::new(0),
            head_lines: Cell::default(),
            in_rest: Cell::new(false),
        }
    }

    /// From now on reading may wait this long. A gap begins anew. [`Meter::await_request`] is for idle streams.
    pub(crate) fn set_patience(&self, patience: Patience) {
        self.patience.set(patience);
        self.silent_since.set(None);
        if self.doze.get() != Doze::Never {
            self.doze.set(Doze::Wanted);
        }
    }

    /// From `now` on the next request may take this long to begin.
    pub(crate) fn await_request(&self, now: Instant, idle: Duration) {
        self.set_patience(Patience::Idle(now + idle));
        if self.doze.get() != Doze::Never {
            self.doze.set(Doze::At(now + DOZE));
        }
    }

    /// From now on writing may make no progress for this long, which begins anew.
    pub(crate) fn set_write_patience(&self, write: Duration) {
        self.write_patience.set(write);
        self.stalled_since.set(None);
    }

    /// How long reading may wait.
    pub(crate) fn patience(&self) -> Patience {
        self.patience.get()
    }

    /// From now on a request head may take this long.
    pub(crate) fn set_head_patience(&self, head: Duration) {
        self.head_patience.set(head);
    }

    /// Lets the stream end as soon as it waits for a next request. One that has begun gets little time to be complete.
    pub(crate) fn wind_down(&self) {
        self.winding_down.set(true);
        self.head_patience.set(self.head_patience.get().min(LAST_HEAD));
        if let Patience::Head(deadline) = self.patience.get() {
            self.patience.set(Patience::Head(deadline.min(Instant::now() + LAST_HEAD)));
        }
    }

    /// Whether the stream ends as soon as it waits for a next request.
    pub(crate) fn is_winding_down(&self) -> bool {
        self.winding_down.get()
    }

    /// From now on only responses are written, from [`Meter::speak`] until all is flushed and the stream waits for a request.
    /// Whatever else is written is dropped.
    pub(crate) fn keep_silent(&self) {
        self.voice.set(Voice::Silent);
    }

    /// A response will be written.
    pub(crate) fn speak(&self) {
        if self.voice.get() != Voice::Free {
            self.voice.set(Voice::Speaking);
        }
    }

    /// Whether nothing is being said, so that whoever drives the stream may say something. Then everything is written.
    pub(crate) fn take_the_word(&self) -> bool {
        let silent = matches!(self.voice.get(), Voice::Silent | Voice::Dropped);
        if silent {
            self.voice.set(Voice::Free);
        }
        silent
    }

    /// Lets whoever drives the stream know when it has been idle for a while: [`Meter::dozes`].
    pub(crate) fn want_doze(&self) {
        self.doze.set(Doze::Wanted);
    }

    /// Whether the stream has been idle for a while, with nothing left to be written. Told once for each time.
    pub(crate) fn dozes(&self) -> bool {
        let now = self.doze.get() == Doze::Now;
        if now {
            self.doze.set(Doze::Wanted);
        }
        now
    }

    /// When the other side last did not take what was to be written.
    pub(crate) fn last_blocked(&self) -> Option<Instant> {
        self.blocked.get()
    }

    /// The limit that was hit.
    pub(crate) fn expired(&self) -> Option<Expired> {
        self.expired.get()
    }

    /// Whether the other side has sent its last octet.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// When the first octet of the request came that is now complete. Once per request.
    pub(crate) fn take_head_began(&self) -> Option<Instant> {
        self.head_began.take()
    }

    /// Octets were read before there was a stream with this meter, to find out what it is.
    pub(crate) fn note_ahead(&self, octets: usize) {
        self.note_read(octets);
    }

    /// Whether a request head has begun and is not complete.
    pub(crate) fn is_in_head(&self) -> bool {
        self.head_began.get().is_some()
    }

    /// What the lines of the request head that is now complete say. Once per request.
    pub(crate) fn take_head_lines(&self) -> HeadLines {
        self.head_lines.take()
    }

    /// Looks at octets that were read, as far as they may be those of a request head.
    pub(crate) fn look_at_head(&self, octets: &[u8]) {
        if matches!(self.patience.get(), Patience::Head(_)) && !self.in_rest.get() {
            let mut lines = self.head_lines.get();
            lines.pass(octets);
            self.head_lines.set(lines);
        }
    }

    /// Whether what comes is left of a body whose request is answered already, and no request head.
    pub(crate) fn set_in_rest(&self, in_rest: bool) {
        self.in_rest.set(in_rest);
    }

    /// Octets in both directions so far.
    pub(crate) fn octets(&self) -> u64 {
        self.received.get().wrapping_add(self.sent.get())
    }

    /// Octets received so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.get()
    }

    /// Octets sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.get()
    }

    pub(super) fn note_read(&self, octets: usize) {
        self.silent_since.set(None);
        if octets == 0 {
            self.ended.set(true);
            return;
        }
        self.received.set(self.received.get().wrapping_add(octets as u64));
        match self.patience.get() {
            Patience::Idle(_) => {
                let now = clock::now();
                self.head_began.set(Some(now));
                self.patience.set(Patience::Head(now + self.head_patience.get()));
                if self.doze.get() != Doze::Never {
                    self.doze.set(Doze::Wanted);
                }
            }
            Patience::Head(_) if self.head_began.get().is_none() => self.head_began.set(Some(clock::now())),
            Patience::Unlimited | Patience::Head(_) | Patience::Gap(_) => {}
        }
    }

    /// Writing also shows that the exchange goes on: a gap in reading begins anew.
    pub(super) fn note_written(&self, octets: usize) {
        self.stalled_since.set(None);
        if matches!(self.patience.get(), Patience::Gap(_)) {
            self.silent_since.set(Some(clock::now()));
        }
        self.sent.set(self.sent.get().wrapping_add(octets as u64));
    }

    /// Everything is written.
    pub(super) fn note_flushed(&self) {
        let waits = matches!(self.patience.get(), Patience::Idle(_) | Patience::Head(_));
        if waits && self.voice.get() == Voice::Speaking {
            self.voice.set(Voice::Silent);
        }
    }

    /// Whether what is to be written is to be dropped.
    pub(super) fn drops(&self) -> bool {
        if self.voice.get() == Voice::Silent {
            self.voice.set(Voice::Dropped);
        }
        self.voice.get() == Voice::Dropped
    }

    /// The other side does not take what is to be written.
    pub(super) fn note_blocked(&self) {
        self.blocked.set(Some(clock::now()));
    }

    /// When the stream will doze, if nothing comes.
    pub(super) fn doze_at(&self) -> Option<Instant> {
        match self.doze.get() {
            Doze::At(moment) if self.stalled_since.get().is_none() => Some(moment),
            Doze::Never | Doze::Wanted | Doze::At(_) | Doze::Now => None,
        }
    }

    pub(super) fn doze(&self) {
        self.doze.set(Doze::Now);
    }

    /// Until when reading may wait, and what it means when it did.
    pub(super) fn read_deadline(&self) -> Option<(Instant, Expired)> {
        match self.patience.get() {
            Patience::Unlimited => None,
            Patience::Idle(deadline) => Some((deadline, Expired::Idle)),
            Patience::Head(deadline) => Some((deadline, Expired::Head)),
            Patience::Gap(gap) => Some((since(&self.silent_since) + gap, Expired::Gap)),
        }
    }

    /// Until when writing may wait.
    pub(super) fn write_deadline(&self) -> Instant {
        since(&self.stalled_since) + self.write_patience.get()
    }

    pub(super) fn note_expired(&self, limit: Expired) {
        self.expired.set(Some(limit));
    }

    /// Whether the stream waits for a next request that is not wanted any more.
    pub(super) fn is_over(&self) -> bool {
        self.winding_down.get() && matches!(self.patience.get(), Patience::Idle(_))
    }
}

fn since(moment: &Cell<Option<Instant>>) -> Instant {
    let since = moment.get().unwrap_or_else(clock::now);
    moment.set(Some(since));
    since
}
