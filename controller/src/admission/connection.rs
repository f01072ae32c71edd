//! One connection of the webhook: TLS, HTTP/1.1, a bounded body, an answer in time.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::queue::Made;
use super::review::{self, Asked};
use super::{Asker, Counts};

/// Time for a TLS handshake, for the header of a request or an idle connection, and from header to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A connection of this age is closed once its request is answered.
const MAX_AGE: Duration = Duration::from_secs(300);

/// Largest header section, in bytes.
const MAX_HEADER: usize = 16 << 10;

/// Largest body, in KiB: as much as the API server takes.
const MAX_BODY_KIB: u32 = 3 << 10;

/// Largest body that is read to its end, so that its sender reads the answer, and not kept.
const MAX_PASSED_OVER: usize = 16 << 20;

/// Most that is held of all bodies at the same time, in KiB; a request for which there is no place waits.
pub(super) const MAX_HELD_KIB: usize = 24 << 10;

/// What connections have in common.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) asker: Asker,
    pub(super) counts: Arc<Counts>,
    /// KiB of bodies that may still be held.
    pub(super) held: Semaphore,
}

pub(super) async fn serve(stream: TcpStream, tls: Arc<ServerConfig>, desk: Arc<Desk>) {
    let stream = match tokio::time::timeout(TIMEOUT, TlsAcceptor::from(tls).accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake with the webhook failed"),
        Err(_) => return tracing::debug!("a TLS handshake with the webhook took too long"),
    };
    let service = service_fn(|request: Request<Incoming>| {
        let desk = desk.clone();
        async move { Ok::<_, Infallible>(in_time(request, &desk).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(TIMEOUT)
        .max_buf_size(MAX_HEADER)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = tokio::time::sleep(MAX_AGE) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the webhook failed");
    }
}

async fn in_time(request: Request<Incoming>, desk: &Desk) -> Response<Full<Bytes>> {
    match tokio::time::timeout(TIMEOUT, answer(request, desk)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(status)) => plain(status),
        Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// Any path will do. The error is the status of an answer without a verdict.
async fn answer(request: Request<Incoming>, desk: &Desk) -> Result<Response<Full<Bytes>>, StatusCode> {
    let begin = Instant::now();
    if request.method() != Method::POST {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let kib = length
        .map_or(MAX_BODY_KIB, |length| u32::try_from(length.div_ceil(1024)).unwrap_or(u32::MAX).clamp(1, MAX_BODY_KIB));
    let place = desk.held.acquire_many(kib).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let body = body(request.into_body()).await?;
    let asked = review::read(&body)?;
    drop(body);
    let answer = match asked {
        Asked::Settled(answer) => answer,
        Asked::Ingress { uid, key, ingress } => {
            let made = desk.asker.ask(key.clone(), ingress).await;
            let Made { review, took } = made.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
            desk.counts.note(&key, &review, took, begin.elapsed());
            match &review.refusal {
                Some(refusal) => tracing::info!(ingress = %key, refusal, "denied by the webhook"),
                None => tracing::debug!(ingress = %key, ?took, "allowed by the webhook"),
            }
            review::answer(&uid, &review)
        }
    };
    drop(place);
    Ok(of_type(StatusCode::OK, "application/json", answer.to_string()))
}

/// The whole body; 413 where it is too large, 400 where it ends early.
async fn body(mut body: Incoming) -> Result<Vec<u8>, StatusCode> {
    const MOST: usize = MAX_BODY_KIB as usize * 1024;
    let (mut kept, mut length) = (Vec::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
        let Some(data) = frame.data_ref() else { continue };
        length = length.saturating_add(data.len());
        if length <= MOST {
            kept.extend_from_slice(data);
        } else if length > MAX_PASSED_OVER {
            break;
        } else {
            kept = Vec::new();
        }
    }
    if length > MOST { Err(StatusCode::PAYLOAD_TOO_LARGE) } else { Ok(kept) }
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut answer = of_type(status, "text/plain; charset=utf-8", format!("{reason}\n"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    answer
}

fn of_type(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
