//! Names against a name server of the test's own.

use std::net::{Ipv4Addr, UdpSocket};

use super::*;

/// Answers A questions for the names it is given; all others do not exist.
fn name_server(records: Arc<Mutex<BTreeMap<String, Vec<Ipv4Addr>>>>, ttl: u32) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut query = [0_u8; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let (name, end) = question(&query[..length]);
            let records = records.lock().unwrap();
            let found = records.get(&name);
            let is_a = query[end - 4..end - 2] == [0, 1];
            let answers = found.filter(|_| is_a).cloned().unwrap_or_default();
            let mut reply = query[..2].to_vec();
            reply.extend([
                0x81,
                if found.is_some() { 0x80 } else { 0x83 },
                0,
                1,
                0,
                u8::try_from(answers.len()).unwrap(),
                0,
                0,
                0,
                0,
            ]);
            reply.extend(&query[12..end]);
            for address in answers {
                reply.extend([0xc0, 0x0c, 0, 1, 0, 1]);
                reply.extend(ttl.to_be_bytes());
                reply.extend([0, 4]);
                reply.extend(address.octets());
            }
            socket.send_to(&reply, from).unwrap();
        }
    });
    address
}

fn question(query: &[u8]) -> (String, usize) {
    let (mut labels, mut at) = (Vec::new(), 12);
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..at + 1 + length]).to_ascii_lowercase());
        at += length + 1;
    }
    (labels.join("."), at + 5)
}

type Seen = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

struct Setting {
    records: Arc<Mutex<BTreeMap<String, Vec<Ipv4Addr>>>>,
    seen: Seen,
    dns: Dns,
    _runtime: tokio::runtime::Runtime,
}

fn setting(records: &[(&str, &[[u8; 4]])]) -> Setting {
    let records =
        records.iter().map(|(name, ips)| ((*name).to_owned(), ips.iter().map(|ip| Ipv4Addr::from(*ip)).collect()));
    let records = Arc::new(Mutex::new(records.collect()));
    let nameserver = Some(name_server(records.clone(), 1));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let seen = Seen::default();
    let publish = {
        let seen = seen.clone();
        move |cluster: &ClusterId, endpoints: &[Endpoint]| {
            let endpoints = endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect();
            seen.lock().unwrap().insert(cluster.service.to_string(), endpoints);
        }
    };
    let config =
        DnsConfig { nameserver, search: vec!["demo.svc.cluster.local".to_owned(), "cluster.local".to_owned()] };
    let dns = Dns::new(&config, runtime.handle().clone(), publish);
    Setting { records, seen, dns, _runtime: runtime }
}

fn clusters(targets: &[(&str, &str)]) -> BTreeMap<ClusterId, DnsTarget> {
    let one = |(service, name): &(&str, &str)| {
        let id = ClusterId { namespace: "demo".into(), service: (*service).into(), port: "80".into() };
        (id, DnsTarget { name: (*name).into(), port: 8080 })
    };
    targets.iter().map(one).collect()
}

const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn addresses_come_with_the_first_answer() {
    let setting = setting(&[
        ("a.example", &[[192, 0, 2, 2], [192, 0, 2, 1], [169, 254, 169, 254]]),
        ("b.demo.svc.cluster.local", &[[192, 0, 2, 3]]),
        ("metadata.example", &[[169, 254, 169, 254]]),
    ]);
    let wanted = [
        ("a", "a.example"),
        ("b", "b"),
        ("dot", "b."),
        ("missing", "missing.example"),
        ("metadata", "metadata.example"),
    ];
    setting.dns.follow(clusters(&wanted), PATIENCE);
    let seen = setting.seen.lock().unwrap();
    assert_eq!(seen["a"], ["192.0.2.1:8080", "192.0.2.2:8080"]);
    assert_eq!(seen["b"], ["192.0.2.3:8080"], "found in the search list");
    for none in ["dot", "missing", "metadata"] {
        assert_eq!(seen[none], Vec::<String>::new(), "{none}");
    }
}

#[test]
fn answers_are_renewed_when_their_time_is_over() {
    let setting = setting(&[("a.example", &[[192, 0, 2, 1]])]);
    setting.dns.follow(clusters(&[("a", "a.example"), ("later", "later.example")]), PATIENCE);
    let wait_for = |service: &str, want: &[&str]| {
        let begin = Instant::now();
        while setting.seen.lock().unwrap()[service] != want {
            assert!(begin.elapsed() < Duration::from_secs(8), "{service} {want:?}: {:?}", setting.seen);
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let set = |name: &str, ips: &[Ipv4Addr]| {
        setting.records.lock().unwrap().insert(name.to_owned(), ips.to_vec());
    };
    set("a.example", &[Ipv4Addr::new(192, 0, 2, 9)]);
    set("later.example", &[Ipv4Addr::new(192, 0, 2, 7)]);
    wait_for("a", &["192.0.2.9:8080"]);
    wait_for("later", &["192.0.2.7:8080"]);
    setting.records.lock().unwrap().remove("a.example");
    wait_for("a", &[]);
}

#[test]
fn a_name_that_nobody_wants_is_forgotten() {
    let setting = setting(&[("a.example", &[[192, 0, 2, 1]])]);
    setting.dns.follow(clusters(&[("a", "a.example")]), PATIENCE);
    setting.dns.follow(clusters(&[]), Duration::ZERO);
    assert!(setting.dns.shared.lock().names.is_empty());
    setting.dns.follow(clusters(&[("a", "a.example")]), PATIENCE);
    assert_eq!(setting.seen.lock().unwrap()["a"], ["192.0.2.1:8080"]);
}
