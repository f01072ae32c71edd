//! TCP and UDP services: ports that come and go, and what passes through them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their helpers with them"
)]

mod support;

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use portcullis_model::{L4Protocol, StreamPort, StreamService, StreamTemplate};
use support::origin::refused;
use support::{Plan, Site, cluster, eventually};

const SHORT: Duration = Duration::from_millis(200);

/// A port that nobody has at the moment, for TCP and UDP.
fn free_port() -> u16 {
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn tcp(port: u16) -> StreamPort {
    StreamPort { protocol: L4Protocol::Tcp, port }
}

fn udp(port: u16) -> StreamPort {
    StreamPort { protocol: L4Protocol::Udp, port }
}

fn service(name: &str) -> StreamService {
    let name = format!("tcp-shop-{name}-80").into();
    StreamService { name, cluster: cluster("web"), accept_proxy: false, send_proxy: false }
}

/// Everything on `port` goes to `endpoints`.
fn plan(port: StreamPort, endpoints: &[SocketAddr]) -> Plan {
    let mut plan = Plan::new(endpoints);
    plan.streams.insert(port, service("web"));
    plan
}

/// Connects as soon as the port is open.
fn connect(port: u16) -> TcpStream {
    let begun = Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => {
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                return stream;
            }
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(5), "{error}"),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Sends, ends, and reads to the end.
fn talk(stream: &mut TcpStream, text: &str) -> String {
    try_to_talk(stream, text).unwrap()
}

fn try_to_talk(stream: &mut TcpStream, text: &str) -> io::Result<String> {
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Serves every connection with `serve`, each on a thread.
fn server(serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            // A connection that breaks is one of the things tested.
            thread::spawn(move || serve(stream).ok());
        }
    });
    address
}

/// Answers `NAME:` and what it was sent, once that has ended.
fn naming(name: &'static str) -> SocketAddr {
    server(move |mut stream| {
        let mut heard = String::new();
        stream.read_to_string(&mut heard)?;
        stream.write_all(format!("{name}:{heard}").as_bytes())
    })
}

/// Sends back what it gets as it comes.
fn echo() -> SocketAddr {
    server(|mut stream| {
        let mut octets = [0; 4096];
        loop {
            let count = stream.read(&mut octets)?;
            if count == 0 {
                return Ok(());
            }
            stream.write_all(&octets[..count])?;
        }
    })
}

#[test]
fn octets_pass_untouched_and_each_side_ends_on_its_own() {
    let port = free_port();
    let site = plan(tcp(port), &[naming("a")]).start();
    assert_eq!(talk(&mut connect(port), "hello"), "a:hello");
    let line = site.log(1).remove(0);
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!((words[0], &words[3..7]), ("[127.0.0.1]", &["TCP", "200", "7", "5"][..]), "{line}");
    assert!(words[7].parse::<f64>().unwrap() < 5.0, "{line}");
    assert_eq!(words.len(), 8);
}

#[test]
fn much_passes_both_ways_at_once_whoever_is_slow() {
    const LENGTH: usize = 8 << 20;
    let port = free_port();
    let site = plan(tcp(port), &[echo()]).start();
    let mut stream = connect(port);
    let mut reader = stream.try_clone().unwrap();
    let sent: Vec<u8> = (0..LENGTH).map(|place| u8::try_from(place % 251).unwrap()).collect();
    let want = sent.clone();
    let reading = thread::spawn(move || {
        // Both sockets are full by then.
        thread::sleep(SHORT);
        let mut got = Vec::new();
        reader.read_to_end(&mut got).unwrap();
        got
    });
    stream.write_all(&sent).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(reading.join().unwrap() == want);
    let line = site.log(1).remove(0);
    assert!(line.contains(&format!(" 200 {LENGTH} {LENGTH} ")), "{line}");
}

#[test]
fn endpoints_take_turns_and_the_next_one_is_tried() {
    let port = free_port();
    let mut plan = plan(tcp(port), &[naming("a"), naming("b"), refused()]);
    plan.config.workers = NonZeroUsize::MIN;
    let log = StreamTemplate::parse("$status $upstream_addr $proxy_upstream_name").unwrap();
    plan.settings.stream.log = Some(Arc::new(log));
    let mut site = plan.clone().start();
    let answers: Vec<String> = (0..12).map(|_| talk(&mut connect(port), "x")).collect();
    for one in ["a:x", "b:x"] {
        assert!(answers.iter().filter(|answer| *answer == one).count() >= 3, "{answers:?}");
    }
    let lines = site.log(12);
    let again = lines.iter().filter(|line| line.contains(", ")).count();
    assert!((3..=6).contains(&again), "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with("200 ") && line.ends_with(" tcp-shop-web-80")));

    plan.settings.stream.next_upstream = false;
    site.publish(&plan);
    let is_answered = |_: &u8| try_to_talk(&mut connect(port), "x").is_ok_and(|answer| !answer.is_empty());
    assert_eq!((0..3).filter(is_answered).count(), 2);
    assert_eq!(site.log(15).iter().filter(|line| line.starts_with("502 ")).count(), 1);
}

#[test]
fn ports_come_and_go_with_the_table_and_connections_stay() {
    let (first, second) = (free_port(), free_port());
    let with = plan(tcp(first), &[echo()]);
    let mut without = with.clone();
    without.streams.clear();
    let mut both = with.clone();
    both.streams.insert(tcp(second), service("other"));
    let mut site = with.clone().start();
    let mut kept = connect(first);
    let mut echoed = |octets: &[u8; 3]| {
        kept.write_all(octets).unwrap();
        let mut back = [0; 3];
        kept.read_exact(&mut back).unwrap();
        assert_eq!(&back, octets);
    };
    echoed(b"one");
    for _ in 0..3 {
        site.publish(&without);
        eventually(|| TcpStream::connect(("127.0.0.1", first)).is_err());
        echoed(b"two");
        site.publish(&both);
        assert_eq!(talk(&mut connect(first), "again"), "again");
        assert_eq!(talk(&mut connect(second), "new"), "new");
        echoed(b"end");
    }
    site.publish(&with);
    eventually(|| TcpStream::connect(("127.0.0.1", second)).is_err());
    assert_eq!(talk(&mut connect(first), "still"), "still");
}

#[test]
fn a_service_changes_without_its_port() {
    let port = free_port();
    let mut plan = plan(tcp(port), &[naming("a")]);
    plan.endpoints.push(("other", vec![naming("b")]));
    let mut site = plan.clone().start();
    assert_eq!(talk(&mut connect(port), "x"), "a:x");
    plan.streams.insert(tcp(port), StreamService { cluster: cluster("other"), ..service("other") });
    site.publish(&plan);
    assert_eq!(talk(&mut connect(port), "x"), "b:x");
}

#[test]
fn a_port_of_somebody_else_is_opened_when_it_is_free() {
    let (taken, free) = (free_port(), free_port());
    let other = TcpListener::bind(("127.0.0.1", taken)).unwrap();
    let mut plan = plan(tcp(taken), &[naming("a")]);
    plan.streams.insert(tcp(free), service("web"));
    let mut site = plan.clone().start();
    assert_eq!(talk(&mut connect(free), "x"), "a:x");
    drop(other);
    // A change looks at it at once.
    site.publish(&plan);
    assert_eq!(talk(&mut connect(taken), "x"), "a:x");
}

#[test]
fn the_proxy_protocol_is_expected_and_sent() {
    const V1: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 1234\r\n";
    let port = free_port();
    let mut plan = plan(tcp(port), &[naming("a")]);
    plan.settings.client.proxy_protocol_timeout = SHORT;
    let log = StreamTemplate::parse("$status $remote_addr $proxy_protocol_addr $bytes_received").unwrap();
    plan.settings.stream.log = Some(Arc::new(log));
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\x04\xd2".to_vec();
    let mut lines = 0;
    for (accept_proxy, send_proxy, header, want, logged) in [
        (true, false, V1.as_bytes().to_vec(), "a:hi".to_owned(), Some("200 192.0.2.7 192.0.2.7 2")),
        (true, true, V1.as_bytes().to_vec(), format!("a:{V1}hi"), Some("200 192.0.2.7 192.0.2.7 2")),
        (true, true, v2, format!("a:{V1}hi"), Some("200 192.0.2.7 192.0.2.7 2")),
        (true, false, Vec::new(), String::new(), None),
        (true, false, b"GET / HTTP/1.1\r\n\r\n".to_vec(), String::new(), Some("400 127.0.0.1 - 0")),
        (false, false, V1.as_bytes().to_vec(), format!("a:{V1}hi"), Some("200 127.0.0.1 - 48")),
    ] {
        plan.streams.insert(tcp(port), StreamService { accept_proxy, send_proxy, ..service("web") });
        let site = plan.clone().start();
        let mut stream = connect(port);
        stream.write_all(&header).unwrap();
        if header.is_empty() {
            thread::sleep(2 * SHORT);
        }
        stream.write_all(b"hi").ok();
        stream.shutdown(Shutdown::Write).ok();
        let mut got = Vec::new();
        // A connection that is refused may be reset, since something is left unread.
        stream.read_to_end(&mut got).ok();
        assert_eq!(String::from_utf8_lossy(&got), want);
        match logged {
            Some(line) => assert_eq!(site.log(1), [line]),
            None => assert!(site.log(0).is_empty()),
        }
        lines += 1;
    }
    assert_eq!(lines, 6);
    let site = plan.clone().start();
    drop(site);
    plan.streams.insert(tcp(port), StreamService { send_proxy: true, ..service("web") });
    let _site = plan.start();
    let mut stream = connect(port);
    let own = stream.local_addr().unwrap().port();
    assert_eq!(talk(&mut stream, "hi"), format!("a:PROXY TCP4 127.0.0.1 127.0.0.1 {own} {port}\r\nhi"));
}

#[test]
fn only_listed_load_balancers_are_believed() {
    let port = free_port();
    let mut plan = plan(tcp(port), &[naming("a")]);
    plan.settings.forwarded.peers = vec!["10.0.0.0/8".parse().unwrap()];
    plan.settings.stream.log = Some(Arc::new(StreamTemplate::parse("$remote_addr $proxy_protocol_addr").unwrap()));
    plan.streams.insert(tcp(port), StreamService { accept_proxy: true, send_proxy: true, ..service("web") });
    let site = plan.start();
    let answer = talk(&mut connect(port), "PROXY TCP4 192.0.2.7 198.51.100.1 56324 1234\r\nhi");
    assert!(answer.starts_with("a:PROXY TCP4 127.0.0.1 127.0.0.1 ") && answer.ends_with("\r\nhi"), "{answer}");
    assert_eq!(site.log(1), ["127.0.0.1 192.0.2.7"]);
}

#[test]
fn a_silent_connection_ends_and_one_in_use_does_not() {
    let port = free_port();
    let mut plan = plan(tcp(port), &[echo()]);
    plan.settings.stream.idle = SHORT;
    let _site = plan.start();
    let mut stream = connect(port);
    let began = Instant::now();
    let mut octet = [0];
    for _ in 0..5 {
        thread::sleep(SHORT / 2);
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut octet).unwrap();
    }
    assert_eq!(stream.read(&mut octet).unwrap(), 0);
    assert!(began.elapsed() > 3 * SHORT && began.elapsed() < Duration::from_secs(4));
}

#[test]
fn a_broken_side_breaks_the_other() {
    let port = free_port();
    let resetting = server(|mut stream| {
        stream.write_all(b"part")?;
        stream.read_exact(&mut [0])?;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))
    });
    let _site = plan(tcp(port), &[resetting]).start();
    let mut stream = connect(port);
    let mut part = [0; 4];
    stream.read_exact(&mut part).unwrap();
    stream.write_all(b"x").unwrap();
    let error = stream.read(&mut part).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "the answer is not taken for complete");
}

#[test]
fn at_the_end_ports_close_and_connections_have_until_the_deadline() {
    let port = free_port();
    let site = plan(tcp(port), &[echo()]).start();
    let mut stream = connect(port);
    let mut octet = [0];
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut octet).unwrap();
    let began = Instant::now();
    thread::scope(|scope| {
        let ending = scope.spawn(|| site.shut_down(Duration::from_secs(3)));
        eventually(|| TcpStream::connect(("127.0.0.1", port)).is_err());
        stream.write_all(b"y").unwrap();
        stream.read_exact(&mut octet).unwrap();
        assert_eq!(&octet, b"y");
        thread::sleep(Duration::from_millis(500));
        stream.write_all(b"z").unwrap();
        stream.read_exact(&mut octet).unwrap();
        assert!(matches!(stream.read(&mut octet), Ok(0) | Err(_)));
        ending.join().unwrap();
    });
    assert!(began.elapsed() >= Duration::from_millis(2500), "{:?}", began.elapsed());
    let lines = site.log(1);
    assert!(lines.iter().any(|line| line.contains(" 200 3 3 ")), "what is cut has its line: {lines:?}");
}

#[test]
fn the_end_does_not_wait_where_nothing_is_open() {
    let (one, other) = (free_port(), free_port());
    let mut plan = plan(tcp(one), &[naming("a")]);
    plan.streams.insert(udp(other), service("web"));
    let site = plan.start();
    assert_eq!(talk(&mut connect(one), "x"), "a:x");
    let began = Instant::now();
    site.shut_down(Duration::from_secs(20));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn connections_count_towards_the_limit_of_their_worker() {
    let port = free_port();
    let mut plan = plan(tcp(port), &[echo()]);
    (plan.config.workers, plan.config.connections) = (NonZeroUsize::MIN, NonZeroUsize::MIN);
    let site = plan.start();
    let mut octet = [0];
    // One more than that, as with HTTP: a listener that has to wait needs no place of its own.
    let mut served = [connect(port), connect(port)];
    for connection in &mut served {
        connection.write_all(b"x").unwrap();
        connection.read_exact(&mut octet).unwrap();
    }
    let mut waiting = connect(port);
    waiting.write_all(b"y").unwrap();
    waiting.set_read_timeout(Some(SHORT)).unwrap();
    assert!(waiting.read(&mut octet).is_err(), "it waits");
    assert_eq!(site.totals().connections_active, 2);
    drop(served);
    waiting.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    waiting.read_exact(&mut octet).unwrap();
    assert_eq!(&octet, b"y");
}

#[test]
fn ports_that_close_while_a_worker_is_full_leave_its_limit_as_it_is() {
    let (stays, goes) = (free_port(), free_port());
    let both = || {
        let mut plan = plan(tcp(stays), &[echo()]);
        plan.streams.insert(tcp(goes), service("web"));
        plan
    };
    let mut begun = both();
    (begun.config.workers, begun.config.connections) = (NonZeroUsize::MIN, NonZeroUsize::MIN);
    let mut site = begun.start();
    let _connections: Vec<TcpStream> = (0..6).map(|_| connect(stays)).collect();
    eventually(|| site.totals().connections_active == 2);
    for _ in 0..3 {
        site.publish(&plan(tcp(stays), &[echo()]));
        eventually(|| TcpStream::connect(("127.0.0.1", goes)).is_err());
        site.publish(&both());
        drop(connect(goes));
    }
    thread::sleep(SHORT);
    let active = site.totals().connections_active;
    assert!(active <= 3, "{active}: two ports have a place each, beside the one there is");
}

#[test]
fn what_an_endpoint_said_before_it_broke_arrives_under_load() {
    let port = free_port();
    let denying = server(|mut stream| {
        thread::sleep(SHORT);
        stream.write_all(b"denied")
        // What was sent and not read makes the end a reset.
    });
    let _site = plan(tcp(port), &[denying]).start();
    for attempt in 0..10 {
        let mut stream = connect(port);
        let mut sender = stream.try_clone().unwrap();
        let sending = thread::spawn(move || while sender.write(&[0; 65536]).is_ok() {});
        let mut answer = [0; 6];
        let read = stream.read_exact(&mut answer);
        assert!(read.is_ok() && &answer == b"denied", "attempt {attempt}: {read:?}");
        sending.join().unwrap();
    }
}

/// A UDP server that answers each datagram `answers` times with its name and the datagram.
fn udp_server(name: &'static str, answers: usize) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut octets = [0; 65536];
        while let Ok((count, from)) = socket.recv_from(&mut octets) {
            let answer = [format!("{name}:{}:", from.port()).as_bytes(), &octets[..count]].concat();
            for _ in 0..answers {
                socket.send_to(&answer, from).unwrap();
            }
        }
    });
    address
}

/// A client of a port, which may not be open yet.
fn udp_client(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    socket
}

/// The answer to a datagram: its text without the port of the session, and that port.
fn ask(client: &UdpSocket, text: &str) -> io::Result<(String, u16)> {
    client.send(text.as_bytes())?;
    hear(client)
}

fn hear(client: &UdpSocket) -> io::Result<(String, u16)> {
    let mut octets = [0; 65536];
    let count = client.recv(&mut octets)?;
    let text = String::from_utf8_lossy(&octets[..count]).into_owned();
    let (name, rest) = text.split_once(':').unwrap();
    let (port, rest) = rest.split_once(':').unwrap();
    Ok((format!("{name}:{rest}"), port.parse().unwrap()))
}

/// Starts, and waits until the port is open for all workers.
fn start_udp(plan: Plan, port: u16) -> Site {
    let workers = plan.config.workers.get();
    let site = plan.start();
    let address = format!(" 0100007F:{port:04X} ");
    // Asking the port itself would begin sessions, and to try whether it is free could make it not so.
    let sockets = || std::fs::read_to_string("/proc/net/udp").unwrap().matches(&address).count();
    eventually(|| sockets() == workers);
    site
}

#[test]
fn datagrams_are_answered_and_a_session_ends_with_its_answers() {
    let port = free_port();
    let site = start_udp(plan(udp(port), &[udp_server("a", 1)]), port);
    let client = udp_client(port);
    let (first, session) = ask(&client, "one").unwrap();
    assert_eq!(first, "a:one");
    let (second, other) = ask(&client, "two").unwrap();
    assert_eq!(second, "a:two");
    assert_ne!(session, other, "each answer ends a session");
    let lines = site.log(2);
    assert!(lines[0].contains(" UDP 200 ") && lines[0].contains(" 3 0."), "{lines:?}");
    let largest = "x".repeat(60_000);
    assert_eq!(ask(&client, &largest).unwrap().0, format!("a:{largest}"));
    client.send(b"").unwrap();
    assert_eq!(hear(&client).unwrap().0, "a:");
}

#[test]
fn a_session_goes_on_while_answers_are_due_and_ends_when_idle() {
    let port = free_port();
    let mut plan = plan(udp(port), &[udp_server("a", 1), udp_server("b", 1)]);
    plan.settings.stream.responses = 1000;
    plan.settings.stream.idle = SHORT;
    let site = start_udp(plan, port);
    let client = udp_client(port);
    let (answer, session) = ask(&client, "one").unwrap();
    for _ in 0..4 {
        thread::sleep(SHORT / 2);
        assert_eq!(ask(&client, "one").unwrap(), (answer.clone(), session), "the same endpoint");
    }
    assert!(site.log(0).is_empty());
    assert_eq!(site.log(1).len(), 1);
    assert_ne!(ask(&client, "one").unwrap().1, session);
    let ends: BTreeSet<String> = (0..8).map(|_| ask(&udp_client(port), "x").unwrap().0).collect();
    assert_eq!(ends, BTreeSet::from(["a:x".to_owned(), "b:x".to_owned()]), "sessions take turns");
}

#[test]
fn as_many_answers_pass_as_are_expected_for_each_datagram() {
    let port = free_port();
    let mut plan = plan(udp(port), &[udp_server("a", 3)]);
    plan.settings.stream.responses = 2;
    let _site = start_udp(plan, port);
    let client = udp_client(port);
    client.send(b"x").unwrap();
    assert_eq!((hear(&client).unwrap().0, hear(&client).unwrap().0), ("a:x".to_owned(), "a:x".to_owned()));
    client.set_read_timeout(Some(SHORT)).unwrap();
    hear(&client).unwrap_err();
}

#[test]
fn a_session_follows_the_endpoints_of_its_service() {
    let port = free_port();
    let (a, b) = (udp_server("a", 1), udp_server("b", 1));
    let mut plan = plan(udp(port), &[a]);
    plan.settings.stream.responses = 1000;
    let mut site = start_udp(plan.clone(), port);
    let client = udp_client(port);
    let (_, session) = ask(&client, "x").unwrap();
    plan.endpoints = vec![("web", vec![a, b])];
    site.publish(&plan);
    assert_eq!(ask(&client, "x").unwrap(), ("a:x".to_owned(), session), "its endpoint is still there");
    plan.endpoints = vec![("web", vec![b])];
    site.publish(&plan);
    assert_eq!(ask(&client, "x").unwrap().0, "b:x");
    plan.streams.clear();
    site.publish(&plan);
    eventually(|| ask(&udp_client(port), "x").is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused));
    assert_eq!(site.log(2).len(), 2, "a port that closes ends its sessions");
}

#[test]
fn an_endpoint_that_refuses_is_left_for_the_next_one() {
    let port = free_port();
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut plan = plan(udp(port), &[gone, udp_server("b", 1)]);
    plan.settings.stream.responses = 1000;
    plan.config.workers = NonZeroUsize::MIN;
    let _site = start_udp(plan, port);
    let client = udp_client(port);
    client.set_read_timeout(Some(SHORT)).unwrap();
    let answered = (0..4).filter(|_| ask(&client, "x").is_ok()).count();
    assert!(answered >= 3, "{answered}");
}

#[test]
fn sessions_are_bounded_and_the_oldest_goes() {
    let port = free_port();
    let mut plan = plan(udp(port), &[udp_server("a", 1)]);
    plan.settings.stream.responses = 1000;
    (plan.config.workers, plan.config.connections) = (NonZeroUsize::MIN, NonZeroUsize::new(6).unwrap());
    let site = start_udp(plan, port);
    let clients: Vec<UdpSocket> = (0..4).map(|_| udp_client(port)).collect();
    let sessions: Vec<u16> = clients.iter().map(|client| ask(client, "x").unwrap().1).collect();
    assert_eq!(site.log(1).len(), 1, "the first has ended");
    assert_eq!(ask(&clients[1], "x").unwrap().1, sessions[1], "used again");
    assert_ne!(ask(&clients[0], "x").unwrap().1, sessions[0], "anew");
    assert_eq!(ask(&clients[1], "x").unwrap().1, sessions[1]);
    assert_ne!(ask(&clients[2], "x").unwrap().1, sessions[2], "it was the oldest then");
    assert_eq!(site.log(3).len(), 3);
}

#[test]
fn datagrams_without_an_answer_need_no_session() {
    let port = free_port();
    let mut plan = plan(udp(port), &[udp_server("a", 0)]);
    plan.settings.stream.responses = 0;
    let site = start_udp(plan, port);
    udp_client(port).send(b"fact").unwrap();
    let line = site.log(1).remove(0);
    assert!(line.contains(" UDP 200 0 4 "), "{line}");
    let began = Instant::now();
    site.shut_down(Duration::from_secs(20));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn idle_sessions_do_not_hold_up_the_end() {
    let port = free_port();
    let mut plan = plan(udp(port), &[udp_server("a", 1)]);
    plan.settings.stream.responses = 1000;
    let site = start_udp(plan, port);
    ask(&udp_client(port), "x").unwrap();
    let began = Instant::now();
    site.shut_down(Duration::from_secs(20));
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert_eq!(site.log(1).len(), 1);
}
