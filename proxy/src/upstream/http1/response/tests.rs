//! Tests of heads of responses: what is one, how its body is framed, and what it says of the connection.

use super::super::decoder::Decoded;
use super::*;

/// Status, framing, whether the connection can go on, and the octets that are left.
type Seen = (u16, String, bool, String);

fn read(text: &str, to_head: bool) -> Result<Option<Seen>, Malformed> {
    read_in_pieces(text, &[text.len()], to_head)
}

/// Gives the octets up to each of these places, one after the other, until there is a head.
fn read_in_pieces(text: &str, ends: &[usize], to_head: bool) -> Result<Option<Seen>, Malformed> {
    let (mut received, mut progress, mut begin) = (BytesMut::new(), Progress::default(), 0);
    for end in ends {
        received.extend_from_slice(&text.as_bytes()[begin..*end]);
        begin = *end;
        if let Some(head) = take(&mut received, &mut progress, to_head, HeaderMap::new)? {
            received.extend_from_slice(&text.as_bytes()[begin..]);
            let framing = match head.body {
                Decoder::Length(octets) => octets.to_string(),
                Decoder::Chunked(_) => "chunks".to_owned(),
                Decoder::UntilClose(_) => "close".to_owned(),
            };
            let rest = String::from_utf8(received.to_vec()).unwrap();
            return Ok(Some((head.parts.status.as_u16(), framing, head.keeps, rest)));
        }
    }
    Ok(None)
}

#[test]
fn framing_and_persistence_follow_from_the_head() {
    for (head, framing, keeps) in [
        ("HTTP/1.1 200 OK\nContent-Length: 5", "5", true),
        ("HTTP/1.1 200 OK\ncontent-length:5", "5", true),
        ("HTTP/1.1 200 OK\nContent-Length: 5, 5", "5", true),
        ("HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 5", "5", true),
        ("HTTP/1.1 200 OK\nContent-Length: 18446744073709551615", "18446744073709551615", true),
        ("HTTP/1.1 200 OK", "close", false),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", "chunks", true),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: gzip, Chunked ", "chunks", true),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: gzip\nTransfer-Encoding: chunked", "chunks", true),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTransfer-Encoding: gzip", "close", false),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked, gzip", "close", false),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: gzip\nContent-Length: 5", "close", false),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: xchunked", "close", false),
        ("HTTP/1.1 200 OK\nContent-Length: 5\nTransfer-Encoding: chunked", "chunks", false),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: x", "chunks", false),
        ("HTTP/1.1 204 No Content\nContent-Length: 5", "0", true),
        ("HTTP/1.1 204 No Content\nTransfer-Encoding: chunked", "0", true),
        ("HTTP/1.1 304 Not Modified\nContent-Length: 500", "0", true),
        ("HTTP/1.1 304 Not Modified\nContent-Length: x", "0", true),
        ("HTTP/1.1 205 Reset Content\nContent-Length: 0", "0", true),
        ("HTTP/1.1 101 Switching Protocols\nUpgrade: websocket", "0", false),
        ("HTTP/1.1 200 OK\nContent-Length: 5\nConnection: close", "5", false),
        ("HTTP/1.1 200 OK\nContent-Length: 5\nConnection: x,  CLOSE", "5", false),
        ("HTTP/1.1 200 OK\nContent-Length: 5\nConnection: closed", "5", true),
        ("HTTP/1.1 200 OK\nContent-Length: 5\nConnection: close\nConnection: keep-alive", "5", false),
        ("HTTP/1.0 200 OK\nContent-Length: 5", "5", false),
        ("HTTP/1.0 200 OK\nContent-Length: 5\nConnection: Keep-Alive", "5", true),
        ("HTTP/1.0 200 OK\nContent-Length: 5\nConnection: keep-alive, close", "5", false),
    ] {
        let text = head.replace('\n', "\r\n") + "\r\n\r\nrest";
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let want = (status, framing.to_owned(), keeps, "rest".to_owned());
        assert_eq!(read(&text, false), Ok(Some(want)), "{head}");
    }
}

#[test]
fn a_response_to_head_has_no_body_whatever_it_says() {
    for fields in ["Content-Length: 5", "Transfer-Encoding: chunked", "Content-Length: x", "X-A: b"] {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
        assert_eq!(read(&text, true), Ok(Some((200, "0".to_owned(), true, String::new()))), "{fields}");
    }
}

#[test]
fn what_is_no_response_is_refused() {
    for text in [
        "HTTP/0.9 200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "hello, who is there?\r\n\r\n",
        "HTTP/1.1 099 Low\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 200 O\0K\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\n X-A: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: b\0c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: b\rc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX\x7f: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5,\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 5\r\n\r\n",
    ] {
        assert!(read(text, false).is_err(), "{text:?}");
    }
}

#[test]
fn interim_responses_are_dropped_up_to_a_number() {
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let interim = ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: a\r\nContent-Length: 9\r\n\r\n"];
    for (count, ok) in [(1, true), (50, true), (51, false)] {
        let text = interim.concat().repeat(count) + last;
        assert_eq!(read(&text, false).is_ok_and(|head| head.is_some()), ok, "{count}");
    }
    assert_eq!(read(interim[0], false), Ok(None));
}

#[test]
fn however_a_head_is_cut_it_reads_the_same() {
    let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Nothing here\r\nX-Empty:\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello";
    let want = Ok(Some((404, "5".to_owned(), true, "hello".to_owned())));
    let octets: Vec<usize> = (1..=text.len()).collect();
    assert_eq!(read_in_pieces(text, &octets, false), want);
    for first in 0..=text.len() {
        for second in first..=text.len() {
            assert_eq!(read_in_pieces(text, &[first, second, text.len()], false), want, "{first} {second}");
        }
    }
    for end in 0..text.len() - "hello".len() {
        assert_eq!(read_in_pieces(text, &[end], false), Ok(None), "{end}");
    }
}

#[test]
fn heads_are_bounded() {
    let fields = |count: usize| "X-A: b\r\n".repeat(count);
    for (count, ok) in [(FIELDS, true), (FIELDS + 1, false)] {
        let text = format!("HTTP/1.1 200 OK\r\n{}\r\n", fields(count));
        assert_eq!(read(&text, false).is_ok(), ok, "{count}");
    }
    let frame = "HTTP/1.1 200 OK\r\nX-A: \r\n\r\n".len();
    for (octets, ok) in [(LARGEST_HEAD, true), (LARGEST_HEAD + 1, false)] {
        let text = format!("HTTP/1.1 200 OK\r\nX-A: {}\r\n\r\n", "b".repeat(octets - frame));
        assert_eq!(read(&text, false).is_ok(), ok, "{octets}");
    }
    assert!(read(&format!("HTTP/1.1 200 OK\r\nX-A: {}", "b".repeat(LARGEST_HEAD)), false).is_err());
}

#[test]
fn only_unusual_phrases_are_kept() {
    for (line, want) in [
        ("200 OK", None),
        ("200 Ok", Some("Ok")),
        ("200 ", Some("")),
        ("200", Some("")),
        ("799 Own", Some("Own")),
        ("404 Not Found", None),
    ] {
        let mut received = BytesMut::from(format!("HTTP/1.1 {line}\r\nX-A: b\r\nx-a: c\r\n\r\n").as_str());
        let head = take(&mut received, &mut Progress::default(), false, HeaderMap::new).unwrap().unwrap();
        let phrase = head.parts.extensions.get::<ReasonPhrase>().map(|phrase| phrase.as_bytes().to_vec());
        assert_eq!(phrase.as_deref(), want.map(str::as_bytes), "{line}");
        let values: Vec<_> = head.parts.headers.get_all("x-a").iter().collect();
        assert_eq!(values, ["b", "c"]);
    }
}

#[test]
fn a_body_that_is_none_is_over_at_once() {
    let mut received = BytesMut::from("HTTP/1.1 204 No Content\r\n\r\nsurplus");
    let mut head = take(&mut received, &mut Progress::default(), false, HeaderMap::new).unwrap().unwrap();
    assert_eq!(head.body.decode(&mut received), Ok(Decoded::End));
    assert_eq!(received, "surplus");
}
