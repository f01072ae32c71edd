//! TCP and UDP services of `serve`: ports that open and close as the ConfigMaps and endpoints say.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use portcullis_tests::manifests::service;
use portcullis_tests::{ApiServer, Origin, Start, wait_until};
use serde_json::json;

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

fn services(name: &str, data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: gate}}\ndata: {{{data}}}\n")
}

/// Whether the origin `a` answers on a port. It ends the connection when the client has ended its side.
fn is_served(port: u16) -> bool {
    asked(port).is_ok_and(|answer| answer.ends_with("a GET /x any.example\n"))
}

fn asked(port: u16) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /x HTTP/1.1\r\nHost: any.example\r\n\r\n")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn tcp_ports_follow_their_config_map_and_endpoints() {
    let origin = Origin::start("a");
    let (first, second, taken) = (free_port(), free_port(), TcpListener::bind("127.0.0.1:0").expect("a port"));
    let taken_port = taken.local_addr().expect("an address").port();
    let entries = format!("'{first}': demo/a:80, '{taken_port}': demo/a:80, abc: demo/a:80");
    let instance = Start::new()
        .file("service.yaml", &service("a", &[origin.address()]))
        .file("tcp.yaml", &services("tcp", &entries))
        .flag("--tcp-services-configmap=gate/tcp")
        .serve();
    wait_until("the port is open", || is_served(first));
    let told = |text: &str| instance.log().contains(text);
    wait_until("the port of somebody else is told", || told(&format!("port=tcp/{taken_port}")));
    assert!(told("invalid-stream-port"), "{}", instance.log());

    instance.put("tcp.yaml", &services("tcp", &format!("'{second}': demo/a:80")));
    wait_until("the new port is open", || is_served(second));
    wait_until("the old one is closed", || TcpStream::connect(("127.0.0.1", first)).is_err());
    instance.put("service.yaml", &service("a", &[]));
    wait_until("a port without endpoints is closed", || TcpStream::connect(("127.0.0.1", second)).is_err());
    instance.put("service.yaml", &service("a", &[origin.address()]));
    wait_until("it is open again", || is_served(second));
    let ended = instance.end();
    assert!(ended.output.contains("] TCP 200 "), "{}", ended.output);
}

#[test]
fn udp_ports_are_served() {
    let origin = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let (endpoint, port) = (origin.local_addr().expect("an address"), free_port());
    thread::spawn(move || {
        let mut octets = [0; 100];
        while let Ok((count, from)) = origin.recv_from(&mut octets) {
            let text = octets.get(..count).unwrap_or_default();
            origin.send_to(text, from).expect("an answer");
        }
    });
    let instance = Start::new()
        .file("udp.yaml", &services("udp", &format!("'{port}': data/dns:53")))
        .flag("--udp-services-configmap=gate/udp")
        .flag(&format!("--endpoint=data/dns:53={endpoint}"))
        .serve();
    let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
    client.connect(("127.0.0.1", port)).expect("a port");
    client.set_read_timeout(Some(Duration::from_millis(200))).expect("a time limit");
    wait_until("a datagram is answered", || {
        let mut octets = [0; 100];
        client.send(b"ping").is_ok() && client.recv(&mut octets).is_ok_and(|count| octets.get(..count) == Some(b"ping"))
    });
    let ended = instance.end();
    assert!(ended.output.contains("] UDP 200 4 4 "), "{}", ended.output);
}

#[test]
fn a_config_map_outside_of_the_watched_namespace_is_followed() {
    let origin = Origin::start("a");
    let (first, second) = (free_port(), free_port());
    let server = ApiServer::start();
    let services = |port: u16| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "tcp", "namespace": "gate" },
            "data": { port.to_string(): "shop/a:80" },
        })
    };
    server.put(services(first));
    let start = Start::default()
        .flag("--watch-namespace=shop")
        .flag("--tcp-services-configmap=gate/tcp")
        .flag(&format!("--endpoint=shop/a:80={}", origin.address()));
    let instance = start.run(&server).ready();
    wait_until("the port is open", || is_served(first));
    server.put(services(second));
    wait_until("the other port is open", || is_served(second));
    wait_until("the first is closed", || TcpStream::connect(("127.0.0.1", first)).is_err());
    server.delete("configmaps", "gate", "tcp");
    wait_until("the port is closed", || TcpStream::connect(("127.0.0.1", second)).is_err());
    instance.end();
}
