//! HTTP/1.0 and 1.1 connections.

use std::pin::Pin;
use std::rc::Rc;

use http::StatusCode;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use portcullis_model::Reason;
use tokio::io::AsyncWriteExt;

use super::connection::ClientConnection;
use super::drain::Stage;
use crate::pipeline;
use crate::stream::{ClientStream, Expired, SocketWatch, Timed};

/// Largest part of a request head or body that is kept before it is worked off, and of a response before it is written.
/// Above our own limits on heads, so that those answer.
const BUFFER: usize = 128 * 1024;

/// Serves a connection to its end.
pub(super) async fn serve(connection: Rc<ClientConnection>, stream: Timed<ClientStream>, watch: SocketWatch) {
    let service = {
        let connection = Rc::clone(&connection);
        service_fn(move |request| pipeline::handle(Rc::clone(&connection), request))
    };
    let mut builder = hyper::server::conn::http1::Builder::new();
    // The time limits are those of the stream. A client that closes its half still gets its answer.
    builder.header_read_timeout(None).half_close(true).max_buf_size(BUFFER);
    // In a place of its own: this task is moved about before it settles, and would keep room for each time.
    let http = Box::pin(builder.serve_connection(TokioIo::new(stream), service).without_shutdown());
    let Some(ended) = drive(http, &connection, &watch).await else { return };
    match ended {
        Ok(parts) => {
            let mut stream = parts.io.into_inner();
            match connection.take_tunnel() {
                Some(tunnel) => return Box::pin(tunnel.run(stream, parts.read_buf)).await,
                // A client that has gone need not be told that we go, too.
                None => drop(stream.shutdown().await),
            }
        }
        Err(error) => {
            note_failure(&connection, &error);
            if connection.was_cut() {
                return watch.reset();
            }
            connection.note_unread();
            watch.shut_down();
        }
    }
    if connection.has_unread() {
        watch.linger().await;
    }
}

/// Drives a connection to its end; none where it broke. Whatever is under way is cancelled with it.
async fn drive<T>(
    mut http: Pin<Box<impl Future<Output = T>>>,
    connection: &ClientConnection,
    watch: &SocketWatch,
) -> Option<T> {
    let drain = connection.worker().drain();
    let mut draining = false;
    loop {
        tokio::select! {
            biased;
            ended = &mut http => return Some(ended),
            () = watch.broken() => return None,
            () = drain.reached(Stage::Closing), if !draining => {
                draining = true;
                connection.meter().wind_down();
            }
        }
    }
}

/// What hyper refuses by itself leaves a line in the log and is counted, too.
fn note_failure(connection: &Rc<ClientConnection>, error: &hyper::Error) {
    let late = connection.meter().expired() == Some(Expired::Head) && connection.meter().is_in_head();
    if late {
        pipeline::note_unread(connection, StatusCode::REQUEST_TIMEOUT, Reason::HeaderTimeout);
    } else if error.is_parse() {
        let status = if error.is_parse_too_large() {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        } else {
            StatusCode::BAD_REQUEST
        };
        pipeline::note_unread(connection, status, Reason::BadRequest);
    } else {
        tracing::debug!(%error, requests = connection.requests(), "connection ended");
    }
}
