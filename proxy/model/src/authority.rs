//! The host of a request, read once: from `Host`, an absolute request target or `:authority`.

use std::borrow::Cow;

/// The authority a client asked for (RFC 9110 section 7.2, RFC 3986 section 3.2).
///
/// [`Authority::host`] is what routing compares: lower case, without port and without one trailing dot.
/// [`Authority::as_received`] is what is forwarded in `Host`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Authority<'a> {
    raw: &'a str,
    host: Cow<'a, str>,
    port: Option<u16>,
}

/// Why a `Host` value is refused with 400.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidAuthority {
    /// No host at all.
    #[error("the host is empty")]
    Empty,
    /// An octet that no host name or address literal can hold, user information included.
    #[error("the host has a character that is not allowed")]
    Character,
    /// The port is no number from 0 to 65535.
    #[error("the port is not a number from 0 to 65535")]
    Port,
    /// Two dots in a row, or longer than a DNS name can be.
    #[error("the host is not a name or an address")]
    Name,
}

/// A DNS name has at most 253 octets (RFC 1035 section 2.3.4), here one more for the trailing dot.
const LONGEST_HOST: usize = 254;

impl<'a> Authority<'a> {
    /// Reads `host[:port]`.
    ///
    /// # Errors
    ///
    /// When the value holds anything but a registered name, an IPv4 address or a bracketed IPv6 address and a port.
    pub fn parse(raw: &'a str) -> Result<Self, InvalidAuthority> {
        let Split { host, port, octets } = split(raw)?;
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.is_empty() {
            return Err(InvalidAuthority::Empty);
        }
        if host.len() > LONGEST_HOST || host.starts_with('.') || octets.adjacent & DOT != 0 {
            return Err(InvalidAuthority::Name);
        }
        let is_lower = octets.all & UPPER == 0;
        let host = if is_lower { Cow::Borrowed(host) } else { Cow::Owned(host.to_ascii_lowercase()) };
        Ok(Self { raw, host, port })
    }

    /// One that was read before and [is plain](Self::is_plain), which spares reading it again.
    #[must_use]
    pub fn of_plain(raw: &'a str) -> Self {
        Self { raw, host: Cow::Borrowed(raw), port: None }
    }

    /// Whether the host is all there is, and written as it is compared.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.host.len() == self.raw.len() && matches!(self.host, Cow::Borrowed(_))
    }

    /// Lower case, without port and trailing dot. An IPv6 address keeps its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// As the client sent it.
    #[must_use]
    pub fn as_received(&self) -> &'a str {
        self.raw
    }

    /// The port, if one was given and not empty.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

/// An authority, taken apart.
struct Split<'a> {
    host: &'a str,
    port: Option<u16>,
    octets: Octets,
}

fn split(raw: &str) -> Result<Split<'_>, InvalidAuthority> {
    if raw.is_empty() {
        return Err(InvalidAuthority::Empty);
    }
    let mut octets = Octets::of(raw);
    let (host, rest) = if raw.starts_with('[') {
        let end = raw.find(']').ok_or(InvalidAuthority::Character)?;
        let (literal, rest) = raw.split_at(end + 1);
        let inner = literal.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or_default();
        if inner.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(InvalidAuthority::Name);
        }
        // Has hexadecimal digits in either case, and no dots that are no address.
        octets = Octets { all: UPPER, ..octets };
        (literal, rest)
    } else {
        raw.split_at_checked(octets.count).ok_or(InvalidAuthority::Character)?
    };
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        None => return Err(InvalidAuthority::Character),
        Some("") => None,
        Some(port) if port.bytes().all(|octet| octet.is_ascii_digit()) => {
            Some(port.parse().map_err(|_| InvalidAuthority::Port)?)
        }
        Some(_) => return Err(InvalidAuthority::Port),
    };
    Ok(Split { host, port, octets })
}

/// The octets of a registered name at the start of a text, in one pass: this is done for every request.
struct Octets {
    /// How many there are.
    count: usize,
    /// The kinds among them.
    all: u8,
    /// The kinds that two of a kind side by side are of.
    adjacent: u8,
}

const OTHER: u8 = 1;
const UPPER: u8 = 2;
const DOT: u8 = 4;

/// The kinds of all octets: a table is what a pass over them is fastest with.
static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut rest = kinds.as_mut_slice();
    let mut octet: u8 = 0;
    while let Some((first, others)) = rest.split_first_mut() {
        *first = kind(octet);
        octet = octet.wrapping_add(1);
        rest = others;
    }
    kinds
};

/// Octets of a registered name: unreserved, sub-delims and `%` (RFC 3986 section 3.2.2); 0 for all others.
const fn kind(octet: u8) -> u8 {
    match octet {
        b'.' => DOT,
        b'A'..=b'Z' => UPPER,
        b'a'..=b'z' | b'0'..=b'9' => OTHER,
        b'-' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => {
            OTHER
        }
        _ => 0,
    }
}

impl Octets {
    fn of(text: &str) -> Self {
        let mut octets = Self { count: 0, all: 0, adjacent: 0 };
        let mut previous = 0;
        for octet in text.bytes() {
            let kind = KINDS.get(usize::from(octet)).copied().unwrap_or(0);
            if kind == 0 {
                break;
            }
            octets.count += 1;
            octets.all |= kind;
            octets.adjacent |= kind & previous;
            previous = kind;
        }
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_port_and_one_trailing_dot_do_not_count() {
        for (raw, host, port) in [
            ("a.example", "a.example", None),
            ("MiXeD.Example", "mixed.example", None),
            ("a.example:8080", "a.example", Some(8080)),
            ("a.example:", "a.example", None),
            ("a.example.", "a.example", None),
            ("a.example.:80", "a.example", Some(80)),
            ("foo_bar", "foo_bar", None),
            ("127.0.0.1:80", "127.0.0.1", Some(80)),
            ("[::1]:80", "[::1]", Some(80)),
        ] {
            let authority = Authority::parse(raw).unwrap();
            assert_eq!((authority.host(), authority.port()), (host, port), "{raw}");
            assert_eq!(authority.as_received(), raw);
        }
    }

    #[test]
    fn a_plain_host_is_read_as_it_is_written() {
        for (raw, want) in [
            ("a.example", true),
            ("127.0.0.1", true),
            ("A.example", false),
            ("a.example.", false),
            ("a.example:", false),
            ("a.example:80", false),
            ("[::1]", false),
        ] {
            let authority = Authority::parse(raw).unwrap();
            assert_eq!(authority.is_plain(), want, "{raw}");
            assert!(!want || authority == Authority::of_plain(raw), "{raw}");
        }
    }

    #[test]
    fn malformed_hosts_are_refused() {
        for raw in [
            "",
            ".",
            "a..b",
            ".a",
            "user@a.example",
            "a.example/x",
            "a.example?x",
            "a b",
            "a\\b",
            "a.example:x",
            "a.example:65536",
            "a.example:-1",
            "[::1",
            "[::1]x",
            "[zz]",
            "ä.example",
            "a\u{7f}",
            "a:80:80",
        ] {
            assert!(Authority::parse(raw).is_err(), "{raw:?}");
        }
        assert!(Authority::parse(&"a".repeat(300)).is_err());
    }
}
