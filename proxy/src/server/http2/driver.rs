//! Drives an HTTP/2 connection and its streams in one task.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, Handshake, SendResponse};
use h2::{Reason, RecvStream};
use http::{Method, Request, Response};

use super::super::connection::ClientConnection;
use super::keep_alive::{KeepAlive, Silence};
use super::sipped::Sipped;
use super::streams::Streams;
use super::upgraded::Connect;
use super::wake::Hub;
use crate::body::ClientBody;
use crate::pipeline::ResponseBody;
use crate::stream::{ClientStream, Timed};

/// A connection whose requests `handle` makes futures of.
pub(super) struct Driver<H, F> {
    // Streams end before their connection does.
    streams: Streams<F>,
    link: Link,
    keep_alive: Option<KeepAlive>,
    handle: H,
    connection: Rc<ClientConnection>,
    hub: Arc<Hub>,
    waker: Waker,
    ends: bool,
    /// Requests so far.
    taken_up: u64,
    /// Whether there was nothing more to be read since the connection was woken.
    dry: Rc<Cell<bool>>,
}

/// How long a client may be silent, with streams or without.
const SILENCE: Silence = Silence { ping: Duration::from_secs(60), pong: Duration::from_secs(20) };

/// Alarms and the like outlive it here and there, with wakers of its streams: they need not keep its task.
impl<H, F> Drop for Driver<H, F> {
    fn drop(&mut self) {
        self.hub.forget();
    }
}

type Stream = Sipped<Timed<ClientStream>>;

enum Link {
    Begins(Handshake<Stream, Bytes>),
    Stands(Connection<Stream, Bytes>),
}

impl<H, F> Driver<H, F>
where
    H: FnMut(Request<ClientBody>) -> F,
    F: Future<Output = Result<Response<ResponseBody>, Infallible>>,
{
    pub(super) fn new(
        builder: &Builder,
        stream: Timed<ClientStream>,
        connection: &Rc<ClientConnection>,
        handle: H,
    ) -> Self {
        let hub = Arc::<Hub>::default();
        let dry = Rc::<Cell<bool>>::default();
        let stream = Sipped::new(stream, Rc::clone(&dry));
        hub.mark_connection();
        Self {
            streams: Streams::new(Arc::clone(&hub)),
            link: Link::Begins(builder.handshake(stream)),
            keep_alive: None,
            handle,
            connection: Rc::clone(connection),
            waker: Waker::from(Arc::clone(&hub)),
            hub,
            ends: false,
            taken_up: 0,
            dry,
        }
    }

    /// Takes up no more requests and ends with the last one. The client is told.
    pub(super) fn graceful_shutdown(&mut self) {
        self.ends = true;
        if let Link::Stands(http) = &mut self.link {
            http.graceful_shutdown();
            self.hub.mark_connection();
        }
    }

    /// Goes on until something is missing, or the connection is over.
    ///
    /// What streams wake in each other waits until other tasks had their turn, as if each stream were a task.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        self.hub.run(cx.waker());
        // Streams first: what they have to send goes out with what the connection has.
        for _ in 0..2 {
            let marks = self.hub.take();
            if marks.streams() {
                self.streams.poll(&self.connection);
            }
            let before = self.taken_up;
            if marks.and(self.hub.take_connection()).connection()
                && let Poll::Ready(ended) = self.poll_link()
            {
                return Poll::Ready(ended);
            }
            if self.taken_up == before {
                break;
            }
        }
        if self.hub.rest() {
            self.streams.rest(&self.connection, cx);
            self.look_after_client(cx);
        } else {
            self.hub.pause();
        }
        Poll::Pending
    }

    /// Reads, writes, and takes up requests.
    fn poll_link(&mut self) -> Poll<Result<(), h2::Error>> {
        self.dry.set(false);
        loop {
            let mut cx = Context::from_waker(&self.waker);
            match &mut self.link {
                Link::Begins(handshake) => {
                    let http = ready!(Pin::new(handshake).poll(&mut cx))?;
                    self.begin(http);
                }
                Link::Stands(http) => match ready!(http.poll_accept(&mut cx)) {
                    Some(Ok((request, respond))) => self.receive(request, respond),
                    Some(Err(error)) => return Poll::Ready(Err(error)),
                    None => return Poll::Ready(Ok(())),
                },
            }
        }
    }

    #[cold]
    fn begin(&mut self, mut http: Connection<Stream, Bytes>) {
        self.keep_alive = http.ping_pong().map(|pings| KeepAlive::new(pings, SILENCE));
        if self.ends {
            http.graceful_shutdown();
        }
        self.link = Link::Stands(http);
    }

    fn receive(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let (mut parts, stream) = request.into_parts();
        let (body, connect) = if parts.method == Method::CONNECT {
            match Connect::take(&mut parts, stream) {
                Some(connect) => (ClientBody::Empty, Some(connect)),
                None => return respond.send_reset(Reason::INTERNAL_ERROR),
            }
        } else {
            (ClientBody::of_stream(stream), None)
        };
        let Self { streams, handle, .. } = self;
        streams.begin(|| handle(Request::from_parts(parts, body)), respond, connect);
        self.taken_up = self.taken_up.wrapping_add(1);
    }

    /// Asks a client that is silent whether it is there, and gives it up where it is not.
    fn look_after_client(&mut self, cx: &mut Context<'_>) {
        let (Some(keep_alive), Link::Stands(http)) = (&mut self.keep_alive, &mut self.link) else { return };
        keep_alive.note(self.connection.meter().received());
        if keep_alive.is_over(cx) {
            tracing::debug!("connection given up: its client is silent");
            http.abrupt_shutdown(Reason::NO_ERROR);
            self.keep_alive = None;
            self.hub.mark_connection();
        }
    }
}
