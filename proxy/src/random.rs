//! Random numbers for shares, turns and request ids. Not for secrets.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// A generator of one worker (xoshiro256++ of Blackman and Vigna), begun from the randomness of the system.
#[derive(Debug)]
pub(crate) struct Random(Cell<[u64; 4]>);

impl Random {
    pub(crate) fn new() -> Self {
        // A state of zeros only would stay there; four hashes by different random keys are not all zero.
        let word = |salt: u64| RandomState::new().hash_one(salt);
        Self(Cell::new([word(1), word(2), word(3), word(4) | 1]))
    }

    /// 64 random bits.
    pub(crate) fn bits(&self) -> u64 {
        let [mut a, mut b, mut c, mut d] = self.0.get();
        let bits = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let shifted = b << 17;
        c ^= a;
        d ^= b;
        b ^= c;
        a ^= d;
        c ^= shifted;
        self.0.set([a, b, c, d.rotate_left(45)]);
        bits
    }

    /// A number below `limit`; 0 where there is none.
    pub(crate) fn below(&self, limit: usize) -> usize {
        // Multiplying instead of dividing (Lemire); the bias is less than `limit` in 2^64.
        usize::try_from((u128::from(self.bits()) * limit as u128) >> 64).unwrap_or(0)
    }

    /// 128 random bits as 32 lower-case hexadecimal digits, as nginx's `$request_id`.
    pub(crate) fn hexadecimal(&self) -> [u8; 32] {
        let bits = (u128::from(self.bits()) << 64) | u128::from(self.bits());
        let mut rest = bits;
        [(); 32].map(|()| {
            let digit = (rest & 15) as u8;
            rest >>= 4;
            if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_below_their_limit_and_reach_all_of_it() {
        let random = Random::new();
        let mut seen = [0_u32; 5];
        for _ in 0..5_000 {
            seen[random.below(5)] += 1;
        }
        assert!(seen.iter().all(|count| (800..1_200).contains(count)), "{seen:?}");
        assert_eq!((random.below(1), random.below(0)), (0, 0));
    }

    #[test]
    fn ids_are_32_digits_and_differ() {
        let random = Random::new();
        let (one, two) = (random.hexadecimal(), random.hexadecimal());
        assert_ne!(one, two);
        assert!(one.iter().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(digit)));
    }
}
