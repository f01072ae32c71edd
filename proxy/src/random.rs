//! Random numbers for shares, turns and request ids. Not for secrets.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use http::HeaderValue;

/// A generator of one worker (xoshiro256++ of Blackman and Vigna), begun from the randomness of the system.
#[derive(Debug)]
pub(crate) struct Random {
    state: Cell<[u64; 4]>,
    /// Request ids, not used yet.
    ids: RefCell<Bytes>,
}

/// Request ids that are made at a time, so that few allocations are: one id is [`ID`] octets.
const IDS: usize = 16;
/// Octets of a request id.
const ID: usize = 32;

impl Random {
    pub(crate) fn new() -> Self {
        // A state of zeros only would stay there; four hashes by different random keys are not all zero.
        let word = |salt: u64| RandomState::new().hash_one(salt);
        Self { state: Cell::new([word(1), word(2), word(3), word(4) | 1]), ids: RefCell::default() }
    }

    /// 64 random bits.
    pub(crate) fn bits(&self) -> u64 {
        let [mut a, mut b, mut c, mut d] = self.state.get();
        let bits = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let shifted = b << 17;
        c ^= a;
        d ^= b;
        b ^= c;
        a ^= d;
        c ^= shifted;
        self.state.set([a, b, c, d.rotate_left(45)]);
        bits
    }

    /// A number below `limit`; 0 where there is none.
    pub(crate) fn below(&self, limit: usize) -> usize {
        // Multiplying instead of dividing (Lemire); the bias is less than `limit` in 2^64.
        usize::try_from((u128::from(self.bits()) * limit as u128) >> 64).unwrap_or(0)
    }

    /// 128 random bits as 32 lower-case hexadecimal digits, as nginx's `$request_id`.
    pub(crate) fn request_id(&self) -> Option<HeaderValue> {
        let mut ids = self.ids.borrow_mut();
        if ids.len() < ID {
            let mut text = Vec::with_capacity(IDS * ID);
            while text.len() < IDS * ID {
                text.extend_from_slice(&hexadecimal(self.bits()));
            }
            *ids = text.into();
        }
        HeaderValue::from_maybe_shared(ids.split_to(ID)).ok()
    }
}

/// 16 digits, the least significant first.
fn hexadecimal(bits: u64) -> [u8; 16] {
    // A digit in each octet, the lower halves of the octets in one word and the upper halves in the other.
    const LOW: u64 = 0x0f0f_0f0f_0f0f_0f0f;
    let [low, high] = [bits & LOW, (bits >> 4) & LOW].map(|digits| {
        // 1 where a digit is a letter, by the carry of adding 6 to it.
        let letters = ((digits + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
        (digits + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'0' - 10)).to_le_bytes()
    });
    let mut text = [0; 16];
    for (pair, digits) in text.chunks_exact_mut(2).zip(low.into_iter().zip(high)) {
        pair.copy_from_slice(&<[u8; 2]>::from(digits));
    }
    text
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
        let ids: Vec<HeaderValue> = (0..3 * IDS).map(|_| random.request_id().unwrap()).collect();
        for id in &ids {
            assert!(
                id.len() == ID
                    && id.as_bytes().iter().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(digit))
            );
        }
        assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), ids.len());
    }

    #[test]
    fn all_digits_are_written() {
        assert_eq!(&hexadecimal(0xfedc_ba98_7654_3210), b"0123456789abcdef");
    }
}
