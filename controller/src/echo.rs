//! Backends for the demo: each answers with what it was asked, as JSON.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};

/// Starts a backend on a free loopback port. It lives as long as the runtime it is started on.
///
/// # Errors
///
/// When there is no free port.
pub async fn start(service: &str) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener, Arc::from(service)));
    Ok(address)
}

async fn serve(listener: TcpListener, service: Arc<str>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, service.clone()))),
            Err(error) => {
                tracing::warn!(%error, %service, "a demo backend cannot accept, it ends");
                return;
            }
        }
    }
}

async fn connection(stream: TcpStream, service: Arc<str>) {
    let answer = service_fn(|request: Request<Incoming>| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(answer(&service, &request)) }
    });
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await {
        tracing::debug!(%error, %service, "a connection to a demo backend failed");
    }
}

/// What a backend was asked.
#[derive(Serialize)]
struct Asked<'r> {
    service: &'r str,
    method: &'r str,
    host: Option<&'r str>,
    path: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'r str>,
    /// Fields of one name are joined.
    headers: BTreeMap<&'r str, String>,
}

fn answer(service: &str, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut headers = BTreeMap::<_, String>::new();
    for (name, value) in request.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        let joined = headers.entry(name.as_str()).and_modify(|values| values.push_str(", ")).or_default();
        joined.push_str(&value);
    }
    let asked = Asked {
        service,
        method: request.method().as_str(),
        host: request.headers().get(HOST).and_then(|host| host.to_str().ok()),
        path: request.uri().path(),
        query: request.uri().query(),
        headers,
    };
    let mut body = serde_json::to_vec_pretty(&asked).unwrap_or_default();
    body.push(b'\n');
    let mut answer = Response::new(Full::new(body.into()));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
