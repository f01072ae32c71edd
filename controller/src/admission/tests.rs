//! The webhook over real connections, with a thread in the place of the loop.

use std::sync::mpsc;

use portcullis_translate::{Options, Resources};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::self_signed::{certificate_for, default_certificate};
use crate::source::Inbox;

/// Wakes the thread that makes reviews.
#[derive(Debug)]
struct Bell(mpsc::SyncSender<()>);

impl Inbox for Bell {
    fn nudge(&self) {
        let _rung_already = self.0.try_send(());
    }

    fn close(&self) {}
}

struct Running {
    address: SocketAddr,
    certificate: String,
    counts: Arc<Counts>,
    _folder: tempfile::TempDir,
}

impl Running {
    /// A webhook; without `looping`, nobody makes its reviews.
    async fn start(looping: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pair = certificate_for(&["localhost".to_owned()]).unwrap();
        let (certificate, key) = (folder.path().join("cert"), folder.path().join("key"));
        std::fs::write(&certificate, &pair.certificate).unwrap();
        std::fs::write(&key, &pair.key).unwrap();
        let webhook = Webhook::bind(Config {
            addresses: vec!["127.0.0.1:0".parse().unwrap()],
            certificate: Source::Files { certificate, key },
        })
        .await
        .unwrap();
        let address = webhook.address().unwrap();
        let (bell, rings) = mpsc::sync_channel(1);
        let (asker, mut reviews) = queue(Arc::new(Bell(bell)));
        if looping {
            std::thread::spawn(move || {
                let options = Options::new(Arc::new(default_certificate().unwrap()));
                let options = Options { watch_ingress_without_class: true, ..options };
                while rings.recv().is_ok() {
                    reviews.answer(&Resources::default(), &options);
                }
            });
        }
        let counts = Arc::new(Counts::default());
        tokio::spawn(webhook.serve(asker, counts.clone()));
        Self { address, certificate: pair.certificate, counts, _folder: folder }
    }

    async fn connect(&self, versions: &[&'static SupportedProtocolVersion]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_protocol_versions(versions).unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    /// Status and body of the answer to one request.
    async fn ask(&self, head: &str, body: &[u8]) -> (u16, String) {
        let mut stream = self.connect(rustls::ALL_VERSIONS).await;
        stream.write_all(format!("{head}\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    async fn post(&self, path: &str, body: &[u8]) -> (u16, String) {
        self.ask(&format!("POST {path} HTTP/1.1\r\ncontent-length: {}", body.len()), body).await
    }
}

fn review(annotations: &Value) -> Vec<u8> {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "name": "a", "namespace": "demo", "operation": "CREATE",
            "kind": { "group": "networking.k8s.io", "version": "v1", "kind": "Ingress" },
            "object": {
                "metadata": {
                    "name": "a", "namespace": "demo", "uid": "0f8fad5b-d9cb-469f-a165-70867728950e",
                    "annotations": annotations,
                },
                "spec": { "rules": [{ "host": "a.example" }] },
            },
        },
    });
    review.to_string().into_bytes()
}

#[tokio::test]
async fn an_ingress_is_reviewed_whatever_the_path() {
    let webhook = Running::start(true).await;
    for path in ["/", "/networking/v1/ingresses", "/x?timeout=10s"] {
        let (status, body) = webhook.post(path, &review(&json!({}))).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["response"]), (200, &json!({ "uid": "u-1", "allowed": true })), "{path}");
    }
    let (_, body) = webhook.post("/", &review(&json!({ "nginx.ingress.kubernetes.io/auth-type": "magic" }))).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["response"]["allowed"], &body["response"]["status"]["code"]), (&json!(false), &json!(400)));
    let counts = webhook.counts.get();
    assert_eq!(counts.by_ingress.into_iter().next().unwrap().1, (3, 1));
}

#[tokio::test]
async fn what_is_no_review_is_refused() {
    let webhook = Running::start(true).await;
    assert_eq!(webhook.ask("GET / HTTP/1.1", b"").await.0, 405);
    assert_eq!(webhook.post("/", b"{}").await.0, 400);
    let other = String::from_utf8(review(&json!({}))).unwrap().replace("\"kind\":\"Ingress\"", "\"kind\":\"Pod\"");
    assert_eq!(webhook.post("/", other.as_bytes()).await.0, 500);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_read_to_its_end_and_refused() {
    let webhook = Running::start(true).await;
    let padded = |length: usize| {
        let mut body = review(&json!({}));
        body.resize(length, b' ');
        body
    };
    assert_eq!(webhook.post("/", &padded(3 << 20)).await.0, 200);
    assert_eq!(webhook.post("/", &padded((3 << 20) + 1)).await.0, 413);
    let body = padded(4 << 20);
    let chunked = [format!("{:x}\r\n", body.len()).into_bytes(), body, b"\r\n0\r\n\r\n".to_vec()].concat();
    assert_eq!(webhook.ask("POST / HTTP/1.1\r\ntransfer-encoding: chunked", &chunked).await.0, 413);
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken() {
    let webhook = Running::start(true).await;
    for version in rustls::ALL_VERSIONS {
        let stream = webhook.connect(&[version]).await;
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
    }
}

#[tokio::test]
async fn without_the_loop_there_is_no_verdict() {
    let webhook = Running::start(false).await;
    assert_eq!(webhook.post("/", &review(&json!({}))).await.0, 503);
}

#[tokio::test]
async fn more_connections_than_there_are_places_wait() {
    let webhook = Running::start(true).await;
    let mut idle = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        idle.push(webhook.connect(rustls::ALL_VERSIONS).await);
    }
    let mut late = Box::pin(webhook.post("/", b"{}"));
    let short = Duration::from_millis(200);
    assert!(tokio::time::timeout(short, &mut late).await.is_err(), "all places are taken");
    idle.pop();
    assert_eq!(late.await.0, 400);
}
