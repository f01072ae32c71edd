//! Idle HTTP/1 connections of one worker, by endpoint and transport, most recently used first.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use portcullis_model::UpstreamKeepalive;
use tokio::time::Instant;

use super::Upstream;
use super::connection::{Connection, Http1Connection, Peer};
use crate::clock;

/// The idle connections of a worker.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<Peer, Vec<Idle>>>,
    count: Cell<usize>,
    limits: Cell<UpstreamKeepalive>,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

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
    /// Goes by these limits from now on.
    pub(crate) fn follow(&self, limits: UpstreamKeepalive) {
        self.limits.set(limits);
    }

    /// Takes the connection to `peer` that was used last.
    pub(crate) fn take(&self, peer: Peer, wanted: Wanted) -> Option<Box<Connection>> {
        let limit = self.limits.get().idle;
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(&peer)?;
        let mut place = connections.len();
        while let Some(idle) = place.checked_sub(1).and_then(|last| connections.get_mut(last)) {
            place -= 1;
            let age = clock::now() - idle.since;
            if age >= limit || idle.is_closed() {
                connections.remove(place);
                self.count.set(self.count.get() - 1);
            } else if wanted == Wanted::Fresh && age >= FRESH {
                return None;
            } else if idle.is_ready() {
                self.count.set(self.count.get() - 1);
                return Some(connections.remove(place).connection);
            }
            // One that is not ready still sends the request before; it is left to end.
        }
        None
    }

    /// Keeps a connection whose exchange is over, unless it was used enough. One that is shared is left to those who share it.
    pub(crate) fn put(&self, mut connection: Box<Connection>, upstream: &Arc<Upstream>) {
        let peer = connection.peer();
        let limits = self.limits.get();
        let now = match &mut *connection {
            Connection::Http2(stream, _) => return stream.finish(),
            Connection::Http1(connection) => {
                let now = clock::now();
                if !connection.finish(upstream) || !connection.may_be_reused(now, limits.age, limits.requests) {
                    return;
                }
                now
            }
        };
        if self.make_room(limits.connections) {
            self.idle.borrow_mut().entry(peer).or_default().push(Idle { connection, since: now });
            self.count.set(self.count.get() + 1);
        }
    }

    /// Closes what was idle too long, is closed already, or leads to an endpoint that its upstream has no more.
    pub(crate) fn sweep(&self, now: Instant) {
        let limits = self.limits.get();
        let mut idle = self.idle.borrow_mut();
        for connections in idle.values_mut() {
            connections.retain_mut(|idle| idle.is_worth_keeping(now, limits.idle));
        }
        idle.retain(|_, connections| !connections.is_empty());
        self.count.set(idle.values().map(Vec::len).sum());
        drop(idle);
        // As many as are over a limit that has become smaller.
        while self.count.get() > limits.connections && self.drop_oldest() {}
    }

    /// Whether there is room for one more, after the one that was idle longest has gone if need be.
    fn make_room(&self, most: usize) -> bool {
        most > 0 && (self.count.get() < most || self.drop_oldest())
    }

    fn drop_oldest(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        let firsts = idle.iter().filter_map(|(peer, connections)| Some((*peer, connections.first()?.since)));
        let Some((peer, _)) = firsts.min_by_key(|(_, since)| *since) else { return false };
        let Some(connections) = idle.get_mut(&peer) else { return false };
        connections.remove(0);
        self.count.set(self.count.get() - 1);
        true
    }
}

impl Idle {
    fn is_worth_keeping(&mut self, now: Instant, limit: Duration) -> bool {
        let stale = now.duration_since(self.since) >= limit;
        !stale && !self.is_closed() && self.http1().is_some_and(Http1Connection::leads_to_an_endpoint)
    }

    fn http1(&mut self) -> Option<&mut Http1Connection> {
        match &mut *self.connection {
            Connection::Http1(connection) => Some(connection),
            Connection::Http2(..) => None,
        }
    }

    fn is_closed(&mut self) -> bool {
        self.http1().is_none_or(Http1Connection::is_closed)
    }

    fn is_ready(&self) -> bool {
        matches!(&*self.connection, Connection::Http1(connection) if connection.is_ready())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use portcullis_model::{ClusterId, Endpoint};

    use super::super::{Connector, TlsId, Transport, UpstreamRegistry, unverified_tls};
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

        fn peer(&self) -> Peer {
            (self.address, Transport::Plain)
        }

        async fn connect(&self) -> Box<Connection> {
            let limit = Duration::from_secs(5);
            self.connector.connect(self.address, Transport::Plain, limit).await.unwrap()
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
            assert!(pool.take((silent.address, Transport::Tls(TlsId::UNVERIFIED)), Wanted::Any).is_none());
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
            pool.sweep(Instant::now() + UpstreamKeepalive::default().idle);
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
            for _ in 0..UpstreamKeepalive::default().connections {
                pool.put(silent.connect().await, &silent.upstream);
            }
            assert_eq!(pool.count.get(), UpstreamKeepalive::default().connections);
            assert!(pool.take(other.peer(), Wanted::Any).is_none());
            assert!(pool.take(silent.peer(), Wanted::Any).is_some());
        });
    }

    #[test]
    fn however_many_have_been_closed_none_of_them_is_used_again() {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let (close, closing) = std::sync::mpsc::sync_channel::<()>(1);
            let (say, closed) = tokio::sync::oneshot::channel();
            std::thread::spawn(move || {
                let accepted: Vec<_> = (0..MANY).map(|_| listener.accept().unwrap()).collect();
                closing.recv().unwrap();
                drop(accepted);
                say.send(()).unwrap();
            });
            let (silent, pool) = (Silent::new(), Pool::default());
            let peer = (address, Transport::Plain);
            for _ in 0..MANY {
                let connected = silent.connector.connect(address, Transport::Plain, Duration::from_secs(5));
                pool.put(connected.await.unwrap(), &silent.upstream);
            }
            assert_eq!(pool.count.get(), MANY);
            close.send(()).unwrap();
            closed.await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(pool.take(peer, Wanted::Any).is_none(), "{} left", pool.count.get());
            assert_eq!(pool.count.get(), 0);
        });
    }

    /// More than a task may poll at once (tokio's cooperative scheduling).
    const MANY: usize = 200;
}
