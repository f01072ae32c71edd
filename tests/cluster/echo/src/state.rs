//! What all connections share: who answers, what is in flight, and whether the end has come.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// At most that many connections at a time.
const CONNECTIONS: usize = 1024;

/// How long requests in flight are waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Shared by all threads.
#[derive(Debug)]
pub(crate) struct State {
    /// `--name`.
    pub(crate) name: String,
    /// The Pod's name, which is its host name.
    pub(crate) pod: String,
    connections: AtomicUsize,
    in_flight: AtomicUsize,
    draining: AtomicBool,
}

/// A connection among the bounded number of them.
#[derive(Debug)]
pub(crate) struct Place(Arc<State>);

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct InFlight<'a>(&'a State);

impl State {
    /// Nothing has happened yet.
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            pod: env::var("HOSTNAME").unwrap_or_default(),
            connections: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
        }
    }

    /// Takes a place for a connection; none where all are taken.
    pub(crate) fn connection(self: &Arc<Self>) -> Option<Place> {
        let taken = self.connections.fetch_add(1, Ordering::SeqCst);
        let place = Place(self.clone());
        (taken < CONNECTIONS).then_some(place)
    }

    /// Marks a request as being answered.
    pub(crate) fn request(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlight(self)
    }

    /// Whether clients are to come on another connection.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Goes on for a while, then waits until nothing is in flight.
    pub(crate) fn drain(&self, time: Duration) {
        self.draining.store(true, Ordering::SeqCst);
        thread::sleep(time);
        let begin = Instant::now();
        while self.in_flight.load(Ordering::SeqCst) > 0 && begin.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Place {
    /// What it is a place of.
    pub(crate) fn state(&self) -> &State {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
