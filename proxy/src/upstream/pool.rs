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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use portcullis_model::{ClusterId, Endpoint};

    use super::super::{Connector, UpstreamRegistry, unverified_tls};
    use super::*;

    /// An upstream with one endpoint that takes connections and says nothing.
    struct Silent {
        registry: UpstreamRegistry,
        upstream: Arc<Upstream>,
        address: SocketAddr,
        connector: Connector,
    }

    impl Silent {
        fn new() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let registry = UpstreamRegistry::default();
            let upstream = registry.upstream(&id());
            registry.set_endpoints(&id(), &[Endpoint { address }]);
            std::thread::spawn(move || listener.incoming().collect::<Vec<_>>());
            let connector = Connector::new(unverified_tls().unwrap());
            Self { registry, upstream, address, connector }
        }

        fn peer(&self) -> (SocketAddr, Transport) {
            (self.address, Transport::Plain)
        }

        async fn connect(&self) -> Box<Connection> {
            let limit = Duration::from_secs(5);
            let connection = self.connector.connect(self.address, Transport::Plain, limit).await.unwrap();
            while !connection.is_ready() {
                tokio::task::yield_now().await;
            }
            connection
        }
    }

    fn id() -> ClusterId {
        ClusterId { namespace: "n".into(), service: "s".into(), port: "80".into() }
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, test);
    }

    #[test]
    fn a_connection_is_used_again_by_its_own_peer_alone() {
        run(async {
            let (silent, pool) = (Silent::new(), Pool::default());
            assert!(pool.take(silent.peer(), Wanted::Any).is_none());
            pool.put(silent.connect().await, &silent.upstream);
            assert!(pool.take((silent.address, Transport::Tls), Wanted::Any).is_none());
            assert!(pool.take(silent.peer(), Wanted::Fresh).is_some());
            assert!(pool.take(silent.peer(), Wanted::Any).is_none());
        });
    }

    #[test]
    fn old_connections_are_swept_out_and_never_used_for_what_must_not_be_repeated() {
        run(async {
            let (silent, pool) = (Silent::new(), Pool::default());
            pool.put(silent.connect().await, &silent.upstream);
            if let Some(idle) = pool.idle.borrow_mut().get_mut(&silent.peer()) {
                idle[0].since -= FRESH;
            }
            assert!(pool.take(silent.peer(), Wanted::Fresh).is_none());
            pool.sweep(Instant::now());
            assert_eq!(pool.count.get(), 1);
            pool.sweep(Instant::now() + LONGEST_IDLE);
            assert_eq!(pool.count.get(), 0);
        });
    }

    #[test]
    fn connections_to_endpoints_that_are_gone_are_swept_out() {
        run(async {
            let (silent, pool) = (Silent::new(), Pool::default());
            pool.put(silent.connect().await, &silent.upstream);
            pool.sweep(Instant::now());
            assert_eq!(pool.count.get(), 1);
            silent.registry.set_endpoints(&id(), &[]);
            pool.sweep(Instant::now());
            assert_eq!(pool.count.get(), 0);
        });
    }

    #[test]
    fn the_pool_is_bounded_and_the_oldest_goes_first() {
        run(async {
            let (silent, other, pool) = (Silent::new(), Silent::new(), Pool::default());
            pool.put(other.connect().await, &other.upstream);
            for _ in 0..MOST_IDLE {
                pool.put(silent.connect().await, &silent.upstream);
            }
            assert_eq!(pool.count.get(), MOST_IDLE);
            assert!(pool.take(other.peer(), Wanted::Any).is_none());
            assert!(pool.take(silent.peer(), Wanted::Any).is_some());
        });
    }
}
