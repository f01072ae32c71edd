//! An echo server that nobody here wrote.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// Sends every message back. `close CODE` makes it close with that code.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    closed: Receiver<Option<(u16, String)>>,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (closes, closed) = channel(64);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(echo(stream, closes.clone()));
            }
        });
        Self { address, closed }
    }

    /// How the next connection was closed by its client: code and reason, or without either.
    pub(crate) async fn closed(&mut self) -> Option<(u16, String)> {
        self.closed.recv().await.unwrap()
    }
}

async fn echo(stream: TcpStream, closes: Sender<Option<(u16, String)>>) {
    #[allow(clippy::result_large_err, reason = "the signature is that of tungstenite")]
    let choose = |request: &Request, mut response: Response| {
        let offered = request.headers().get("sec-websocket-protocol");
        if offered.is_some_and(|offered| offered.as_bytes().starts_with(b"chat")) {
            response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("chat"));
        }
        Ok(response)
    };
    let mut socket = accept_hdr_async(stream, choose).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Text(text) if text.starts_with("close ") => {
                let code: u16 = text.strip_prefix("close ").unwrap().parse().unwrap();
                socket.close(Some(CloseFrame { code: code.into(), reason: "asked".into() })).await.unwrap();
            }
            Message::Text(_) | Message::Binary(_) => socket.send(message).await.unwrap(),
            Message::Close(close) => {
                let close = close.map(|close| (close.code.into(), close.reason.to_string()));
                // Not every test asks.
                closes.try_send(close).ok();
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}
