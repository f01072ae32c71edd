//! Datagrams to a UDP service: each client has a session with one endpoint, on a socket of its own.
//!
//! The system gives all datagrams of a client to the same worker, as long as the sockets on a port stay the same.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use portcullis_model::{L4Protocol, StreamPort, StreamSettings};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::log::{Record, Status};
use super::sessions::{Key, Sessions};
use super::tcp::may_try_again;
use crate::server::{Gate, Room, Stage, Worker};
use crate::table::CompiledStream;
use crate::upstream::Choice;

/// Sessions of all workers at one time, all ports together, each worker its part: each session has a port of the machine to send
/// from, of which there are 28,232 (Linux: `ip_local_port_range`), and names are resolved from such ports, too.
const MOST_SESSIONS: usize = 16_384;
/// Datagrams that are taken from one socket before others have their turn.
const ROUNDS: usize = 32;
/// How long a session may be silent when the worker ends.
const LAST_WORD: Duration = Duration::from_secs(2);
/// How often it is looked then whether sessions are left.
const LOOK: Duration = Duration::from_millis(50);

/// What the UDP services of a worker share.
pub(super) struct Shared {
    gate: Rc<Gate>,
    sessions: Sessions<Session>,
    sockets: Cell<u64>,
}

impl Shared {
    pub(super) fn new(gate: Rc<Gate>) -> Self {
        let config = gate.worker().config();
        let most = most_sessions(config.connections, config.workers);
        Self { gate, sessions: Sessions::new(most), sockets: Cell::new(0) }
    }

    fn worker(&self) -> &Rc<Worker> {
        self.gate.worker()
    }
}

/// Sessions of a worker at one time, never more than half as many as connections: anybody can begin one under any address, and
/// each takes the place of a connection. Beyond that, the one that was not used for the longest time ends.
fn most_sessions(connections: NonZeroUsize, workers: NonZeroUsize) -> usize {
    (connections.get() / 2).min(MOST_SESSIONS / workers).max(1)
}

/// A socket that clients send to.
struct Entry {
    socket: UdpSocket,
    number: u64,
    address: SocketAddr,
    sessions: Cell<usize>,
}

/// A client and its endpoint.
struct Session {
    entry: Rc<Entry>,
    key: Key,
    stream: Arc<CompiledStream>,
    /// Connected to the endpoint.
    socket: UdpSocket,
    endpoint: SocketAddr,
    generation: Cell<u64>,
    settings: StreamSettings,
    last: Cell<Instant>,
    requests: Cell<u64>,
    responses: Cell<u64>,
    over: Cell<bool>,
    ended: Notify,
    record: RefCell<Record>,
    room: Cell<Option<Room>>,
}

/// Serves a port until it is closed or the worker ends.
pub(super) async fn serve(shared: Rc<Shared>, socket: UdpSocket, closed: impl Future<Output = ()>) {
    let Ok(address) = socket.local_addr() else { return };
    shared.sockets.set(shared.sockets.get() + 1);
    let entry = Rc::new(Entry { socket, number: shared.sockets.get(), address, sessions: Cell::new(0) });
    let mut closed = pin!(closed);
    let worker = Rc::clone(shared.worker());
    let mut ending = false;
    while !(ending && entry.sessions.get() == 0) {
        tokio::select! {
            biased;
            () = &mut closed => break,
            () = worker.drain().reached(Stage::Closing), if !ending => ending = true,
            () = tokio::time::sleep(LOOK), if ending => {}
            ready = entry.socket.readable() => {
                if ready.is_err() {
                    break;
                }
                take_waiting(&shared, &entry, ending);
                tokio::task::yield_now().await;
            }
        }
    }
    for session in shared.sessions.remove_all(entry.number) {
        session.end();
    }
}

/// Takes datagrams of clients, some at a time.
fn take_waiting(shared: &Rc<Shared>, entry: &Rc<Entry>, ending: bool) {
    let port = StreamPort { protocol: L4Protocol::Udp, port: entry.address.port() };
    let worker = shared.worker();
    let table = worker.table();
    let Some(stream) = table.stream(port) else { return drop_waiting(entry, worker) };
    for _ in 0..ROUNDS {
        let taken = worker.l4_buffer().with(|room| {
            let (octets, client) = entry.socket.try_recv_from(room)?;
            let octets = room.get(..octets).unwrap_or_default();
            let key = Key { socket: entry.number, client };
            Datagram { shared, entry, stream, settings: &table.settings().stream, key, octets }.send(ending);
            io::Result::Ok(())
        });
        match taken {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            // What a client's system answered to a datagram before; the socket goes on.
            Err(error) => tracing::debug!(%error, %port, "datagram not received"),
        }
    }
}

/// Reads what is for a service that is gone: the socket is about to be closed.
fn drop_waiting(entry: &Entry, worker: &Worker) {
    for _ in 0..ROUNDS {
        if worker.l4_buffer().with(|room| entry.socket.try_recv_from(room)).is_err() {
            return;
        }
    }
}

/// A datagram of a client on its way.
struct Datagram<'a> {
    shared: &'a Rc<Shared>,
    entry: &'a Rc<Entry>,
    stream: &'a Arc<CompiledStream>,
    settings: &'a StreamSettings,
    key: Key,
    octets: &'a [u8],
}

impl Datagram<'_> {
    /// Sends it to the endpoint of its session, or to one in turn.
    fn send(&self, ending: bool) {
        let mut tried = Vec::new();
        if let Some(session) = self.shared.sessions.used(self.key) {
            if session.is_of(self.stream) {
                match session.pass(self.octets) {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::debug!(%error, endpoint = %session.endpoint, "endpoint not reached");
                        tried.push(session.endpoint);
                    }
                }
            }
            self.shared.sessions.remove(self.key, &session);
            session.end();
        }
        if !ending {
            self.begin(&tried);
        }
    }

    /// Begins a session. Endpoints that were tried for this datagram before are left out if there are others.
    fn begin(&self, before: &[SocketAddr]) {
        let worker = self.shared.worker();
        let ends = (self.key.client, self.entry.address);
        let mut record = Record::new(worker, self.stream, self.settings, L4Protocol::Udp, ends);
        let Some(room) = self.room() else {
            record.status = Status::NoRoom;
            return;
        };
        let Some((socket, endpoint)) = self.reach(before, &mut record) else { return };
        record.status = Status::Passed;
        record.up.taken = self.octets.len() as u64;
        record.up.given = record.up.taken;
        if self.settings.responses == 0 {
            // None is waited for.
            return;
        }
        self.entry.sessions.set(self.entry.sessions.get() + 1);
        let session = Rc::new(Session {
            entry: Rc::clone(self.entry),
            key: self.key,
            stream: Arc::clone(self.stream),
            socket,
            endpoint,
            generation: Cell::new(self.stream.upstream.generation()),
            settings: StreamSettings { log: None, ..self.settings.clone() },
            last: Cell::new(Instant::now()),
            requests: Cell::new(1),
            responses: Cell::new(0),
            over: Cell::new(false),
            ended: Notify::new(),
            record: RefCell::new(record),
            room: Cell::new(Some(room)),
        });
        if self.shared.sessions.add(self.key, Rc::clone(&session)) {
            worker.spawn(listen(Rc::clone(self.shared), session));
        } else {
            session.end();
        }
    }

    /// Room for a session, that of the oldest where there is no other.
    fn room(&self) -> Option<Room> {
        let sessions = &self.shared.sessions;
        if sessions.is_full()
            && let Some(oldest) = sessions.remove_oldest()
        {
            oldest.end();
        }
        self.shared.gate.room_now().or_else(|| {
            sessions.remove_oldest()?.end();
            self.shared.gate.room_now()
        })
    }

    /// Sends it on a new socket, to the next endpoint where the first cannot be reached.
    fn reach(&self, before: &[SocketAddr], record: &mut Record) -> Option<(UdpSocket, SocketAddr)> {
        let worker = Rc::clone(self.shared.worker());
        let began = Instant::now();
        let upstream = &self.stream.upstream;
        loop {
            let avoided = if record.tried.is_empty() { before } else { &record.tried };
            let endpoint = worker.balancer().pick(&Choice::RoundRobin, upstream, avoided, worker.random())?.address;
            if record.tried.contains(&endpoint) {
                return None;
            }
            record.tried.push(endpoint);
            let asked = Instant::now();
            match connected(endpoint).and_then(|socket| send(&socket, self.octets).map(|()| socket)) {
                Ok(socket) => {
                    record.connected = Some((asked, Duration::ZERO));
                    return Some((socket, endpoint));
                }
                Err(error) => tracing::debug!(%error, %endpoint, "endpoint not reached"),
            }
            worker.counters().upstream_failures.add(1);
            if !may_try_again(self.settings, record.tried.len(), began.elapsed()) {
                return None;
            }
        }
    }
}

/// A socket of its own that hears the endpoint alone.
fn connected(endpoint: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(endpoint), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    let any = if endpoint.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    socket.bind(&SocketAddr::new(any, 0).into())?;
    socket.connect(&endpoint.into())?;
    UdpSocket::from_std(socket.into())
}

/// Sends at once. A datagram for which the system has no room is lost, as it may be anywhere.
fn send(socket: &UdpSocket, octets: &[u8]) -> io::Result<()> {
    or_lost(SockRef::from(socket).send(octets))
}

fn or_lost(sent: io::Result<usize>) -> io::Result<()> {
    match sent {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        sent => sent.map(drop),
    }
}

impl Session {
    /// Whether its endpoint is still one of the service.
    fn is_of(&self, stream: &CompiledStream) -> bool {
        let upstream = &stream.upstream;
        if self.over.get() || !Arc::ptr_eq(&self.stream.upstream, upstream) {
            return false;
        }
        let generation = upstream.generation();
        let stays = generation == self.generation.get()
            || upstream.with_endpoints(|endpoints| endpoints.iter().any(|one| one.address == self.endpoint));
        self.generation.set(generation);
        stays
    }

    /// Passes on a datagram of the client.
    fn pass(&self, octets: &[u8]) -> io::Result<()> {
        send(&self.socket, octets)?;
        self.requests.set(self.requests.get() + 1);
        self.last.set(Instant::now());
        let mut record = self.record.borrow_mut();
        record.up.taken += octets.len() as u64;
        record.up.given = record.up.taken;
        Ok(())
    }

    /// Passes on what the endpoint answers; false when the session is over.
    fn answer(&self, worker: &Worker) -> bool {
        for _ in 0..ROUNDS {
            let passed = worker.l4_buffer().with(|room| {
                let octets = self.socket.try_recv(room)?;
                let datagram = room.get(..octets).unwrap_or_default();
                let sent = SockRef::from(&self.entry.socket).send_to(datagram, &self.key.client.into());
                let mut record = self.record.borrow_mut();
                record.down.taken += octets as u64;
                match or_lost(sent) {
                    Ok(()) => record.down.given += octets as u64,
                    Err(error) => tracing::debug!(%error, client = %self.key.client, "answer not sent"),
                }
                io::Result::Ok(())
            });
            match passed {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                // Nobody listens there: the endpoint's system says so.
                Err(error) => {
                    tracing::debug!(%error, endpoint = %self.endpoint, "endpoint not reached");
                    worker.counters().upstream_failures.add(1);
                    if self.responses.get() == 0 {
                        self.record.borrow_mut().status = Status::NotConnected;
                    }
                    return false;
                }
            }
            self.last.set(Instant::now());
            self.responses.set(self.responses.get() + 1);
            if self.responses.get() >= self.requests.get().saturating_mul(self.settings.responses.into()) {
                return false;
            }
        }
        true
    }

    /// Until when it is silent for too long.
    fn deadline(&self, worker: &Worker) -> Instant {
        let idle = self.settings.idle;
        let ending = worker.drain().has_reached(Stage::Closing);
        self.last.get() + if ending { idle.min(LAST_WORD) } else { idle }
    }

    /// It is over, and its room is free.
    fn end(&self) {
        if !self.over.replace(true) {
            drop(self.room.take());
            self.entry.sessions.set(self.entry.sessions.get().saturating_sub(1));
            self.ended.notify_one();
        }
    }
}

/// Waits for answers until the session is over.
async fn listen(shared: Rc<Shared>, session: Rc<Session>) {
    let worker = Rc::clone(shared.worker());
    let mut alarm = pin!(tokio::time::sleep_until(session.deadline(&worker)));
    let mut ending = worker.drain().has_reached(Stage::Closing);
    while !session.over.get() {
        tokio::select! {
            biased;
            () = session.ended.notified() => {}
            () = worker.drain().reached(Stage::Closing), if !ending => {
                ending = true;
                alarm.as_mut().reset(session.deadline(&worker));
            }
            ready = session.socket.readable() => {
                if ready.is_err() || !session.answer(&worker) {
                    break;
                }
                tokio::task::yield_now().await;
            }
            () = &mut alarm => {
                let deadline = session.deadline(&worker);
                if deadline <= Instant::now() {
                    break;
                }
                alarm.as_mut().reset(deadline);
            }
        }
    }
    shared.sessions.remove(session.key, &session);
    session.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_leave_ports_and_connections_to_others() {
        for (connections, workers, want) in [
            (16_384, 1, 8192),
            (16_384, 2, 8192),
            (16_384, 4, 4096),
            (1_000_000, 1, 16_384),
            (100, 4, 50),
            (1, 1, 1),
            (16_384, 100_000, 1),
        ] {
            let [connections, workers] = [connections, workers].map(|number| NonZeroUsize::new(number).unwrap());
            assert_eq!(most_sessions(connections, workers), want, "{connections} {workers}");
        }
    }
}
