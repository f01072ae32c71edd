//! A WebSocket through Portcullis: the test is both its client and, at the node's address, its backend.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use portcullis_tests::cluster::{NODE, Namespace};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{interval, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{accept_async, client_async};

/// How long an answer is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Between two messages.
const PACE: Duration = Duration::from_millis(100);

/// Sends every message back, as long as it lives.
pub(crate) struct Backend {
    // Ends its tasks when it is dropped.
    _runtime: tokio::runtime::Runtime,
}

/// A conversation that goes on until it is asked to end.
pub(crate) struct Conversation {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Backend {
    /// Begins, behind a Service of this name.
    pub(crate) fn start(namespace: &Namespace, name: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind((NODE, 0))).expect("a port of the node");
        let port = listener.local_addr().expect("an address").port();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(echo(stream));
            }
        });
        namespace.apply(&format!(
            "apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{ports: [{{name: ws, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
endpoints: [{{addresses: ['{NODE}'], conditions: {{ready: true}}}}]
ports: [{{name: ws, port: {port}}}]
"
        ));
        Self { _runtime: runtime }
    }
}

async fn echo(stream: TcpStream) {
    let Ok(mut socket) = accept_async(stream).await else { return };
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() && socket.send(message).await.is_err() {
            return;
        }
    }
}

impl Conversation {
    /// Begins.
    pub(crate) fn start(address: SocketAddr, host: &str) -> Self {
        let (stop, host) = (Arc::new(AtomicBool::new(false)), host.to_owned());
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(converse(address, &host, &stopped))
        });
        Self { stop, thread }
    }

    /// Closes it, and says how many messages came back. None was lost, and the other side did not close it.
    pub(crate) fn finish(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("a WebSocket that ends well")
    }
}

async fn converse(address: SocketAddr, host: &str, stop: &AtomicBool) -> usize {
    let request = format!("ws://{host}/").into_client_request().expect("a request");
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (mut socket, _) = client_async(request, stream).await.expect("a WebSocket");
    let (mut count, mut pace) = (0, interval(PACE));
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let message = Message::text(format!("message {count}"));
        socket.send(message.clone()).await.expect("a message sent");
        let back = timeout(TIMEOUT, socket.next()).await.expect("a message in time").expect("no end");
        assert_eq!(back.expect("a message"), message);
        count += 1;
    }
    socket.close(None).await.expect("it is closed");
    let closed = timeout(TIMEOUT, socket.next()).await.expect("an answer to that in time");
    assert!(matches!(closed, Some(Ok(Message::Close(_)))), "{closed:?}");
    count
}
