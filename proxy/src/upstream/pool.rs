//! Idle connections of one worker, by endpoint and protocol, most recently used first.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Upstream;
use super::connection::{Connection, Transport};

/// The idle connections of a worker.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<(SocketAddr, Transport), Vec<Idle>>>,
    count: Cell<usize>,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

/// Idle connections per worker (nginx: `keepalive 320`).
const MOST_IDLE: usize = 320;
/// How long a connection may be idle (nginx: `keepalive_timeout 60s`).
const LONGEST_IDLE: Duration = Duration::from_secs(60);
/// How long a connection is used at all (nginx: `keepalive_time 1h`).
const LONGEST_LIFE: Duration = Duration::from_secs(3600);
/// Requests per connection (nginx: `keepalive_requests 10000`).
const MOST_REQUESTS: u32 = 10_000;
/// Requests that may not be sent twice only use connections that were idle for less than this: several runtimes close idle
/// ones after 5 s, and a request that meets the closing is lost.
const FRESH: Duration = Duration::from_secs(4);

/// Which idle connections will do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wanted {
    /// Any: the request can be sent again.
    Any,
    /// One that was used a moment ago.
    Fresh,
}

impl Pool {
    /// Takes the connection to `peer` that was used last.
    pub(crate) fn take(&self, peer: (SocketAddr, Transport), wanted: Wanted) -> Option<Box<Connection>> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(&peer)?;
        let mut place = connections.len();
        while let Some(idle) = place.checked_sub(1).and_then(|last| connections.get(last)) {
            place -= 1;
            if idle.connection.is_closed() {
                connections.remove(place);
                self.count.set(self.count.get() - 1);
            } else if wanted == Wanted::Fresh && idle.since.elapsed() >= FRESH {
                return None;
            } else if idle.connection.is_ready() {
                self.count.set(self.count.get() - 1);
                return Some(connections.remove(place).connection);
            }
            // One that is not ready still sends the request before; it is left to end.
        }
        None
    }

    /// Keeps a connection whose exchange is over, unless it was used enough.
    pub(crate) fn put(&self, mut connection: Box<Connection>, upstream: &Arc<Upstream>) {
        connection.finish(upstream);
        let now = Instant::now();
        if connection.is_closed() || !connection.may_be_reused(now, LONGEST_LIFE, MOST_REQUESTS) {
            return;
        }
        self.make_room();
        self.idle.borrow_mut().entry(connection.peer()).or_default().push(Idle { connection, since: now });
        self.count.set(self.count.get() + 1);
    }

    /// Closes what was idle too long, is closed already, or leads to an endpoint that its upstream has no more.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        for connections in idle.values_mut() {
            connections.retain_mut(|idle| idle.is_worth_keeping(now));
        }
        idle.retain(|_, connections| !connections.is_empty());
        self.count.set(idle.values().map(Vec::len).sum());
    }

    /// Drops the connection that was idle longest, if there are as many as allowed.
    fn make_room(&self) {
        if self.count.get() < MOST_IDLE {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let firsts = idle.iter().filter_map(|(peer, connections)| Some((*peer, connections.first()?.since)));
        let Some((peer, _)) = firsts.min_by_key(|(_, since)| *since) else { return };
        if let Some(connections) = idle.get_mut(&peer) {
            connections.remove(0);
            self.count.set(self.count.get() - 1);
        }
    }
}

impl Idle {
    fn is_worth_keeping(&mut self, now: Instant) -> bool {
        if self.connection.is_closed() || now.duration_since(self.since) >= LONGEST_IDLE {
            return false;
        }
        self.connection.leads_to_an_endpoint()
    }
}
