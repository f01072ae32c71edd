//! A client connection: what its requests know of it, and how it begins and ends.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Worker;
use super::detect::{self, HttpVersion};
use super::drain::Stage;
use super::{http1, http2, tls};
use crate::pipeline::{ConnectionFacts, ConnectionTexts, ConnectionVariables, TlsFacts, Tunnel};
use crate::stream::{ClientStream, Meter, Patience, Socket, SocketWatch, Timed};

/// What a connection's requests know of it.
pub(crate) struct ClientConnection {
    worker: Rc<Worker>,
    facts: ConnectionFacts,
    texts: ConnectionTexts,
    meter: Rc<Meter>,
    tls: Option<Box<TlsFacts>>,
    version: HttpVersion,
    plain_on_tls: bool,
    number: u64,
    requests: Cell<u64>,
    under_way: Cell<u32>,
    idle_since: Cell<Instant>,
    tunnel: RefCell<Option<Box<Tunnel>>>,
    unread: Cell<bool>,
    cut: Cell<bool>,
    used_up: Notify,
}

/// A listening socket, as its connections see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entrance {
    pub(super) tls: bool,
    pub(super) port: u16,
    pub(super) https_port: u16,
}

/// Serves a connection to its end.
pub(super) async fn serve(
    worker: Rc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    entrance: Entrance,
    acceptor: Option<tls::Acceptor>,
) {
    // Without it answers come late, not wrong.
    stream.set_nodelay(true).ok();
    let limits = worker.config().client;
    let arrived = match acceptor {
        None => tokio::select! {
            arrived = detect::plain(stream, limits.head) => arrived,
            () = silent_at_the_end(&worker) => None,
        },
        Some(acceptor) => Box::pin(detect::tls(stream, &acceptor, worker.handshakes(), limits)).await,
    };
    let Some(arrived) = arrived else { return };
    let patience = match arrived.version {
        HttpVersion::Http1 => Patience::Head(arrived.deadline),
        // Streams come and go; the connection looks after itself.
        HttpVersion::Http2 => Patience::Unlimited,
    };
    let meter = Rc::new(Meter::new(patience, limits.head, limits.write));
    if !arrived.ahead.is_empty() {
        meter.note_ahead(arrived.ahead.len());
    }
    let facts = ConnectionFacts {
        peer,
        port: entrance.port,
        tls: entrance.tls && !arrived.plain_on_tls,
        https_port: entrance.https_port,
    };
    let stream = Timed::new(arrived.stream, Rc::clone(&meter)).unread(arrived.ahead);
    let connection = Rc::new(ClientConnection {
        number: worker.next_connection(),
        worker,
        texts: ConnectionTexts::new(&facts),
        facts,
        meter,
        tls: arrived.tls,
        version: arrived.version,
        plain_on_tls: arrived.plain_on_tls,
        requests: Cell::new(0),
        under_way: Cell::new(0),
        idle_since: Cell::new(Instant::now()),
        tunnel: RefCell::new(None),
        unread: Cell::new(false),
        cut: Cell::new(false),
        used_up: Notify::new(),
    });
    match arrived.version {
        HttpVersion::Http1 => http1::serve(connection, stream, arrived.watch).await,
        HttpVersion::Http2 => Box::pin(http2::serve(connection, stream, arrived.watch)).await,
    }
}

/// How long a connection that has sent nothing may still begin when the worker ends.
const LAST_WORD: Duration = Duration::from_secs(2);

/// Ends when a connection that has sent nothing is not waited for any more.
async fn silent_at_the_end(worker: &Worker) {
    worker.drain().reached(Stage::Closing).await;
    tokio::time::sleep(LAST_WORD).await;
}

/// A connection whose protocol is known.
pub(super) struct Arrived {
    pub(super) stream: ClientStream,
    pub(super) watch: SocketWatch,
    /// What was read to know the protocol.
    pub(super) ahead: bytes::Bytes,
    pub(super) version: HttpVersion,
    pub(super) tls: Option<Box<TlsFacts>>,
    pub(super) plain_on_tls: bool,
    /// Until when the first request head must be complete.
    pub(super) deadline: Instant,
}

impl Arrived {
    /// HTTP/1 in the clear, until more is known.
    pub(super) fn plain(stream: TcpStream, deadline: Instant) -> Self {
        let (socket, watch) = Socket::new(stream);
        Self {
            stream: ClientStream::Plain(socket),
            watch,
            ahead: bytes::Bytes::new(),
            version: HttpVersion::Http1,
            tls: None,
            plain_on_tls: false,
            deadline,
        }
    }
}

impl ClientConnection {
    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    pub(crate) fn facts(&self) -> &ConnectionFacts {
        &self.facts
    }

    /// What is the same in all its requests.
    pub(crate) fn texts(&self) -> &ConnectionTexts {
        &self.texts
    }

    pub(crate) fn meter(&self) -> &Rc<Meter> {
        &self.meter
    }

    /// Whether it speaks plain HTTP where TLS is spoken.
    pub(crate) fn is_plain_on_tls(&self) -> bool {
        self.plain_on_tls
    }

    pub(crate) fn variables(&self) -> ConnectionVariables<'_> {
        ConnectionVariables { number: self.number, requests: self.requests.get(), tls: self.tls.as_deref() }
    }

    /// A request head is complete; when its first octet came.
    pub(crate) fn request_began(&self, has_body: bool) -> Instant {
        self.requests.set(self.requests.get() + 1);
        self.under_way.set(self.under_way.get() + 1);
        if self.version == HttpVersion::Http1 {
            let patience = if has_body { Patience::Gap(self.worker.config().client.body) } else { Patience::Unlimited };
            self.meter.set_patience(patience);
        }
        self.meter.take_head_began().unwrap_or_else(Instant::now)
    }

    /// A request is over; `unread` when not all of its body was read.
    pub(crate) fn request_over(&self, now: Instant, unread: bool) {
        self.under_way.set(self.under_way.get().saturating_sub(1));
        self.idle_since.set(now);
        if unread {
            self.unread.set(true);
        }
        if self.version == HttpVersion::Http1 {
            self.meter.set_patience(Patience::Idle(now + self.worker.config().client.idle));
        }
    }

    /// Whether no further request is wanted on it.
    pub(crate) fn is_last(&self) -> bool {
        self.worker.drain().has_reached(Stage::LastRequests)
            || self.requests.get() >= self.worker.config().requests_per_connection
    }

    /// Ends the connection with the response that has these fields. HTTP/2 connections end when their streams have.
    pub(crate) fn close_after(&self, headers: &mut HeaderMap) {
        match self.version {
            HttpVersion::Http1 => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            HttpVersion::Http2 if self.is_last() => self.used_up.notify_one(),
            HttpVersion::Http2 => {}
        }
    }

    /// The client may be sending what will never be read.
    pub(crate) fn note_unread(&self) {
        self.unread.set(true);
    }

    /// A response was cut short: the client must be able to tell.
    pub(crate) fn note_cut(&self) {
        self.cut.set(true);
    }

    /// The connection becomes a tunnel once the response is sent.
    pub(crate) fn set_tunnel(&self, tunnel: Tunnel) {
        *self.tunnel.borrow_mut() = Some(Box::new(tunnel));
    }

    pub(super) fn take_tunnel(&self) -> Option<Box<Tunnel>> {
        self.tunnel.borrow_mut().take()
    }

    pub(super) fn was_cut(&self) -> bool {
        self.cut.get()
    }

    /// Whether the client may still be sending what nobody reads.
    pub(super) fn has_unread(&self) -> bool {
        self.unread.get() && !self.meter.has_ended()
    }

    /// Since when no request is under way.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.under_way.get() == 0).then(|| self.idle_since.get())
    }

    /// Waits until it has served as many requests as one connection may.
    pub(super) async fn used_up(&self) {
        self.used_up.notified().await;
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.get()
    }
}

impl std::fmt::Debug for ClientConnection {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ClientConnection").field("facts", &self.facts).field("number", &self.number).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_output<A, B, C, D, E, F>(_: impl Fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_needs_little_room() {
        assert!(size_of_output(serve) <= 1536, "{} octets", size_of_output(serve));
    }
}
