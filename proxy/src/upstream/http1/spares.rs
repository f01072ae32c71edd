//! Buffers that exchanges hand on to one another, so that idle connections have none and busy ones need no new ones.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;

use bytes::BytesMut;
use http::HeaderMap;

/// Octets that a buffer has at first.
pub(super) const FIRST: usize = 8 * 1024;

/// Buffers of each kind that are kept: about as many as exchanges are usually between two phases at once.
const KEPT: usize = 32;

/// Most fields that a map may have room for to be kept.
const FIELDS: usize = 64;

/// The buffers of one worker that nobody uses. Of each kind there are few.
#[derive(Default)]
pub(in crate::upstream) struct Spares {
    /// What was handed out of them may still be in use: so the one that was put back first is taken first.
    reading: RefCell<VecDeque<BytesMut>>,
    writing: RefCell<Vec<Vec<u8>>>,
    maps: RefCell<Vec<HeaderMap>>,
}

impl Spares {
    /// An empty buffer to read into.
    pub(super) fn to_read(&self) -> BytesMut {
        let mut buffer = self.reading.borrow_mut().pop_front().unwrap_or_default();
        // All of it again, if nobody has a part of it any more; if not, what is left will do for now.
        let _whole = buffer.try_reclaim(FIRST);
        buffer
    }

    /// Takes back one that never was larger than [`FIRST`]. What is in it is lost: it is nobody else's.
    pub(super) fn keep_read(&self, mut buffer: BytesMut) {
        buffer.clear();
        let mut kept = self.reading.borrow_mut();
        if kept.len() < KEPT {
            kept.push_back(buffer);
        }
    }

    /// An empty buffer to write from.
    pub(super) fn to_write(&self) -> Vec<u8> {
        self.writing.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(FIRST))
    }

    pub(super) fn keep_written(&self, mut buffer: Vec<u8>) {
        let mut kept = self.writing.borrow_mut();
        if kept.len() < KEPT && buffer.capacity() <= FIRST && buffer.capacity() > 0 {
            buffer.clear();
            kept.push(buffer);
        }
    }

    /// An empty map for fields.
    pub(super) fn map(&self) -> HeaderMap {
        self.maps.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes fields that are not needed any more.
    pub(in crate::upstream) fn keep_map(&self, mut map: HeaderMap) {
        let mut kept = self.maps.borrow_mut();
        if kept.len() < KEPT && map.capacity() <= FIELDS && map.capacity() > 0 {
            map.clear();
            kept.push(map);
        }
    }
}

impl fmt::Debug for Spares {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Spares")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_one_exchange_is_in_a_buffer_of_the_next() {
        let spares = Spares::default();
        let mut read = BytesMut::with_capacity(FIRST);
        read.extend_from_slice(b"left");
        let slice = read.split_to(1).freeze();
        spares.keep_read(read);
        assert!(spares.to_read().is_empty());
        assert_eq!(slice, "l");
        let mut written = spares.to_write();
        written.extend_from_slice(b"left");
        spares.keep_written(written);
        assert!(spares.to_write().is_empty());
        let mut map = HeaderMap::with_capacity(8);
        map.insert("x-a", http::HeaderValue::from_static("left"));
        spares.keep_map(map);
        assert!(spares.map().is_empty());
    }

    #[test]
    fn a_buffer_that_nobody_reads_any_more_is_used_whole_again() {
        let spares = Spares::default();
        let mut read = BytesMut::with_capacity(FIRST);
        let begin = read.as_ptr();
        read.extend_from_slice(&[0; 100]);
        let slice = read.split().freeze();
        spares.keep_read(read);
        drop(slice);
        let read = spares.to_read();
        assert_eq!((read.as_ptr(), read.capacity() >= FIRST), (begin, true));
    }

    #[test]
    fn few_are_kept_and_none_that_is_large() {
        let spares = Spares::default();
        for _ in 0..2 * KEPT {
            spares.keep_read(BytesMut::with_capacity(FIRST));
            spares.keep_written(Vec::with_capacity(FIRST));
            spares.keep_map(HeaderMap::with_capacity(8));
        }
        let kept = (spares.reading.borrow().len(), spares.writing.borrow().len(), spares.maps.borrow().len());
        assert_eq!(kept, (KEPT, KEPT, KEPT));
        let spares = Spares::default();
        spares.keep_written(Vec::with_capacity(2 * FIRST));
        spares.keep_map(HeaderMap::with_capacity(2 * FIELDS));
        assert_eq!((spares.writing.borrow().len(), spares.maps.borrow().len()), (0, 0));
    }
}
