//! What a log line needs of the heads of a request and its response, written down while they are there.

use super::escape::Style;
use super::literal::Literal;
use super::room::{Buffer, Room};
use super::usual::UsualEnds;

/// Parts of a line, escaped. Reused from request to request.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    pub(super) request: Runs,
    pub(super) response: Runs,
    /// Where parts of `request` end that were written down for [`super::usual`]: then they have room for the time between them.
    pub(super) usual: Option<UsualEnds>,
    request_id: Literal<32>,
}

/// Parts of a line that have others between them.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// All of them.
    pub(super) text: Buffer,
    pub(super) lengths: Vec<usize>,
}

/// A buffer that grew beyond this is not kept for the next request.
const USUAL: usize = 4096;

impl Captured {
    /// Whether it has room, and not too much.
    #[inline]
    pub(crate) fn is_worth_keeping(&self) -> bool {
        (1..=USUAL).contains(&(self.request.text.room() + self.response.text.room()))
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.request.clear();
        self.response.clear();
        self.usual = None;
        self.request_id.clear();
    }

    /// Writes down the `X-Request-ID`, which is plain in every style.
    #[inline]
    pub(crate) fn note_request_id(&mut self, id: &[u8]) {
        self.request_id.set(id);
    }

    /// Writes the `X-Request-ID` that was written down.
    #[inline(always)]
    pub(crate) fn put_request_id<R: Room>(&self, style: Style, room: R) -> Option<R> {
        if self.request_id.is_empty() { style.put_unset(room) } else { self.request_id.put(room) }
    }
}

impl Runs {
    #[inline]
    fn clear(&mut self) {
        self.text.clear();
        self.lengths.clear();
    }

    /// Whether nothing was written down.
    pub(super) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// To go through them.
    pub(super) fn begin(&self) -> RunsLeft<'_> {
        RunsLeft { text: self.text.text(), lengths: self.lengths.iter() }
    }
}

/// Parts that were not gone through yet.
pub(super) struct RunsLeft<'c> {
    text: &'c [u8],
    lengths: std::slice::Iter<'c, usize>,
}

impl<'c> RunsLeft<'c> {
    /// The next part.
    #[inline]
    pub(super) fn next(&mut self) -> Option<&'c [u8]> {
        let (run, rest) = self.text.split_at_checked(*self.lengths.next()?)?;
        self.text = rest;
        Some(run)
    }
}
