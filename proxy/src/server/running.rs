//! Starting and ending a server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::admit::{self, Gate, Handed, Neighbour};
use super::config::ServerConfig;
use super::connection::Entrance;
use super::drain::Stage;
use super::listener::{self, BindError, bind_all};
use super::tls::Acceptor;
use super::worker::Worker;
use crate::access_log::{Queue, Writer};
use crate::l4;
use crate::metrics::{self, Counters, RequestLabels, RequestTotals, Totals};
use crate::table::TableReader;

/// Binds all sockets of all workers and starts their threads, which wait.
///
/// # Errors
///
/// When an address cannot be listened on, or a worker cannot be started. Nothing is left behind then.
pub fn bind(config: ServerConfig) -> Result<BoundServer, BindError> {
    let workers = config.workers.get();
    let http = bind_addresses(&config.http, workers)?;
    let https = bind_addresses(&config.https, workers)?;
    let upstream_tls = crate::upstream::unverified_tls()?;
    let waiting = (0..workers).map(start_thread).collect::<Result<_, _>>()?;
    Ok(BoundServer { config: Arc::new(config), http, https, upstream_tls, waiting })
}

/// By address, then by worker.
type Listeners = Vec<Vec<TcpListener>>;

fn bind_addresses(addresses: &[SocketAddr], workers: usize) -> Result<Listeners, BindError> {
    addresses.iter().map(|address| bind_all(*address, workers)).collect()
}

/// A server that listens and does not serve yet.
pub struct BoundServer {
    config: Arc<ServerConfig>,
    http: Listeners,
    https: Listeners,
    upstream_tls: ClientConfig,
    waiting: Vec<SyncSender<Start>>,
}

impl BoundServer {
    /// Where HTTP in the clear will be served, with the ports chosen.
    #[must_use]
    pub fn http_addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.http)
    }

    /// Where HTTPS will be served, with the ports chosen.
    #[must_use]
    pub fn https_addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.https)
    }

    /// Serves from `table`, whatever is published in it, and logs to `log`.
    #[must_use]
    pub fn start(self, table: TableReader, log: Writer) -> RunningServer {
        let https_port = self.https_addresses().first().map_or(443, SocketAddr::port);
        let Self { config, http, https, upstream_tls, waiting } = self;
        let acceptor = Acceptor::new(table.clone());
        let (phase, _) = watch::channel(Phase::Serving);
        let ended = Arc::new(watch::Sender::new(0));
        let shared = Arc::new(Shared { config, table, upstream_tls, acceptor, https_port });
        let (mut http, mut https) = (by_worker(http), by_worker(https));
        let (neighbours, inboxes): (Vec<_>, Vec<_>) = waiting.iter().map(|_| neighbour()).unzip();
        let (openers, opened): (Vec<_>, Vec<_>) = waiting.iter().map(|_| l4::inbox()).unzip();
        let mut ports = l4::Listeners::new(shared.table.clone(), addresses_of(&shared.config), openers);
        let mut begun = ports.begin().into_iter();
        let mut ports = Some(ports);
        let neighbours: Arc<[Neighbour]> = neighbours.into();
        let counters = neighbours.iter().map(|worker| Arc::clone(&worker.counters)).collect();
        for (number, (worker, (inbox, streams))) in waiting.into_iter().zip(inboxes.into_iter().zip(opened)).enumerate()
        {
            let start = Start {
                shared: Arc::clone(&shared),
                http: http.next().unwrap_or_default(),
                https: https.next().unwrap_or_default(),
                log: log.queue(),
                number,
                neighbours: Arc::clone(&neighbours),
                inbox,
                begun: begun.next().unwrap_or_default(),
                streams,
                ports: ports.take(),
                phase: phase.subscribe(),
                ended: Ended(Arc::clone(&ended)),
            };
            // A worker that is not there any more has dropped its end, and counts as ended.
            worker.send(start).ok();
        }
        RunningServer { counters, phase, ended, log: Mutex::new(Some(log)) }
    }
}

impl std::fmt::Debug for BoundServer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (http, https) = (self.http_addresses(), self.https_addresses());
        out.debug_struct("BoundServer").field("http", &http).field("https", &https).finish_non_exhaustive()
    }
}

fn addresses(listeners: &Listeners) -> Vec<SocketAddr> {
    let firsts = listeners.iter().filter_map(|workers| workers.first());
    firsts.filter_map(|listener| listener.local_addr().ok()).collect()
}

/// The addresses without their ports.
fn addresses_of(config: &ServerConfig) -> BTreeSet<IpAddr> {
    config.http.iter().chain(&config.https).map(SocketAddr::ip).collect()
}

/// Turns lists by address into lists by worker.
fn by_worker(listeners: Listeners) -> impl Iterator<Item = Vec<TcpListener>> {
    let mut columns: Vec<_> = listeners.into_iter().map(Vec::into_iter).collect();
    std::iter::from_fn(move || {
        let row: Vec<TcpListener> = columns.iter_mut().filter_map(Iterator::next).collect();
        (!row.is_empty()).then_some(row)
    })
}

/// A server that serves. Dropping it does not end it: [`RunningServer::shutdown`] does.
#[derive(Debug)]
pub struct RunningServer {
    counters: Vec<Arc<Counters>>,
    phase: watch::Sender<Phase>,
    ended: Arc<watch::Sender<usize>>,
    log: Mutex<Option<Writer>>,
}

/// How long the log writer may take for what is left. It may write to a pipe that nobody reads.
const LOG_TIME: Duration = Duration::from_secs(1);

impl RunningServer {
    /// What all workers counted so far.
    #[must_use]
    pub fn metrics(&self) -> Totals {
        Totals::sum(self.counters.iter())
    }

    /// How many requests each worker has answered, in their order.
    #[must_use]
    pub fn requests_by_worker(&self) -> Vec<u64> {
        self.counters.iter().map(|worker| Totals::sum(std::iter::once(worker)).requests_total()).collect()
    }

    /// What all workers counted so far by Ingress. Counts whose labels are not `wanted` any more are forgotten.
    pub fn request_metrics(&self, wanted: impl Fn(&RequestLabels) -> bool) -> BTreeMap<RequestLabels, RequestTotals> {
        metrics::sum(self.counters.iter().map(|worker| &worker.by_ingress), wanted)
    }

    /// Stops accepting, lets requests finish, and cuts what is left after `deadline`. Called again, the new deadline counts.
    ///
    /// Idle connections are closed at once, and responses end their connection. Completes when all workers have ended and
    /// their log lines are written.
    pub async fn shutdown(&self, deadline: Duration) {
        self.phase.send_replace(Phase::Draining(Instant::now() + deadline));
        let mut ended = self.ended.subscribe();
        // The sender is ours: it cannot be gone.
        drop(ended.wait_for(|ended| *ended >= self.counters.len()).await);
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(log) = log {
            tokio::time::timeout(LOG_TIME, log.close()).await.ok();
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Serving,
    /// Until then.
    Draining(Instant),
}

/// What all workers are started with.
struct Shared {
    config: Arc<ServerConfig>,
    table: TableReader,
    upstream_tls: ClientConfig,
    acceptor: Acceptor,
    https_port: u16,
}

/// What a waiting worker is started with.
struct Start {
    shared: Arc<Shared>,
    http: Vec<TcpListener>,
    https: Vec<TcpListener>,
    log: Queue,
    number: usize,
    neighbours: Arc<[Neighbour]>,
    inbox: mpsc::Receiver<Handed>,
    /// Ports of TCP and UDP services that are open.
    begun: Vec<l4::Change>,
    /// Those that open and close.
    streams: mpsc::Receiver<l4::Change>,
    /// One worker sees to them for all.
    ports: Option<l4::Listeners>,
    phase: watch::Receiver<Phase>,
    ended: Ended,
}

fn neighbour() -> (Neighbour, mpsc::Receiver<Handed>) {
    let (inbox, taker) = mpsc::channel(admit::INBOX);
    (Neighbour { counters: Arc::default(), inbox }, taker)
}

/// Counts a worker as ended when dropped, however it ended.
struct Ended(Arc<watch::Sender<usize>>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.send_modify(|ended| *ended += 1);
    }
}

fn start_thread(number: usize) -> Result<SyncSender<Start>, BindError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.map_err(BindError::Worker)?;
    let (starter, start) = sync_channel(1);
    let thread = std::thread::Builder::new().name(format!("worker-{number}"));
    drop(thread.spawn(move || wait_and_run(&runtime, &start)).map_err(BindError::Worker)?);
    Ok(starter)
}

fn wait_and_run(runtime: &Runtime, start: &Receiver<Start>) {
    let Ok(start) = start.recv() else { return };
    let Start { shared, http, https, log, number, neighbours, inbox, begun, streams, ports, phase, ended } = start;
    let Shared { config, table, upstream_tls, acceptor, https_port } = &*shared;
    let Some(counters) = neighbours.get(number).map(|own| Arc::clone(&own.counters)) else { return };
    // Who waits for a connection holds room for it, each listener and the inbox.
    let rooms = config.connections.get().saturating_add(http.len() + https.len() + 1);
    let worker = Rc::new(Worker::new(config, table, log, upstream_tls.clone(), counters));
    let gate = Rc::new(Gate::new(Rc::clone(&worker), acceptor.clone(), rooms, neighbours, number));
    let tasks = LocalSet::new();
    tasks.block_on(runtime, async {
        let plain = http.into_iter().map(|listener| (listener, false));
        let secure = https.into_iter().map(|listener| (listener, true));
        for (listener, tls) in plain.chain(secure) {
            let port = listener.local_addr().map_or(0, |address| address.port());
            let entrance = Entrance { tls, raw: false, port, https_port: *https_port };
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => worker.spawn(listener::accept(Rc::clone(&gate), listener, entrance)),
                Err(error) => tracing::error!(%error, port, "worker cannot listen"),
            }
        }
        worker.spawn(Rc::clone(&gate).take_in(inbox));
        worker.spawn(l4::follow(Rc::clone(&gate), begun, streams));
        if let Some(ports) = ports {
            worker.spawn(ports.keep(Rc::clone(&worker)));
        }
        worker.spawn(Rc::clone(worker.lines()).hand_over_in_time());
        worker.spawn(Rc::clone(&worker).keep_house());
        until_the_end(&worker, &gate, phase).await;
        drop(gate);
    });
    // What is still under way ends here, and leaves its lines.
    drop(tasks);
    worker.lines().hand_over();
    drop(worker);
    drop(ended);
}

/// How often it is looked whether connections are left.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until nothing holds a place.
///
/// None is taken meanwhile: connections that still wait in the queue of a socket need them.
async fn emptied(gate: &Gate) {
    while !gate.is_empty() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits for the drain, and then until every connection has ended or the deadline is over.
async fn until_the_end(worker: &Worker, gate: &Gate, mut phase: watch::Receiver<Phase>) {
    let mut began = None;
    loop {
        let now = *phase.borrow_and_update();
        match now {
            Phase::Serving => {
                if phase.changed().await.is_err() {
                    // Nobody can end it any more: it serves on.
                    return std::future::pending().await;
                }
            }
            Phase::Draining(deadline) => {
                let began = *began.get_or_insert_with(Instant::now);
                tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(deadline) => return,
                    () = emptied(gate) => return,
                    // Another deadline.
                    changed = phase.changed() => if changed.is_err() { return },
                    () = wind_down(worker, began, deadline) => {}
                }
            }
        }
    }
}

/// How long responses tell clients to go before idle connections are closed and no new ones are taken: a client that uses its
/// connection now and then learns of the end by a response, and loses none.
const LAST_REQUESTS: Duration = Duration::from_secs(1);
/// How long before the deadline tunnels end.
const TUNNELS: Duration = Duration::from_secs(5);

/// Goes through the stages of the end at their times. Never completes.
async fn wind_down(worker: &Worker, began: Instant, deadline: Instant) {
    let drain = worker.drain();
    drain.advance(Stage::LastRequests);
    if worker.counters().active() > 0 {
        tokio::time::sleep_until((began + LAST_REQUESTS).min(deadline)).await;
    }
    drain.advance(Stage::Closing);
    tokio::time::sleep_until(deadline.checked_sub(TUNNELS).unwrap_or(began)).await;
    drain.advance(Stage::EndingTunnels);
    std::future::pending().await
}
