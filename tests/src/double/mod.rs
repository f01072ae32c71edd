//! A double of the API server: lists and watches (whole or of metadata alone) of the kinds that the program reads, writes
//! of what it writes, with faults that a real server cannot be asked for.

mod connection;
mod objects;
mod selection;
mod state;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use selection::Selection;
use state::State;

/// A server that runs until the test process ends.
#[derive(Debug)]
pub struct ApiServer {
    address: SocketAddr,
    state: Arc<State>,
}

/// What the next request of its sort is answered with.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A `Status` of this code, and `Retry-After` in seconds.
    Status(u16, Option<u32>),
    /// A list without objects.
    Empty,
    /// Nothing; the connection stays open.
    Silence,
    /// An answer that has no event and ends at once.
    End,
}

/// How often a kind was asked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Asked {
    /// Lists, their first pages only.
    pub lists: u64,
    /// Watches.
    pub watches: u64,
}

impl ApiServer {
    /// Starts on a free port, with an IngressClass `nginx`.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let state = Arc::new(State::default());
        let of_server = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = of_server.clone();
                std::thread::spawn(move || connection::serve(stream, &state));
            }
        });
        let server = Self { address, state };
        server.put(serde_json::json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": { "name": "nginx" },
            "spec": { "controller": "k8s.io/ingress-nginx" },
        }));
        server
    }

    /// For `--apiserver-host`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Creates or replaces an object.
    pub fn put(&self, object: Value) {
        self.state.put(object);
    }

    /// Deletes one; the namespace is empty for kinds that have none.
    pub fn delete(&self, kinds: &str, namespace: &str, name: &str) {
        self.state.delete(kinds, namespace, name);
    }

    /// Sends an event again that tells nothing new: `kinds` is the plural of a kind.
    pub fn repeat(&self, kinds: &str) {
        self.state.repeat(kinds);
    }

    /// Ends the running watches of a kind.
    pub fn cut(&self, kinds: &str) {
        self.state.cut(kinds);
    }

    /// What happened so far can be watched no more: 410 for those who ask for it.
    pub fn compact(&self, kinds: &str) {
        self.state.compact(kinds);
    }

    /// The next lists of a kind are answered with these, one each.
    pub fn fail_lists(&self, kinds: &str, faults: &[Fault]) {
        self.state.change(kinds, |kind| kind.list_faults.extend(faults.iter().cloned()));
    }

    /// The next watches of a kind are answered with these, one each.
    pub fn fail_watches(&self, kinds: &str, faults: &[Fault]) {
        self.state.change(kinds, |kind| kind.watch_faults.extend(faults.iter().cloned()));
    }

    /// The next objects of a kind that are created, replaced or patched are answered with these, one each.
    pub fn fail_writes(&self, kinds: &str, faults: &[Fault]) {
        self.state.change(kinds, |kind| kind.write_faults.extend(faults.iter().cloned()));
    }

    /// How often objects of a kind were created, replaced or patched, or tried to be.
    pub fn writes(&self, kinds: &str) -> u64 {
        self.state.change(kinds, |kind| kind.writes)
    }

    /// An object as it is.
    pub fn get(&self, kinds: &str, namespace: &str, name: &str) -> Option<Value> {
        self.state.get(kinds, namespace, name)
    }

    /// All objects of a kind.
    pub fn all(&self, kinds: &str) -> Vec<Value> {
        self.state.list(kinds, &Selection::default(), 0, usize::MAX).items
    }

    /// While it is away it takes connections and closes them.
    pub fn set_away(&self, away: bool) {
        self.state.set_away(away);
    }

    /// How often a kind was asked for.
    pub fn asked(&self, kinds: &str) -> Asked {
        self.state.change(kinds, |kind| kind.asked)
    }

    /// How often one object of a kind was asked for, by a list that selects it.
    pub fn asked_by_name(&self, kinds: &str) -> u64 {
        self.state.change(kinds, |kind| kind.asked_by_name)
    }

    /// Lists and watches of a kind in a namespace are answered with 403 from now on; those of the whole cluster where it is
    /// empty.
    pub fn forbid(&self, kinds: &str, namespace: &str) {
        self.state.change(kinds, |kind| kind.forbidden.insert(namespace.to_owned()));
    }

    /// The time between the last two lists of a kind.
    pub fn between_lists(&self, kinds: &str) -> Option<Duration> {
        self.state.change(kinds, |kind| match kind.listed.as_slice() {
            [.., one, next] => Some(next.duration_since(*one)),
            _ => None,
        })
    }
}
