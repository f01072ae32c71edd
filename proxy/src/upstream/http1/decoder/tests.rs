//! Tests of bodies: where they end, what is none, and that it does not matter how they are cut into reads.

use super::*;

/// What comes of a body: its octets, its trailers, and what is left; or that it is not whole, or malformed.
#[derive(Debug, PartialEq)]
enum Read {
    Whole { data: String, trailers: String, rest: String },
    Part(String),
    Malformed,
}

/// Reads octets that come in pieces up to these places.
fn read(mut decoder: Decoder, text: &[u8], ends: &[usize]) -> Read {
    let (mut received, mut begin) = (BytesMut::new(), 0);
    let (mut data, mut trailers) = (Vec::new(), String::new());
    let text_of = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    for end in ends {
        received.extend_from_slice(&text[begin..*end]);
        begin = *end;
        loop {
            match decoder.decode(&mut received) {
                Err(_) => return Read::Malformed,
                Ok(Decoded::More) => break,
                Ok(Decoded::Data(piece)) => {
                    assert!(!piece.is_empty());
                    data.extend_from_slice(&piece);
                }
                Ok(Decoded::Trailers(fields)) => {
                    assert!(decoder.is_over());
                    for (name, value) in &fields {
                        trailers += &format!("{name}={};", value.to_str().unwrap());
                    }
                }
                Ok(Decoded::End) => {
                    assert!(decoder.is_over());
                    received.extend_from_slice(&text[begin..]);
                    return Read::Whole { data: text_of(&data), trailers, rest: text_of(&received) };
                }
            }
        }
    }
    Read::Part(text_of(&data))
}

/// Reads it whole, octet by octet, and cut at every two places: all must read the same.
fn read_every_way(decoder: Decoder, text: &str) -> Read {
    let text = text.as_bytes();
    let whole = read(decoder, text, &[text.len()]);
    let octets: Vec<usize> = (1..=text.len()).collect();
    assert_eq!(read(decoder, text, &octets), whole, "octet by octet");
    for first in 0..=text.len() {
        for second in first..=text.len() {
            assert_eq!(read(decoder, text, &[first, second, text.len()]), whole, "cut at {first} and {second}");
        }
    }
    whole
}

fn chunked() -> Decoder {
    Decoder::Chunked(Chunked::default())
}

fn whole(data: &str, trailers: &str, rest: &str) -> Read {
    Read::Whole { data: data.to_owned(), trailers: trailers.to_owned(), rest: rest.to_owned() }
}

#[test]
fn a_length_is_kept_to() {
    for (length, text, want) in [
        (0, "", whole("", "", "")),
        (0, "x", whole("", "", "x")),
        (5, "hello", whole("hello", "", "")),
        (5, "hello!", whole("hello", "", "!")),
        (5, "hell", Read::Part("hell".to_owned())),
        (u64::MAX, "hello", Read::Part("hello".to_owned())),
    ] {
        let text = if length == 0 { [text, ""].concat() } else { text.to_owned() };
        if length > 0 || !text.is_empty() {
            assert_eq!(read_every_way(Decoder::Length(length), &text), want, "{length} {text}");
        }
    }
}

#[test]
fn well_formed_chunks_are_read() {
    for (text, want) in [
        ("0\r\n\r\n", whole("", "", "")),
        ("5\r\nhello\r\n0\r\n\r\n", whole("hello", "", "")),
        ("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\nrest", whole("hello!", "", "rest")),
        ("A\r\n0123456789\r\n00\r\n\r\n", whole("0123456789", "", "")),
        ("0000000000000000000005\r\nhello\r\n0\r\n\r\n", whole("hello", "", "")),
        ("5;a=b\r\nhello\r\n0;c=\"d\"\r\n\r\n", whole("hello", "", "")),
        ("5 \t;a\r\nhello\r\n0 \r\n\r\n", whole("hello", "", "")),
        ("1\r\na\r\n0\r\nX-A: b\r\nX-A:c\r\n\r\nrest", whole("a", "x-a=b;x-a=c;", "rest")),
        ("5\r\nhello\r\n0\r\n\r", Read::Part("hello".to_owned())),
        ("5\r\nhello\r\n0\r\nX-A: b\r\n", Read::Part("hello".to_owned())),
        ("5\r\nhello\r\n", Read::Part("hello".to_owned())),
        ("6\r\nhello", Read::Part("hello".to_owned())),
        ("ffffffffffffffff\r\nhello", Read::Part("hello".to_owned())),
    ] {
        assert_eq!(read_every_way(chunked(), text), want, "{text:?}");
    }
}

#[test]
fn malformed_chunks_are_refused_however_they_are_cut() {
    for text in [
        "\r\nhello",
        " 5\r\nhello",
        "g\r\nhello",
        "0x5\r\nhello",
        "+5\r\nhello",
        "-5\r\nhello",
        "5.\r\nhello",
        "5 5\r\nhello",
        ";a\r\nhello",
        "5\nhello",
        "5\rhello",
        "5\r\r\nhello",
        "5;a\nb\r\nhello",
        "5;a\rb\r\nhello",
        "10000000000000000\r\nhello",
        "fffffffffffffffff\r\nhello",
        "5\r\nhelloXX",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\rX",
        "5\r\nhello!\r\n0\r\n\r\n",
        "0\r\nX-A\r\n\r\n",
        "0\r\nX-A : b\r\n\r\n",
        "0\r\n X-A: b\r\n\r\n",
        "0\r\nX-A: b\r\n c\r\n\r\n",
        "0\r\nX-A: b\nX-B: c\r\n\r\n",
        "0\r\nX-A: b\n\nGET / HTTP/1.1\r\n\r\n",
        "0\r\nX-A: b\0\r\n\r\n",
    ] {
        assert_eq!(read_every_way(chunked(), text), Read::Malformed, "{text:?}");
    }
}

#[test]
fn extensions_and_trailers_are_bounded() {
    let limit = 16 * 1024;
    let read_whole = |text: &str| read(chunked(), text.as_bytes(), &[text.len()]);
    for (octets, ok) in [(limit, true), (limit + 1, false)] {
        let one = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(octets));
        let blanks = format!("1{}\r\na\r\n0\r\n\r\n", " ".repeat(octets));
        let many = "1;xx\r\na\r\n".repeat(octets - 1) + "0\r\n\r\n";
        for text in [one, blanks, many] {
            assert_eq!(read_whole(&text) != Read::Malformed, ok, "{octets}");
        }
    }
    for (octets, ok) in [(64 * 1024, true), (64 * 1024 + 1, false)] {
        let value = "b".repeat(octets - "X-A: \r\n\r\n".len());
        assert_eq!(read_whole(&format!("0\r\nX-A: {value}\r\n\r\n")) != Read::Malformed, ok, "{octets}");
        assert_eq!(read_whole(&format!("0\r\nX-A: {value}bbbb")) != Read::Malformed, ok, "{octets}, unfinished");
    }
    for (count, ok) in [(100, true), (101, false)] {
        let text = format!("0\r\n{}\r\n", "X-A: b\r\n".repeat(count));
        assert_eq!(read_whole(&text) != Read::Malformed, ok, "{count}");
    }
}

#[test]
fn only_a_body_without_framing_ends_with_the_stream() {
    for (decoder, want) in [
        (Decoder::Length(5), false),
        (Decoder::Length(0), true),
        (chunked(), false),
        (Decoder::UntilClose(false), true),
    ] {
        let mut decoder = decoder;
        assert_eq!(decoder.end(), want, "{decoder:?}");
        assert_eq!(decoder.is_over(), want);
        assert_eq!(decoder.size_hint().exact(), if want { Some(0) } else { decoder.size_hint().exact() });
    }
    let mut decoder = Decoder::UntilClose(false);
    let mut received = BytesMut::from("hello");
    assert_eq!(decoder.decode(&mut received), Ok(Decoded::Data(Bytes::from_static(b"hello"))));
    assert_eq!(decoder.decode(&mut received), Ok(Decoded::More));
    assert!(decoder.end());
    assert_eq!(decoder.decode(&mut received), Ok(Decoded::End));
}

#[test]
fn sizes_that_are_padded_to_one_width_add_up_to_nothing() {
    let text = "100     \r\n".to_owned() + &"b".repeat(256) + "\r\n";
    let text = text.repeat(10_000) + "0\r\n\r\n";
    assert!(matches!(read(chunked(), text.as_bytes(), &[text.len()]), Read::Whole { .. }));
}
