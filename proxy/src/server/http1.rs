//! HTTP/1.0 and 1.1 connections.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1::{Builder, Connection};
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use portcullis_model::Reason;
use tokio::io::AsyncWriteExt;

use super::connection::ClientConnection;
use super::drain::Stage;
use crate::bell::Bell;
use crate::body::ClientBody;
use crate::pipeline::{self, Answer, ResponseBody};
use crate::stream::{ClientStream, Expired, SocketWatch, Timed};

/// Largest part of a request head or body that is kept before it is worked off, and of a response before it is written; more
/// where heads may be larger. Above our own limits on heads, so that those answer.
const BUFFER: usize = 128 * 1024;

/// Serves a connection to its end.
///
/// While it is idle it is kept without the buffers that requests need: an idle connection is a socket and its settings.
pub(super) async fn serve(connection: Rc<ClientConnection>, mut stream: Timed<ClientStream>, watch: SocketWatch) {
    let meter = Rc::clone(connection.meter());
    meter.keep_silent();
    meter.want_doze();
    loop {
        let service = {
            let connection = Rc::clone(&connection);
            service_fn(move |request: Request<Incoming>| {
                pipeline::handle(Rc::clone(&connection), request.map(ClientBody::from))
            })
        };
        let mut builder = Builder::new();
        let buffer = BUFFER.max(2 * connection.settings().header_buffers.total());
        // The time limits are those of the stream. A client that closes its half still gets its answer.
        builder.header_read_timeout(None).half_close(true).max_buf_size(buffer);
        // In a place of its own: this task is moved about before it settles, and would keep room for each time.
        let mut http = Box::pin(builder.serve_connection(TokioIo::new(stream.kept(true)), service));
        let Some(ended) = drive(http.as_mut(), &connection, &watch).await else { return };
        let parts = Pin::into_inner(http).into_parts();
        let in_line = !parts.read_buf.contains(&b'\n');
        stream = parts.io.into_inner().kept(false).unread(parts.read_buf);
        match ended {
            Ended::Dozes => {
                let awake = tokio::select! {
                    biased;
                    awake = stream.wake() => awake.is_ok_and(|octets| octets > 0),
                    () = watch.broken() => return,
                    () = connection.worker().drain().reached(Stage::Closing) => false,
                };
                if awake {
                    continue;
                }
            }
            Ended::Done(Ok(())) => {
                if let Some(tunnel) = connection.take_tunnel() {
                    return Box::pin(tunnel.run(stream, Bytes::new())).await;
                }
            }
            Ended::Done(Err(error)) => return Box::pin(end_badly(&connection, stream, watch, &error, in_line)).await,
        }
        break;
    }
    end(&connection, stream, watch).await;
}

/// Ends a connection so that the client gets all that was sent to it.
async fn end(connection: &ClientConnection, mut stream: Timed<ClientStream>, watch: SocketWatch) {
    // A client that has gone need not be told that we go, too.
    stream.shutdown().await.ok();
    if connection.has_unread() {
        watch.linger().await;
    }
}

/// Why hyper is not needed any more.
enum Ended {
    /// The connection is over.
    Done(hyper::Result<()>),
    /// It is idle.
    Dozes,
}

/// Drives a connection to its end; none where it broke. Whatever is under way is cancelled with it.
async fn drive<S>(
    mut http: Pin<&mut Connection<TokioIo<Timed<ClientStream>>, S>>,
    connection: &ClientConnection,
    watch: &SocketWatch,
) -> Option<Ended>
where
    S: Service<Request<Incoming>, Response = Response<ResponseBody>, Error = Infallible>,
{
    let mut seldom = pin!(seldom(connection, watch));
    let (mut dozes, mut bell) = (false, Bell::default());
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = http.as_mut().poll(cx) {
                return Poll::Ready(Some(if dozes && ended.is_ok() { Ended::Dozes } else { Ended::Done(ended) }));
            }
            // It is the stream that wakes the task when it has been idle for a while.
            if !dozes && connection.meter().dozes() {
                dozes = true;
                http.as_mut().graceful_shutdown();
                continue;
            }
            let over = connection.meter().is_winding_down();
            if bell.poll(cx, |cx| seldom.as_mut().poll(cx)).is_ready() {
                return Poll::Ready(None);
            }
            if over == connection.meter().is_winding_down() {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// Ends when the connection breaks, and winds it down when no more requests are wanted.
async fn seldom(connection: &ClientConnection, watch: &SocketWatch) {
    let closing = async {
        connection.worker().drain().reached(Stage::Closing).await;
        connection.meter().wind_down();
        pending().await
    };
    tokio::select! {
        biased;
        () = watch.broken() => {}
        () = closing => {}
    }
}

/// Ends a connection that failed. What hyper refuses by itself is answered here; `in_line` where not even the request line
/// was complete.
async fn end_badly(
    connection: &Rc<ClientConnection>,
    mut stream: Timed<ClientStream>,
    watch: SocketWatch,
    error: &hyper::Error,
    in_line: bool,
) {
    let meter = Rc::clone(connection.meter());
    let answer = error.is_parse().then(|| refusal(error, in_line));
    let may_say_it = meter.take_the_word();
    if meter.expired() == Some(Expired::Head) && meter.is_in_head() {
        pipeline::note_unread(connection, StatusCode::REQUEST_TIMEOUT, Reason::HeaderTimeout);
    } else if let Some(answer) = &answer {
        pipeline::note_unread(connection, answer.status, answer.reason);
    } else {
        tracing::debug!(%error, requests = connection.requests(), "connection ended");
    }
    if connection.was_cut() {
        drop(stream);
        return watch.reset();
    }
    connection.note_unread();
    if let Some(answer) = answer.filter(|_| may_say_it) {
        // Whoever does not take it is not waited for.
        stream.write_all(&pipeline::refuse_unread(connection, &answer)).await.ok();
        return end(connection, stream, watch).await;
    }
    watch.shut_down();
    if connection.has_unread() {
        watch.linger().await;
    }
}

/// The answer to what hyper cannot read. It tells the cases apart in words only.
fn refusal(error: &hyper::Error, in_line: bool) -> Answer {
    let (status, reason) = match error.to_string().as_str() {
        "URI too long" => (StatusCode::URI_TOO_LONG, Reason::UriTooLong),
        "invalid transfer-encoding parsed" => (StatusCode::NOT_IMPLEMENTED, Reason::BadRequest),
        _ if !error.is_parse_too_large() => (StatusCode::BAD_REQUEST, Reason::BadRequest),
        _ if in_line => (StatusCode::URI_TOO_LONG, Reason::UriTooLong),
        _ => (StatusCode::BAD_REQUEST, Reason::HeaderTooLarge),
    };
    Answer::refusal(status, reason)
}
