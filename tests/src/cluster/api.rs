//! The API server over plain HTTP, by way of `kubectl proxy`: for what kubectl is too slow for, such as a thousand
//! objects.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::Connection;

/// Connections of one `create_all`.
const CONNECTIONS: usize = 8;

/// An administrator's way to the API server, as long as it lives.
#[derive(Debug)]
pub struct Api {
    proxy: Child,
    address: SocketAddr,
}

impl Api {
    /// Opens the way.
    pub fn open() -> Self {
        let mut proxy = Command::new("kubectl")
            .args(["proxy", "--port=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("kubectl can be started");
        // `Starting to serve on 127.0.0.1:PORT`
        let mut line = String::new();
        let mut output = BufReader::new(proxy.stdout.take().expect("stdout is a pipe"));
        output.read_line(&mut line).expect("a line of kubectl proxy");
        let address = line.split_whitespace().last().and_then(|word| word.parse().ok());
        Self { proxy, address: address.unwrap_or_else(|| panic!("kubectl proxy says {line:?}")) }
    }

    /// Where it is reached with the path of any resource.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Creates all objects, given as JSON, in the collection that has this path, as fast as the API server takes them.
    pub fn create_all(&self, path: &str, objects: &[String]) {
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(|| {
                    let mut connection = Connection::open(self.address).expect("kubectl proxy takes connections");
                    while let Some(object) = objects.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let status = connection.post(path, "application/json", object).expect("an answer");
                        assert_eq!(status.code, 201, "{object}");
                    }
                });
            }
        });
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.proxy.kill();
        let _ended = self.proxy.wait();
    }
}
