//! HTTP/2 connections, over TLS or with prior knowledge.

mod driver;
mod keep_alive;
mod sipped;
mod stream;
mod streams;
mod upgraded;
mod wake;

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use h2::server::Builder;
use tokio::time::Instant;

pub(crate) use upgraded::OnStream;

use super::connection::ClientConnection;
use super::drain::Stage;
use crate::pipeline;
use crate::stream::{ClientStream, FrameLimits, Frames, SocketWatch, Timed};
use driver::Driver;

/// What a stream may send before it is read; what waits to be written of one.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same for all streams together.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Streams reset by the client before we took them up, after which the connection is closed (CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// Streams that a client made us reset, after which the connection is closed (CVE-2025-8671).
const LOCAL_RESETS: usize = 128;
/// Octets of one frame of a client.
const FRAME: u32 = 16 * 1024;
/// How long a client may take to let go of an idle connection.
const GOODBYE: Duration = Duration::from_secs(5);

/// How often it is looked whether a connection is idle, at most.
const SHORTEST_LOOK: Duration = Duration::from_millis(200);

/// Serves a connection to its end.
pub(super) async fn serve(connection: Rc<ClientConnection>, stream: Timed<ClientStream>, watch: SocketWatch) {
    let settings = connection.settings();
    let stream = stream.watching(Frames::new(FrameLimits {
        fields: settings.header_timeout,
        data: settings.body_timeout,
        controls: connection.worker().config().client.control_frames,
    }));
    let mut builder = Builder::new();
    // Our own limit is half of it, so that it answers.
    let header_list = u32::try_from(2 * settings.header_buffers.total()).unwrap_or(u32::MAX);
    builder
        // For WebSocket; other protocols are refused (RFC 8441 section 3).
        .enable_connect_protocol()
        .max_concurrent_streams(settings.concurrent_streams)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_send_buffer_size(STREAM_WINDOW as usize)
        .max_header_list_size(header_list)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(Some(LOCAL_RESETS));
    let handle = {
        let connection = Rc::clone(&connection);
        move |request| pipeline::handle(Rc::clone(&connection), request)
    };
    let mut http = Driver::new(&builder, stream, &connection, handle);
    let drain = connection.worker().drain();
    let mut ending = false;
    loop {
        tokio::select! {
            biased;
            ended = poll_fn(|cx| http.poll(cx)) => {
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
        http.graceful_shutdown();
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
///
/// A stream is over when h2 has the last of its response, which may still wait for a slow client then.
async fn gone(connection: &ClientConnection) {
    let slowest = connection.worker().config().client.write.max(GOODBYE);
    let mut sent = connection.meter().sent();
    loop {
        tokio::time::sleep(GOODBYE).await;
        let before = std::mem::replace(&mut sent, connection.meter().sent());
        if is_silent_for(connection, if before == sent { GOODBYE } else { slowest }) {
            return;
        }
    }
}

fn is_silent_for(connection: &ClientConnection, limit: Duration) -> bool {
    connection.idle_since().is_some_and(|since| since + limit <= Instant::now())
}
