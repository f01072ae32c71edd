//! TLS and HTTP/2 over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their helpers with them"
)]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use portcullis_model::Reason;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ClientConnection, ServerConfig, StreamOwned};
use rustls_pki_types::ServerName;
use support::client::Client;
use support::origin::Origin;
use support::visitor::Offer;
use support::{Plan, certificate, eventually, over_tls, runtime, self_signed};

#[test]
fn each_server_name_gets_its_certificate_and_a_new_one_at_once() {
    let origin = Origin::saying("ok");
    let (a, wild, newer) = (certificate(&["a.example"]), certificate(&["*.b.example"]), certificate(&["a.example"]));
    let mut plan = Plan::new(&[origin.address]);
    plan.certificates = vec![("a.example", Arc::clone(&a)), ("*.b.example", Arc::clone(&wild))];
    let mut site = plan.clone().start();
    let presented = |name: Option<&str>, address| handshake(address, name, &[]).unwrap().0;
    let leaf = |certificate: &portcullis_model::Certificate| certificate.key().cert[0].to_vec();
    assert_eq!(presented(Some("A.example"), site.https), leaf(&a));
    assert_eq!(presented(Some("x.b.example"), site.https), leaf(&wild));
    let default = presented(Some("unknown"), site.https);
    assert!(default != leaf(&a) && default != leaf(&wild));
    assert_eq!(presented(None, site.https), default);
    plan.certificates = vec![("a.example", Arc::clone(&newer))];
    site.publish(&plan);
    assert_eq!(presented(Some("a.example"), site.https), leaf(&newer));
}

#[test]
fn alpn_chooses_the_protocol() {
    let site = Plan::new(&[]).start();
    for (offered, want) in
        [(&[&b"h2"[..], b"http/1.1"][..], Some(&b"h2"[..])), (&[b"http/1.1"], Some(b"http/1.1")), (&[], None)]
    {
        let (_, chosen) = handshake(site.https, Some("a.example"), offered).unwrap();
        assert_eq!(chosen.as_deref(), want);
    }
    assert!(handshake(site.https, Some("a.example"), &[b"spdy/3"]).is_err());
}

#[test]
fn http1_over_tls_carries_hsts_and_says_https_upstream() {
    let origin = Origin::answering(|_| {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nStrict-Transport-Security: max-age=1\r\n\r\nok".into()
    });
    let site = Plan::new(&[origin.address]).start();
    let mut stream = connect(site.https, Some("a.example"), &[b"http/1.1"]);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok"), "{answer}");
    assert_eq!(answer.matches("strict-transport-security: max-age=31536000; includeSubDomains").count(), 1, "{answer}");
    assert_eq!(answer.matches("strict-transport-security").count(), 1, "{answer}");
    let seen = &origin.seen()[0];
    for (name, want) in [("x-forwarded-proto", "https"), ("x-forwarded-port", "443"), ("x-scheme", "https")] {
        assert_eq!(seen.field(name), want, "{name}");
    }
}

#[test]
fn plain_http_on_the_tls_port_is_told_so() {
    let site = Plan::new(&[]).start();
    let mut client = Client::connect(site.https);
    let response = client.request("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!((response.status, response.field("strict-transport-security")), (400, None));
    assert!(response.text().contains("The plain HTTP request was sent to HTTPS port"));
    assert!(client.is_closed());
    assert_eq!(site.totals().reason(Reason::PlainHttpOnTls), 1);
}

#[test]
fn a_handshake_that_never_ends_is_ended() {
    let mut plan = Plan::new(&[]);
    plan.config.client.handshake = Duration::from_millis(200);
    let site = plan.start();
    for octets in [&b""[..], &[0x16, 3, 1]] {
        let began = Instant::now();
        let mut client = Client::connect(site.https);
        client.send(octets);
        assert!(client.is_closed());
        assert!(began.elapsed() < Duration::from_secs(2));
    }
    eventually(|| site.totals().connections_active == 0);
}

#[test]
fn http2_over_tls_becomes_http1_upstream() {
    let origin = Origin::answering(|request| {
        let length = request.body.len();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\n\r\n{length}",
            length.to_string().len()
        )
    });
    let site = Plan::new(&[origin.address]).start();
    runtime().block_on(tokio::task::LocalSet::new().run_until(async {
        let mut h2 = Http2::over_tls(site.https).await;
        let cookies = h2
            .send(Request::get("https://a.example/x?y=1").header("cookie", "a=1").header("cookie", "b=2"), None)
            .await;
        assert_eq!((cookies.status().as_u16(), cookies.version()), (200, Version::HTTP_2));
        assert!(
            cookies.headers().get("keep-alive").is_none()
                && cookies.headers().contains_key("strict-transport-security")
        );
        // A length is not known in advance, and hyper drops such bodies of GET silently unless told otherwise.
        for method in ["POST", "GET"] {
            let sent = h2.send(Request::builder().method(method).uri("https://a.example/b"), Some("hello")).await;
            let body = sent.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, "5", "{method}");
        }
    }));
    let seen = origin.seen();
    assert_eq!(seen[0].line, "GET /x?y=1 HTTP/1.1");
    for (name, want) in [
        ("host", "a.example"),
        ("cookie", "a=1; b=2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "a.example"),
    ] {
        assert_eq!(seen[0].field(name), want, "{name}");
    }
    assert_eq!((seen[1].body.as_slice(), seen[2].body.as_slice()), (&b"hello"[..], &b"hello"[..]));
    let lines = site.log(3);
    assert!(lines[0].contains("\"GET /x?y=1 HTTP/2.0\" 200 1 "), "{lines:?}");
}

#[test]
fn http2_requests_with_two_hosts_or_another_scheme_are_refused() {
    let origin = Origin::saying("ok");
    let site = Plan::new(&[origin.address]).start();
    runtime().block_on(tokio::task::LocalSet::new().run_until(async {
        let mut h2 = Http2::over_tls(site.https).await;
        for (request, want) in [
            (Request::get("https://a.example/").header("host", "b.example"), 400),
            (Request::get("https://a.example/").header("host", "a.example"), 200),
            (Request::get("http://a.example/"), 400),
            (Request::get("https://u@a.example/"), 400),
            (Request::get("https://a.example/../x"), 400),
            (Request::get("https://a.example/").header("x-big", "x".repeat(9000)), 400),
        ] {
            assert_eq!(h2.send(request, None).await.status().as_u16(), want);
        }
    }));
}

#[test]
fn http2_with_prior_knowledge_is_spoken_in_the_clear() {
    let origin = Origin::saying("ok");
    let site = Plan::new(&[origin.address]).start();
    runtime().block_on(tokio::task::LocalSet::new().run_until(async {
        let stream = tokio::net::TcpStream::connect(site.http).await.unwrap();
        let mut h2 = Http2::over(stream).await;
        for _ in 0..3 {
            let sent = h2.send(Request::get("http://a.example/"), None).await;
            assert_eq!(sent.into_body().collect().await.unwrap().to_bytes(), "ok");
        }
    }));
    assert_eq!(origin.seen()[0].field("x-forwarded-proto"), "http");
}

#[test]
fn a_cut_response_resets_the_stream_and_no_other() {
    let origin = Origin::answering(|request| match request.line.contains("/cut") {
        true => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX\r\n".into(),
        false => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into(),
    });
    let site = Plan::new(&[origin.address]).start();
    runtime().block_on(tokio::task::LocalSet::new().run_until(async {
        let mut h2 = Http2::over_tls(site.https).await;
        let cut = h2.send(Request::get("https://a.example/cut"), None).await;
        assert!(cut.into_body().collect().await.is_err());
        assert_eq!(h2.send(Request::get("https://a.example/"), None).await.status().as_u16(), 200);
    }));
}

#[test]
fn idle_http2_connections_are_closed() {
    let origin = Origin::saying("ok");
    let mut plan = Plan::new(&[origin.address]);
    plan.settings.client.keep_alive = Duration::from_millis(200);
    let site = plan.start();
    runtime().block_on(tokio::task::LocalSet::new().run_until(async {
        let mut h2 = Http2::over_tls(site.https).await;
        assert_eq!(h2.send(Request::get("https://a.example/"), None).await.status().as_u16(), 200);
        tokio::time::timeout(Duration::from_secs(3), h2.ended).await.unwrap().unwrap();
    }));
}

#[test]
fn upstreams_may_speak_tls_with_any_certificate() {
    let (chain, key) = self_signed(&["whoever"]);
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(chain, key).unwrap());
    let origin = Origin::serving(move |stream, _, _| {
        let mut session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = rustls::Stream::new(&mut session, stream);
        let mut octets = [0; 4096];
        assert!(stream.read(&mut octets).unwrap() > 0);
        assert_eq!(stream.conn.server_name(), None);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret").unwrap();
    });
    let site = Plan::with_policy(&[origin.address], over_tls()).start();
    assert_eq!(Client::connect(site.http).get("/").text(), "secret");
    let plain = Origin::closing("no TLS here");
    let site = Plan::with_policy(&[plain.address], over_tls()).start();
    let response = Client::connect(site.http).get("/");
    assert_eq!((response.status, site.totals().reason(Reason::UpstreamTls)), (502, 1));
}

/// A client that speaks HTTP/2.
struct Http2 {
    sender: hyper::client::conn::http2::SendRequest<Body>,
    ended: tokio::task::JoinHandle<()>,
}

/// A body whose length is not told in advance.
type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, std::convert::Infallible>;

impl Http2 {
    async fn over_tls(address: SocketAddr) -> Self {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client_config(true, &[b"h2"])));
        let name = ServerName::try_from("a.example").unwrap();
        Self::over(connector.connect(name, stream).await.unwrap()).await
    }

    async fn over(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static) -> Self {
        let handshake = hyper::client::conn::http2::handshake(LocalExecutor, TokioIo::new(stream));
        let (sender, driver) = handshake.await.unwrap();
        let ended = tokio::task::spawn_local(async move { drop(driver.await) });
        Self { sender, ended }
    }

    async fn send(
        &mut self,
        request: http::request::Builder,
        body: Option<&'static str>,
    ) -> Response<hyper::body::Incoming> {
        let body = match body {
            None => http_body_util::Empty::new().boxed_unsync(),
            Some(text) => {
                // Framed without a length: a stream of one piece.
                let frames = Full::new(Bytes::from_static(text.as_bytes()));
                http_body_util::BodyExt::map_frame(frames, |frame| frame).boxed_unsync()
            }
        };
        self.sender.ready().await.unwrap();
        self.sender.send_request(request.body(Unsized(body).boxed_unsync()).unwrap()).await.unwrap()
    }
}

/// Hides how long a body is.
struct Unsized(Body);

impl hyper::body::Body for Unsized {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        std::pin::Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

#[derive(Clone)]
struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        drop(tokio::task::spawn_local(task));
    }
}

/// The leaf certificate and the protocol of a handshake.
fn handshake(
    address: SocketAddr,
    name: Option<&str>,
    alpn: &[&[u8]],
) -> Result<(Vec<u8>, Option<Vec<u8>>), std::io::Error> {
    let mut stream = connect(address, name, alpn);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    let leaf = stream.conn.peer_certificates().unwrap()[0].to_vec();
    Ok((leaf, stream.conn.alpn_protocol().map(<[u8]>::to_vec)))
}

fn connect(address: SocketAddr, name: Option<&str>, alpn: &[&[u8]]) -> StreamOwned<ClientConnection, TcpStream> {
    let config = client_config(name.is_some(), alpn);
    let name = ServerName::try_from(name.unwrap_or("nobody").to_owned()).unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(session, TcpStream::connect(address).unwrap())
}

fn client_config(sni: bool, alpn: &[&[u8]]) -> ClientConfig {
    let alpn = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Offer { sni, alpn, ..Offer::default() }.config()
}
