//! Addresses of endpoints as text, which are the same in line after line.

use std::cell::Cell;
use std::net::SocketAddr;

use super::digits::put_socket;
use super::room::Room;

/// Texts of addresses that were written not long ago. One per worker.
#[derive(Debug)]
pub(crate) struct AddressTexts(Box<[Cell<Known>; PLACES]>);

/// An IPv4 address and port with its text and the space after it.
#[derive(Clone, Copy, Debug)]
struct Known {
    key: u64,
    text: [u8; LONGEST],
    length: usize,
}

/// Addresses that are known at a time, each in the one place that its octets choose: 10 KiB.
const PLACES: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 8;
/// `255.255.255.255:65535` and a space, and a little more to copy whole words.
const LONGEST: usize = 24;
/// What no address has as its key.
const NOBODY: u64 = u64::MAX;

impl Default for AddressTexts {
    fn default() -> Self {
        Self(Box::new([const { Cell::new(Known { key: NOBODY, text: [0; LONGEST], length: 0 }) }; PLACES]))
    }
}

impl AddressTexts {
    /// Writes address and port, and a space. To call it would cost half as much as it does.
    #[inline(always)]
    pub(super) fn put_field<'r>(&self, address: &SocketAddr, room: &'r mut [u8]) -> Option<&'r mut [u8]> {
        let SocketAddr::V4(of_v4) = address else { return put_anew(address, room) };
        let key = u64::from(of_v4.ip().to_bits()) << 16 | u64::from(of_v4.port());
        let place = self.0.get(place(key))?;
        let known = place.get();
        if known.key != key {
            place.set(note(address, key)?);
            return put_anew(address, room);
        }
        room.put_first(&known.text, known.length)
    }
}

/// Multiplying spreads the octets over the upper bits (Knuth).
fn place(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - PLACE_BITS)) as usize
}

#[cold]
fn note(address: &SocketAddr, key: u64) -> Option<Known> {
    let mut text = [0; LONGEST];
    let left = put_anew(address, &mut text)?.len();
    Some(Known { key, text, length: LONGEST - left })
}

#[inline(never)]
fn put_anew<'r>(address: &SocketAddr, room: &'r mut [u8]) -> Option<&'r mut [u8]> {
    put_socket(*address, room)?.put(b" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(texts: &AddressTexts, address: SocketAddr) -> String {
        let mut room = [b'.'; 80];
        let left = texts.put_field(&address, &mut room).unwrap().len();
        String::from_utf8_lossy(&room[..80 - left]).into_owned()
    }

    proptest! {
        #[test]
        fn texts_are_those_of_their_addresses_however_often_they_are_asked_for(
            addresses in prop::collection::vec((any::<[u8; 4]>(), any::<u16>()), 1..600),
        ) {
            let texts = AddressTexts::default();
            let most = [([255; 4], 65_535), ([0; 4], 0), ([255; 4], 65_535)];
            for address in addresses.iter().chain(&addresses).chain(&most) {
                let address = SocketAddr::from(*address);
                prop_assert_eq!(text(&texts, address), format!("{address} "));
            }
        }
    }

    #[test]
    fn addresses_of_ipv6_are_written_each_time() {
        let texts = AddressTexts::default();
        for address in ["[2001:db8::1]:443", "[::ffff:10.0.0.1]:80", "10.0.0.1:80"] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(text(&texts, address), format!("{address} "));
        }
    }
}
