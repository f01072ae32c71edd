//! Ways to a WebSocket through the program: over HTTP/1.1 and HTTP/2, in the clear and over TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Request, StatusCode};
use portcullis_tests::{HostCertificate, Instance};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::{WebSocketStream, client_async};

/// The host of all tests.
pub(crate) const HOST: &str = "a.example";

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub(crate) type Socket = WebSocketStream<Box<dyn Stream>>;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    Http1,
    Http1Tls,
    Http2,
    Http2Tls,
}

pub(crate) const WAYS: [Way; 4] = [Way::Http1, Way::Http1Tls, Way::Http2, Way::Http2Tls];

impl Way {
    /// Opens a WebSocket on a connection of its own, and says which subprotocol was chosen.
    pub(crate) async fn open(self, instance: &Instance, trust: &HostCertificate) -> (Socket, Option<String>) {
        match self {
            Self::Http1 | Self::Http1Tls => {
                let scheme = if self == Self::Http1 { "ws" } else { "wss" };
                let mut request = format!("{scheme}://{HOST}/chat").into_client_request().unwrap();
                request.headers_mut().insert("sec-websocket-protocol", "chat, other".parse().unwrap());
                let stream = self.connect(instance, trust).await;
                let (socket, response) = client_async(request, stream).await.unwrap();
                (socket, chosen(response.headers()))
            }
            Self::Http2 | Self::Http2Tls => self.http2(instance, trust).await.open().await,
        }
    }

    /// A connection of HTTP/2, for many WebSockets.
    pub(crate) async fn http2(self, instance: &Instance, trust: &HostCertificate) -> Http2 {
        let scheme = if self == Self::Http2 { "http" } else { "https" };
        let (sender, driver) = h2::client::handshake(self.connect(instance, trust).await).await.unwrap();
        tokio::spawn(async move { drop(driver.await) });
        let mut sender = sender.ready().await.unwrap();
        while !sender.is_extended_connect_protocol_enabled() {
            tokio::time::sleep(Duration::from_millis(1)).await;
            sender = sender.ready().await.unwrap();
        }
        Http2 { sender, scheme }
    }

    async fn connect(self, instance: &Instance, trust: &HostCertificate) -> Box<dyn Stream> {
        let over_tls = |alpn: &'static [u8]| tls(instance.https, trust, alpn);
        match self {
            Self::Http1 | Self::Http2 => Box::new(TcpStream::connect(instance.http).await.unwrap()),
            Self::Http1Tls => over_tls(b"http/1.1").await,
            Self::Http2Tls => over_tls(b"h2").await,
        }
    }
}

async fn tls(address: SocketAddr, trust: &HostCertificate, alpn: &[u8]) -> Box<dyn Stream> {
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(&trust.client(&[alpn])));
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = connector.connect(ServerName::try_from(HOST).unwrap(), stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn));
    Box::new(stream)
}

fn chosen(headers: &http::HeaderMap) -> Option<String> {
    headers.get("sec-websocket-protocol").map(|chosen| chosen.to_str().unwrap().to_owned())
}

/// A connection that carries WebSockets as streams (RFC 8441).
pub(crate) struct Http2 {
    sender: h2::client::SendRequest<Bytes>,
    scheme: &'static str,
}

impl Http2 {
    pub(crate) async fn open(&self) -> (Socket, Option<String>) {
        let request = Request::builder()
            .method("CONNECT")
            .uri(format!("{}://{HOST}/chat", self.scheme))
            .header("sec-websocket-version", "13")
            .header("sec-websocket-protocol", "chat, other")
            .extension(Protocol::from_static("websocket"));
        let mut sender = self.sender.clone().ready().await.unwrap();
        let (response, send) = sender.send_request(request.body(()).unwrap(), false).unwrap();
        let (parts, receive) = response.await.unwrap().into_parts();
        assert_eq!(parts.status, StatusCode::OK);
        let stream: Box<dyn Stream> = Box::new(tied(send, receive));
        (WebSocketStream::from_raw_socket(stream, Role::Client, None).await, chosen(&parts.headers))
    }
}

/// A byte stream of both directions of a stream of HTTP/2.
fn tied(send: SendStream<Bytes>, receive: RecvStream) -> DuplexStream {
    let (here, there) = tokio::io::duplex(64 * 1024);
    let (from, to) = tokio::io::split(there);
    tokio::spawn(upwards(from, send));
    tokio::spawn(downwards(receive, to));
    here
}

async fn upwards(mut from: impl AsyncRead + Unpin, mut send: SendStream<Bytes>) {
    let mut octets = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut octets).await.unwrap_or(0);
        let mut rest = Bytes::copy_from_slice(&octets[..count]);
        while !rest.is_empty() {
            send.reserve_capacity(rest.len());
            match std::future::poll_fn(|cx| send.poll_capacity(cx)).await {
                Some(Ok(capacity)) => send.send_data(rest.split_to(capacity.min(rest.len())), false).unwrap(),
                // The other side has let go.
                Some(Err(_)) | None => return,
            }
        }
        if count == 0 {
            // It may be over on the other side as well.
            return drop(send.send_data(Bytes::new(), true));
        }
    }
}

async fn downwards(mut receive: RecvStream, mut to: impl AsyncWrite + Unpin) {
    while let Some(Ok(data)) = receive.data().await {
        if to.write_all(&data).await.is_err() {
            return;
        }
        receive.flow_control().release_capacity(data.len()).unwrap();
    }
    // The reader may have gone.
    to.shutdown().await.ok();
}
