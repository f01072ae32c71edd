//! Connections to a port of the node that the node's rules miss.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often is looked.
const LOOK: Duration = Duration::from_millis(5);

/// Takes and closes them as long as it lives.
///
/// kube-proxy makes the rules of a Service anew whenever its endpoints change. It does so in one transaction of
/// nftables, and yet a few in ten thousand connections that are opened meanwhile find no rule, nobody else being
/// involved. Such a connection is refused by the node itself. Where somebody listens at that port of the node it comes
/// here instead, and so can be told from one that a Pod refused.
#[derive(Debug)]
pub struct Strays {
    count: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Strays {
    /// Of these ports of the node.
    pub fn of(addresses: &[SocketAddr]) -> Self {
        let listeners: Vec<TcpListener> = addresses
            .iter()
            .map(|address| {
                let listener = TcpListener::bind(address).expect("nobody listens at a port that rules take");
                listener.set_nonblocking(true).expect("a listener that does not block");
                listener
            })
            .collect();
        let (count, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (count.clone(), stop.clone());
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for listener in &listeners {
                    while listener.accept().is_ok() {
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                }
                thread::sleep(LOOK);
            }
        });
        Self { count, stop, thread: Some(thread) }
    }

    /// How many there were. A load has as many failures by them.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for Strays {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().is_none_or(|thread| thread.join().is_ok());
        assert!(ended || thread::panicking(), "strays were not counted to the end");
    }
}
