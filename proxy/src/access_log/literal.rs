//! Texts that are in many log lines.

use super::room::Room;

/// A text, mostly of no more than `N` octets, that is written again and again.
#[derive(Clone, Debug)]
pub(super) struct Literal<const N: usize> {
    /// The first octets, and zeros where there are no more.
    first: [u8; N],
    /// How many of them are of the text.
    length: usize,
    rest: Vec<u8>,
}

impl<const N: usize> Default for Literal<N> {
    fn default() -> Self {
        Self { first: [0; N], length: 0, rest: Vec::new() }
    }
}

impl<const N: usize> Literal<N> {
    pub(super) fn new(text: &[u8]) -> Self {
        let mut literal = Self::default();
        literal.append(text);
        literal
    }

    /// Makes it longer.
    pub(super) fn append(&mut self, text: &[u8]) {
        let mut octets = text.iter();
        let free = self.first.iter_mut().skip(self.length);
        for (place, octet) in free.zip(octets.by_ref()) {
            *place = *octet;
            self.length += 1;
        }
        self.rest.extend(octets);
    }

    /// Makes it another text.
    #[inline]
    pub(super) fn set(&mut self, text: &[u8]) {
        self.clear();
        match <[u8; N]>::try_from(text) {
            Ok(all) => (self.first, self.length) = (all, N),
            Err(_) => self.append(text),
        }
    }

    /// Makes it empty.
    pub(super) fn clear(&mut self) {
        self.length = 0;
        self.rest.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Writes it into a place of its length, if that is one.
    #[inline]
    pub(super) fn fill_in<const M: usize>(&self, place: &mut [u8; M]) -> Option<()> {
        if self.length != M || !self.rest.is_empty() {
            return None;
        }
        *place = *self.first.first_chunk()?;
        Some(())
    }

    /// Writes it.
    #[inline]
    pub(super) fn put<R: Room>(&self, room: R) -> Option<R> {
        let room = room.put_first(&self.first, self.length)?;
        if self.rest.is_empty() { Some(room) } else { room.put(&self.rest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_every_length_are_what_was_put_in() {
        let text: Vec<u8> = (0..48).map(|place| b'a' + (place % 26) as u8).collect();
        for end in 0..=text.len() {
            for middle in 0..=end {
                let mut literal = Literal::<16>::new(&text[..middle]);
                literal.append(&text[middle..end]);
                if end % 2 == 0 {
                    literal.set(&text[..end]);
                }
                let mut line = b"before ".to_vec();
                literal.put(&mut line).unwrap();
                assert_eq!(line.strip_prefix(b"before ").unwrap(), &text[..end], "{middle} {end}");
            }
        }
    }

    #[test]
    fn only_a_text_of_the_same_length_fills_a_place() {
        for (length, want) in [(25, None), (26, Some(())), (27, None), (40, None)] {
            let mut place = [b'.'; 26];
            assert_eq!(Literal::<32>::new(&[b'x'; 40][..length]).fill_in(&mut place), want, "{length}");
            assert_eq!(place == [b'x'; 26], want.is_some());
        }
    }
}
