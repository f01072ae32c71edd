//! The Pods behind a Service, asked at their own addresses, as load balancers of clouds do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use portcullis_tests::Client;
use portcullis_tests::cluster::{Api, Targets};
use serde_json::Value;

/// How often is looked.
const LOOK: Duration = Duration::from_millis(500);

/// Looks for them as long as it lives.
pub(crate) struct Follower {
    pub(crate) targets: Targets,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Begins with the ready endpoints that there are, of the port of this name.
    pub(crate) fn start(namespace: &str, service: &str, port: &str) -> Self {
        let api = Api::open();
        let path = format!(
            "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices\
             ?labelSelector=kubernetes.io/service-name%3D{service}"
        );
        let port = port.to_owned();
        let look = move || {
            let slices = Client::new("GET", "localhost", &path).send(api.address()).expect("an answer");
            ready(&serde_json::from_str(&slices.body).expect("JSON"), &port)
        };
        let targets = Targets::new(look());
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, set) = (stop.clone(), targets.clone());
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                thread::sleep(LOOK);
                set.set(look());
            }
        });
        Self { targets, stop, thread: Some(thread) }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().is_none_or(|thread| thread.join().is_ok());
        assert!(ended || thread::panicking(), "the API server was asked in vain");
    }
}

fn ready(slices: &Value, port: &str) -> Vec<SocketAddr> {
    let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let mut addresses = Vec::new();
    for slice in list(slices, "items") {
        let number = list(&slice, "ports").into_iter().find(|known| known["name"] == port);
        let number = number.and_then(|known| u16::try_from(known["port"].as_u64()?).ok());
        for endpoint in list(&slice, "endpoints").iter().filter(|endpoint| endpoint["conditions"]["ready"] == true) {
            let ip = endpoint["addresses"][0].as_str().and_then(|text| text.parse().ok());
            addresses.extend(ip.zip(number).map(|(ip, number)| SocketAddr::new(ip, number)));
        }
    }
    addresses
}
