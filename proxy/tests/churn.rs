//! Load while everything behind it changes: endpoints, certificates and tables. Nothing fails, nothing grows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their helpers with them"
)]

mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis_model::{Certificate, Endpoint, RoutePolicy};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::ServerName;
use support::visitor::Anybody;
use support::{Plan, Site, certificate, cluster, eventually, host, route};
use tokio::net::{TcpListener, TcpStream};

/// How long it goes on, unless `PORTCULLIS_CHURN_SECONDS` says otherwise.
const SECONDS: u64 = 20;
/// Endpoints are replaced once in this time; the table with its certificates every tenth time.
const BEAT: Duration = Duration::from_millis(10);
const TABLES: u64 = 10;
/// Clients of HTTP/1.1, and connections of HTTP/2 with so many streams each.
const HTTP1: usize = 8;
const HTTP2: usize = 2;
const STREAMS: usize = 8;
/// A client waits so long between two requests.
const PAUSE: Duration = Duration::from_millis(5);
/// How much more memory may be resident at the end than after a quarter of the time. The load and the origins are in it.
const GROWTH: usize = 8 << 20;

#[test]
fn nothing_fails_and_nothing_grows_while_everything_changes() {
    let seconds = std::env::var("PORTCULLIS_CHURN_SECONDS").map_or(SECONDS, |text| text.parse().unwrap());
    let origins = Origins::start(4);
    let plans = plans(&origins.addresses);
    let mut site = plans[0].clone().start();
    let open_before = open_files();
    let load = Arc::new(Load::new(&site, &plans));
    let clients = std::thread::spawn({
        let load = Arc::clone(&load);
        move || runtime().block_on(load.run())
    });
    let (changes, resident) = churn(&mut site, &plans, &origins.addresses, Duration::from_secs(seconds));
    let last = resident_octets();
    load.stop.store(true, Ordering::Relaxed);
    clients.join().unwrap();
    let (done, failures) = (load.done.load(Ordering::Relaxed), load.failures.lock().unwrap().clone());
    assert!(failures.is_empty(), "{} of {done} failed: {:?}", failures.len(), failures.first());
    assert!(done > seconds * 50, "{done} requests in {seconds} s");
    assert!(changes > seconds * 50, "{changes} changes in {seconds} s");
    assert!(last < resident + GROWTH, "resident: {resident} octets, then {last}");
    assert!(load.presented.lock().unwrap().len() > 1, "certificates were swapped");
    assert!(origins.answered.iter().all(|answered| answered.load(Ordering::Relaxed) > 0), "all origins had their turn");
    // Connections to endpoints that are gone are closed, and then nothing is left open.
    site.registry.set_endpoints(&cluster("web"), &[]);
    let began = Instant::now();
    while open_files() > open_before && began.elapsed() < Duration::from_secs(15) {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(open_files() <= open_before, "{} files open, {open_before} before", open_files());
    eventually(|| site.totals().connections_active == 0);
}

/// Tables that differ in certificates, hosts, routes and settings; the path that is asked for goes to `web` in all.
fn plans(addresses: &[SocketAddr]) -> Vec<Plan> {
    let quiet = || {
        let mut policy = RoutePolicy::default();
        policy.observe.access_log = false;
        policy
    };
    let variant = |number: usize| {
        let mut plan = Plan::with_policy(&addresses[..1 + number % 2], quiet());
        let mut routes = vec![route("/", "web", quiet())];
        routes.extend((0..number).map(|other| route(&format!("/other-{other}"), "other", quiet())));
        plan.hosts = vec![host("a.example", routes)];
        plan.hosts
            .extend((0..5 * number).map(|other| host(&format!("h{other}.example"), vec![route("/", "web", quiet())])));
        plan.certificates = vec![("a.example", certificate(&["a.example"]))];
        plan.settings.server_tokens = number % 2 == 1;
        plan
    };
    (0..4).map(variant).collect()
}

/// Changes everything in turn for that long. How often endpoints were replaced, and what was resident after a quarter.
fn churn(site: &mut Site, plans: &[Plan], addresses: &[SocketAddr], time: Duration) -> (u64, usize) {
    let began = Instant::now();
    let (mut changes, mut resident) = (0, None);
    while began.elapsed() < time {
        if changes % TABLES == 0 {
            let number = usize::try_from(changes / TABLES).unwrap() % plans.len();
            site.publish(&plans[number]);
        }
        // One, two or three of them, beginning with another one each time.
        let first = usize::try_from(changes).unwrap();
        let chosen = (0..1 + first % 3).map(|next| Endpoint { address: addresses[(first + next) % addresses.len()] });
        site.registry.set_endpoints(&cluster("web"), &chosen.collect::<Vec<_>>());
        changes += 1;
        if began.elapsed() > time / 4 {
            resident.get_or_insert_with(resident_octets);
        }
        let next = BEAT * u32::try_from(changes).unwrap();
        std::thread::sleep(next.saturating_sub(began.elapsed()));
    }
    (changes, resident.unwrap())
}

fn resident_octets() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Servers that answer with the length of what they got. They run to the end of the process.
struct Origins {
    addresses: Vec<SocketAddr>,
    answered: Arc<Vec<AtomicU64>>,
}

impl Origins {
    fn start(count: usize) -> Self {
        let listeners: Vec<_> = (0..count).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        let answered: Arc<Vec<_>> = Arc::new((0..count).map(|_| AtomicU64::new(0)).collect());
        let counters = Arc::clone(&answered);
        std::thread::spawn(move || {
            runtime().block_on(async {
                for (number, listener) in listeners.into_iter().enumerate() {
                    listener.set_nonblocking(true).unwrap();
                    let listener = TcpListener::from_std(listener).unwrap();
                    tokio::spawn(accept(listener, Arc::clone(&counters), number));
                }
                std::future::pending::<()>().await;
            });
        });
        Self { addresses, answered }
    }
}

async fn accept(listener: TcpListener, answered: Arc<Vec<AtomicU64>>, number: usize) {
    while let Ok((stream, _)) = listener.accept().await {
        let answered = Arc::clone(&answered);
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            answered[number].fetch_add(1, Ordering::Relaxed);
            async move {
                let length = request.into_body().collect().await?.to_bytes().len();
                Ok::<_, hyper::Error>(http::Response::new(Full::new(Bytes::from(length.to_string()))))
            }
        });
        tokio::spawn(async move {
            // The proxy closes connections when it likes.
            drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

/// Clients that go on until they are stopped.
struct Load {
    http: SocketAddr,
    https: SocketAddr,
    known: Vec<Arc<Certificate>>,
    stop: AtomicBool,
    done: AtomicU64,
    failures: Mutex<Vec<String>>,
    presented: Mutex<BTreeSet<Vec<u8>>>,
}

impl Load {
    fn new(site: &Site, plans: &[Plan]) -> Self {
        let known = plans.iter().map(|plan| Arc::clone(&plan.certificates[0].1)).collect();
        Self {
            http: site.http,
            https: site.https,
            known,
            stop: AtomicBool::new(false),
            done: AtomicU64::new(0),
            failures: Mutex::default(),
            presented: Mutex::default(),
        }
    }

    async fn run(self: &Arc<Self>) {
        let http1 = (0..HTTP1).map(|_| {
            let load = Arc::clone(self);
            tokio::spawn(async move {
                while load.goes_on() {
                    load.http1().await
                }
            })
        });
        let http2 = (0..HTTP2).map(|_| {
            let load = Arc::clone(self);
            tokio::spawn(async move {
                while load.goes_on() {
                    load.http2().await
                }
            })
        });
        for client in http1.chain(http2).collect::<Vec<_>>() {
            client.await.unwrap();
        }
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed) && self.failures.lock().unwrap().len() < 100
    }

    fn note(&self, outcome: Result<(), String>) {
        self.done.fetch_add(1, Ordering::Relaxed);
        if let Err(failure) = outcome {
            self.failures.lock().unwrap().push(failure);
        }
    }

    /// One connection of HTTP/1.1, until the server ends it after a response.
    async fn http1(&self) {
        let stream = TcpStream::connect(self.http).await.unwrap();
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let driver = tokio::spawn(driver);
        for number in 0.. {
            if !self.goes_on() || sender.ready().await.is_err() {
                break;
            }
            let (mut request, length) = request(number);
            *request.uri_mut() = "/x".parse().unwrap();
            request.headers_mut().insert("host", "a.example".parse().unwrap());
            self.note(judge("http/1.1", sender.send_request(request).await, length).await);
            tokio::time::sleep(PAUSE).await;
        }
        drop(sender);
        drop(driver.await);
    }

    /// One connection of HTTP/2 over TLS, until the server tells it to go, or for a while.
    async fn http2(self: &Arc<Self>) {
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client_config()));
        let name = ServerName::try_from("a.example").unwrap();
        let stream = TcpStream::connect(self.https).await.unwrap();
        let stream = match connector.connect(name, stream).await {
            Ok(stream) => stream,
            Err(error) => return self.note(Err(format!("TLS: {error}"))),
        };
        let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        if !self.known.iter().any(|known| known.key().cert[0].to_vec() == leaf) {
            self.note(Err("an unknown certificate".to_owned()));
        }
        self.presented.lock().unwrap().insert(leaf);
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, driver) = handshake.await.unwrap();
        let driver = tokio::spawn(driver);
        let streams = (0..STREAMS).map(|_| {
            let (load, mut sender) = (Arc::clone(self), sender.clone());
            tokio::spawn(async move {
                for number in 0..200 {
                    if !load.goes_on() || sender.ready().await.is_err() {
                        break;
                    }
                    let (mut request, length) = request(number);
                    *request.uri_mut() = "https://a.example/x".parse().unwrap();
                    let sent = sender.send_request(request).await;
                    if sent.as_ref().is_err_and(is_unsent) {
                        break;
                    }
                    load.note(judge("http/2", sent, length).await);
                    tokio::time::sleep(PAUSE).await;
                }
            })
        });
        for stream in streams.collect::<Vec<_>>() {
            stream.await.unwrap();
        }
        drop(sender);
        drop(driver.await);
    }
}

/// Every fourth has a body.
fn request(number: usize) -> (Request<Full<Bytes>>, usize) {
    let length = if number % 4 == 3 { 10_000 } else { 0 };
    let mut request = Request::new(Full::new(Bytes::from(vec![b'x'; length])));
    if length > 0 {
        *request.method_mut() = Method::POST;
    }
    (request, length)
}

async fn judge(
    what: &str,
    sent: hyper::Result<http::Response<hyper::body::Incoming>>,
    length: usize,
) -> Result<(), String> {
    let response = sent.map_err(|error| format!("{what}: {error:?}"))?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|error| format!("{what}: {error:?}"))?.to_bytes();
    let is_right = status == 200 && body == length.to_string();
    is_right.then_some(()).ok_or_else(|| format!("{what}: {status} {body:?}"))
}

/// Whether a server that tells its client to go has not looked at a request (RFC 9113 section 6.8): it may go elsewhere.
fn is_unsent(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    let refused = cause.is_some_and(|cause| cause.reason() == Some(h2::Reason::REFUSED_STREAM));
    refused || error.is_canceled()
}

fn client_config() -> ClientConfig {
    let provider = aws_lc_rs::default_provider();
    // Who it is is compared afterwards.
    let anybody = Anybody(provider.signature_verification_algorithms.supported_schemes());
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap().dangerous();
    let mut config = builder.with_custom_certificate_verifier(Arc::new(anybody)).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}
