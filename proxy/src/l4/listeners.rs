//! The ports of TCP and UDP services. One worker opens and closes them as the table says, and hands each worker its sockets.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use portcullis_model::{L4Protocol, StreamPort};
use socket2::Type;
use tokio::sync::{Notify, mpsc};

use super::udp;
use crate::server::{BindError, Entrance, Gate, Stage, Worker, accept_until, bind_all, fault, socket};
use crate::table::TableReader;

/// What a worker is told.
#[derive(Debug)]
pub(crate) enum Change {
    /// Serve what comes in there.
    Open(StreamPort, Opened),
    /// Take nothing there any more.
    Close(StreamPort),
}

/// A socket of one worker on a port.
#[derive(Debug)]
pub(crate) struct Opened {
    socket: StreamSocket,
    /// There as long as the socket may be.
    open: Arc<()>,
}

#[derive(Debug)]
enum StreamSocket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

/// Changes that may be on their way to a worker.
const INBOX: usize = 64;

/// The two ends of what a worker is told.
pub(crate) fn inbox() -> (mpsc::Sender<Change>, mpsc::Receiver<Change>) {
    mpsc::channel(INBOX)
}

/// How long after it could not be listened on a port is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// The same where the sockets on it are our own and about to be closed.
const SOON: Duration = Duration::from_millis(20);

/// Opens and closes ports for all workers.
pub(crate) struct Listeners {
    table: TableReader,
    addresses: BTreeSet<IpAddr>,
    workers: Vec<mpsc::Sender<Change>>,
    /// Ports with sockets, which may be those of a port that is closed.
    ports: BTreeMap<StreamPort, Port>,
    /// Ports that could not be listened on, which has been said.
    refused: BTreeSet<StreamPort>,
}

struct Port {
    closed: bool,
    sockets: Weak<()>,
}

impl Listeners {
    /// For these workers, on these addresses.
    pub(crate) fn new(table: TableReader, addresses: BTreeSet<IpAddr>, workers: Vec<mpsc::Sender<Change>>) -> Self {
        Self { table, addresses, workers, ports: BTreeMap::new(), refused: BTreeSet::new() }
    }

    /// Opens the ports of the table that is there, so that none is missing when the server has started; what each worker is told.
    pub(crate) fn begin(&mut self) -> Vec<Vec<Change>> {
        let mut told: Vec<Vec<Change>> = self.workers.iter().map(|_| Vec::new()).collect();
        let ports: Vec<StreamPort> = self.table.load().stream_ports().collect();
        for port in ports {
            for (worker, opened) in self.listen(port).into_iter().flatten() {
                if let Some(told) = told.get_mut(worker) {
                    told.push(Change::Open(port, opened));
                }
            }
        }
        told
    }

    /// Follows the table until `worker`, which does it, ends. All end at the same time.
    pub(crate) async fn keep(mut self, worker: Rc<Worker>) {
        loop {
            let again = self.update().await;
            tokio::select! {
                () = self.table.changed() => {}
                () = after(again) => {}
                () = worker.drain().reached(Stage::Closing) => return,
            }
        }
    }

    /// Does what the table says; after how long it has to be done again, if at all.
    async fn update(&mut self) -> Option<Duration> {
        let wanted: BTreeSet<StreamPort> = self.table.load().stream_ports().collect();
        self.refused.retain(|port| wanted.contains(port));
        let unwanted = |(port, known): &(&StreamPort, &Port)| !known.closed && !wanted.contains(port);
        let unwanted: Vec<StreamPort> = self.ports.iter().filter(unwanted).map(|(port, _)| *port).collect();
        for port in unwanted {
            self.close(port).await;
        }
        self.ports.retain(|_, known| !known.closed || known.sockets.strong_count() > 0);
        let mut again = None;
        for port in wanted {
            let later = match self.ports.get(&port) {
                Some(Port { closed: false, .. }) => None,
                Some(_) => Some(SOON),
                None => self.open(port).await,
            };
            again = again.into_iter().chain(later).min();
        }
        again
    }

    async fn close(&mut self, port: StreamPort) {
        tracing::info!(%port, "no longer listening: the service is gone or has no endpoints");
        if let Some(known) = self.ports.get_mut(&port) {
            known.closed = true;
        }
        for worker in &self.workers {
            // A worker that is not there any more has no sockets.
            worker.send(Change::Close(port)).await.ok();
        }
    }

    async fn open(&mut self, port: StreamPort) -> Option<Duration> {
        let Some(opened) = self.listen(port) else { return Some(RETRY) };
        for (worker, opened) in opened {
            if let Some(worker) = self.workers.get(worker) {
                worker.send(Change::Open(port, opened)).await.ok();
            }
        }
        None
    }

    /// What workers are told of a port that is open now, with the numbers of the workers.
    fn listen(&mut self, port: StreamPort) -> Option<Vec<(usize, Opened)>> {
        let open = Arc::new(());
        let sockets = match self.bind(port) {
            Ok(sockets) => sockets,
            Err(error) => {
                if self.refused.insert(port) {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, %port, "a TCP or UDP service is not served; tried again every 5 s");
                }
                return None;
            }
        };
        self.refused.remove(&port);
        self.ports.insert(port, Port { closed: false, sockets: Arc::downgrade(&open) });
        tracing::info!(%port, "listening for a TCP or UDP service");
        let opened = |(worker, socket)| (worker, Opened { socket, open: Arc::clone(&open) });
        Some(sockets.into_iter().map(opened).collect())
    }

    /// Sockets for all workers on all addresses, with the numbers of the workers.
    fn bind(&self, port: StreamPort) -> Result<Vec<(usize, StreamSocket)>, BindError> {
        let mut sockets = Vec::new();
        for address in &self.addresses {
            let (address, workers) = (SocketAddr::new(*address, port.port), self.workers.len());
            match port.protocol {
                L4Protocol::Tcp => {
                    sockets.extend(bind_all(address, workers)?.into_iter().map(StreamSocket::Tcp).enumerate())
                }
                L4Protocol::Udp => {
                    sockets.extend(bind_udp(address, workers)?.into_iter().map(StreamSocket::Udp).enumerate())
                }
            }
        }
        Ok(sockets)
    }
}

async fn after(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

/// One socket per worker on the same address.
fn bind_udp(address: SocketAddr, workers: usize) -> Result<Vec<UdpSocket>, BindError> {
    let bind = |shared: bool| -> io::Result<UdpSocket> {
        let socket = socket(address, Type::DGRAM, shared)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    let bind = |shared| bind(shared).map_err(|source| fault(address, source));
    // Shared ports can be taken by anybody of the same user, so whether one is free is asked without sharing.
    drop(bind(false)?);
    (0..workers).map(|_| bind(true)).collect()
}

/// Serves the ports that a worker is told of, until it ends.
pub(crate) async fn follow(gate: Rc<Gate>, begun: Vec<Change>, mut changes: mpsc::Receiver<Change>) {
    let worker = Rc::clone(gate.worker());
    let datagrams = Rc::new(udp::Shared::new(Rc::clone(&gate)));
    let mut open: HashMap<StreamPort, Vec<Rc<Closing>>> = HashMap::new();
    let mut make = |change: Change| match change {
        Change::Open(port, opened) => {
            let closing = Rc::new(Closing::default());
            serve(&gate, &datagrams, port, opened, Rc::clone(&closing));
            open.entry(port).or_default().push(closing);
        }
        Change::Close(port) => open.remove(&port).into_iter().flatten().for_each(|closing| closing.tell()),
    };
    begun.into_iter().for_each(&mut make);
    loop {
        tokio::select! {
            change = changes.recv() => match change {
                Some(change) => make(change),
                None => return,
            },
            () = worker.drain().reached(Stage::Closing) => return,
        }
    }
}

/// Whether a socket is to be closed.
#[derive(Default)]
struct Closing {
    told: Cell<bool>,
    moved: Notify,
}

impl Closing {
    fn tell(&self) {
        self.told.set(true);
        self.moved.notify_one();
    }

    async fn told(&self) {
        while !self.told.get() {
            self.moved.notified().await;
        }
    }
}

fn serve(gate: &Rc<Gate>, datagrams: &Rc<udp::Shared>, port: StreamPort, opened: Opened, closing: Rc<Closing>) {
    let Opened { socket, open } = opened;
    let worker = gate.worker();
    match socket {
        StreamSocket::Tcp(listener) => match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => {
                let entrance = Entrance { tls: false, raw: true, port: port.port, https_port: 0 };
                let gate = Rc::clone(gate);
                gate.widen();
                worker.spawn(async move {
                    let held = accept_until(Rc::clone(&gate), listener, entrance, closing.told()).await;
                    drop(open);
                    gate.narrow(held).await;
                });
            }
            Err(error) => tracing::error!(%error, %port, "worker cannot listen"),
        },
        StreamSocket::Udp(socket) => match tokio::net::UdpSocket::from_std(socket) {
            Ok(socket) => {
                let datagrams = Rc::clone(datagrams);
                worker.spawn(async move {
                    udp::serve(datagrams, socket, closing.told()).await;
                    drop(open);
                });
            }
            Err(error) => tracing::error!(%error, %port, "worker cannot listen"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_udp_port_that_somebody_has_is_an_error() {
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let error = bind_udp(address, 2).unwrap_err();
        assert!(matches!(error, BindError::InUse { address: named } if named == address), "{error}");
        drop(other);
        let sockets = bind_udp(address, 2).unwrap();
        assert!(sockets.iter().all(|socket| socket.local_addr().unwrap() == address));
        assert!(bind_udp(address, 2).is_err(), "our own sockets count, too");
    }

    #[test]
    fn every_address_is_that_of_both_protocols_for_datagrams_too() {
        let free = UdpSocket::bind("[::]:0").unwrap().local_addr().unwrap().port();
        let sockets = bind_udp(SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), free), 1).unwrap();
        let mut room = [0; 8];
        for (from, to) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")] {
            let client = UdpSocket::bind(from).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            client.send_to(b"x", (to, free)).unwrap();
            let (_, peer) = sockets[0].recv_from(&mut room).unwrap();
            sockets[0].send_to(b"answer", peer).unwrap();
            let (octets, server) = client.recv_from(&mut room).unwrap();
            assert_eq!((octets, server.ip().to_string().as_str()), (6, to));
        }
    }
}
