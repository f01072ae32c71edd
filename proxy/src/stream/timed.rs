//! A stream that gives up when its meter says so.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Frames;
use super::meter::{Expired, Meter};
use crate::timer::Alarm;

/// A stream with the limits of a [`Meter`]. Where one is hit, the operation fails with [`io::ErrorKind::TimedOut`].
#[derive(Debug)]
pub(crate) struct Timed<S> {
    stream: S,
    meter: Rc<Meter>,
    unread: Bytes,
    frames: Option<Box<Frames>>,
    kept: bool,
    read_alarm: Alarm,
    write_alarm: Alarm,
}

impl<S> Timed<S> {
    pub(crate) fn new(stream: S, meter: Rc<Meter>) -> Self {
        Self {
            stream,
            meter,
            unread: Bytes::new(),
            frames: None,
            kept: false,
            read_alarm: Alarm::default(),
            write_alarm: Alarm::default(),
        }
    }

    /// Looks at the frames of HTTP/2 that are read: the meter keeps time by them, and too many fail the stream.
    pub(crate) fn watching(mut self, frames: Frames) -> Self {
        self.frames = Some(Box::new(frames));
        self
    }

    /// Gives back octets that were read and belong to whoever reads next. They were counted when they were read.
    pub(crate) fn unread(mut self, octets: Bytes) -> Self {
        // What is empty may still hold on to the room that it was read into.
        if !octets.is_empty() {
            self.unread = if self.unread.is_empty() { octets } else { [octets, self.unread].concat().into() };
        }
        self
    }

    /// Whether the stream stays open when whoever writes to it shuts it down.
    pub(crate) fn kept(mut self, kept: bool) -> Self {
        self.kept = kept;
        self
    }

    /// The limits and counts.
    pub(crate) fn meter(&self) -> &Rc<Meter> {
        &self.meter
    }

    /// The stream itself, without limits.
    pub(crate) fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    fn wait_to_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.meter.is_over() {
            self.meter.note_read(0);
            return Poll::Ready(Ok(()));
        }
        let Some((deadline, limit)) = self.meter.read_deadline() else { return Poll::Pending };
        // What comes first is enough: it wakes the task, which asks again.
        if let Some(moment) = self.meter.doze_at().filter(|moment| *moment < deadline) {
            if !self.read_alarm.poll(moment, cx) {
                return Poll::Pending;
            }
            self.meter.doze();
        }
        if self.read_alarm.poll(deadline, cx) {
            return Poll::Ready(Err(self.expire(limit)));
        }
        Poll::Pending
    }

    fn wait_to_write<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.meter.note_blocked();
        if self.write_alarm.poll(self.meter.write_deadline(), cx) {
            return Poll::Ready(Err(self.expire(Expired::Write)));
        }
        Poll::Pending
    }

    fn look_at(&mut self, octets: &[u8]) -> io::Result<()> {
        match &mut self.frames {
            Some(frames) => frames.look_at(octets, &self.meter),
            None => {
                self.meter.look_at_head(octets);
                Ok(())
            }
        }
    }

    fn expire(&self, limit: Expired) -> io::Error {
        self.meter.note_expired(limit);
        io::ErrorKind::TimedOut.into()
    }

    fn written(&mut self, outcome: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Pending => self.wait_to_write(cx),
            Poll::Ready(Ok(octets)) => {
                self.meter.note_written(octets);
                Poll::Ready(Ok(octets))
            }
            failed @ Poll::Ready(Err(_)) => failed,
        }
    }
}

/// The only slice that is not empty.
fn only<'s>(slices: &'s [IoSlice<'_>]) -> Option<&'s [u8]> {
    let mut filled = slices.iter().filter(|slice| !slice.is_empty());
    let first = filled.next()?;
    filled.next().is_none().then_some(first)
}

/// Octets that a stream takes to wake up.
const WAKE: usize = 512;

impl<S: AsyncRead + Unpin> Timed<S> {
    /// Waits for octets, which are left for whoever reads next; how many they are, at least. Takes no memory while it waits.
    ///
    /// # Errors
    ///
    /// What reading fails with.
    pub(crate) async fn wake(&mut self) -> io::Result<usize> {
        if self.unread.is_empty() {
            self.unread = poll_fn(|cx| {
                let mut room = [0; WAKE];
                let mut buffer = ReadBuf::new(&mut room);
                let read = Pin::new(&mut *self).poll_read(cx, &mut buffer);
                read.map_ok(|()| Bytes::copy_from_slice(buffer.filled()))
            })
            .await?;
        }
        Ok(self.unread.len())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let octets = self.unread.len().min(buffer.remaining());
            let octets = self.unread.split_to(octets);
            if self.unread.is_empty() {
                self.unread = Bytes::new();
            }
            self.look_at(&octets)?;
            buffer.put_slice(&octets);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Pending => self.wait_to_read(cx),
            Poll::Ready(Ok(())) => {
                self.meter.note_read(buffer.filled().len() - before);
                self.look_at(buffer.filled().get(before..).unwrap_or_default())?;
                Poll::Ready(Ok(()))
            }
            failed @ Poll::Ready(Err(_)) => failed,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        if self.meter.drops() {
            return Poll::Ready(Ok(octets.len()));
        }
        let outcome = Pin::new(&mut self.stream).poll_write(cx, octets);
        self.written(outcome, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.meter.drops() {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let stream = Pin::new(&mut self.stream);
        let outcome = match only(slices) {
            // The system takes one slice at less cost than a list of slices.
            Some(slice) => stream.poll_write(cx, slice),
            None => stream.poll_write_vectored(cx, slices),
        };
        self.written(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Pending => self.wait_to_write(cx),
            flushed @ Poll::Ready(_) => {
                self.meter.note_flushed();
                flushed
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.kept {
            return Poll::Ready(Ok(()));
        }
        match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Pending => self.wait_to_write(cx),
            shut @ Poll::Ready(_) => shut,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    use super::super::Patience;
    use super::*;

    const SHORT: Duration = Duration::from_millis(40);

    fn stream(patience: Patience) -> (Timed<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (here, there) = tokio::io::duplex(16);
        (Timed::new(here, Rc::new(Meter::new(patience, SHORT, SHORT))), there)
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test);
    }

    /// Room for octets, of which nothing was used.
    struct Unused(std::sync::Arc<[u8; 0]>);

    impl AsRef<[u8]> for Unused {
        fn as_ref(&self) -> &[u8] {
            self.0.as_slice()
        }
    }

    #[test]
    fn nothing_given_back_takes_no_memory() {
        let room = std::sync::Arc::new([]);
        let (stream, _there) = stream(Patience::Unlimited);
        let _stream = stream.unread(Bytes::from_owner(Unused(std::sync::Arc::clone(&room))));
        assert_eq!(std::sync::Arc::strong_count(&room), 1);
    }

    #[test]
    fn octets_given_back_come_first() {
        run(async {
            let (stream, mut there) = stream(Patience::Unlimited);
            let mut stream = stream.unread(Bytes::from_static(b"ab"));
            there.write_all(b"cd").await.unwrap();
            let mut octets = [0; 4];
            stream.read_exact(&mut octets).await.unwrap();
            assert_eq!(&octets, b"abcd");
            assert_eq!(stream.meter().received(), 2);
        });
    }

    #[test]
    fn a_head_that_drips_has_one_deadline() {
        run(async {
            let (mut stream, mut there) = stream(Patience::Idle(Instant::now() + 10 * SHORT));
            let drip = async {
                loop {
                    tokio::time::sleep(SHORT / 4).await;
                    there.write_all(b"x").await.unwrap();
                }
            };
            let began = Instant::now();
            let read = async {
                let mut text = Vec::new();
                stream.read_to_end(&mut text).await.unwrap_err().kind()
            };
            tokio::select! {
                kind = read => assert_eq!(kind, io::ErrorKind::TimedOut),
                () = drip => {}
            }
            assert!(began.elapsed() < 4 * SHORT);
            assert_eq!(stream.meter().expired(), Some(Expired::Head));
        });
    }

    #[test]
    fn a_gap_begins_anew_with_every_octet() {
        run(async {
            let (mut stream, mut there) = stream(Patience::Gap(SHORT));
            let feed = async {
                for _ in 0..6 {
                    tokio::time::sleep(SHORT / 2).await;
                    there.write_all(b"x").await.unwrap();
                }
                std::future::pending::<()>().await;
            };
            let mut text = Vec::new();
            let kind = tokio::select! {
                outcome = stream.read_to_end(&mut text) => outcome.unwrap_err().kind(),
                () = feed => unreachable!(),
            };
            assert_eq!((kind, text.len()), (io::ErrorKind::TimedOut, 6));
            assert_eq!(stream.meter().expired(), Some(Expired::Gap));
        });
    }

    #[test]
    fn writing_without_progress_ends() {
        run(async {
            let (mut stream, _there) = stream(Patience::Unlimited);
            let error = stream.write_all(&[0; 64]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(stream.meter().expired(), Some(Expired::Write));
        });
    }

    #[test]
    fn an_idle_stream_that_winds_down_ends_but_not_in_the_middle_of_a_head() {
        run(async {
            let (mut stream, mut there) = stream(Patience::Idle(Instant::now() + SHORT));
            stream.meter().wind_down();
            there.write_all(b"GET").await.unwrap();
            let mut octets = [0; 8];
            assert_eq!(stream.read(&mut octets).await.unwrap(), 3);
            assert_eq!(stream.read(&mut octets).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            stream.meter().set_patience(Patience::Idle(Instant::now() + SHORT));
            assert_eq!(stream.read(&mut octets).await.unwrap(), 0);
        });
    }

    #[test]
    fn what_is_written_unasked_is_dropped() {
        run(async {
            let (mut stream, mut there) = stream(Patience::Idle(Instant::now() + 10 * SHORT));
            let meter = Rc::clone(stream.meter());
            meter.keep_silent();
            stream.write_all(b"unasked").await.unwrap();
            assert!(meter.take_the_word() && !meter.take_the_word());
            stream.write_all(b"a").await.unwrap();
            meter.keep_silent();
            meter.speak();
            meter.set_patience(Patience::Unlimited);
            stream.flush().await.unwrap();
            stream.write_all(b"b").await.unwrap();
            meter.set_patience(Patience::Idle(Instant::now() + SHORT));
            stream.write_all(b"c").await.unwrap();
            stream.flush().await.unwrap();
            stream.write_all(b"dropped").await.unwrap();
            drop(stream);
            let mut text = String::new();
            there.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, "abc");
        });
    }

    #[test]
    fn a_half_sent_head_has_little_time_when_the_stream_winds_down() {
        let began = Instant::now();
        let hour = Duration::from_secs(3600);
        let meter = Meter::new(Patience::Head(began + hour), hour, hour);
        meter.wind_down();
        assert!(matches!(meter.patience(), Patience::Head(deadline) if deadline < began + hour / 60));
        meter.await_request(began, hour);
        meter.note_read(1);
        assert!(matches!(meter.patience(), Patience::Head(deadline) if deadline < began + hour / 60));
    }

    #[test]
    fn waking_up_loses_nothing() {
        run(async {
            let (mut stream, mut there) = stream(Patience::Idle(Instant::now() + 10 * SHORT));
            there.write_all(b"GET").await.unwrap();
            assert_eq!((stream.wake().await.unwrap(), stream.wake().await.unwrap()), (3, 3));
            drop(there);
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            assert_eq!((text.as_str(), stream.wake().await.unwrap()), ("GET", 0));
        });
    }
}
