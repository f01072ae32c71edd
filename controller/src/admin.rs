//! The admin address: health, metrics, and what is served and why. Reads only, and shows no secrets. In a cluster, health and
//! metrics are on an address of their own, too, which everybody may ask.
//!
//! A page that is open in a browser must not read it through a name that leads to 127.0.0.1 (DNS rebinding): on a loopback
//! address only requests for an IP address, or for a name without dots such as `localhost`, are answered. Such names are
//! nobody's on the Internet.

mod explain;
mod pages;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use portcullis_proxy::table::explain::ListenerPorts;
use portcullis_proxy::upstream::UpstreamRegistry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::metrics::Metrics;
use crate::status::Status;

/// Connections at the same time; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 128;

/// Time for a request's header, and for an idle connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for one whole connection.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);

/// Largest header section, in bytes.
const MAX_HEADER: usize = 16 << 10;

/// Pause after a failure to accept, such as too many open files.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What the pages are made of.
#[derive(Debug)]
pub struct Admin {
    /// What the process knows of itself.
    pub status: Arc<Status>,
    /// The upstreams, with the addresses that names have led to.
    pub registry: Arc<UpstreamRegistry>,
    /// Where the listeners are, once they are bound.
    pub ports: OnceLock<ListenerPorts>,
    /// What it counts.
    pub metrics: Metrics,
    /// `--health-check-path`: a further name of `/healthz`.
    pub health_path: String,
}

/// Which pages there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pages {
    /// All of them. Through names on a loopback address they cannot be read.
    All,
    /// Health and metrics, for probes and Prometheus.
    Health,
}

/// Answers on `listener` until it is dropped.
pub async fn serve(listener: TcpListener, pages: Pages, admin: Arc<Admin>) {
    let is_loopback = |address: SocketAddr| address.ip().to_canonical().is_loopback();
    let guarded = pages == Pages::All && listener.local_addr().is_ok_and(is_loopback);
    let face = Face { pages, guarded };
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let admin = admin.clone();
                tokio::spawn(async move {
                    connection(stream, admin, face).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting on the admin address failed");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// What an address shows to whom.
#[derive(Clone, Copy, Debug)]
struct Face {
    pages: Pages,
    /// Whether names that somebody else may own are refused.
    guarded: bool,
}

async fn connection(stream: TcpStream, admin: Arc<Admin>, face: Face) {
    let service = service_fn(|request: Request<Incoming>| {
        let admin = admin.clone();
        async move { Ok::<_, Infallible>(answer(&request, admin, face).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection to the admin address failed"),
        Err(_) => tracing::debug!("a connection to the admin address took too long"),
    }
}

async fn answer(request: &Request<Incoming>, admin: Arc<Admin>, face: Face) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n".to_owned());
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    if face.guarded && !is_local(request) {
        let message = "ask for this by its IP address or as localhost\n".to_owned();
        return text(StatusCode::MISDIRECTED_REQUEST, message);
    }
    let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
    // A large table takes a while to write down.
    let page = tokio::task::spawn_blocking(move || pages::page(&admin, face.pages, &path, &query)).await;
    page.unwrap_or_else(|_| text(StatusCode::INTERNAL_SERVER_ERROR, "this page failed by a fault of ours\n".to_owned()))
}

/// Whether the host of a request is one that nobody else can own. HTTP/1.0 requests may have none.
fn is_local(request: &Request<Incoming>) -> bool {
    let header = request.headers().get(HOST).map(HeaderValue::to_str);
    let host = match (request.uri().host(), header) {
        (Some(host), _) => host,
        (None, None) => return true,
        (None, Some(Err(_))) => return false,
        (None, Some(Ok(header))) => header,
    };
    is_local_name(host)
}

fn is_local_name(host: &str) -> bool {
    let is_ip = |text: &str| text.parse::<IpAddr>().is_ok();
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(ip, _)| is_ip(ip));
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    !(name.is_empty() || name.contains('.')) || is_ip(name) || is_ip(host)
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    answer_of(status, "text/plain; charset=utf-8", body.into())
}

fn answer_of(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_others_can_own_are_told_from_local_ones() {
        for (host, want) in [
            ("127.0.0.1", true),
            ("127.0.0.1:10254", true),
            ("localhost", true),
            ("LocalHost:10254", true),
            ("[::1]:10254", true),
            ("[::1]", true),
            ("::1", true),
            ("metrics", true),
            ("", false),
            ("localhost.:80", false),
            ("rebind.example", false),
            ("rebind.example:10254", false),
            ("localhost.example", false),
            ("127.0.0.1.example", false),
            ("[rebind.example]", false),
        ] {
            assert_eq!(is_local_name(host), want, "{host:?}");
        }
    }
}
