//! The frames of HTTP/2 as they come in: how long the rest of one may take, and how many a second may be of no use.
//!
//! Only their heads are looked at (RFC 9113 section 4.1); what they mean is for the protocol's implementation, which offers no
//! such limits itself.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::meter::{Meter, Patience};
use crate::clock;

/// Where in a stream of frames its reader is.
#[derive(Debug)]
pub(crate) struct Frames {
    limits: FrameLimits,
    head: [u8; HEAD],
    /// How much of the head of the next frame is there.
    filled: usize,
    /// How much of a payload is still to come; of the preface, at the beginning.
    rest: usize,
    kind: u8,
    /// Header fields are not complete yet.
    in_fields: bool,
    settled: bool,
    since: Instant,
    sent_before: u64,
    requests: u64,
    controls: u64,
    updates: u64,
}

/// How long and how many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameLimits {
    /// For the rest of a frame that is not DATA, and of header fields (nginx: `client_header_timeout`).
    pub(crate) fields: Duration,
    /// Between two octets of DATA (nginx: `client_body_timeout`).
    pub(crate) data: Duration,
    /// Frames a second that carry neither fields nor data. What a client owes for what it was sent does not count.
    pub(crate) controls: u64,
}

/// Octets of the head of a frame.
const HEAD: usize = 9;
/// Octets before the first frame (RFC 9113 section 3.4).
const PREFACE: usize = 24;

/// Types of frames (RFC 9113 section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// The flag of HEADERS and CONTINUATION that nothing more follows.
const END_HEADERS: u8 = 4;

/// Octets sent to a client that may be worth a `WINDOW_UPDATE` to it. Some send two for each small frame.
const OCTETS_PER_UPDATE: u64 = 16;
/// Other frames that may come with a request, such as PRIORITY.
const CONTROLS_PER_REQUEST: u64 = 4;

impl Frames {
    /// Begins before the preface.
    pub(crate) fn new(limits: FrameLimits) -> Self {
        Self {
            limits,
            head: [0; HEAD],
            filled: 0,
            rest: PREFACE,
            kind: SETTINGS,
            in_fields: false,
            settled: false,
            since: Instant::now(),
            sent_before: 0,
            requests: 0,
            controls: 0,
            updates: 0,
        }
    }

    /// Follows these octets. Until SETTINGS have come, the patience of the meter stays as it is.
    ///
    /// # Errors
    ///
    /// When there are more useless frames than the limit.
    pub(super) fn look_at(&mut self, mut octets: &[u8], meter: &Meter) -> io::Result<()> {
        while !octets.is_empty() {
            if self.rest > 0 {
                let (_, after) = octets.split_at(self.rest.min(octets.len()));
                self.rest -= octets.len() - after.len();
                octets = after;
                continue;
            }
            let (begin, after) = octets.split_at((HEAD - self.filled).min(octets.len()));
            if let Some(room) = self.head.get_mut(self.filled..self.filled + begin.len()) {
                room.copy_from_slice(begin);
            }
            self.filled += begin.len();
            octets = after;
            if self.filled == HEAD {
                self.filled = 0;
                self.begin(meter)?;
            }
        }
        self.keep_time(meter);
        Ok(())
    }

    fn begin(&mut self, meter: &Meter) -> io::Result<()> {
        let [first, second, third, kind, flags, ..] = self.head;
        self.rest = usize::from(first) << 16 | usize::from(second) << 8 | usize::from(third);
        self.kind = kind;
        match kind {
            HEADERS | CONTINUATION => {
                self.in_fields = flags & END_HEADERS == 0;
                self.requests += u64::from(kind == HEADERS);
            }
            // Resets have limits of their own.
            DATA | RST_STREAM => {}
            WINDOW_UPDATE => self.updates += 1,
            _ => self.controls += 1,
        }
        self.settled |= kind == SETTINGS;
        if self.is_flood(meter) { Err(io::Error::other("too many control frames")) } else { Ok(()) }
    }

    /// Whether this second had too many. The clock is looked at when there are, not before.
    fn is_flood(&mut self, meter: &Meter) -> bool {
        let limit = self.limits.controls;
        let owed = meter.sent().wrapping_sub(self.sent_before) / OCTETS_PER_UPDATE;
        if self.controls <= limit + CONTROLS_PER_REQUEST * self.requests && self.updates <= limit + owed {
            return false;
        }
        let now = Instant::now();
        if now.duration_since(self.since) < Duration::from_secs(1) {
            return true;
        }
        (self.since, self.sent_before) = (now, meter.sent());
        (self.requests, self.controls, self.updates) = (0, 0, 0);
        false
    }

    fn keep_time(&self, meter: &Meter) {
        if !self.settled {
            return;
        }
        let in_frame = self.filled > 0 || self.rest > 0;
        if in_frame && self.kind == DATA && self.filled == 0 {
            meter.set_patience(Patience::Gap(self.limits.data));
        } else if in_frame || self.in_fields {
            if !matches!(meter.patience(), Patience::Head(_)) {
                meter.set_patience(Patience::Head(clock::now() + self.limits.fields));
            }
        } else {
            meter.set_patience(Patience::Unlimited);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FrameLimits =
        FrameLimits { fields: Duration::from_secs(60), data: Duration::from_secs(30), controls: 100 };

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], &vec![0; payload]].concat()
    }

    fn begun() -> (Frames, Meter) {
        let minute = Duration::from_secs(60);
        let meter = Meter::new(Patience::Head(Instant::now() + minute), minute, minute);
        let mut frames = Frames::new(LIMITS);
        frames.look_at(&[b'P'; PREFACE], &meter).unwrap();
        assert!(matches!(meter.patience(), Patience::Head(_)), "SETTINGS are still owed");
        frames.look_at(&frame(SETTINGS, 0, 12), &meter).unwrap();
        assert_eq!(meter.patience(), Patience::Unlimited);
        (frames, meter)
    }

    #[test]
    fn the_rest_of_a_frame_has_a_time_limit() {
        let (mut frames, meter) = begun();
        let headers = frame(HEADERS, END_HEADERS, 20);
        let (open, end) = (frame(HEADERS, 0, 20), frame(CONTINUATION, END_HEADERS, 5));
        let data = frame(DATA, 0, 100);
        for (octets, want) in [
            (&headers[..3], "head"),
            (&headers[3..15], "head"),
            (&headers[15..], "none"),
            (&open, "head"),
            (&end, "none"),
            (&data[..9], "gap"),
            (&data[9..50], "gap"),
            (&data[50..], "none"),
            (&data[..8], "head"),
            (&[&data[8..], &headers[..1]].concat(), "head"),
            (&headers[1..], "none"),
        ] {
            frames.look_at(octets, &meter).unwrap();
            let got = match meter.patience() {
                Patience::Head(_) => "head",
                Patience::Gap(_) => "gap",
                Patience::Unlimited => "none",
                Patience::Idle(_) => "idle",
            };
            assert_eq!(got, want);
        }
    }

    #[test]
    fn frames_of_no_use_have_a_limit_and_others_have_none() {
        for kind in [2, SETTINGS, 6, WINDOW_UPDATE, 0xfa] {
            let (mut frames, meter) = begun();
            let many = frame(kind, 0, 4).repeat(90);
            frames.look_at(&many, &meter).unwrap();
            frames.look_at(&many, &meter).unwrap_err();
        }
        for kind in [DATA, HEADERS, RST_STREAM, CONTINUATION] {
            let (mut frames, meter) = begun();
            frames.look_at(&frame(kind, 0, 4).repeat(10_000), &meter).unwrap();
        }
    }

    #[test]
    fn what_is_owed_for_what_was_sent_is_no_flood() {
        let (mut frames, meter) = begun();
        let update = frame(WINDOW_UPDATE, 0, 4);
        for _ in 0..1000 {
            meter.note_written(9 + 23);
            frames.look_at(&update.repeat(2), &meter).unwrap();
        }
        let (mut frames, meter) = begun();
        let request = [frame(HEADERS, END_HEADERS, 30), frame(2, 0, 5)].concat();
        frames.look_at(&request.repeat(1000), &meter).unwrap();
    }

    #[test]
    fn pieces_of_any_size_are_the_same_frames() {
        let octets = [frame(HEADERS, END_HEADERS, 30), frame(DATA, 1, 300), frame(6, 0, 8)].concat().repeat(20);
        for size in [1, 2, 7, 9, 10, 64, 1000] {
            let (mut frames, meter) = begun();
            octets.chunks(size).for_each(|piece| frames.look_at(piece, &meter).unwrap());
            assert_eq!((frames.requests, frames.controls, meter.patience()), (20, 21, Patience::Unlimited), "{size}");
        }
    }
}
