//! Tests of requests on their way out: what is written, however the body comes and the stream takes it.

use std::collections::VecDeque;

use http_body::Frame;

use super::*;

/// A body of pieces; none stands for one that has to be waited for.
struct Pieces {
    pieces: VecDeque<Option<&'static [u8]>>,
    /// Whether it says that it is over before it is asked for more.
    knows_end: bool,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.pieces.pop_front() {
            Some(None) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Some(b"fault")) => Poll::Ready(Some(Err(BodyError::TooLarge))),
            Some(Some(piece)) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece))))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.knows_end && self.pieces.is_empty()
    }
}

/// A stream that takes so many octets at a time and is busy every other time.
#[derive(Default)]
struct Slow {
    most: usize,
    busy: bool,
    written: Vec<u8>,
    calls: usize,
    flushed: usize,
}

impl AsyncWrite for Slow {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(octets)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.busy = !self.busy;
        if self.busy && self.most < usize::MAX {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.calls += 1;
        let octets: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(self.most).collect();
        self.written.extend_from_slice(&octets);
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushed = self.written.len();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn sent(
    pieces: &[Option<&'static [u8]>],
    knows_end: bool,
    framing: Framing,
    most: usize,
) -> (Slow, Result<(), SendingError>) {
    let body = Pieces { pieces: pieces.iter().copied().collect(), knows_end };
    let mut sending = Sending::new(b"head\r\n\r\n".to_vec(), body, framing);
    let mut stream = Slow { most, ..Slow::default() };
    let mut cx = Context::from_waker(std::task::Waker::noop());
    for _ in 0..1_000_000 {
        if let Poll::Ready(outcome) = sending.poll(&mut stream, &mut cx) {
            return (stream, outcome);
        }
        // Whatever waits for the body is not held back.
        assert!(sending.is_written() && !sending.flushes || stream.busy);
    }
    panic!("never sent");
}

static LARGE: [u8; 3 * SMALL] = [b'x'; 3 * SMALL];
static MIDDLE: [u8; SMALL] = [b'y'; SMALL];

/// Pieces of a body.
type List<'l> = &'l [Option<&'static [u8]>];

#[test]
fn bodies_are_written_as_they_are_framed() {
    let large = || String::from_utf8(LARGE.to_vec()).unwrap();
    let middle = || String::from_utf8(MIDDLE.to_vec()).unwrap();
    let lists: [(List<'_>, String, String); 6] = [
        (&[], String::new(), "0\r\n\r\n".to_owned()),
        (&[Some(b"hello")], "hello".to_owned(), "5\r\nhello\r\n0\r\n\r\n".to_owned()),
        (
            &[None, Some(b"a"), None, Some(b""), Some(b"b"), None],
            "ab".to_owned(),
            "1\r\na\r\n1\r\nb\r\n0\r\n\r\n".to_owned(),
        ),
        (&[Some(&LARGE)], large(), format!("3000\r\n{}\r\n0\r\n\r\n", large())),
        (
            &[Some(b"a"), Some(&LARGE), None, Some(&LARGE), Some(b"b")],
            format!("a{0}{0}b", large()),
            format!("1\r\na\r\n3000\r\n{0}\r\n3000\r\n{0}\r\n1\r\nb\r\n0\r\n\r\n", large()),
        ),
        (&[Some(&MIDDLE[..]); 9], middle().repeat(9), format!("1000\r\n{}\r\n", middle()).repeat(9) + "0\r\n\r\n"),
    ];
    for (pieces, plain, chunked) in &lists {
        for (framing, want) in [(Framing::Length(plain.len() as u64), plain), (Framing::Chunked, chunked)] {
            for most in [1, 7, 5000, usize::MAX] {
                for knows_end in [false, true] {
                    let (stream, outcome) = sent(pieces, knows_end, framing, most);
                    assert!(outcome.is_ok(), "{framing:?} {outcome:?}");
                    assert_eq!(String::from_utf8(stream.written).unwrap(), format!("head\r\n\r\n{want}"));
                    assert_eq!(stream.flushed, "head\r\n\r\n".len() + want.len());
                }
            }
        }
    }
}

#[test]
fn what_is_there_is_written_at_once() {
    for (pieces, framing, calls) in [
        (&[][..], Framing::Length(0), 1),
        (&[Some(&b"hello"[..])], Framing::Length(5), 1),
        (&[Some(&b"hello"[..]), Some(b"you")], Framing::Chunked, 1),
        (&[Some(&LARGE[..])], Framing::Chunked, 1),
        (&[Some(&b"hello"[..]), None, Some(b"you")], Framing::Chunked, 2),
    ] {
        assert_eq!(sent(pieces, true, framing, usize::MAX).0.calls, calls, "{pieces:?}");
    }
}

#[test]
fn a_body_that_is_not_what_its_head_says_is_not_completed() {
    let (stream, outcome) = sent(&[Some(b"hell")], false, Framing::Length(5), usize::MAX);
    assert!(matches!(outcome, Err(SendingError::Short)), "{outcome:?}");
    assert!(!stream.written.ends_with(b"hello"));
    let (stream, outcome) = sent(&[Some(b"hello, you")], false, Framing::Length(5), usize::MAX);
    assert!(outcome.is_ok() && stream.written.ends_with(b"\r\nhello"));
    let (stream, outcome) = sent(&[Some(b"hello"), None, Some(b"fault")], false, Framing::Chunked, usize::MAX);
    assert!(matches!(outcome, Err(SendingError::Body(BodyError::TooLarge))), "{outcome:?}");
    assert!(stream.written.ends_with(b"5\r\nhello\r\n"));
}
