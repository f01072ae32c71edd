//! HTTP/2 connections to endpoints, each shared by many exchanges of one worker (RFC 9113).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use portcullis_model::UpstreamKeepalive;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connection::Peer;
use super::http2_body::Http2Body;
use super::http2_stream::Http2Stream;
use crate::error::ProxyError;
use crate::stream::{Timed, UpstreamStream};
use crate::timer::{Alarm, TokioTimer};

/// Most exchanges on one connection at a time; fewer where the upstream says so (`SETTINGS_MAX_CONCURRENT_STREAMS`).
const STREAMS: u32 = 100;
/// What an upstream may send of one response before it is read.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same for all of them together: a client that reads slowly takes nothing away from another one.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS;
/// What waits to be written of one request.
const SEND_BUFFER: usize = 64 * 1024;
/// After this long without a frame in the middle of an exchange the upstream is asked whether it is there,
const PING: Duration = Duration::from_secs(60);
/// and has this long to say so.
const PONG: Duration = Duration::from_secs(20);
/// Cancelled exchanges after which a connection takes no more: h2 closes one itself after 1024, with all that goes on on it.
const CANCELS: u32 = 512;

/// The HTTP/2 connections of a worker.
pub(super) struct Http2Pool {
    hubs: RefCell<HashMap<Peer, Hub>>,
    limits: Cell<UpstreamKeepalive>,
    builder: http2::Builder<LocalExecutor>,
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
    sender: RefCell<http2::SendRequest<Http2Body>>,
    driver: Rc<RefCell<Option<Driver>>>,
    opened: Instant,
    idle_since: Cell<Instant>,
    requests: Cell<u32>,
    under_way: Cell<usize>,
    cancelled: Cell<u32>,
    retired: Cell<bool>,
    /// Of exchanges that are over, for those to come: setting an alarm anew is cheaper than making one.
    alarms: RefCell<Vec<Alarm>>,
}

type Driver = http2::Connection<TokioIo<Timed<UpstreamStream>>, Http2Body, LocalExecutor>;

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
        let mut builder = http2::Builder::new(LocalExecutor);
        builder
            .timer(TokioTimer)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(u32::try_from(UpstreamKeepalive::LARGEST_HEAD).unwrap_or(u32::MAX))
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG);
        Self { hubs: RefCell::default(), limits: Cell::default(), builder }
    }

    /// Goes by these limits from now on.
    pub(super) fn follow(&self, limits: UpstreamKeepalive) {
        self.limits.set(limits);
    }

    /// Room on a connection to `peer` that is there.
    pub(super) fn open(&self, peer: Peer) -> Option<Http2Stream> {
        let limits = self.limits.get();
        let mut hubs = self.hubs.borrow_mut();
        let hub = hubs.get_mut(&peer)?;
        let now = Instant::now();
        hub.open.retain(|connection| connection.takes_more(&limits, now) && !connection.is_stale(now, limits.idle));
        let connection = hub.open.iter().find(|connection| connection.has_room())?;
        Some(Http2Stream::new(connection))
    }

    /// The same, or how to come by it.
    pub(super) fn place(&self, peer: Peer) -> Place<'_> {
        if let Some(stream) = self.open(peer) {
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
    all.filter(|(_, connection)| connection.under_way.get() == 0)
}

impl Connecting<'_> {
    /// Begins to speak HTTP/2 on a stream, for this exchange first and then for others.
    ///
    /// # Errors
    ///
    /// When the stream is broken.
    pub(super) async fn begin(self, stream: Timed<UpstreamStream>) -> Result<Http2Stream, ProxyError> {
        let handshake = self.pool.builder.handshake(TokioIo::new(stream));
        let (sender, driver) = handshake.await.map_err(ProxyError::Upstream)?;
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

impl Multiplexed {
    fn new(sender: http2::SendRequest<Http2Body>, driver: Driver) -> Self {
        let driver = Rc::new(RefCell::new(Some(driver)));
        let driven = Rc::clone(&driver);
        // What goes wrong reaches every exchange on it; on an idle connection it only means that it is gone.
        drop(tokio::task::spawn_local(std::future::poll_fn(move |cx| {
            let mut driver = driven.borrow_mut();
            let ended = driver.as_mut().is_none_or(|driver| Pin::new(driver).poll(cx).is_ready());
            if !ended {
                return Poll::Pending;
            }
            *driver = None;
            Poll::Ready(())
        })));
        let now = Instant::now();
        Self {
            sender: RefCell::new(sender),
            driver,
            opened: now,
            idle_since: Cell::new(now),
            requests: Cell::new(0),
            under_way: Cell::new(0),
            cancelled: Cell::new(0),
            retired: Cell::new(false),
            alarms: RefCell::default(),
        }
    }

    /// Whether it may take one more exchange, as far as age and number go.
    fn takes_more(&self, limits: &UpstreamKeepalive, now: Instant) -> bool {
        !self.retired.get()
            && !self.sender.borrow().is_closed()
            && limits.is_on()
            && self.requests.get() < limits.requests
            && self.cancelled.get() < CANCELS
            && now.saturating_duration_since(self.opened) < limits.age
    }

    /// Whether one more exchange can begin at once.
    fn has_room(&self) -> bool {
        let most = self.driver.borrow().as_ref().map_or(0, http2::Connection::current_max_send_streams);
        self.under_way.get() < most.min(STREAMS as usize)
    }

    fn is_stale(&self, now: Instant, limit: Duration) -> bool {
        self.under_way.get() == 0 && now.saturating_duration_since(self.idle_since.get()) >= limit
    }

    /// It failed as a whole, or is about to end: no more exchanges begin on it.
    pub(super) fn retire(&self) {
        self.retired.set(true);
    }

    pub(super) fn sender(&self) -> &RefCell<http2::SendRequest<Http2Body>> {
        &self.sender
    }

    /// An exchange begins: its alarm, and whether it is the first.
    pub(super) fn begin(&self) -> (Alarm, bool) {
        self.under_way.set(self.under_way.get() + 1);
        self.requests.set(self.requests.get().saturating_add(1));
        (self.alarms.borrow_mut().pop().unwrap_or_default(), self.requests.get() == 1)
    }

    /// An exchange is over, early or not.
    pub(super) fn end(&self, alarm: Alarm, cancelled: bool) {
        let mut alarms = self.alarms.borrow_mut();
        if alarms.len() < STREAMS as usize {
            alarms.push(alarm);
        }
        self.under_way.set(self.under_way.get().saturating_sub(1));
        self.cancelled.set(self.cancelled.get().saturating_add(u32::from(cancelled)));
        self.idle_since.set(Instant::now());
    }
}

/// Lets hyper start the tasks of connections and streams on this worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        drop(tokio::task::spawn_local(task));
    }
}

#[cfg(test)]
mod tests;
