//! Numbers, durations and addresses as text, as `Display` would write them but without its machinery.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::room::Room;

/// Writes a number.
#[inline]
pub(crate) fn put_number<R: Room>(number: u64, room: R) -> Option<R> {
    match number {
        ..1000 => put_group(number, room),
        _ => put_groups(number, room),
    }
}

/// Writes seconds with three decimals, as nginx writes durations: cut off, not rounded.
pub(crate) fn put_seconds<R: Room>(duration: Duration, room: R) -> Option<R> {
    let room = put_number(duration.as_secs(), room)?;
    let [first, second, third] = three(duration.subsec_millis().into());
    room.put_first(&[b'.', first, second, third], 4)
}

/// Writes a number and a space. To call it would cost as much as it does.
#[inline(always)]
pub(super) fn put_number_field<R: Room>(number: u64, room: R) -> Option<R> {
    match usize::try_from(number).ok().and_then(|number| FIELDS.get(number)) {
        Some(field) => room.put_first(field, usize::from(field[3] >> 3)),
        None => put_long_number_field(number, room),
    }
}

#[inline(never)]
fn put_long_number_field<R: Room>(number: u64, room: R) -> Option<R> {
    put_groups(number, room)?.put_first(b" ", 1)
}

/// Writes seconds as [`put_seconds`] does, and a space. To call it would cost as much as it does.
#[inline(always)]
pub(super) fn put_seconds_field<R: Room>(duration: Duration, room: R) -> Option<R> {
    const BEFORE: u64 = u64::from_le_bytes(*b"0.\0\0\0 \0\0");
    if duration.as_secs() != 0 {
        return put_long_seconds_field(duration, room);
    }
    let [digits @ .., _] = entry(duration.subsec_millis().into());
    let [first, second, third] = digits;
    let digits = u64::from(u32::from_le_bytes([first, second, third, 0])) << 16;
    room.put_first(&(BEFORE | digits).to_le_bytes(), 6)
}

#[inline(never)]
fn put_long_seconds_field<R: Room>(duration: Duration, room: R) -> Option<R> {
    put_seconds(duration, room)?.put_first(b" ", 1)
}

/// Writes an IP address.
pub(crate) fn put_ip<R: Room>(address: IpAddr, room: R) -> Option<R> {
    match address {
        IpAddr::V4(address) => put_v4(address, room),
        IpAddr::V6(address) => put_v6(address, room),
    }
}

/// Writes address and port.
pub(crate) fn put_socket<R: Room>(address: SocketAddr, room: R) -> Option<R> {
    let mut room = room;
    match address {
        SocketAddr::V4(address) => room = put_v4(*address.ip(), room)?,
        SocketAddr::V6(address) => {
            room = put_v6(*address.ip(), room.put(b"[")?)?;
            if address.scope_id() != 0 {
                room = put_number(address.scope_id().into(), room.put(b"%")?)?;
            }
            room = room.put(b"]")?;
        }
    }
    put_number(address.port().into(), room.put_first(b":", 1)?)
}

fn put_groups<R: Room>(number: u64, room: R) -> Option<R> {
    let room = put_number(number / 1000, room)?;
    room.put_first(&three(number % 1000), 3)
}

/// Writes a number below 1000 without leading zeros.
#[inline]
fn put_group<R: Room>(number: u64, room: R) -> Option<R> {
    let entry = u32::from_le_bytes(entry(number));
    let zeros = entry >> 24;
    room.put_first(&(entry >> (8 * zeros)).to_le_bytes(), 3 - zeros as usize)
}

/// The digits of a number below 1000, with leading zeros.
fn three(number: u64) -> [u8; 3] {
    let [first, second, third, _] = entry(number);
    [first, second, third]
}

/// Three digits, and how many of them are leading zeros: at most two.
fn entry(number: u64) -> [u8; 4] {
    usize::try_from(number).ok().and_then(|number| ENTRIES.get(number)).copied().unwrap_or_default()
}

static ENTRIES: [[u8; 4]; 1000] = entries();

#[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "worked out by the compiler")]
const fn entries() -> [[u8; 4]; 1000] {
    let mut entries = [[0; 4]; 1000];
    let mut number = 0;
    while number < 1000 {
        let digits = [b'0' + (number / 100) as u8, b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8];
        let zeros = if number < 10 { 2 } else { (number < 100) as u8 };
        entries[number] = [digits[0], digits[1], digits[2], zeros];
        number += 1;
    }
    entries
}

/// Numbers below 1000 and the space after each. The upper five bits of the last octet are the length, also where it is a space.
static FIELDS: [[u8; 4]; 1000] = fields();

#[expect(clippy::indexing_slicing, reason = "worked out by the compiler")]
const fn fields() -> [[u8; 4]; 1000] {
    let mut fields = entries();
    let mut number = 0;
    while number < 1000 {
        let [first, second, third, zeros] = fields[number];
        fields[number] = match zeros {
            // A space is 4 << 3.
            0 => [first, second, third, b' '],
            1 => [second, third, b' ', 3 << 3],
            _ => [third, b' ', 0, 2 << 3],
        };
        number += 1;
    }
    fields
}

fn put_v4<R: Room>(address: Ipv4Addr, room: R) -> Option<R> {
    let [first, second, third, fourth] = address.octets();
    let room = put_group(first.into(), room)?.put_first(b".", 1)?;
    let room = put_group(second.into(), room)?.put_first(b".", 1)?;
    let room = put_group(third.into(), room)?.put_first(b".", 1)?;
    put_group(fourth.into(), room)
}

/// As RFC 5952 section 4 says: the first of the longest runs of zeros is left out, if it is longer than one.
fn put_v6<R: Room>(address: Ipv6Addr, room: R) -> Option<R> {
    if let Some(address) = address.to_ipv4_mapped() {
        return put_v4(address, room.put(b"::ffff:")?);
    }
    let segments = address.segments();
    let (start, length) = longest_zeros(&segments);
    let mut room = room;
    for (place, segment) in segments.into_iter().enumerate() {
        if length > 1 && (start..start + length).contains(&place) {
            if place == start {
                room = room.put(b"::")?;
            }
            continue;
        }
        if place > 0 && (length < 2 || place != start + length) {
            room = room.put_first(b":", 1)?;
        }
        room = put_hex(segment, room)?;
    }
    Some(room)
}

/// Where the first of the longest runs of zeros begins, and how long it is.
fn longest_zeros(segments: &[u16; 8]) -> (usize, usize) {
    let (mut longest, mut current) = ((0, 0), (0, 0));
    for (place, segment) in segments.iter().enumerate() {
        current = match *segment {
            0 if current.1 == 0 => (place, 1),
            0 => (current.0, current.1 + 1),
            _ => (0, 0),
        };
        if current.1 > longest.1 {
            longest = current;
        }
    }
    longest
}

/// Writes a number in hexadecimal without leading zeros.
fn put_hex<R: Room>(number: u16, room: R) -> Option<R> {
    let zeros = (number.leading_zeros() / 4).min(3);
    let digits = [12, 8, 4, 0].map(|shift| hex_digit(number >> shift));
    room.put_first(&(u32::from_le_bytes(digits) >> (8 * zeros)).to_le_bytes(), 4 - zeros as usize)
}

/// The lowest four bits in lower case.
fn hex_digit(number: u16) -> u8 {
    let [low, _] = number.to_le_bytes();
    match low & 15 {
        digit @ 0..10 => b'0' + digit,
        letter => b'a' - 10 + letter,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is written, which is the same wherever it is written to.
    fn text(
        put: impl Fn(&mut [u8]) -> Option<&mut [u8]>,
        grow: impl Fn(&mut Vec<u8>) -> Option<&mut Vec<u8>>,
    ) -> String {
        let (mut room, mut text) = ([b'.'; 80], b"before ".to_vec());
        let rest = put(&mut room).unwrap().len();
        grow(&mut text).unwrap();
        assert_eq!(text.strip_prefix(b"before ").unwrap(), &room[..80 - rest]);
        String::from_utf8_lossy(&room[..80 - rest]).into_owned()
    }

    #[test]
    fn numbers_of_every_length_are_those_of_display() {
        let powers = (0..20).map(|digits| 10_u64.pow(digits));
        let around = powers.flat_map(|power| [power - 1, power, power + 1, power + power / 2]);
        for number in (0..2000).chain(around).chain([u64::MAX - 1, u64::MAX]) {
            assert_eq!(text(|room| put_number(number, room), |room| put_number(number, room)), number.to_string());
            let field = text(|room| put_number_field(number, room), |room| put_number_field(number, room));
            assert_eq!(field, format!("{number} "));
        }
    }

    #[test]
    fn durations_are_cut_off_after_milliseconds() {
        for (micros, want) in [
            (0, "0.000"),
            (999, "0.000"),
            (1_000, "0.001"),
            (12_999, "0.012"),
            (999_999, "0.999"),
            (60_100_000, "60.100"),
            (1_234_567_890_123, "1234567.890"),
        ] {
            let took = Duration::from_micros(micros);
            assert_eq!(text(|room| put_seconds(took, room), |room| put_seconds(took, room)), want);
            let field = text(|room| put_seconds_field(took, room), |room| put_seconds_field(took, room));
            assert_eq!(field, format!("{want} "));
        }
    }

    #[test]
    fn addresses_are_those_of_display() {
        for address in [
            "0.0.0.0:0",
            "10.0.99.100:8080",
            "255.255.255.255:65535",
            "[::]:80",
            "[::1]:80",
            "[1::]:80",
            "[2001:db8::1]:443",
            "[2001:db8:0:1::]:443",
            "[2001:db8:0:1:2:3:4:5]:1",
            "[1:0:0:2:0:0:0:3]:1",
            "[1:0:0:2:3:0:0:4]:1",
            "[1:0:2:0:3:0:4:0]:1",
            "[0:1:2:3:4:5:6:7]:1",
            "[::ffff:10.0.0.1]:80",
            "[::10.0.0.1]:80",
            "[fe80::1%3]:80",
        ] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(text(|room| put_socket(address, room), |room| put_socket(address, room)), address.to_string());
            assert_eq!(
                text(|room| put_ip(address.ip(), room), |room| put_ip(address.ip(), room)),
                address.ip().to_string()
            );
        }
    }

    proptest! {
        #[test]
        fn any_address_is_that_of_display(
            segments in prop::array::uniform8(prop_oneof![Just(0_u16), any::<u16>(), 0..16_u16]),
            port: u16,
        ) {
            let address = SocketAddr::from((segments, port));
            prop_assert_eq!(text(|room| put_socket(address, room), |room| put_socket(address, room)), address.to_string());
        }
    }
}
