//! Which resolved addresses requests may be sent to.

use std::net::{IpAddr, Ipv6Addr};

/// The metadata service of EC2 over IPv6, outside of the link-local range.
const EC2_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Whether a name may lead here. Link-local addresses, the metadata services of clouds among them, multicast, broadcast and
/// unspecified ones are nobody's backend. Loopback is left to the caller: in files it is usual.
pub(super) fn is_usable(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => !(v4.is_link_local() || v4.is_multicast() || v4.is_unspecified() || v4.is_broadcast()),
        IpAddr::V6(v6) => {
            !(v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified() || v6 == EC2_METADATA)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_to_link_local_or_multicast_addresses() {
        for (text, want) in [
            ("192.0.2.1", true),
            ("10.0.0.1", true),
            ("127.0.0.1", true),
            ("::1", true),
            ("2001:db8::1", true),
            ("169.254.169.254", false),
            ("::ffff:169.254.169.254", false),
            ("fe80::1", false),
            ("fd00:ec2::254", false),
            ("fd00:ec2::253", true),
            ("224.0.0.1", false),
            ("ff02::1", false),
            ("0.0.0.0", false),
            ("::", false),
            ("255.255.255.255", false),
        ] {
            assert_eq!(is_usable(text.parse().unwrap()), want, "{text}");
        }
    }
}
