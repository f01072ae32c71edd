//! HTTP/2 connections, over TLS or with prior knowledge.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::connection::ClientConnection;
use super::drain::Stage;
use super::exec::WorkerExecutor;
use crate::pipeline;
use crate::stream::{ClientStream, SocketWatch, Timed};
use crate::timer::TokioTimer;

/// Streams at one time (nginx: `http2-max-concurrent-streams`).
const STREAMS: u32 = 128;
/// What a stream may send before it is read; what waits to be written of one.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same for all streams together.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Header list that is taken apart at all; our own limit is half of it, so that it answers.
const HEADER_LIST: u32 = 64 * 1024;
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

/// Serves a connection to its end.
pub(super) async fn serve(connection: Rc<ClientConnection>, stream: Timed<ClientStream>, watch: SocketWatch) {
    let service = {
        let connection = Rc::clone(&connection);
        service_fn(move |request| pipeline::handle(Rc::clone(&connection), request))
    };
    let mut builder = hyper::server::conn::http2::Builder::new(WorkerExecutor(Rc::clone(connection.worker())));
    builder
        .timer(TokioTimer)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(STREAM_WINDOW as usize)
        .max_header_list_size(HEADER_LIST)
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

/// Waits until no stream was open for as long as a connection may be idle.
async fn idle(connection: &ClientConnection) {
    silent_for(connection, connection.worker().config().client.idle).await;
}

/// Waits until a connection that should end has nothing more to do.
async fn gone(connection: &ClientConnection) {
    tokio::time::sleep(GOODBYE).await;
    silent_for(connection, GOODBYE).await;
}

async fn silent_for(connection: &ClientConnection, limit: Duration) {
    loop {
        let now = Instant::now();
        match connection.idle_since().map(|since| since + limit) {
            Some(deadline) if deadline <= now => return,
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => tokio::time::sleep(limit).await,
        }
    }
}
