//! The task of an HTTP/2 connection, and one that asks whether the other side is still there while it is quiet (RFC 9113
//! section 6.7).

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{Instant, sleep, timeout};

use super::Driver;

/// How long a connection may be quiet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quiet {
    /// After this long without a frame in the middle of an exchange the upstream is asked whether it is there,
    pub(super) ping: Duration,
    /// and has this long to say so.
    pub(super) pong: Duration,
    /// While it says nothing else it is not asked again for this long: gRPC servers close connections that ask too often.
    pub(super) again: Duration,
}

/// What goes on on a connection.
#[derive(Debug)]
pub(super) struct Activity {
    /// Exchanges under way.
    pub(super) under_way: Cell<usize>,
    /// Whether something came since it was last looked at.
    pub(super) heard: Cell<bool>,
    /// Whether an exchange was begun since then, even if it is given up already.
    pub(super) asked: Cell<bool>,
}

/// A task that ends with its owner.
struct Tied(AbortHandle);

impl Activity {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self { under_way: Cell::new(0), heard: Cell::new(false), asked: Cell::new(false) })
    }

    fn is_idle(&self) -> bool {
        self.under_way.get() == 0
    }
}

/// Starts the tasks of a connection. They end when nobody has a share in it any more, or when it breaks.
pub(super) fn drive(mut driver: Driver, activity: &Rc<Activity>, quiet: Quiet) {
    let task: Rc<OnceCell<AbortHandle>> = Rc::default();
    let watch = driver.ping_pong().map(|ping| {
        let (activity, driving) = (Rc::clone(activity), Rc::clone(&task));
        let watch = async move {
            silence(&activity, quiet, ping).await;
            tracing::debug!("an upstream did not answer a PING");
            if let Some(driving) = driving.get() {
                driving.abort();
            }
        };
        Tied(spawn_local(watch).abort_handle())
    });
    let driving = spawn_local(async move {
        let _watch = watch;
        // What goes wrong reaches every exchange on it; on an idle connection it only means that it is gone.
        if let Err(error) = driver.await {
            tracing::debug!(%error, "an HTTP/2 connection to an upstream failed");
        }
    });
    task.set(driving.abort_handle()).ok();
}

/// How many looks make up the time without a sign; it is kept to this fraction.
const LOOKS: u32 = 2;

/// Returns when a PING was not answered. That more exchanges begin is no sign of the other side.
async fn silence(activity: &Activity, quiet: Quiet, mut ping: PingPong) {
    let mut still = 0;
    let mut answered: Option<Instant> = None;
    loop {
        sleep(quiet.ping / LOOKS).await;
        if activity.heard.take() {
            still = 0;
            answered = None;
            activity.asked.set(false);
        } else if activity.asked.get() || !activity.is_idle() {
            still += 1;
        }
        if still >= LOOKS && answered.is_none_or(|answered| answered.elapsed() >= quiet.again) {
            let Ok(Ok(_)) = timeout(quiet.pong, ping.ping(Ping::opaque())).await else { return };
            answered = Some(Instant::now());
            still = 0;
            activity.asked.set(false);
        }
    }
}

impl Drop for Tied {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use h2::client::SendRequest;
    use http::Request;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::stream::{Meter, Patience, Timed, UpstreamStream};

    const QUIET: Quiet =
        Quiet { ping: Duration::from_millis(100), pong: Duration::from_millis(100), again: Duration::from_millis(400) };

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, test);
    }

    /// An exchange with an endpoint that is heard of no more after so many requests.
    async fn connect(requests: usize) -> (SendRequest<Bytes>, Rc<Activity>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        spawn_local(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let mut held = Vec::new();
            while held.len() < requests {
                held.push(connection.accept().await.unwrap().unwrap());
            }
            std::future::pending::<()>().await;
        });
        let meter = Rc::new(Meter::new(Patience::Unlimited, Duration::from_secs(9), Duration::from_secs(9)));
        let stream = UpstreamStream::Plain(TcpStream::connect(address).await.unwrap());
        let (sender, driver) = h2::client::handshake(Timed::new(stream, meter)).await.unwrap();
        let activity = Activity::new();
        drive(driver, &activity, QUIET);
        (sender, activity)
    }

    fn ask(sender: &mut SendRequest<Bytes>) -> h2::client::ResponseFuture {
        sender.send_request(Request::get("http://a.example/").body(()).unwrap(), true).unwrap().0
    }

    #[test]
    fn an_upstream_that_answers_no_ping_is_given_up() {
        run(async {
            let (mut sender, activity) = connect(1).await;
            let began = Instant::now();
            activity.under_way.set(1);
            let error = timeout(20 * QUIET.ping, ask(&mut sender)).await.expect("it ends").unwrap_err();
            assert!(!error.is_reset() && began.elapsed() >= QUIET.ping + QUIET.pong, "{error}");
            assert!(sender.ready().await.is_err(), "nothing more begins");
        });
    }

    #[test]
    fn an_upstream_is_asked_for_exchanges_that_were_given_up() {
        run(async {
            let (mut sender, activity) = connect(1).await;
            activity.asked.set(true);
            timeout(20 * QUIET.ping, ask(&mut sender)).await.expect("it ends").unwrap_err();
        });
    }

    #[test]
    fn an_upstream_that_answers_pings_may_take_its_time() {
        run(async {
            let (mut sender, activity) = connect(usize::MAX).await;
            activity.under_way.set(1);
            assert!(timeout(6 * QUIET.ping, ask(&mut sender)).await.is_err(), "still waiting");
            assert!(sender.ready().await.is_ok());
        });
    }

    /// Answers every PING and nothing else; how many there were.
    async fn count_pings(mut stream: TcpStream, pings: Rc<Cell<usize>>) -> std::io::Result<()> {
        const SETTINGS: u8 = 4;
        const PING: u8 = 6;
        stream.read_exact(&mut [0; b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()]).await?;
        stream.write_all(&[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]).await?;
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await?;
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            stream.read_exact(&mut payload).await?;
            if head[3] == PING {
                pings.set(pings.get() + 1);
                head[4] = 1;
                stream.write_all(&[&head[..], &payload[..]].concat()).await?;
            }
        }
    }

    #[test]
    fn an_upstream_that_has_answered_is_left_alone_for_a_while() {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let pings = Rc::new(Cell::new(0));
            let counted = Rc::clone(&pings);
            spawn_local(async move { count_pings(listener.accept().await.unwrap().0, counted).await.unwrap_err() });
            let meter = Rc::new(Meter::new(Patience::Unlimited, Duration::from_secs(9), Duration::from_secs(9)));
            let stream = UpstreamStream::Plain(TcpStream::connect(address).await.unwrap());
            let (mut sender, driver) = h2::client::handshake(Timed::new(stream, meter)).await.unwrap();
            let activity = Activity::new();
            activity.under_way.set(1);
            let began = Instant::now();
            drive(driver, &activity, QUIET);
            let _waiting: (_, h2::SendStream<Bytes>) =
                sender.send_request(Request::get("http://a.example/").body(()).unwrap(), true).unwrap();
            while pings.get() < 2 {
                assert!(began.elapsed() < Duration::from_secs(9), "{pings:?}");
                sleep(Duration::from_millis(10)).await;
            }
            assert!(began.elapsed() >= QUIET.ping + QUIET.again, "{:?}", began.elapsed());
        });
    }

    #[test]
    fn nobody_is_asked_while_nobody_waits() {
        run(async {
            let (mut sender, _activity) = connect(1).await;
            assert!(timeout(6 * QUIET.ping, ask(&mut sender)).await.is_err(), "no exchange was counted");
            assert!(sender.ready().await.is_ok());
        });
    }
}
