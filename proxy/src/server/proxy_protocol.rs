//! The PROXY protocol, versions 1 and 2: what a load balancer says of a connection before its first octet.
//!
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// What a header says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Header {
    /// The load balancer speaks for itself, or of something that has no addresses: the connection is as it looks.
    Local,
    /// It speaks for a client.
    Proxied {
        /// The client.
        source: SocketAddr,
        /// Where the client connected to.
        destination: SocketAddr,
    },
}

/// A connection does not begin with a header of the PROXY protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no header of the PROXY protocol")]
pub(crate) struct Malformed;

/// Shortest header of any version, `PROXY UNKNOWN\r\n`; a header of version 2 is longer by one octet.
const SHORTEST: usize = 15;
/// Longest header of version 1 (section 2.1).
const LONGEST_V1: usize = 107;
/// What a header of version 2 begins with (section 2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and protocol, length.
const PREAMBLE: usize = 16;
/// Longest rest of a header of version 2 that is read: addresses, and additions (TLV) that are skipped.
const LONGEST_V2: usize = 4096;

/// Reads the header that a connection begins with, and not an octet more.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidData`] where it is missing or malformed, else what the connection fails with.
pub(crate) async fn read(stream: &mut TcpStream) -> io::Result<Header> {
    let mut head = Vec::with_capacity(LONGEST_V1);
    take(stream, &mut head, SHORTEST).await?;
    let header = if head.starts_with(SIGNATURE) {
        take(stream, &mut head, PREAMBLE - SHORTEST).await?;
        let length = v2_length(&head)?;
        take(stream, &mut head, length).await?;
        parse_v2(&head)
    } else {
        while line(&head).is_none() {
            let more = v1_rest(stream, &head).await?;
            take(stream, &mut head, more).await?;
        }
        parse_v1(&head)
    };
    Ok(header?)
}

async fn take(stream: &mut TcpStream, to: &mut Vec<u8>, octets: usize) -> io::Result<()> {
    let wanted = to.len() + octets;
    let mut limited = stream.take(octets as u64);
    while to.len() < wanted {
        if limited.read_buf(to).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// How many of the octets that wait belong to a line that is not complete yet; at least one.
async fn v1_rest(stream: &TcpStream, head: &[u8]) -> io::Result<usize> {
    let mut waiting = [0; LONGEST_V1];
    let room = waiting.get_mut(..LONGEST_V1.saturating_sub(head.len())).unwrap_or_default();
    if room.is_empty() || !head.starts_with(b"PROXY ") {
        return Err(Malformed.into());
    }
    let octets = stream.peek(room).await?;
    let line = room.iter().take(octets).position(|octet| *octet == b'\n').map(|place| place + 1);
    match line.unwrap_or(octets) {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        more => Ok(more),
    }
}

impl From<Malformed> for io::Error {
    fn from(malformed: Malformed) -> Self {
        Self::new(io::ErrorKind::InvalidData, malformed)
    }
}

/// A line without its end, where it is complete.
fn line(octets: &[u8]) -> Option<&[u8]> {
    octets.strip_suffix(b"\r\n").filter(|line| !line.contains(&b'\n'))
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443`, or TCP6, or UNKNOWN and anything.
fn parse_v1(octets: &[u8]) -> Result<Header, Malformed> {
    if octets.len() > LONGEST_V1 {
        return Err(Malformed);
    }
    let text = line(octets).and_then(|line| std::str::from_utf8(line).ok()).ok_or(Malformed)?;
    let words: Vec<&str> = text.split(' ').collect();
    match *words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Ok(Header::Local),
        ["PROXY", family @ ("TCP4" | "TCP6"), source, destination, from, to] => {
            let address = |text: &str| {
                let address: IpAddr = text.parse().map_err(|_| Malformed)?;
                if address.is_ipv4() == (family == "TCP4") { Ok(address) } else { Err(Malformed) }
            };
            Ok(Header::Proxied {
                source: SocketAddr::new(address(source)?, port(from)?),
                destination: SocketAddr::new(address(destination)?, port(to)?),
            })
        }
        _ => Err(Malformed),
    }
}

/// Digits without a sign.
fn port(text: &str) -> Result<u16, Malformed> {
    let digits = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().ok_or(Malformed)
}

/// How many octets follow the preamble.
fn v2_length(preamble: &[u8]) -> Result<usize, Malformed> {
    let length = preamble.get(14..PREAMBLE).and_then(|octets| octets.try_into().ok()).ok_or(Malformed)?;
    let length = usize::from(u16::from_be_bytes(length));
    let is_version_2 = preamble.get(12).is_some_and(|octet| octet >> 4 == 2);
    if is_version_2 && length <= LONGEST_V2 { Ok(length) } else { Err(Malformed) }
}

const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

fn parse_v2(octets: &[u8]) -> Result<Header, Malformed> {
    let (preamble, rest) = octets.split_at_checked(PREAMBLE).ok_or(Malformed)?;
    if !preamble.starts_with(SIGNATURE) || v2_length(preamble)? != rest.len() {
        return Err(Malformed);
    }
    let command = preamble.get(12).map(|octet| octet & 0x0f);
    match (command, preamble.get(13).copied()) {
        (Some(0), _) => Ok(Header::Local),
        (Some(1), Some(TCP_OVER_IPV4)) => addresses(rest, |octets: [u8; 4]| Ipv4Addr::from(octets).into()),
        (Some(1), Some(TCP_OVER_IPV6)) => addresses(rest, |octets: [u8; 16]| Ipv6Addr::from(octets).into()),
        // Unspecified, Unix sockets, datagrams: nothing that could be a client of HTTP over TCP.
        (Some(1), Some(_)) => Ok(Header::Local),
        _ => Err(Malformed),
    }
}

/// Source, destination, and their ports. Additions follow, which nobody here wants.
fn addresses<const LENGTH: usize>(octets: &[u8], address: fn([u8; LENGTH]) -> IpAddr) -> Result<Header, Malformed> {
    let (source, rest) = octets.split_first_chunk::<LENGTH>().ok_or(Malformed)?;
    let (destination, rest) = rest.split_first_chunk::<LENGTH>().ok_or(Malformed)?;
    let (from, rest) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
    let (to, _) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
    Ok(Header::Proxied {
        source: SocketAddr::new(address(*source), u16::from_be_bytes(*from)),
        destination: SocketAddr::new(address(*destination), u16::from_be_bytes(*to)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    fn proxied(source: &str, destination: &str) -> Result<Header, Malformed> {
        Ok(Header::Proxied { source: source.parse().unwrap(), destination: destination.parse().unwrap() })
    }

    fn v2(version_and_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[version_and_command, family], &length, rest].concat()
    }

    #[test]
    fn lines_of_version_1_are_read_to_the_letter() {
        for (line, want) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", proxied("192.0.2.1:56324", "198.51.100.1:443")),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 1 80\r\n", proxied("[2001:db8::1]:1", "[2001:db8::2]:80")),
            ("PROXY UNKNOWN\r\n", Ok(Header::Local)),
            ("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", Ok(Header::Local)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n", Err(Malformed)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443", Err(Malformed)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n", Err(Malformed)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 \r\n", Err(Malformed)),
            ("PROXY TCP4  192.0.2.1 198.51.100.1 56324 443\r\n", Err(Malformed)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n", Err(Malformed)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 +1 443\r\n", Err(Malformed)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 -1 443\r\n", Err(Malformed)),
            ("PROXY TCP4 192.0.2.256 198.51.100.1 1 443\r\n", Err(Malformed)),
            ("PROXY TCP4 2001:db8::1 2001:db8::2 1 80\r\n", Err(Malformed)),
            ("PROXY TCP6 192.0.2.1 198.51.100.1 1 80\r\n", Err(Malformed)),
            ("PROXY TCP5 192.0.2.1 198.51.100.1 1 80\r\n", Err(Malformed)),
            ("PROXY UDP4 192.0.2.1 198.51.100.1 1 80\r\n", Err(Malformed)),
            ("proxy TCP4 192.0.2.1 198.51.100.1 1 80\r\n", Err(Malformed)),
            ("PROXY\tTCP4 192.0.2.1 198.51.100.1 1 80\r\n", Err(Malformed)),
            ("PROXY \r\n", Err(Malformed)),
            ("\r\n", Err(Malformed)),
            ("", Err(Malformed)),
        ] {
            assert_eq!(parse_v1(line.as_bytes()), want, "{line:?}");
        }
        let unknown = |octets: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(octets - 16));
        assert_eq!(parse_v1(unknown(107).as_bytes()), Ok(Header::Local));
        assert_eq!(parse_v1(unknown(108).as_bytes()), Err(Malformed));
    }

    #[test]
    fn headers_of_version_2_are_read_by_their_length() {
        let ipv4 = [192, 0, 2, 1, 198, 51, 100, 1, 0x30, 0x39, 1, 187];
        let want4 = proxied("192.0.2.1:12345", "198.51.100.1:443");
        let (source, destination) = ("2001:db8::1".parse::<Ipv6Addr>(), "2001:db8::2".parse::<Ipv6Addr>());
        let ipv6 = [&source.unwrap().octets()[..], &destination.unwrap().octets(), &[0, 1, 0, 80]].concat();
        let additions = [&ipv4[..], &[0x04, 0, 1, 7], &[0xff; 300]].concat();
        for (what, octets, want) in [
            ("IPv4", v2(0x21, 0x11, &ipv4), want4),
            ("IPv4 with additions", v2(0x21, 0x11, &additions), want4),
            ("IPv6", v2(0x21, 0x21, &ipv6), proxied("[2001:db8::1]:1", "[2001:db8::2]:80")),
            ("local", v2(0x20, 0x00, &[]), Ok(Header::Local)),
            ("local with addresses", v2(0x20, 0x11, &ipv4), Ok(Header::Local)),
            ("unspecified", v2(0x21, 0x00, &[1, 2, 3]), Ok(Header::Local)),
            ("Unix socket", v2(0x21, 0x31, &[0; 216]), Ok(Header::Local)),
            ("datagram", v2(0x21, 0x12, &ipv4), Ok(Header::Local)),
            ("IPv4 cut short", v2(0x21, 0x11, &ipv4[..11]), Err(Malformed)),
            ("IPv6 cut short", v2(0x21, 0x21, &ipv6[..35]), Err(Malformed)),
            ("another command", v2(0x22, 0x11, &ipv4), Err(Malformed)),
            ("version 1", v2(0x11, 0x11, &ipv4), Err(Malformed)),
            ("version 3", v2(0x31, 0x11, &ipv4), Err(Malformed)),
            ("most additions", v2(0x21, 0x00, &[0; LONGEST_V2]), Ok(Header::Local)),
            ("too many additions", v2(0x21, 0x00, &[0; LONGEST_V2 + 1]), Err(Malformed)),
            ("preamble alone", v2(0x21, 0x11, &ipv4)[..PREAMBLE].to_vec(), Err(Malformed)),
            ("length too small", [v2(0x21, 0x11, &ipv4), vec![0]].concat(), Err(Malformed)),
            ("nothing", Vec::new(), Err(Malformed)),
        ] {
            assert_eq!(parse_v2(&octets), want, "{what}");
        }
    }

    #[test]
    fn not_an_octet_more_is_read() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let v2 = v2(0x21, 0x11, &[127, 0, 0, 1, 127, 0, 0, 2, 0, 1, 0, 2]);
            for (header, rest) in [
                (&b"PROXY UNKNOWN\r\n"[..], &b"GET"[..]),
                (b"PROXY TCP4 127.0.0.1 127.0.0.2 1 2\r\n", b"GET / HTTP/1.1\r\n\r\n"),
                (b"PROXY TCP4 127.0.0.1 127.0.0.2 1 2\r\n", b""),
                (v2.as_slice(), b"\x16\x03\x01"),
            ] {
                // At once, and octet by octet.
                for pieces in [header.len() + rest.len(), 1] {
                    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
                    client.set_nodelay(true).unwrap();
                    let (mut server, _) = listener.accept().await.unwrap();
                    let write = async {
                        for piece in [header, rest].concat().chunks(pieces) {
                            client.write_all(piece).await.unwrap();
                            tokio::task::yield_now().await;
                        }
                        client.shutdown().await.unwrap();
                    };
                    let (found, ()) = tokio::join!(read(&mut server), write);
                    found.unwrap();
                    let mut left = Vec::new();
                    server.read_to_end(&mut left).await.unwrap();
                    assert_eq!(left, rest);
                }
            }
            for wrong in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"PROXY ", b"", &[0; 200], &[b'x'; 200]] {
                let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
                let (mut server, _) = listener.accept().await.unwrap();
                client.write_all(wrong).await.unwrap();
                client.shutdown().await.unwrap();
                read(&mut server).await.unwrap_err();
            }
        });
    }

    proptest! {
        #[test]
        fn no_octets_panic(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let with = |begin: &[u8]| [begin, &octets].concat();
            for input in [octets.clone(), with(b"PROXY TCP4 "), with(SIGNATURE), with(&v2(0x21, 0x11, &[])[..14])] {
                parse_v1(&input).ok();
                parse_v2(&input).ok();
                v2_length(&input).ok();
            }
        }

        #[test]
        fn what_is_written_is_read(source: [u8; 4], destination: [u8; 4], from: u16, to: u16) {
            let (source, destination) = (Ipv4Addr::from(source), Ipv4Addr::from(destination));
            let want = Ok(Header::Proxied {
                source: SocketAddr::new(source.into(), from),
                destination: SocketAddr::new(destination.into(), to),
            });
            let line = format!("PROXY TCP4 {source} {destination} {from} {to}\r\n");
            prop_assert_eq!(parse_v1(line.as_bytes()), want);
            let rest =
                [&source.octets()[..], &destination.octets(), &from.to_be_bytes(), &to.to_be_bytes()].concat();
            prop_assert_eq!(parse_v2(&v2(0x21, 0x11, &rest)), want);
        }
    }
}
