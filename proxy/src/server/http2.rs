//! HTTP/2 connections, over TLS or with prior knowledge.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::connection::ClientConnection;
use super::drain::Stage;
use super::stall::StreamExecutor;
use crate::pipeline;
use crate::stream::{ClientStream, FrameLimits, Frames, SocketWatch, Timed};
use crate::timer::TokioTimer;

/// What a stream may send before it is read; what waits to be written of one.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same for all streams together.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Streams reset by the client before we took them up, after which the connection is closed (CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// Streams that a client made us reset, after which the connection is closed (CVE-2025-8671).
const LOCAL_RESETS: usize = 128;
/// After this long without a frame the client is asked whether it is there,
const PING: Duration = Duration::from_secs(60);
/// and has this long to say so.
const PONG: Duration = Duration::from_secs(20);
/// How long a client may take to let go of an idle connection.
const GOODBYE: Duration = Duration::from_secs(5);

/// How often it is looked whether a connection is idle, at most.
const SHORTEST_LOOK: Duration = Duration::from_millis(200);

/// Serves a connection to its end.
pub(super) async fn serve(connection: Rc<ClientConnection>, stream: Timed<ClientStream>, watch: SocketWatch) {
    let service = {
        let connection = Rc::clone(&connection);
        service_fn(move |request| pipeline::handle(Rc::clone(&connection), request))
    };
    let settings = connection.settings();
    let stream = stream.watching(Frames::new(FrameLimits {
        fields: settings.header_timeout,
        data: settings.body_timeout,
        controls: connection.worker().config().client.control_frames,
    }));
    let mut builder = hyper::server::conn::http2::Builder::new(StreamExecutor::new(&connection));
    // Our own limit is half of it, so that it answers.
    let header_list = u32::try_from(2 * settings.header_buffers.total()).unwrap_or(u32::MAX);
    builder
        .timer(TokioTimer)
        // For WebSocket; other protocols are refused (RFC 8441 section 3).
        .enable_connect_protocol()
        .max_concurrent_streams(settings.concurrent_streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(STREAM_WINDOW as usize)
        .max_header_list_size(header_list)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG);
    let mut http = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let drain = connection.worker().drain();
    let mut ending = false;
    loop {
        tokio::select! {
            biased;
            ended = &mut http => {
                if let Err(error) = ended {
                    tracing::debug!(%error, requests = connection.requests(), "connection ended");
                }
                return;
            }
            () = watch.broken() => return,
            () = drain.reached(Stage::LastRequests), if !ending => {}
            () = connection.used_up(), if !ending => {}
            () = idle(&connection), if !ending => {}
            () = gone(&connection), if ending => return,
        }
        ending = true;
        http.as_mut().graceful_shutdown();
    }
}

/// Waits until no stream was open for as long as a connection may be idle; before the first one, as long as for a request.
async fn idle(connection: &ClientConnection) {
    loop {
        let settings = connection.settings();
        let limit = if connection.requests() == 0 { settings.header_timeout } else { settings.keep_alive };
        if is_silent_for(connection, limit) {
            return;
        }
        // A request changes which limit holds, and it may change the limits.
        let pace = settings.keep_alive.min(settings.header_timeout).max(SHORTEST_LOOK);
        let end = connection.idle_since().map(|since| since + limit);
        let next = Instant::now() + pace;
        tokio::time::sleep_until(end.map_or(next, |end| end.min(next))).await;
    }
}

/// Waits until a connection that should end has nothing more to do.
async fn gone(connection: &ClientConnection) {
    tokio::time::sleep(GOODBYE).await;
    while !is_silent_for(connection, GOODBYE) {
        tokio::time::sleep(GOODBYE).await;
    }
}

fn is_silent_for(connection: &ClientConnection, limit: Duration) -> bool {
    connection.idle_since().is_some_and(|since| since + limit <= Instant::now())
}
