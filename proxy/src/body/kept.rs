//! The beginning of a body, in memory.

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::storage::Room;

/// Pieces in order. Small ones are put together, so that what they take is close to what they hold.
#[derive(Debug)]
pub(super) struct Kept {
    /// Most bodies come in one.
    pieces: SmallVec<[Bytes; 1]>,
    tail: BytesMut,
    octets: u64,
    room: Room,
}

/// Smaller pieces are copied into a larger one.
const SMALL: usize = 1024;
/// Size of a piece that small ones are put together in.
const TOGETHER: usize = 8 * 1024;

impl Kept {
    pub(super) fn new(room: Room) -> Self {
        Self { pieces: SmallVec::new(), tail: BytesMut::new(), octets: 0, room }
    }

    /// Keeps one more piece, unless they were more than `most` octets then or there is no room.
    #[must_use]
    pub(super) fn keep(&mut self, piece: &Bytes, most: u64) -> bool {
        let length = piece.len() as u64;
        if self.octets.saturating_add(length) > most || !self.room.take(length) {
            return false;
        }
        self.octets += length;
        if piece.len() < SMALL && !self.pieces.is_empty() {
            self.tail.extend_from_slice(piece);
            if self.tail.len() >= TOGETHER {
                self.settle();
            }
        } else {
            self.settle();
            self.pieces.push(piece.clone());
        }
        true
    }

    /// Makes every octet part of a piece.
    pub(super) fn settle(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push(std::mem::take(&mut self.tail).freeze());
        }
    }

    /// A piece; what is not settled is in none.
    pub(super) fn piece(&self, number: usize) -> Option<&Bytes> {
        self.pieces.get(number)
    }

    /// How many pieces there are.
    pub(super) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Octets from this piece on.
    pub(super) fn octets_from(&self, number: usize) -> u64 {
        self.pieces.iter().skip(number).map(|piece| piece.len() as u64).sum()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        (self.pieces, self.tail) = (SmallVec::new(), BytesMut::new());
        self.room.give_back(self.octets);
        self.octets = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::storage::tests::small;
    use super::*;

    #[test]
    fn small_pieces_are_put_together_and_order_stays() {
        let config = crate::server::BufferConfig { memory: 1 << 20, ..crate::server::BufferConfig::new("/".into()) };
        let mut kept = Kept::new(std::rc::Rc::new(super::super::Storage::new(&config)).memory());
        let pieces: Vec<Bytes> = [5, 3000, 1, 1, 2000, 7]
            .iter()
            .enumerate()
            .map(|(number, length)| Bytes::from(vec![u8::try_from(number).unwrap(); *length]))
            .collect();
        assert!(pieces.iter().all(|piece| kept.keep(piece, 1 << 20)));
        kept.settle();
        let lengths: Vec<usize> = (0..kept.pieces()).map(|number| kept.piece(number).unwrap().len()).collect();
        assert_eq!((lengths, kept.octets), (vec![5, 3000, 2, 2000, 7], 5014));
        let all: Vec<u8> = (0..kept.pieces()).flat_map(|number| kept.piece(number).unwrap().to_vec()).collect();
        assert_eq!(all, pieces.concat());
        assert_eq!((kept.octets_from(0), kept.octets_from(3)), (5014, 2007));
        for _ in 0..100_000 {
            assert!(kept.keep(&Bytes::from_static(b"x"), 1 << 20));
        }
        assert!(kept.pieces() < 20, "{}", kept.pieces());
    }

    #[test]
    fn neither_the_body_nor_all_of_them_get_too_large() {
        let storage = small(Path::new("/"));
        let (mut one, mut other) = (Kept::new(storage.memory()), Kept::new(storage.memory()));
        let sixty = Bytes::from(vec![0; 60]);
        assert!(!one.keep(&sixty, 59) && one.keep(&sixty, 60));
        assert!(!other.keep(&sixty, 1000), "100 in all");
        one.clear();
        assert!(other.keep(&sixty, 1000) && one.octets == 0);
    }
}
