//! Listening sockets: bound before anything starts, so that a port in use is an error and not half a server.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::admit::{Gate, Room};
use super::connection::Entrance;
use super::drain::Stage;

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error("{address} is in use by another process; choose another port or end that process")]
    InUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The process may not listen on such a port.
    #[error(
        "{address} needs a right that this process does not have: add the capability NET_BIND_SERVICE (in a Pod: \
         securityContext.capabilities.add), or choose a port above 1023"
    )]
    Denied {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Address {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// No thread or runtime for a worker.
    #[error("cannot start a worker")]
    Worker(#[source] io::Error),
}

/// Connections that may wait to be accepted, per socket. The system has a limit of its own (`somaxconn`).
const BACKLOG: i32 = 4096;

/// One socket per worker, all on the same address; with port 0, on the same free port.
pub(crate) fn bind_all(address: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, BindError> {
    if address.port() != 0 {
        // Shared ports can be taken by anybody of the same user, so whether one is free is asked without sharing.
        drop(bind_one(address, false)?);
    }
    let first = bind_one(address, true)?;
    let bound = first.local_addr().map_err(|source| BindError::Address { address, source })?;
    let mut listeners = vec![first];
    for _ in 1..workers {
        listeners.push(bind_one(bound, true)?);
    }
    Ok(listeners)
}

fn bind_one(address: SocketAddr, shared: bool) -> Result<TcpListener, BindError> {
    let bind = || {
        let socket = socket(address, Type::STREAM, shared)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        if shared {
            socket.listen(BACKLOG)?;
        }
        Ok(TcpListener::from(socket))
    };
    bind().map_err(|source| fault(address, source))
}

/// A socket to be bound to `address`, which others may have as well if it is `shared`.
pub(crate) fn socket(address: SocketAddr, kind: Type, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        // Every address is every address of IPv4, too, whatever the system's default is (RFC 3493 section 5.3).
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    Ok(socket)
}

pub(crate) fn fault(address: SocketAddr, source: io::Error) -> BindError {
    match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { address },
        io::ErrorKind::PermissionDenied => BindError::Denied { address },
        _ => BindError::Address { address, source },
    }
}

/// How long accepting pauses when the system has no more sockets to give.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until the worker drains, and then those that already wait.
pub(super) async fn accept(gate: Rc<Gate>, listener: tokio::net::TcpListener, entrance: Entrance) {
    drop(accept_until(gate, listener, entrance, std::future::pending()).await);
}

/// The same, with another reason to end; the room it held then for the next connection, if any.
pub(crate) async fn accept_until(
    gate: Rc<Gate>,
    listener: tokio::net::TcpListener,
    entrance: Entrance,
    over: impl Future<Output = ()>,
) -> Option<Room> {
    let mut over = pin!(over);
    let held = loop {
        let room = tokio::select! {
            room = gate.room() => room?,
            () = &mut over => break None,
        };
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => gate.admit(stream, canonical(peer), entrance, room),
                Err(error) => {
                    gate.note_failure(&error);
                    // A connection that broke while it waited costs nothing; a shortage does not pass at once.
                    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            },
            () = gate.worker().drain().reached(Stage::Closing) => break None,
            () = &mut over => break Some(room),
        }
    };
    // Closing the socket would reset what waits in its queue.
    while let Poll::Ready(Ok((stream, peer))) = waiting(&listener).await {
        let Some(room) = gate.room_now() else { return held };
        gate.serve(stream, canonical(peer), entrance, room);
    }
    held
}

/// A client of IPv4 is one of IPv4, also on a socket of both.
fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

/// A connection that waits in the queue of a socket. Without a budget, which would let a long queue look empty.
async fn waiting(listener: &tokio::net::TcpListener) -> Poll<io::Result<(tokio::net::TcpStream, SocketAddr)>> {
    tokio::task::unconstrained(poll_fn(|cx| Poll::Ready(listener.poll_accept(cx)))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_a_port_that_is_chosen_for_them() {
        let listeners = bind_all("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let ports: Vec<u16> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0), "{ports:?}");
    }

    #[test]
    fn every_address_is_every_address_of_both_protocols() {
        let listeners = bind_all("[::]:0".parse().unwrap(), 2).unwrap();
        let port = listeners[0].local_addr().unwrap().port();
        for address in ["127.0.0.1", "::1"] {
            assert!(std::net::TcpStream::connect((address, port)).is_ok(), "{address}");
        }
        let one = bind_all("[::1]:0".parse().unwrap(), 1).unwrap();
        let port = one[0].local_addr().unwrap().port();
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
        for (peer, want) in [("[::ffff:192.0.2.1]:7", "192.0.2.1:7"), ("[2001:db8::1]:7", "[2001:db8::1]:7")] {
            assert_eq!(canonical(peer.parse().unwrap()), want.parse().unwrap());
        }
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_an_error() {
        let listeners = bind_all("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let error = bind_all(address, 1).unwrap_err();
        assert!(matches!(error, BindError::InUse { address: named } if named == address), "{error}");
        let elsewhere = bind_all("192.0.2.1:0".parse().unwrap(), 1).unwrap_err();
        assert!(matches!(elsewhere, BindError::Address { .. }), "{elsewhere}");
    }

    #[test]
    fn a_port_that_needs_a_right_is_an_error_that_names_it() {
        let address = "0.0.0.0:80".parse().unwrap();
        let error = fault(address, io::ErrorKind::PermissionDenied.into());
        assert!(matches!(error, BindError::Denied { .. }), "{error}");
        assert!(error.to_string().contains("NET_BIND_SERVICE"), "{error}");
    }
}
