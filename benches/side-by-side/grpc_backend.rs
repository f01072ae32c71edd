//! The gRPC backend of the side-by-side benchmark: cleartext HTTP/2, answers each unary call with the message it got.
//! One thread; prints `listening ADDRESS` and runs until it is killed.

use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

/// What every proxy adds to a request. A call without one of them is refused, so that no proxy is faster by doing less.
const ADDED: [&str; 8] = [
    "x-request-id",
    "x-real-ip",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-scheme",
];

const STATUS_OK: &str = "0";
const STATUS_INVALID_ARGUMENT: &str = "3";

/// Octets before a message: one of flags, four of length.
const PREFIX: usize = 5;

/// Far more streams than the load generator opens.
const STREAMS: u32 = 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening {}", listener.local_addr()?)?;
    stdout.flush()?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(stream));
    }
}

async fn serve(stream: TcpStream) {
    // Without it answers come late, not wrong.
    stream.set_nodelay(true).ok();
    let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    server.max_concurrent_streams(STREAMS);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service_fn(answer)).await {
        // A proxy that ends between two rounds leaves its connections like this.
        writeln!(std::io::stderr(), "connection: {error}").ok();
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Reply>, Infallible> {
    let (head, body) = request.into_parts();
    let fault = fault(&head.headers);
    let message = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let reply = match fault {
        None if is_message(&message) => Reply { message: Some(message), trailers: Some(trailers(STATUS_OK, "")) },
        None => refused("not a message"),
        Some(fault) => refused(fault),
    };
    let mut response = Response::new(reply);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}

/// What the head of a call lacks.
fn fault(headers: &HeaderMap) -> Option<&'static str> {
    if headers.get(TE).is_none_or(|value| value != "trailers") {
        return Some("te");
    }
    if headers.get(CONTENT_TYPE).is_none_or(|value| value != "application/grpc") {
        return Some("content-type");
    }
    ADDED.into_iter().find(|name| !headers.contains_key(*name))
}

/// Whether this is one uncompressed message, whole.
fn is_message(body: &Bytes) -> bool {
    let mut rest = body.clone();
    rest.len() >= PREFIX
        && rest.get_u8() == 0
        && usize::try_from(rest.get_u32()).is_ok_and(|length| length == rest.len())
}

fn refused(fault: &'static str) -> Reply {
    Reply { message: None, trailers: Some(trailers(STATUS_INVALID_ARGUMENT, fault)) }
}

fn trailers(status: &'static str, message: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from_static(status));
    trailers.insert(HeaderName::from_static("grpc-message"), HeaderValue::from_static(message));
    trailers
}

/// A message, then trailers.
struct Reply {
    message: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = match self.message.take() {
            Some(message) => Some(Frame::data(message)),
            None => self.trailers.take().map(Frame::trailers),
        };
        Poll::Ready(frame.map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_whole_uncompressed_message_is_a_message() {
        for (body, want) in [
            (&b"\0\0\0\0\x02ab"[..], true),
            (b"\0\0\0\0\0", true),
            (b"\0\0\0\0\x02a", false),
            (b"\0\0\0\0\x02abc", false),
            (b"\x01\0\0\0\x02ab", false),
            (b"\0\0\0\0", false),
            (b"", false),
        ] {
            assert_eq!(is_message(&Bytes::from_static(body)), want, "{body:?}");
        }
    }

    #[test]
    fn a_call_lacks_nothing_only_with_all_that_proxies_add() {
        let mut headers = HeaderMap::new();
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        for name in ADDED {
            assert_eq!(fault(&headers), Some(name));
            headers.insert(name, HeaderValue::from_static("x"));
        }
        assert_eq!(fault(&headers), None);
        headers.remove(TE);
        assert_eq!(fault(&headers), Some("te"));
    }
}
