//! A client connection: what its requests know of it, and how it begins and ends.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use portcullis_model::ClientSettings;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Worker;
use super::detect::{self, HttpVersion};
use super::drain::Stage;
use super::proxy_protocol::{self, Header};
use super::{http1, http2, tls};
use crate::clock;
use crate::pipeline::{ConnectionFacts, ConnectionTexts, ConnectionVariables, Proxied, TlsFacts, Tunnel};
use crate::stream::{ClientStream, Meter, Patience, Socket, SocketWatch, Timed};

/// What a connection's requests know of it.
pub(crate) struct ClientConnection {
    worker: Rc<Worker>,
    facts: ConnectionFacts,
    texts: ConnectionTexts,
    plain_host: RefCell<Rc<str>>,
    meter: Rc<Meter>,
    settings: Cell<ClientSettings>,
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
    contradicts: Cell<bool>,
    draining: Cell<bool>,
    used_up: Notify,
}

/// A listening socket, as its connections see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entrance {
    pub(crate) tls: bool,
    /// Of a TCP service: nothing of what is said there is understood.
    pub(crate) raw: bool,
    pub(crate) port: u16,
    pub(crate) https_port: u16,
}

/// Serves a connection to its end.
pub(super) async fn serve(
    worker: Rc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    entrance: Entrance,
    acceptor: Option<tls::Acceptor>,
) {
    // In a place of its own, which most of a connection's life does not need.
    let begun = Box::pin(begin(worker, stream, peer, entrance, acceptor)).await;
    let Some((connection, stream, watch)) = begun else { return };
    match connection.version {
        HttpVersion::Http1 => http1::serve(connection, stream, watch).await,
        HttpVersion::Http2 => Box::pin(http2::serve(connection, stream, watch)).await,
    }
}

/// Finds out who speaks and how; none where nobody does.
async fn begin(
    worker: Rc<Worker>,
    mut stream: TcpStream,
    peer: SocketAddr,
    entrance: Entrance,
    acceptor: Option<tls::Acceptor>,
) -> Option<(Rc<ClientConnection>, Timed<ClientStream>, SocketWatch)> {
    // Without it answers come late, not wrong.
    stream.set_nodelay(true).ok();
    let (settings, http2) = {
        let table = worker.table();
        (table.settings().client, table.settings().http2)
    };
    let caller = if settings.proxy_protocol {
        introduction(&worker, &mut stream, peer, settings).await?
    } else {
        Caller { address: peer, proxied: None }
    };
    let limits = worker.config().client;
    let arrived = match acceptor {
        None => tokio::select! {
            arrived = detect::plain(stream, settings.header_timeout, http2) => arrived?,
            () = silent_at_the_end(&worker) => return None,
        },
        Some(acceptor) => {
            let head = settings.header_timeout;
            detect::tls(stream, &acceptor, worker.handshakes(), (limits.handshake, head)).await?
        }
    };
    let patience = Patience::Head(arrived.deadline);
    let meter = Rc::new(Meter::new(patience, settings.header_timeout, limits.write));
    if !arrived.ahead.is_empty() {
        meter.note_ahead(arrived.ahead.len());
        meter.look_at_head(&arrived.ahead);
    }
    let facts = ConnectionFacts {
        peer: caller.address,
        port: entrance.port,
        tls: entrance.tls && !arrived.plain_on_tls,
        https_port: entrance.https_port,
        proxied: caller.proxied,
    };
    let stream = Timed::new(arrived.stream, Rc::clone(&meter)).unread(arrived.ahead);
    let connection = Rc::new(ClientConnection {
        number: worker.next_connection(),
        worker,
        texts: ConnectionTexts::new(&facts),
        plain_host: RefCell::default(),
        facts,
        meter,
        settings: Cell::new(settings),
        tls: arrived.tls,
        version: arrived.version,
        plain_on_tls: arrived.plain_on_tls,
        requests: Cell::new(0),
        under_way: Cell::new(0),
        idle_since: Cell::new(Instant::now()),
        tunnel: RefCell::new(None),
        unread: Cell::new(false),
        cut: Cell::new(false),
        contradicts: Cell::new(false),
        draining: Cell::new(false),
        used_up: Notify::new(),
    });
    Some((connection, stream, arrived.watch))
}

/// How long a connection that has sent nothing may still begin when the worker ends.
const LAST_WORD: Duration = Duration::from_secs(2);

/// Ends when a connection that has sent nothing is not waited for any more.
async fn silent_at_the_end(worker: &Worker) {
    worker.drain().reached(Stage::Closing).await;
    tokio::time::sleep(LAST_WORD).await;
}

/// Who is at the other end.
struct Caller {
    address: SocketAddr,
    proxied: Option<Proxied>,
}

/// Reads what a load balancer says of the connection; none where it says nothing, or nothing that can be understood.
///
/// What one says that is not in `proxy-real-ip-cidr` is read and does not count (nginx: `set_real_ip_from`).
async fn introduction(
    worker: &Worker,
    stream: &mut TcpStream,
    peer: SocketAddr,
    settings: ClientSettings,
) -> Option<Caller> {
    let header = tokio::select! {
        header = tokio::time::timeout(settings.proxy_protocol_timeout, proxy_protocol::read(stream)) => header.ok()?,
        () = silent_at_the_end(worker) => return None,
    };
    let header = header.inspect_err(|error| tracing::debug!(%error, %peer, "connection not introduced")).ok()?;
    let table = worker.table();
    let trust = &table.settings().forwarded;
    Some(match header {
        Header::Proxied { source, destination } => {
            let balancer = peer.ip().to_canonical();
            let believed = trust.believes_connection(balancer);
            Caller {
                address: if trust.believes(balancer) { source } else { peer },
                proxied: believed.then_some(Proxied { source: source.ip(), port: destination.port() }),
            }
        }
        Header::Local => Caller { address: peer, proxied: None },
    })
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

    /// The host that was asked for last and is plain ([`portcullis_model::Authority::is_plain`]); empty where there was none.
    /// Usually it is asked for again.
    pub(crate) fn plain_host(&self) -> Rc<str> {
        Rc::clone(&self.plain_host.borrow())
    }

    /// A plain host was asked for.
    pub(crate) fn note_plain_host(&self, host: &str) {
        *self.plain_host.borrow_mut() = host.into();
    }

    pub(crate) fn meter(&self) -> &Rc<Meter> {
        &self.meter
    }

    /// The limits of one stream of HTTP/2 that has become a tunnel.
    pub(crate) fn stream_meter(&self) -> Meter {
        Meter::new(Patience::Unlimited, self.settings().header_timeout, self.worker.config().client.write)
    }

    /// Whether it speaks plain HTTP where TLS is spoken.
    pub(crate) fn is_plain_on_tls(&self) -> bool {
        self.plain_on_tls
    }

    /// How long the client may send nothing of a body, where the connection does not look after that: its streams are many.
    pub(crate) fn body_gap(&self) -> Option<Duration> {
        (self.version == HttpVersion::Http2).then(|| self.settings.get().body_timeout)
    }

    pub(crate) fn variables(&self) -> ConnectionVariables<'_> {
        ConnectionVariables { number: self.number, requests: self.requests.get(), tls: self.tls.as_deref() }
    }

    /// A request head is complete, under these settings; when its first octet came.
    pub(crate) fn request_began(&self, settings: &ClientSettings, has_body: bool) -> Instant {
        self.settings.set(*settings);
        self.requests.set(self.requests.get() + 1);
        self.under_way.set(self.under_way.get() + 1);
        if self.version == HttpVersion::Http2 {
            return clock::now();
        }
        self.contradicts.set(self.meter.take_head_lines().contradict());
        self.meter.set_in_rest(false);
        self.meter.speak();
        self.meter.set_head_patience(settings.header_timeout);
        self.meter.set_patience(if has_body { Patience::Gap(settings.body_timeout) } else { Patience::Unlimited });
        self.meter.take_head_began().unwrap_or_else(clock::now)
    }

    /// Whether the request that began last says in two ways how long its body is.
    pub(crate) fn request_contradicts(&self) -> bool {
        self.contradicts.get()
    }

    /// A request is over; `unread` when not all of its body was read.
    pub(crate) fn request_over(&self, now: Instant, unread: bool) {
        self.under_way.set(self.under_way.get().saturating_sub(1));
        self.idle_since.set(now);
        if unread {
            self.unread.set(true);
            self.meter.set_in_rest(true);
        }
        if !self.draining.get() {
            self.await_request(now);
        }
    }

    /// The rest of a body that nobody wants is being read: what comes is not the next request.
    pub(crate) fn drain_began(&self) {
        self.draining.set(true);
    }

    /// Such a body is over.
    pub(crate) fn drain_over(&self) {
        self.draining.set(false);
        if self.under_way.get() == 0 {
            self.await_request(clock::now());
        }
    }

    fn await_request(&self, now: Instant) {
        if self.version == HttpVersion::Http1 {
            self.meter.await_request(now, self.settings.get().keep_alive);
        }
    }

    /// Whether it has streams, each with a window of its own.
    pub(crate) fn is_http2(&self) -> bool {
        self.version == HttpVersion::Http2
    }

    /// Whether no further request is wanted on it.
    pub(crate) fn is_last(&self) -> bool {
        let settings = self.settings.get();
        self.worker.drain().has_reached(Stage::LastRequests)
            || self.requests.get() >= settings.keep_alive_requests
            || settings.keep_alive.is_zero()
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

    /// Settings as its last request found them.
    pub(super) fn settings(&self) -> ClientSettings {
        self.settings.get()
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
pub(crate) mod testing {
    use std::num::NonZeroUsize;
    use std::sync::{Arc, mpsc};

    use super::super::ServerConfig;
    use super::*;
    use crate::table::testing::snapshot;
    use crate::table::{RoutingTable, channel};
    use crate::upstream::{UpstreamRegistry, unverified_tls};

    /// A connection of HTTP/2 without a socket, on a worker of its own.
    pub(crate) fn connection() -> Rc<ClientConnection> {
        let config = Arc::new(ServerConfig::new(Vec::new(), Vec::new(), NonZeroUsize::MIN));
        let table = RoutingTable::compile(&snapshot(&[]), &UpstreamRegistry::default(), None);
        let (_, reader) = channel(table);
        let log = mpsc::sync_channel(1).0;
        let worker = Rc::new(Worker::new(&config, &reader, log, unverified_tls().unwrap(), Arc::default()));
        let facts = ConnectionFacts {
            peer: SocketAddr::from(([127, 0, 0, 9], 4000)),
            port: 8080,
            tls: false,
            https_port: 8443,
            proxied: None,
        };
        let limit = Duration::from_secs(60);
        Rc::new(ClientConnection {
            texts: ConnectionTexts::new(&facts),
            plain_host: RefCell::default(),
            facts,
            meter: Rc::new(Meter::new(Patience::Unlimited, limit, limit)),
            settings: Cell::new(worker.table().settings().client),
            tls: None,
            version: HttpVersion::Http2,
            plain_on_tls: false,
            number: worker.next_connection(),
            worker,
            requests: Cell::new(0),
            under_way: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
            tunnel: RefCell::new(None),
            unread: Cell::new(false),
            cut: Cell::new(false),
            contradicts: Cell::new(false),
            draining: Cell::new(false),
            used_up: Notify::new(),
        })
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
