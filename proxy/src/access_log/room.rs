//! Room that texts are written into one after the other, without asking again for each whether there is enough.

use super::escape::{self, Style};

/// Room for text. What is written leaves less of it; none where there is too little.
pub(crate) trait Room: Sized {
    /// Writes a text, whatever is in it: one of ours.
    fn put(self, text: &[u8]) -> Option<Self>;

    /// Writes the first `length` octets of a text: cheaper than [`Room::put`] for a few. May want room for all `N`.
    fn put_first<const N: usize>(self, text: &[u8; N], length: usize) -> Option<Self>;

    /// Writes a value, which is somebody else's.
    fn put_value(self, value: &[u8], style: Style) -> Option<Self>;
}

/// Room that is there. With a slice in place of a vector, all that is kept between two texts are two registers.
impl Room for &mut [u8] {
    #[inline]
    fn put(self, text: &[u8]) -> Option<Self> {
        let (place, rest) = self.split_at_mut_checked(text.len())?;
        place.copy_from_slice(text);
        Some(rest)
    }

    #[inline]
    fn put_first<const N: usize>(self, text: &[u8; N], length: usize) -> Option<Self> {
        *self.first_chunk_mut()? = *text;
        self.get_mut(length..)
    }

    #[inline]
    fn put_value(self, value: &[u8], style: Style) -> Option<Self> {
        let length = value.len();
        self.get_mut(..length)?.copy_from_slice(value);
        if escape::is_plain(self, length)? { self.get_mut(length..) } else { style.put_escaped(value, self) }
    }
}

/// Room that is made when it is needed: there is always enough.
impl Room for &mut Vec<u8> {
    fn put(self, text: &[u8]) -> Option<Self> {
        self.extend_from_slice(text);
        Some(self)
    }

    fn put_first<const N: usize>(self, text: &[u8; N], length: usize) -> Option<Self> {
        self.extend(text.iter().take(length));
        Some(self)
    }

    fn put_value(self, value: &[u8], style: Style) -> Option<Self> {
        style.put_escaped(value, self)
    }
}

/// A text that grows as a whole, to be written into as [`Room`].
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// The text, and octets of no meaning after it.
    octets: Vec<u8>,
    length: usize,
}

/// Octets that a buffer has at least.
const LEAST: usize = 512;
/// Octets that it has at most: several times as many as all fields of a request can have, each octet of them escaped.
const MOST: usize = 4 * 1024 * 1024;

impl Buffer {
    /// Adds what `write` writes; it is called again with more room if there was too little. What is too long is left out.
    #[inline]
    pub(super) fn add(&mut self, mut write: impl FnMut(&mut [u8]) -> Option<&mut [u8]>) {
        loop {
            let room = self.octets.get_mut(self.length..).unwrap_or_default();
            let before = room.len();
            if let Some(rest) = write(room) {
                self.length += before - rest.len();
                return;
            }
            if !self.grow() {
                return;
            }
        }
    }

    /// Adds what `write` writes into room for at least `most` octets. Nothing is added, and the answer is false, where that is
    /// too little or too much.
    #[inline]
    pub(super) fn add_within(&mut self, most: usize, write: impl FnOnce(&mut [u8]) -> Option<&mut [u8]>) -> bool {
        if self.octets.len() - self.length < most && !self.grow_for(most) {
            return false;
        }
        let Some(room) = self.octets.get_mut(self.length..) else { return false };
        let before = room.len();
        let Some(rest) = write(room) else { return false };
        self.length += before - rest.len();
        true
    }

    #[cold]
    fn grow_for(&mut self, more: usize) -> bool {
        if self.length.saturating_add(more) > MOST {
            return false;
        }
        while self.octets.len() - self.length < more {
            if !self.grow() {
                return false;
            }
        }
        true
    }

    /// Takes octets out of the text.
    pub(super) fn remove(&mut self, place: usize, count: usize) {
        if place + count <= self.length {
            self.octets.drain(place..place + count);
            self.length -= count;
        }
    }

    /// Makes twice the room, if that is not too much.
    #[cold]
    fn grow(&mut self) -> bool {
        let room = (2 * self.octets.len()).max(LEAST);
        let may_grow = room <= MOST;
        if may_grow {
            self.octets.resize(room, 0);
        }
        may_grow
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// How much there is room for, the text included.
    pub(super) fn room(&self) -> usize {
        self.octets.len()
    }

    pub(super) fn text(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }

    pub(super) fn clear(&mut self) {
        self.length = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written into room for so many octets.
    fn written(octets: usize, write: impl Fn(&mut [u8]) -> Option<&mut [u8]>) -> Option<Vec<u8>> {
        let mut room = vec![b'.'; octets];
        let rest = write(&mut room)?.len();
        room.truncate(octets - rest);
        Some(room)
    }

    #[test]
    fn texts_follow_each_other_and_never_end_in_the_middle() {
        fn write(room: &mut [u8]) -> Option<&mut [u8]> {
            room.put(b"abc")?.put_first(b"defg", 2)
        }
        assert_eq!(written(7, write).unwrap(), b"abcde");
        assert_eq!(written(6, write), None, "all of the second text wants room");
        assert_eq!(written(2, write), None);
        let mut text = b"before ".to_vec();
        Room::put_first(Room::put(&mut text, b"abc").unwrap(), b"defg", 2).unwrap();
        assert_eq!(text, b"before abcde");
    }

    #[test]
    fn a_buffer_grows_until_all_of_a_text_has_room() {
        for first in [0, 1, 600] {
            let mut buffer = Buffer { octets: vec![0; first], length: 0 };
            let mut calls = 0;
            buffer.add(|room| room.put(b"abc"));
            buffer.add(|room| {
                calls += 1;
                room.put(b"def")?.put(&[b'x'; 1500])
            });
            assert_eq!(buffer.text(), [&b"abcdef"[..], &[b'x'; 1500]].concat(), "{first}");
            assert!(calls > 1 && buffer.room() >= buffer.len());
            buffer.clear();
            buffer.add(|room| room.put(b"new"));
            assert_eq!(buffer.text(), b"new");
        }
    }

    #[test]
    fn what_never_fits_is_left_out() {
        let mut buffer = Buffer::default();
        buffer.add(|room| room.put(b"before"));
        buffer.add(|_| None);
        assert_eq!((buffer.text(), buffer.room()), (&b"before"[..], MOST));
    }

    #[test]
    fn what_is_added_within_a_bound_has_room_for_all_of_it_at_once() {
        let mut buffer = Buffer::default();
        assert!(buffer.add_within(600, |room| {
            assert!(room.len() >= 600);
            room.put(b"abc")
        }));
        assert!(!buffer.add_within(1, |_| None));
        assert!(!buffer.add_within(2 * MOST, |room| room.put(b"x")));
        assert!(buffer.add_within(3, |room| room.put(b"def")));
        assert_eq!(buffer.text(), b"abcdef");
        buffer.remove(1, 3);
        buffer.remove(2, 2);
        assert_eq!(buffer.text(), b"aef");
    }
}
