//! Two streams tied together after a protocol switch, as WebSocket does.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Framed, Meter, Patience, Timed};

/// Passes octets both ways until both sides have ended, one breaks, or nothing passes for `idle`.
///
/// A side that ends is ended towards the other, which may go on (half-closed, RFC 9293 section 3.6).
///
/// # Errors
///
/// [`io::ErrorKind::TimedOut`] when nothing passed for `idle`, else what a stream reports.
pub(crate) async fn relay<A, B>(
    client: &mut Framed<Timed<A>>,
    upstream: &mut Timed<B>,
    idle: Duration,
) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (client_meter, upstream_meter) = (Rc::clone(client.get_ref().meter()), Rc::clone(upstream.meter()));
    for meter in [&client_meter, &upstream_meter] {
        meter.set_patience(Patience::Unlimited);
    }
    let copy = tokio::io::copy_bidirectional(client, upstream);
    tokio::select! {
        copied = copy => copied.map(|_| ()),
        () = silence(&client_meter, &upstream_meter, idle) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// How many looks at the counters make up one idle limit; it is kept to this fraction.
const LOOKS: u32 = 10;

/// Waits until the counters have stood still for `idle`.
async fn silence(client: &Meter, upstream: &Meter, idle: Duration) {
    let passed = || client.octets().wrapping_add(upstream.octets());
    let mut seen = passed();
    let mut still = 0;
    while still < LOOKS {
        tokio::time::sleep(idle / LOOKS).await;
        let now = passed();
        still = if now == seen { still + 1 } else { 0 };
        seen = now;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    use super::*;

    const IDLE: Duration = Duration::from_millis(60);

    fn end() -> (Timed<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (here, there) = tokio::io::duplex(64);
        (Timed::new(here, Rc::new(Meter::new(Patience::Unlimited, IDLE, IDLE))), there)
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test);
    }

    #[test]
    fn octets_pass_both_ways_and_ends_are_passed_on() {
        run(async {
            let ((client, mut at_client), (mut upstream, mut at_upstream)) = (end(), end());
            let mut client = Framed::new(client.unread(Bytes::from_static(b"early ")));
            let talk = async {
                at_client.write_all(b"hello").await.unwrap();
                at_client.shutdown().await.unwrap();
                let mut heard = String::new();
                at_upstream.read_to_string(&mut heard).await.unwrap();
                at_upstream.write_all(b"bye").await.unwrap();
                drop(at_upstream);
                let mut answer = String::new();
                at_client.read_to_string(&mut answer).await.unwrap();
                assert_eq!((heard.as_str(), answer.as_str()), ("early hello", "bye"));
            };
            let (relayed, ()) = tokio::join!(relay(&mut client, &mut upstream, 10 * IDLE), talk);
            relayed.unwrap();
        });
    }

    #[test]
    fn a_silent_tunnel_ends_and_one_in_use_does_not() {
        run(async {
            let ((client, mut at_client), (mut upstream, _at_upstream)) = (end(), end());
            let mut client = Framed::new(client);
            let began = Instant::now();
            let use_it = async {
                for _ in 0..6 {
                    at_client.write_all(b"x").await.unwrap();
                    tokio::time::sleep(IDLE / 2).await;
                }
                std::future::pending::<()>().await;
            };
            let relayed = tokio::select! {
                relayed = relay(&mut client, &mut upstream, IDLE) => relayed,
                () = use_it => unreachable!(),
            };
            assert_eq!(relayed.unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert!(began.elapsed() > 3 * IDLE);
        });
    }
}
