//! WebSocket: which requests may switch protocols, which answers do, and the tunnel that follows (RFC 6455 section 4).

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, StatusCode, Version, header};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::exchange::Exchange;
use super::extended_connect::ExtendedConnect;
use super::head::RequestHead;
use super::hop;
use super::names::Meaning;
use crate::server::{OnStream, Stage};
use crate::stream::{Framed, GOING_AWAY, Timed, relay};
use crate::upstream::{Connection, Upgraded};

/// What a request asks for beyond a response.
#[derive(Debug, Default)]
pub(super) enum Handshake {
    /// Nothing.
    #[default]
    None,
    /// A WebSocket, by `Upgrade` (RFC 6455).
    Http1,
    /// A WebSocket on a stream of HTTP/2 (RFC 8441).
    Http2(Box<ExtendedConnect>),
}

impl Handshake {
    pub(super) fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether an upstream may answer so. A success that is no 101 would seem to a client of HTTP/2 to be one.
    pub(super) fn allows(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let switches = status == StatusCode::SWITCHING_PROTOCOLS;
        match self {
            Self::None => !switches,
            Self::Http1 => !switches || is_websocket(headers),
            Self::Http2(extended) if switches => is_websocket(headers) && extended.is_accepted(headers),
            Self::Http2(_) => !status.is_success(),
        }
    }
}

/// Whether a request is a WebSocket handshake. Any other upgrade is not passed on: what a backend and we would agree on after
/// it, nobody here has read (`h2c` above all).
pub(super) fn is_handshake(head: &RequestHead<'_>, has_body: bool) -> bool {
    let is_version_13 = || head.headers.get(&SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    head.has(Meaning::Upgrade)
        && head.version == Version::HTTP_11
        && head.method == Method::GET
        && !has_body
        && is_websocket(head.headers)
        && hop::connection_has(head.headers, "upgrade")
        && head.headers.contains_key(&SEC_WEBSOCKET_KEY)
        && is_version_13()
}

/// Whether `Upgrade` names WebSocket and nothing else.
pub(super) fn is_websocket(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::UPGRADE).iter();
    let is_it = lines.next().is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    is_it && lines.next().is_none()
}

static SEC_WEBSOCKET_KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
static SEC_WEBSOCKET_VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");

/// What is left of an exchange after its 101: no table, no request, two streams.
#[derive(Debug)]
pub(crate) struct Tunnel {
    upstream: Upgraded,
    exchange: Box<Exchange>,
    idle: Duration,
}

impl Tunnel {
    /// A tunnel to where `connection` leads, which has answered 101; none where it is shared and cannot have. It may be idle as
    /// long as a response may take.
    pub(super) fn new(connection: Connection, exchange: Box<Exchange>) -> Option<Self> {
        let (upstream, idle) = connection.into_upgraded()?;
        Some(Self { upstream, exchange, idle })
    }

    /// Relays until one side ends, both are silent for the idle limit, or the worker ends its tunnels. `ahead` was read of the
    /// client already.
    pub(crate) async fn run<S: AsyncRead + AsyncWrite + Unpin>(mut self, client: Timed<S>, ahead: Bytes) {
        let worker = Rc::clone(self.exchange.connection().worker());
        let meter = Rc::clone(client.meter());
        let mut client = Framed::new(client.unread(ahead));
        let before = meter.sent();
        tokio::select! {
            ended = relay(&mut client, &mut self.upstream, self.idle) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "tunnel ended");
                }
            }
            () = worker.drain().reached(Stage::EndingTunnels) => {
                // Whoever does not take the farewell in time is cut off with the rest.
                timeout(FAREWELL, say_goodbye(&mut client)).await.ok();
            }
        }
        self.exchange.note_tunnelled(meter.sent().wrapping_sub(before));
    }

    /// The same on a stream of HTTP/2, once the client has its 200. Flow control of the stream is the back-pressure.
    pub(super) async fn run_on_stream(self, stream: OnStream) {
        // A client that has gone meanwhile took the stream with it.
        let Some(stream) = stream.stream().await else { return };
        let meter = self.exchange.connection().stream_meter();
        self.run(Timed::new(stream, Rc::new(meter)), Bytes::new()).await;
    }
}

/// How long a client may take to end its side of a tunnel that we end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Tells the client that we go, where its stream is between two frames, and waits until it has gone.
async fn say_goodbye<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Framed<Timed<S>>) -> std::io::Result<()> {
    if client.takes_a_frame() {
        client.write_all(GOING_AWAY).await?;
    }
    client.shutdown().await?;
    let mut octets = vec![0; 4096];
    while client.read(&mut octets).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use portcullis_model::Settings;

    use super::super::testing::{PLAIN, parts};
    use super::*;

    #[test]
    fn only_complete_websocket_handshakes_switch_protocols() {
        let key = "\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Version: 13";
        for (lines, want) in [
            (format!("GET / HTTP/1.1\nConnection: keep-alive, Upgrade\nUpgrade: WebSocket{key}"), true),
            (format!("GET / HTTP/1.1\nUpgrade: websocket{key}"), false),
            (format!("GET / HTTP/1.0\nConnection: upgrade\nUpgrade: websocket{key}"), false),
            (format!("POST / HTTP/1.1\nConnection: upgrade\nUpgrade: websocket{key}"), false),
            (format!("GET / HTTP/1.1\nConnection: upgrade\nUpgrade: h2c{key}"), false),
            (format!("GET / HTTP/1.1\nConnection: upgrade\nUpgrade: websocket, h2c{key}"), false),
            (format!("GET / HTTP/1.1\nConnection: upgrade\nUpgrade: websocket\nUpgrade: h2c{key}"), false),
            ("GET / HTTP/1.1\nConnection: upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13".to_owned(), false),
            (format!("GET / HTTP/1.1\nConnection: upgrade\nUpgrade: websocket{key}7"), false),
        ] {
            let parts = parts(&lines);
            let head = RequestHead::new(&parts, PLAIN, &Settings::default());
            assert_eq!(is_handshake(&head, false), want, "{lines}");
            assert!(!is_handshake(&head, true), "{lines}");
        }
    }
}
