//! Constant load on a server that the test made: how many requests, and how many of them failed.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Connection;

/// Bounds of any load: requests a second, threads, and time.
const RATE: u32 = 500;
const THREADS: u32 = 16;
const TIME: Duration = Duration::from_secs(120);

/// That many failures are kept word for word.
const KEPT: usize = 10;

/// A load in the making: every request is a GET, and only status 200 is success.
#[derive(Clone, Debug)]
pub struct Load {
    targets: Targets,
    host: String,
    path: String,
    rate: u32,
    threads: u32,
    keep_alive: bool,
}

/// Where connections lead, each to the next one. Clones share what is set.
#[derive(Clone, Debug)]
pub struct Targets(Arc<Mutex<Vec<SocketAddr>>>);

/// A load that goes on until it is asked for its report, or its time is over.
#[derive(Debug)]
pub struct Running {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Report>>,
    begin: Instant,
}

/// What became of the requests.
#[derive(Debug, Default)]
pub struct Report {
    /// All of them.
    pub sent: usize,
    /// Those without an answer of status 200.
    pub failed: usize,
    /// What went wrong, and how often.
    pub causes: BTreeMap<String, usize>,
    /// When the first of them failed, by the clock, as logs tell it.
    pub failed_at: Vec<String>,
    /// Time that each took that did not fail, sorted.
    pub times: Vec<Duration>,
}

impl Load {
    /// 100 requests a second from 4 threads, each on a connection of its own.
    pub fn new(targets: impl Into<Targets>, host: &str, path: &str) -> Self {
        let targets = targets.into();
        Self { targets, host: host.to_owned(), path: path.to_owned(), rate: 100, threads: 4, keep_alive: false }
    }

    /// So many requests a second, at most 500.
    pub fn rate(mut self, rate: u32) -> Self {
        assert!((1..=RATE).contains(&rate), "a load is at most {RATE} requests a second");
        self.rate = rate;
        self
    }

    /// From so many threads, at most 16: as many requests are under way at a time.
    pub fn threads(mut self, threads: u32) -> Self {
        assert!((1..=THREADS).contains(&threads), "a load has at most {THREADS} threads");
        self.threads = threads;
        self
    }

    /// One connection for each thread as long as the server keeps it. A connection that ends without having said so
    /// is a failed request: no request is sent again.
    pub fn keep_alive(mut self) -> Self {
        self.keep_alive = true;
        self
    }

    /// Begins.
    pub fn start(self) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let begin = Instant::now();
        let pace = Duration::from_secs(1) * self.threads / self.rate;
        let threads = (0..self.threads).map(|number| {
            let (load, stop) = (self.clone(), stop.clone());
            let first = begin + pace * number / self.threads;
            thread::spawn(move || load.run(first, pace, &stop))
        });
        Running { threads: threads.collect(), stop, begin }
    }

    fn run(&self, first: Instant, pace: Duration, stop: &AtomicBool) -> Report {
        let mut report = Report::default();
        let mut connection = None;
        let mut next = first;
        while !stop.load(Ordering::Relaxed) && next.duration_since(first) < TIME {
            thread::sleep(next.saturating_duration_since(Instant::now()));
            next = (next + pace).max(Instant::now());
            let begin = Instant::now();
            let result = self.request(&mut connection);
            report.add(result, begin.elapsed());
        }
        report
    }

    /// The status of one request; an error leaves no connection behind.
    fn request(&self, kept: &mut Option<Connection>) -> io::Result<u16> {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::open(self.targets.turn()?)?,
        };
        let status = connection.get(&self.host, &self.path)?;
        if self.keep_alive && status.keeps {
            *kept = Some(connection);
        }
        Ok(status.code)
    }
}

impl Targets {
    /// Connections lead there in turn.
    pub fn new(addresses: Vec<SocketAddr>) -> Self {
        Self(Arc::new(Mutex::new(addresses)))
    }

    /// From now on connections lead there.
    pub fn set(&self, addresses: Vec<SocketAddr>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    fn turn(&self) -> io::Result<SocketAddr> {
        let mut addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = addresses.first().copied().ok_or_else(|| io::Error::other("there is nobody to ask"))?;
        addresses.rotate_left(1);
        Ok(first)
    }
}

impl From<SocketAddr> for Targets {
    fn from(address: SocketAddr) -> Self {
        Self::new(vec![address])
    }
}

impl Running {
    /// Goes on for a while.
    pub fn wait(&self, time: Duration) {
        thread::sleep(time);
    }

    /// Ends it.
    pub fn finish(self) -> Report {
        assert!(self.begin.elapsed() < TIME, "the load ended by itself after {TIME:?}, before the test did");
        self.stop.store(true, Ordering::Relaxed);
        let mut whole = Report::default();
        for thread in self.threads {
            whole.join(thread.join().expect("a thread of the load ends well"));
        }
        whole.times.sort();
        whole
    }
}

impl Report {
    /// The time within which this share of requests was answered, such as 0.99.
    pub fn quantile(&self, share: f64) -> Duration {
        let index = (self.times.len() as f64 * share) as usize;
        self.times.get(index.min(self.times.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// In one line: numbers of requests and of failures, and how long the others took.
    pub fn summary(&self) -> String {
        let [half, most] = [0.5, 0.99].map(|share| self.quantile(share).as_secs_f64() * 1000.0);
        format!("{} requests, {} failed, p50 {half:.1} ms, p99 {most:.1} ms", self.sent, self.failed)
    }

    /// Checks that there were at least so many requests, and that none failed.
    pub fn none_failed_of(&self, least: usize) {
        self.only_failed(0, least);
    }

    /// Checks that there were at least so many requests, and that none failed but these strays.
    pub fn only_failed(&self, strays: usize, least: usize) {
        let Self { sent, failed, causes, failed_at, .. } = self;
        assert!(*sent >= least, "only {sent} requests, not {least}: nothing is shown");
        assert!(*failed <= strays, "{failed} of {sent} failed, {strays} strayed: {causes:?} at {failed_at:?}");
    }

    /// Counts one.
    pub fn add(&mut self, result: io::Result<u16>, took: Duration) {
        self.sent += 1;
        let cause = match result {
            Ok(200) => return self.times.push(took),
            Ok(status) => format!("status {status}"),
            Err(error) => error.to_string(),
        };
        self.failed += 1;
        if self.failed_at.len() < KEPT {
            self.failed_at.push(clock());
        }
        if self.causes.len() < KEPT || self.causes.contains_key(&cause) {
            *self.causes.entry(cause).or_default() += 1;
        }
    }

    /// Counts all of another.
    pub fn join(&mut self, other: Self) {
        self.sent += other.sent;
        self.failed += other.failed;
        self.failed_at.extend(other.failed_at);
        self.times.extend(other.times);
        for (cause, times) in other.causes {
            *self.causes.entry(cause).or_default() += times;
        }
    }
}

/// The time of day, UTC.
fn clock() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = now.as_secs() % 86_400;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}", now.subsec_millis())
}
