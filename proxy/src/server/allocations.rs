//! A request on connections that are kept allocates little: all that its worker allocates is counted, hyper's share included.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use portcullis_model::{Endpoint, Settings, Snapshot};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use super::connection::{self, Entrance};
use super::{ServerConfig, Worker};
use crate::table::testing::{cluster, snapshot};
use crate::table::{RoutingTable, TableReader, channel};
use crate::upstream::{UpstreamRegistry, unverified_tls};

const REQUEST: &[u8] = b"GET /small?a=b HTTP/1.1\r\nHost: a.example:8080\r\nUser-Agent: test\r\nAccept: */*\r\n\
    Accept-Encoding: gzip\r\nConnection: keep-alive\r\nSec-Fetch-Mode: cors\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
    Content-Type: text/plain\r\nContent-Length: 5\r\nConnection: keep-alive\r\nX-App: 1\r\n\r\nhello";

/// Requests until everything that is kept is there.
const FIRST: u64 = 64;
const COUNTED: u64 = 512;
/// Two of them for names of fields that the library does not know, one each way.
const MOST: u64 = 3;

/// Answers every request on every connection.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                while ends_a_head(&mut stream) {
                    stream.write_all(RESPONSE).unwrap();
                }
            });
        }
    });
    address
}

/// Reads to the end of a request head; false at the end of the stream.
fn ends_a_head(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    let mut octets = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut octets) {
            Ok(0) | Err(_) => return false,
            Ok(read) => head.extend_from_slice(&octets[..read]),
        }
    }
    true
}

/// Sends the first requests, says so, and sends the rest when it is told to.
fn visit(server: SocketAddr, first_done: oneshot::Sender<()>, go_on: &Receiver<()>, done: oneshot::Sender<()>) {
    let mut stream = TcpStream::connect(server).unwrap();
    let mut ask = |times: u64| {
        for _ in 0..times {
            stream.write_all(REQUEST).unwrap();
            let mut response = Vec::new();
            let mut octets = [0; 4096];
            while !response.ends_with(b"\r\n\r\nhello") {
                let read = stream.read(&mut octets).unwrap();
                assert_ne!(read, 0);
                response.extend_from_slice(&octets[..read]);
            }
            assert!(response.starts_with(b"HTTP/1.1 200 OK\r\n"));
        }
    };
    ask(FIRST);
    first_done.send(()).unwrap();
    go_on.recv().unwrap();
    ask(COUNTED);
    done.send(()).unwrap();
}

fn table(origin: SocketAddr, settings: Settings) -> TableReader {
    let registry = UpstreamRegistry::default();
    let snapshot = Snapshot { settings: Arc::new(settings), ..snapshot(&[("a.example", &["Prefix /"])]) };
    let table = RoutingTable::compile(&snapshot, &registry, None);
    registry.set_endpoints(&cluster("Prefix /"), &[Endpoint { address: origin }]);
    channel(table).1
}

fn allocations_of_a_request(settings: Settings) -> u64 {
    let table = table(origin(), settings);
    let config = Arc::new(ServerConfig::new(Vec::new(), Vec::new(), NonZeroUsize::MIN));
    let (log, lines) = sync_channel(1024);
    thread::spawn(move || lines.into_iter().for_each(drop));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tasks = LocalSet::new();
    let (first_done, first) = oneshot::channel();
    let (go_on, wait) = sync_channel(1);
    let (done, rest) = oneshot::channel();
    let worker = Rc::new(Worker::new(&config, &table, log, unverified_tls().unwrap(), Arc::default()));
    tasks.block_on(&runtime, async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || visit(address, first_done, &wait, done));
        let (stream, peer) = listener.accept().await.unwrap();
        let entrance = Entrance { tls: false, raw: false, port: 8080, https_port: 8443 };
        worker.spawn(connection::serve(Rc::clone(&worker), stream, peer, entrance, None));
        first.await.unwrap();
    });
    go_on.send(()).unwrap();
    let counted = allocation_counter::measure(|| tasks.block_on(&runtime, rest).unwrap());
    counted.count_total / COUNTED
}

#[test]
fn a_request_on_connections_that_are_kept_allocates_little() {
    for access_log in [false, true] {
        let mut settings = Settings::default();
        settings.access_log.enabled = access_log;
        let allocations = allocations_of_a_request(settings);
        assert!((1..=MOST).contains(&allocations), "{allocations} with access log: {access_log}");
    }
}
