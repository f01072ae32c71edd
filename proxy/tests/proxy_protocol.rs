//! Connections that a load balancer introduces by the PROXY protocol.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their helpers with them"
)]

mod support;

use std::time::{Duration, Instant};

use portcullis_model::Template;
use support::Plan;
use support::client::Client;
use support::origin::Origin;

const V1: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 1234\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n\r\n";

fn plan(origin: &Origin) -> Plan {
    let mut plan = Plan::new(&[origin.address]);
    plan.settings.client.proxy_protocol = true;
    plan
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, rest].concat()
}

#[test]
fn addresses_and_ports_are_those_of_the_header() {
    let origin = Origin::saying("ok");
    let site = plan(&origin).start();
    let own = site.http.port().to_string();
    let ipv4 = [192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 1, 187];
    let additions = [&ipv4[..], &[3, 0, 4, 1, 2, 3, 4], &[0; 900]].concat();
    for (header, want) in [
        (V1.as_bytes().to_vec(), ("192.0.2.7", "1234", "http")),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n".to_vec(), ("192.0.2.7", "443", "https")),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 80\r\n".to_vec(), ("2001:db8::7", "80", "http")),
        (b"PROXY UNKNOWN\r\n".to_vec(), ("127.0.0.1", own.as_str(), "http")),
        (v2(0x21, 0x11, &ipv4), ("192.0.2.7", "443", "https")),
        (v2(0x21, 0x11, &additions), ("192.0.2.7", "443", "https")),
        (v2(0x20, 0x00, &[]), ("127.0.0.1", own.as_str(), "http")),
        (v2(0x21, 0x00, &[]), ("127.0.0.1", own.as_str(), "http")),
    ] {
        // In one piece and in two.
        for cut in [header.len(), header.len() / 2, 1] {
            let mut client = Client::connect(site.http);
            client.send(&header[..cut]);
            if cut < header.len() {
                std::thread::sleep(Duration::from_millis(20));
            }
            client.send([&header[cut..], GET.as_bytes()].concat());
            assert_eq!(client.response().unwrap().status, 200);
            let seen = origin.seen().pop().unwrap();
            let got = (seen.field("x-real-ip"), seen.field("x-forwarded-port"), seen.field("x-forwarded-proto"));
            assert_eq!((got.0.as_str(), got.1.as_str(), got.2.as_str()), want);
            assert_eq!(seen.field("x-forwarded-for"), want.0);
            assert_eq!(client.get("/again").status, 200, "the header comes once");
        }
    }
}

#[test]
fn connections_without_a_header_are_closed() {
    let origin = Origin::saying("ok");
    let mut plan = plan(&origin);
    plan.settings.client.proxy_protocol_timeout = Duration::from_millis(200);
    let site = plan.start();
    for octets in [
        GET.as_bytes().to_vec(),
        [b"\r\n", V1.as_bytes(), GET.as_bytes()].concat(),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 198.51.100.1".to_vec(),
        format!("PROXY UNKNOWN {}\r\n{GET}", "x".repeat(200)).into_bytes(),
        [&v2(0x21, 0x11, &[1, 2, 3]), GET.as_bytes()].concat(),
        [&v2(0x31, 0x11, &[0; 12]), GET.as_bytes()].concat(),
        [&v2(0x21, 0x11, &[0; 5000]), GET.as_bytes()].concat(),
        Vec::new(),
    ] {
        for address in [site.http, site.https] {
            let mut client = Client::connect(address);
            let began = Instant::now();
            client.send(&octets);
            assert!(client.is_closed(), "{:?}", String::from_utf8_lossy(&octets));
            assert!(began.elapsed() < Duration::from_secs(2));
        }
    }
    assert_eq!(origin.seen().len(), 0);
}

#[test]
fn only_listed_load_balancers_are_believed() {
    let origin = Origin::saying("ok");
    let mut plan = plan(&origin);
    plan.settings.forwarded.fields = true;
    plan.settings.forwarded.client_address = true;
    for (nets, client, port, scheme) in [
        // The balancer is believed, the client behind it is not.
        (&["127.0.0.0/8"][..], "192.0.2.7", "1234", "http"),
        // Both are: the client may say more.
        (&["127.0.0.0/8", "192.0.2.0/24"], "9.9.9.9", "1234", "https"),
        // Nobody is: the connection is what it looks like.
        (&["10.0.0.0/8"], "127.0.0.1", "own", "http"),
    ] {
        plan.settings.forwarded.peers = nets.iter().map(|net| net.parse().unwrap()).collect();
        let site = plan.clone().start();
        let port = if port == "own" { site.http.port().to_string() } else { port.to_owned() };
        let mut connection = Client::connect(site.http);
        connection.send([V1, GET].concat());
        assert_eq!(connection.response().unwrap().status, 200);
        let seen = origin.seen().pop().unwrap();
        assert_eq!(seen.field("x-real-ip"), client, "{nets:?}");
        assert_eq!((seen.field("x-forwarded-port"), seen.field("x-forwarded-proto")), (port, scheme.to_owned()));
    }
}

#[test]
fn the_log_names_the_client_also_of_what_cannot_be_read() {
    let origin = Origin::saying("ok");
    let mut plan = plan(&origin);
    plan.settings.access_log.format =
        Template::parse("$remote_addr $remote_port $proxy_protocol_addr $status").unwrap();
    let site = plan.start();
    for octets in ["GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "what is this\r\n\r\n"] {
        let mut client = Client::connect(site.http);
        client.send([V1, octets].concat());
        client.response().unwrap();
    }
    let mut lines = site.log(2);
    lines.sort();
    assert_eq!(lines, ["192.0.2.7 56324 - 400", "192.0.2.7 56324 192.0.2.7 200"]);
}

#[test]
fn a_change_holds_for_new_connections_and_leaves_old_ones() {
    let origin = Origin::saying("ok");
    let mut plan = Plan::new(&[origin.address]);
    let mut site = plan.clone().start();
    let mut old = Client::connect(site.http);
    assert_eq!(old.get("/").status, 200);
    let refused = Client::connect(site.http).request(&[V1, GET].concat());
    assert_eq!((refused.status, refused.field("connection")), (400, Some("close")), "not where it is not expected");
    plan.settings.client.proxy_protocol = true;
    site.publish(&plan);
    assert_eq!(old.get("/").status, 200);
    let mut client = Client::connect(site.http);
    client.send(GET);
    assert!(client.is_closed());
    let mut client = Client::connect(site.http);
    assert_eq!(client.request(&[V1, GET].concat()).status, 200);
    plan.settings.client.proxy_protocol = false;
    site.publish(&plan);
    assert_eq!(client.get("/").status, 200);
    assert_eq!(Client::connect(site.http).get("/").status, 200);
}
