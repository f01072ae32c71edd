//! HTTP/2 connections to endpoints, each shared by many exchanges of one worker (RFC 9113).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{Builder, ResponseFuture, SendRequest};
use hashbrown::HashMap;
use http::Request;
use portcullis_model::UpstreamKeepalive;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connection::Peer;
use super::exchange_error::ExchangeError;
use super::http2_head::Origins;
use super::http2_stream::Http2Stream;
use crate::clock;
use crate::error::ProxyError;
use crate::stream::{Timed, UpstreamStream};
use alarms::Alarms;
use keep_alive::{Activity, Quiet};

mod alarms;
mod keep_alive;

pub(super) use alarms::Lent;

/// Most exchanges on one connection at a time; fewer where the upstream says so (`SETTINGS_MAX_CONCURRENT_STREAMS`).
const STREAMS: u32 = 100;
/// What an upstream may send of one response before it is read.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same for all of them together: a client that reads slowly takes nothing away from another one.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS;
/// What waits to be written of one request.
const SEND_BUFFER: usize = 64 * 1024;
/// For how long an upstream may say nothing in the middle of an exchange.
const QUIET: Quiet =
    Quiet { ping: Duration::from_secs(60), pong: Duration::from_secs(20), again: Duration::from_secs(310) };
/// Malformed messages that a connection outlives.
const MALFORMED: usize = 1024;
/// Cancelled exchanges after which a connection takes no more: h2 closes one itself after 1024, with all that goes on on it.
const CANCELS: u32 = 512;

/// The HTTP/2 connections of a worker.
pub(super) struct Http2Pool {
    hubs: RefCell<HashMap<Peer, Hub>>,
    limits: Cell<UpstreamKeepalive>,
    builder: Builder,
}

/// The connections to one peer.
#[derive(Default)]
struct Hub {
    open: Vec<Rc<Multiplexed>>,
    /// Set while one is being made; told when that is over.
    connecting: Option<Rc<Notify>>,
}

/// A connection and the exchanges on it.
pub(super) struct Multiplexed {
    sender: RefCell<SendRequest<Bytes>>,
    activity: Rc<Activity>,
    opened: Instant,
    idle_since: Cell<Instant>,
    requests: Cell<u32>,
    cancelled: Cell<u32>,
    retired: Cell<bool>,
    /// Where requests were sent last.
    origins: Origins,
    alarms: Alarms,
}

type Driver = h2::client::Connection<Timed<UpstreamStream>, Bytes>;

/// Where a new exchange finds its connection.
pub(super) enum Place<'p> {
    /// Here.
    Open(Http2Stream),
    /// Another exchange is making one; worth another look when that is over.
    Soon(Rc<Notify>),
    /// The asking exchange has to make one.
    None(Connecting<'p>),
}

/// The duty to make a connection. Ends when it is dropped.
pub(super) struct Connecting<'p> {
    pool: &'p Http2Pool,
    peer: Peer,
    /// Told when it ends; none for a connection of one exchange alone.
    shared: Option<Rc<Notify>>,
}

impl Http2Pool {
    pub(super) fn new() -> Self {
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_max_send_streams(STREAMS as usize)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .max_header_list_size(u32::try_from(UpstreamKeepalive::LARGEST_HEAD).unwrap_or(u32::MAX))
            .max_local_error_reset_streams(Some(MALFORMED));
        Self { hubs: RefCell::default(), limits: Cell::default(), builder }
    }

    /// Goes by these limits from now on.
    pub(super) fn follow(&self, limits: UpstreamKeepalive) {
        self.limits.set(limits);
    }

    /// Room on a connection to `peer` that is there.
    pub(super) fn open(&self, peer: Peer, now: Instant) -> Option<Http2Stream> {
        let limits = self.limits.get();
        let mut hubs = self.hubs.borrow_mut();
        let hub = hubs.get_mut(&peer)?;
        let mut place = 0;
        // Those behind the first that will do are left to be swept out.
        while let Some(connection) = hub.open.get(place) {
            if !connection.takes_more(&limits, now) || connection.is_stale(now, limits.idle) {
                hub.open.remove(place);
            } else if connection.has_room() {
                return Some(Http2Stream::new(connection));
            } else {
                place += 1;
            }
        }
        None
    }

    /// The same, or how to come by it.
    pub(super) fn place(&self, peer: Peer) -> Place<'_> {
        if let Some(stream) = self.open(peer, clock::now()) {
            return Place::Open(stream);
        }
        if !self.limits.get().is_on() {
            return Place::None(Connecting { pool: self, peer, shared: None });
        }
        let mut hubs = self.hubs.borrow_mut();
        let hub = hubs.entry(peer).or_default();
        if let Some(connecting) = &hub.connecting {
            return Place::Soon(Rc::clone(connecting));
        }
        let shared: Rc<Notify> = Rc::default();
        hub.connecting = Some(Rc::clone(&shared));
        Place::None(Connecting { pool: self, peer, shared: Some(shared) })
    }

    /// Lets go of what was idle too long or is closed.
    pub(super) fn sweep(&self, now: Instant) {
        let limits = self.limits.get();
        let mut hubs = self.hubs.borrow_mut();
        for hub in hubs.values_mut() {
            hub.open.retain(|connection| connection.takes_more(&limits, now) && !connection.is_stale(now, limits.idle));
        }
        hubs.retain(|_, hub| !hub.open.is_empty() || hub.connecting.is_some());
        while limits.connections < idle(&hubs).count() {
            let oldest = idle(&hubs).min_by_key(|(_, connection)| connection.idle_since.get());
            let Some((peer, oldest)) = oldest.map(|(peer, connection)| (*peer, Rc::clone(connection))) else { return };
            if let Some(hub) = hubs.get_mut(&peer) {
                hub.open.retain(|connection| !Rc::ptr_eq(connection, &oldest));
            }
        }
    }
}

fn idle(hubs: &HashMap<Peer, Hub>) -> impl Iterator<Item = (&Peer, &Rc<Multiplexed>)> {
    let all = hubs.iter().flat_map(|(peer, hub)| hub.open.iter().map(move |connection| (peer, connection)));
    all.filter(|(_, connection)| connection.activity.under_way.get() == 0)
}

impl Connecting<'_> {
    /// Begins to speak HTTP/2 on a stream, for this exchange first and then for others.
    ///
    /// # Errors
    ///
    /// When the stream is broken.
    pub(super) async fn begin(self, stream: Timed<UpstreamStream>) -> Result<Http2Stream, ProxyError> {
        let (sender, driver) = self.pool.builder.handshake(stream).await.map_err(failed)?;
        let connection = Rc::new(Multiplexed::new(sender, driver));
        let limits = self.pool.limits.get();
        let exchange = Http2Stream::new(&connection);
        if limits.is_on() && self.shared.is_some() {
            self.pool.hubs.borrow_mut().entry(self.peer).or_default().open.push(connection);
        }
        Ok(exchange)
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        let Some(shared) = &self.shared else { return };
        if let Some(hub) = self.pool.hubs.borrow_mut().get_mut(&self.peer) {
            hub.connecting = None;
        }
        shared.notify_waiters();
    }
}

fn failed(error: h2::Error) -> ProxyError {
    ProxyError::Upstream(ExchangeError::Http2(error.into()))
}

impl Multiplexed {
    fn new(sender: SendRequest<Bytes>, driver: Driver) -> Self {
        let now = Instant::now();
        let activity = Activity::new();
        keep_alive::drive(driver, &activity, QUIET);
        Self {
            sender: RefCell::new(sender),
            activity,
            opened: now,
            idle_since: Cell::new(now),
            requests: Cell::new(0),
            cancelled: Cell::new(0),
            retired: Cell::new(false),
            origins: Origins::default(),
            alarms: Alarms::new(),
        }
    }

    /// Whether it may take one more exchange, as far as age and number go.
    fn takes_more(&self, limits: &UpstreamKeepalive, now: Instant) -> bool {
        !self.retired.get()
            && self.is_open()
            && limits.is_on()
            && self.requests.get() < limits.requests
            && self.cancelled.get() < CANCELS
            && now.saturating_duration_since(self.opened) < limits.age
    }

    /// Whether neither side has ended it.
    fn is_open(&self) -> bool {
        // Nothing is waited for: each stream is opened by a sender of its own.
        let ready = self.sender.borrow_mut().poll_ready(&mut Context::from_waker(Waker::noop()));
        !matches!(ready, Poll::Ready(Err(_)))
    }

    /// Whether one more exchange can begin at once.
    fn has_room(&self) -> bool {
        let under_way = self.activity.under_way.get();
        under_way < STREAMS as usize && under_way < self.sender.borrow().current_max_send_streams()
    }

    fn is_stale(&self, now: Instant, limit: Duration) -> bool {
        self.activity.under_way.get() == 0 && now.saturating_duration_since(self.idle_since.get()) >= limit
    }

    /// It failed as a whole, or is about to end: no more exchanges begin on it.
    pub(super) fn retire(&self) {
        self.retired.set(true);
    }

    /// Sends the head of a request, and the end of it where there is no body.
    ///
    /// # Errors
    ///
    /// When nothing was sent.
    pub(super) fn send(
        &self,
        head: Request<()>,
        whole: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        // A sender opens no further stream while its last one waits for room. Of these there are no more than exchanges.
        let mut sender = self.sender.borrow().clone();
        sender.send_request(head, whole)
    }

    /// Where requests were sent last.
    pub(super) fn origins(&self) -> &Origins {
        &self.origins
    }

    /// Something came from the other side.
    pub(super) fn note_sign(&self) {
        self.activity.heard.set(true);
    }

    /// What limits the time that exchanges wait.
    pub(super) fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// An exchange begins. Whether it is the first.
    pub(super) fn begin(&self) -> bool {
        self.activity.under_way.set(self.activity.under_way.get() + 1);
        self.activity.asked.set(true);
        self.requests.set(self.requests.get().saturating_add(1));
        self.requests.get() == 1
    }

    /// An exchange is over, early or not.
    pub(super) fn end(&self, cancelled: bool) {
        let under_way = self.activity.under_way.get().saturating_sub(1);
        self.activity.under_way.set(under_way);
        self.cancelled.set(self.cancelled.get().saturating_add(u32::from(cancelled)));
        if under_way == 0 {
            self.idle_since.set(clock::now());
        }
    }
}

#[cfg(test)]
mod tests;
