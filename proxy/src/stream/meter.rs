//! What a stream is allowed to wait for, and what has gone through it.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// The limits and counts of one stream, shared between the stream and whoever steers it.
#[derive(Debug)]
pub(crate) struct Meter {
    patience: Cell<Patience>,
    silent_since: Cell<Option<Instant>>,
    stalled_since: Cell<Option<Instant>>,
    write_patience: Cell<Duration>,
    head_patience: Duration,
    head_began: Cell<Option<Instant>>,
    winding_down: Cell<bool>,
    expired: Cell<Option<Expired>>,
    ended: Cell<bool>,
    received: Cell<u64>,
    sent: Cell<u64>,
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
            head_patience: head,
            head_began: Cell::new(None),
            winding_down: Cell::new(false),
            expired: Cell::new(None),
            ended: Cell::new(false),
            received: Cell::new(0),
            sent: Cell::new(0),
        }
    }

    /// From now on reading may wait this long. A gap begins anew.
    pub(crate) fn set_patience(&self, patience: Patience) {
        self.patience.set(patience);
        self.silent_since.set(None);
    }

    /// From now on writing may make no progress for this long, which begins anew.
    pub(crate) fn set_write_patience(&self, write: Duration) {
        self.write_patience.set(write);
        self.stalled_since.set(None);
    }

    /// Lets the stream end as soon as it waits for a next request.
    pub(crate) fn wind_down(&self) {
        self.winding_down.set(true);
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
                let now = Instant::now();
                self.head_began.set(Some(now));
                self.patience.set(Patience::Head(now + self.head_patience));
            }
            Patience::Head(_) if self.head_began.get().is_none() => self.head_began.set(Some(Instant::now())),
            Patience::Unlimited | Patience::Head(_) | Patience::Gap(_) => {}
        }
    }

    /// Writing also shows that the exchange goes on: a gap in reading begins anew.
    pub(super) fn note_written(&self, octets: usize) {
        self.stalled_since.set(None);
        if matches!(self.patience.get(), Patience::Gap(_)) {
            self.silent_since.set(Some(Instant::now()));
        }
        self.sent.set(self.sent.get().wrapping_add(octets as u64));
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
    let since = moment.get().unwrap_or_else(Instant::now);
    moment.set(Some(since));
    since
}
