//! The cluster and its backends by themselves, without Portcullis: what the other tests stand on.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use portcullis_tests::Client;
use portcullis_tests::cluster::{Echo, NODE, Namespace};
use serde_json::Value;

#[test]
fn backends_answer_through_a_port_of_the_node() {
    let namespace = Namespace::new("backends");
    Echo::new("wear").replicas(2).node_port().start(&namespace);
    let address = namespace.node_port("wear");
    assert_eq!(address.ip(), NODE);

    let mut answered = BTreeSet::new();
    namespace.wait_until("both Pods have answered", || {
        let answer = Client::new("GET", "wear.my-online-store.com", "/hats?size").send(address).expect("an answer");
        assert_eq!(answer.status, 200);
        let said: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(said["name"], "wear");
        assert_eq!(said["host"], "wear.my-online-store.com");
        assert_eq!(said["target"], "/hats?size");
        answered.insert(said["pod"].as_str().expect("a Pod's name").to_owned());
        answered.len() == 2
    });
    assert_eq!(answered.into_iter().collect::<Vec<_>>(), namespace.pods("app=wear"));
}

#[test]
fn backends_answer_tcp_and_udp() {
    let namespace = Namespace::new("streams");
    Echo::new("dns").streams().start(&namespace);
    let [pod] = &namespace.pods("app=dns")[..] else { panic!("one Pod") };
    let address = SocketAddr::new(namespace.service_address("dns").ip(), 9000);

    ask_by_tcp(address, pod);
    ask_by_udp(address, pod);
}

/// Sends a text by TCP and reads what comes back, which is said to come from this Pod.
pub(super) fn ask_by_tcp(address: SocketAddr, pod: &str) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(b"sent\n").expect("bytes sent");
    stream.shutdown(Shutdown::Write).expect("the end sent");
    let mut back = String::new();
    stream.read_to_string(&mut back).expect("text");
    let (first, rest) = back.split_once('\n').expect("a line");
    assert_eq!((first.split(' ').next(), rest), (Some(pod), "sent\n"));
}

/// The same by UDP.
pub(super) fn ask_by_udp(address: SocketAddr, pod: &str) {
    let socket = UdpSocket::bind((NODE, 0)).expect("a free port");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a bound for waiting");
    socket.send_to(b"asked", address).expect("a datagram sent");
    let mut buffer = [0; 100];
    let size = socket.recv(&mut buffer).expect("a datagram back");
    assert_eq!(buffer[..size], *format!("{pod} asked").as_bytes());
}
