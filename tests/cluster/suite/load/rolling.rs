//! A rolling update of Portcullis itself, as the chart installs it: no client that does what it is told notices.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use portcullis_tests::cluster::{Connection, Echo, Load, Namespace, Report, Strays, helm, measured};
use portcullis_tests::{Client, HostCertificate};

use super::follow::Follower;
use super::http2::Http2;
use super::websocket::{Backend, Conversation};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/chart");
const DEPLOYMENT: &str = "portcullis-controller";
const PODS: &str = "app.kubernetes.io/component=controller";

const PATH: &str = "/?delay=20";

/// So long after the roll-out the last of the old Pods takes no connections: the grace period, and a second for clients to
/// be told.
const CLOSED: Duration = Duration::from_secs(14);

/// 220 pieces of 16 KiB, at least 80 ms apart: longer than the old Pods take connections.
const DOWNLOAD: &str = "/?size=3604480&pause=80";

#[test]
fn a_rolling_update_of_portcullis_fails_no_request() {
    let namespace = Namespace::new("rolling");
    install(&namespace, 2);
    let [http, https] = ["http", "https"].map(|name| namespace.node_port_of(DEPLOYMENT, name));
    let certificate = HostCertificate::new("secure.example");
    let _backend = Backend::start(&namespace, "chat");
    serve(&namespace, &certificate, http, https);

    let pods = Follower::start(namespace.name(), DEPLOYMENT, "http");
    let strays = Strays::of(&[http, https]);
    let load = |targets| Load::new(targets, "wear.example", PATH).rate(50).threads(2);
    let by_pod = [
        ("HTTP/1.1, new connections to the Pods", load(pods.targets.clone()).start()),
        ("HTTP/1.1, kept connections to the Pods", load(pods.targets.clone()).keep_alive().start()),
    ];
    let by_node = [
        ("HTTP/1.1, new connections to the node", load(http.into()).start()),
        ("HTTP/1.1, kept connections to the node", load(http.into()).keep_alive().start()),
    ];
    let secure = |keep| Http2::start(https, "secure.example", PATH, &certificate, keep);
    let secure = [("HTTP/2, kept connections", secure(true)), ("HTTP/2, new connections", secure(false))];

    roll_over_with_long_ones(&namespace, http);

    let by_pod = by_pod.map(|(name, load)| (name, load.finish()));
    let by_node = by_node.map(|(name, load)| (name, load.finish()));
    let secure = secure.map(|(name, load)| (name, load.finish()));
    sum(by_pod).none_failed_of(400);
    measured(&format!("Portcullis rolled over: {} strayed", strays.count()));
    sum(by_node.into_iter().chain(secure)).only_failed(strays.count(), 800);
}

/// Rolls over while downloads and WebSockets are under way, some on either Pod, for longer than the old ones take
/// connections. Returns when the old Pods are gone.
fn roll_over_with_long_ones(namespace: &Namespace, http: SocketAddr) {
    let before = namespace.pods(PODS);
    let conversations: Vec<Conversation> = (0..4).map(|_| Conversation::start(http, "chat.example")).collect();
    let download = move || Connection::open(http)?.get("wear.example", DOWNLOAD).map(|status| status.code);
    let downloads: Vec<_> = (0..4).map(|_| thread::spawn(download)).collect();
    thread::sleep(Duration::from_secs(2));

    let begin = Instant::now();
    namespace.restart(DEPLOYMENT);
    let rolled = begin.elapsed();
    thread::sleep(CLOSED);
    let messages: usize = conversations.into_iter().map(Conversation::finish).sum();
    for download in downloads {
        assert_eq!(download.join().expect("a thread").expect("a whole download"), 200);
    }
    namespace.wait_until("old Pods are gone", || namespace.all_pods(PODS).iter().all(|pod| !before.contains(pod)));
    measured(&format!("rolled out in {rolled:.1?}, old Pods gone after {:.1?}, {messages} messages", begin.elapsed()));
    assert!(messages > 400, "{messages}");
}

/// All of them; each of them had enough requests.
fn sum<'a>(reports: impl IntoIterator<Item = (&'a str, Report)>) -> Report {
    let mut whole = Report::default();
    for (name, report) in reports {
        measured(&format!("Portcullis rolled over, {name}: {}", report.summary()));
        assert!(report.sent > 200, "{}", report.summary());
        whole.join(report);
    }
    whole
}

/// By the chart, with an IngressClass of the namespace's name.
fn install(namespace: &Namespace, replicas: usize) {
    let class = namespace.name();
    let values = [
        format!("controller.replicaCount={replicas}"),
        "controller.service.type=NodePort".to_owned(),
        "controller.admissionWebhooks.enabled=false".to_owned(),
        format!("controller.ingressClass={class}"),
        format!("controller.ingressClassResource.name={class}"),
        format!("controller.ingressClassResource.controllerValue=test.example/{class}"),
    ];
    let set: Vec<&str> = values.iter().flat_map(|value| ["--set", value.as_str()]).collect();
    helm(&[&["install", "portcullis", CHART, "--namespace", class, "--wait", "--timeout", "60s"], &set[..]].concat());
}

/// Makes Ingresses of three hosts and waits until they are served.
fn serve(namespace: &Namespace, certificate: &HostCertificate, http: SocketAddr, https: SocketAddr) {
    Echo::new("wear").replicas(2).start(namespace);
    namespace.apply(&certificate.secret_in(namespace.name(), "secure-tls"));
    let class = format!("--class={}", namespace.name());
    // The last one speaks nothing but WebSocket, and has no answer to an ordinary request.
    for (name, rule, status) in [
        ("wear", "wear.example/*=wear:80", 200),
        ("secure", "secure.example/*=wear:80,tls=secure-tls", 308),
        ("chat", "chat.example/*=chat:80", 502),
    ] {
        namespace.kubectl(&["create", "ingress", name, &class, &format!("--rule={rule}")]);
        namespace.wait_until(&format!("{name} is served"), || {
            let answer = Client::new("GET", &format!("{name}.example"), "/").send(http);
            answer.is_ok_and(|answer| answer.status == status)
        });
    }
    namespace.wait_until("HTTPS is served", || {
        let client = certificate.client(&[b"http/1.1"]);
        Client::new("GET", "secure.example", "/").send_tls(https, client).is_ok_and(|answer| answer.status == 200)
    });
}
