//! From an accepted socket to a served connection: within the limit, and on the less loaded of two workers.
//!
//! The system spreads connections over workers by their addresses, blind to load. A few HTTP/2 connections or tunnels on one
//! worker would stay there for hours, so an accepted socket may be handed on to another worker before its first octet is read.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::connection::{self, Entrance};
use super::drain::Stage;
use super::tls::Acceptor;
use super::worker::Worker;
use crate::l4;
use crate::metrics::Counters;

/// Lets connections in on one worker.
pub(crate) struct Gate {
    worker: Rc<Worker>,
    acceptor: Acceptor,
    room: Arc<Semaphore>,
    /// How much there is of it.
    rooms: Cell<usize>,
    /// How much of it goes as soon as it is free.
    owed: Cell<usize>,
    neighbours: Arc<[Neighbour]>,
    own: usize,
}

/// A worker as the others see it.
#[derive(Debug)]
pub(super) struct Neighbour {
    pub(super) counters: Arc<Counters>,
    pub(super) inbox: mpsc::Sender<Handed>,
}

/// A connection on its way to another worker.
#[derive(Debug)]
pub(super) struct Handed {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    entrance: Entrance,
}

/// Connections that may be on their way to a worker. Where there are as many, it is not the less loaded one.
pub(super) const INBOX: usize = 64;

/// What a connection holds of its worker: [`Gate::room`].
pub(crate) type Room = OwnedSemaphorePermit;

impl Gate {
    /// A gate of worker number `own` of `neighbours`, with room for so many connections and those who wait for one.
    pub(super) fn new(
        worker: Rc<Worker>,
        acceptor: Acceptor,
        rooms: usize,
        neighbours: Arc<[Neighbour]>,
        own: usize,
    ) -> Self {
        let rooms = rooms.min(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(rooms));
        Self { worker, acceptor, room, rooms: Cell::new(rooms), owed: Cell::new(0), neighbours, own }
    }

    /// One more waits for connections.
    pub(crate) fn widen(&self) {
        if let Some(less) = self.owed.get().checked_sub(1) {
            self.owed.set(less);
        } else if self.rooms.get() < Semaphore::MAX_PERMITS {
            self.room.add_permits(1);
            self.rooms.set(self.rooms.get() + 1);
        }
    }

    /// One that did waits no more, and held this. Where it held nothing, the next room that is free goes.
    pub(crate) async fn narrow(&self, held: Option<Room>) {
        self.owed.set(self.owed.get() + 1);
        let held = match held {
            Some(room) => Some(room),
            None => self.room().await,
        };
        // Another one may have begun to wait meanwhile, and have the place.
        if let Some((room, less)) = held.zip(self.owed.get().checked_sub(1)) {
            room.forget();
            self.owed.set(less);
            self.rooms.set(self.rooms.get().saturating_sub(1));
        }
    }

    /// Whether nothing holds a place: connections, and who waits for them, hold one each.
    pub(super) fn is_empty(&self) -> bool {
        self.room.available_permits() >= self.rooms.get()
    }

    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// Waits until there is room for one more connection; none where there never will be.
    pub(super) async fn room(&self) -> Option<Room> {
        Arc::clone(&self.room).acquire_owned().await.ok()
    }

    /// The same without waiting.
    pub(crate) fn room_now(&self) -> Option<Room> {
        Arc::clone(&self.room).try_acquire_owned().ok()
    }

    /// Serves a connection, here or on a worker that has less to do.
    pub(super) fn admit(&self, stream: TcpStream, peer: SocketAddr, entrance: Entrance, room: Room) {
        let Some(other) = self.less_loaded() else { return self.serve(stream, peer, entrance, room) };
        let Ok(stream) = stream.into_std() else { return };
        let handed = Handed { stream, peer, entrance };
        if let Err(mpsc::error::TrySendError::Full(handed) | mpsc::error::TrySendError::Closed(handed)) =
            other.inbox.try_send(handed)
        {
            self.take(handed, room);
        }
    }

    /// Serves connections that other workers hand on, until the worker drains.
    pub(super) async fn take_in(self: Rc<Self>, mut inbox: mpsc::Receiver<Handed>) {
        loop {
            let Some(room) = self.room().await else { return };
            tokio::select! {
                handed = inbox.recv() => match handed {
                    Some(handed) => self.take(handed, room),
                    None => return,
                },
                () = self.worker.drain().reached(Stage::Closing) => break,
            }
        }
        inbox.close();
        while let (Ok(handed), Some(room)) = (inbox.try_recv(), self.room_now()) {
            self.take(handed, room);
        }
    }

    fn take(&self, handed: Handed, room: Room) {
        let Handed { stream, peer, entrance } = handed;
        match TcpStream::from_std(stream) {
            Ok(stream) => self.serve(stream, peer, entrance, room),
            Err(error) => self.note_failure(&error),
        }
    }

    /// A connection that cannot be served is dropped.
    pub(super) fn note_failure(&self, error: &io::Error) {
        tracing::debug!(%error, open = self.worker.counters().active(), "connection not accepted");
    }

    /// Serves a connection here.
    pub(super) fn serve(&self, stream: TcpStream, peer: SocketAddr, entrance: Entrance, room: Room) {
        let worker = Rc::clone(&self.worker);
        let counted = Counted::new(Rc::clone(&worker));
        if entrance.raw {
            let serving = l4::serve_connection(Rc::clone(&worker), stream, peer, entrance.port);
            return worker.spawn(async move {
                let _held = (room, counted);
                serving.await;
            });
        }
        let acceptor = entrance.tls.then(|| self.acceptor.clone());
        let serving = connection::serve(Rc::clone(&worker), stream, peer, entrance, acceptor);
        worker.spawn(async move {
            let _held = (room, counted);
            serving.await;
        });
    }

    /// Another worker, drawn at random, if it has clearly fewer connections.
    fn less_loaded(&self) -> Option<&Neighbour> {
        let others = self.neighbours.len().checked_sub(1)?;
        let drawn = self.worker.random().below(others);
        let other = self.neighbours.get(if drawn < self.own { drawn } else { drawn + 1 })?;
        is_clearly_less(other.load(), self.worker.counters().active()).then_some(other)
    }
}

/// Handing a connection on costs two context switches, so small differences stay where there are many connections. Where there
/// are few, each may be a worker's whole load.
fn is_clearly_less(theirs: u64, ours: u64) -> bool {
    theirs + 1 + ours / 16 <= ours
}

impl Neighbour {
    /// Its connections, with those on their way to it.
    fn load(&self) -> u64 {
        let on_their_way = self.inbox.max_capacity().saturating_sub(self.inbox.capacity());
        self.counters.active() + on_their_way as u64
    }
}

/// A connection that is counted as open as long as this lives.
struct Counted(Rc<Worker>);

impl Counted {
    fn new(worker: Rc<Worker>) -> Self {
        worker.counters().accepted.add(1);
        Self(worker)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.counters().closed.add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clear_differences_are_evened_out() {
        for (theirs, ours, want) in [
            (0, 0, false),
            (0, 1, true),
            (1, 1, false),
            (1, 2, true),
            (7, 8, true),
            (15, 16, false),
            (14, 16, true),
            (93, 100, true),
            (95, 100, false),
            (200, 100, false),
        ] {
            assert_eq!(is_clearly_less(theirs, ours), want, "{theirs} {ours}");
        }
    }
}
