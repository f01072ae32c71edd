//! Texts that are in many log lines.

use super::room::Room;

/// A text, mostly of no more than `N` octets, that is written again and again.
#[derive(Debug)]
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

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
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
                let mut line = b"before ".to_vec();
                literal.put(&mut line).unwrap();
                assert_eq!(line.strip_prefix(b"before ").unwrap(), &text[..end], "{middle} {end}");
            }
        }
    }
}
