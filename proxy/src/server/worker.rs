//! One worker: what its connections and requests share, and none but them.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use portcullis_model::{PatternCache, Settings};
use rustls::ClientConfig;
use tokio::time::Instant;

use super::config::ServerConfig;
use super::date::HttpDate;
use super::drain::Drain;
use super::exec;
use crate::access_log::{AddressTexts, Captured, Lines, LogFormat, Queue, WallClock};
use crate::body::Storage;
use crate::l4;
use crate::metrics::{Counters, RequestCounts};
use crate::random::Random;
use crate::table::{RoutingTable, TableReader, WorkerTable};
use crate::upstream::{Balancer, Connector, Pool};

/// What the connections and requests of one worker share.
pub(crate) struct Worker {
    table: RefCell<WorkerTable>,
    patterns: RefCell<PatternCache>,
    format: RefCell<Option<Rc<LogFormat>>>,
    captures: Captures,
    lines: Rc<Lines>,
    addresses: AddressTexts,
    clock: WallClock,
    http_date: HttpDate,
    random: Random,
    balancer: Balancer,
    pool: Pool,
    connector: Connector,
    storage: Rc<Storage>,
    l4_buffer: l4::Buffer,
    counters: Arc<Counters>,
    requests: Option<RequestCounts>,
    drain: Drain,
    config: Arc<ServerConfig>,
    connections: Cell<u64>,
    handshakes: Cell<usize>,
}

/// How often idle connections to upstreams are looked at: one that the upstream has closed waits for that.
const LOOK: Duration = Duration::from_secs(1);
/// Every how many looks the rest of the house is kept.
const LOOKS: u32 = 5;

impl Worker {
    pub(super) fn new(
        config: &Arc<ServerConfig>,
        table: &TableReader,
        log: Queue,
        upstream_tls: ClientConfig,
        counters: Arc<Counters>,
    ) -> Self {
        let requests = &config.request_metrics;
        Self {
            table: RefCell::new(table.worker()),
            patterns: RefCell::default(),
            format: RefCell::default(),
            captures: Captures::default(),
            lines: Rc::new(Lines::new(log, Arc::clone(&counters))),
            addresses: AddressTexts::default(),
            clock: WallClock::new(),
            http_date: HttpDate::default(),
            random: Random::new(),
            balancer: Balancer::default(),
            pool: Pool::default(),
            connector: Connector::new(upstream_tls),
            storage: Rc::new(Storage::new(&config.buffers)),
            l4_buffer: l4::Buffer::default(),
            requests: requests.enabled.then(|| RequestCounts::new(requests, Arc::clone(&counters.by_ingress))),
            counters,
            drain: Drain::default(),
            config: Arc::clone(config),
            connections: Cell::new(0),
            handshakes: Cell::new(0),
        }
    }

    /// The table published last, to be kept as long as a request needs it.
    #[expect(clippy::redundant_allocation, reason = "requests count the Rc: a count that no other core sees")]
    pub(crate) fn table(&self) -> Rc<Arc<RoutingTable>> {
        Rc::clone(self.table.borrow_mut().current())
    }

    /// Keeps connections to upstreams by these settings from now on.
    pub(crate) fn follow(&self, settings: &Settings) {
        self.pool.follow(settings.upstream);
        self.connector.follow(settings.upstream);
    }

    /// The log format of `settings`; none where nothing is logged.
    pub(crate) fn log_format(&self, settings: &Arc<Settings>) -> Option<Rc<LogFormat>> {
        if !settings.access_log.enabled {
            return None;
        }
        let mut known = self.format.borrow_mut();
        match &*known {
            Some(format) if format.is_of(settings) => Some(Rc::clone(format)),
            _ => {
                let format = Rc::new(LogFormat::new(Arc::clone(settings)));
                *known = Some(Rc::clone(&format));
                Some(format)
            }
        }
    }

    /// Working memory for expressions. Not to be held while waiting.
    pub(crate) fn patterns(&self) -> RefMut<'_, PatternCache> {
        self.patterns.borrow_mut()
    }

    pub(crate) fn captures(&self) -> &Captures {
        &self.captures
    }

    pub(crate) fn lines(&self) -> &Rc<Lines> {
        &self.lines
    }

    /// Addresses of endpoints as log lines have them.
    pub(crate) fn addresses(&self) -> &AddressTexts {
        &self.addresses
    }

    pub(crate) fn clock(&self) -> &WallClock {
        &self.clock
    }

    /// The date of responses that have none.
    pub(super) fn http_date(&self) -> &HttpDate {
        &self.http_date
    }

    pub(crate) fn random(&self) -> &Random {
        &self.random
    }

    pub(crate) fn balancer(&self) -> &Balancer {
        &self.balancer
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Where bodies are kept.
    pub(crate) fn storage(&self) -> &Rc<Storage> {
        &self.storage
    }

    /// Where what TCP and UDP services pass on is read to.
    pub(crate) fn l4_buffer(&self) -> &l4::Buffer {
        &self.l4_buffer
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What is counted by Ingress; none where nothing is.
    pub(crate) fn requests(&self) -> Option<&RequestCounts> {
        self.requests.as_ref()
    }

    /// Starts a task that may end in a panic without harm.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        exec::spawn(Arc::clone(&self.counters), task);
    }

    pub(crate) fn config(&self) -> &ServerConfig {
        &self.config
    }

    pub(crate) fn drain(&self) -> &Drain {
        &self.drain
    }

    /// A number for a connection, not given before on this worker.
    pub(super) fn next_connection(&self) -> u64 {
        self.connections.set(self.connections.get() + 1);
        self.connections.get()
    }

    /// How many TLS handshakes are under way.
    pub(super) fn handshakes(&self) -> &Cell<usize> {
        &self.handshakes
    }

    /// Keeps the pool and the table up to date where no request does. Runs as long as the worker.
    pub(super) async fn keep_house(self: Rc<Self>) {
        loop {
            for _ in 0..LOOKS {
                tokio::time::sleep(LOOK).await;
                self.pool.sweep(Instant::now());
            }
            self.follow(self.table().settings());
            self.connector.sweep(Instant::now());
            self.requests.as_ref().inspect(|requests| requests.sweep());
        }
    }
}

/// Buffers for log lines that are used again and again.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "requests have them boxed")]
pub(crate) struct Captures(RefCell<Vec<Box<Captured>>>);

/// Buffers that are kept: as many as requests are usually under way at once.
const KEPT: usize = 256;

impl Captures {
    #[inline]
    pub(crate) fn take(&self) -> Box<Captured> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    #[inline]
    pub(crate) fn give_back(&self, mut captured: Box<Captured>) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < KEPT && captured.is_worth_keeping() {
            captured.clear();
            kept.push(captured);
        }
    }
}
