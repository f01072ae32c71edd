//! Request bodies on their way to an upstream: streamed or received whole first, kept in memory and on disk, sent once or more
//! often.

mod client;
mod collect;
mod kept;
mod replay;
mod source;
mod spool;
mod storage;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;

pub(crate) use client::{ClientBody, content_length};
pub(crate) use collect::Collecting;
pub(crate) use replay::RequestBody;
pub(crate) use source::BodySource;
pub(crate) use spool::Spool;
pub(crate) use storage::{Room, Storage};

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The client sent less than it promised, or something else.
    #[error("the request body failed")]
    Request(#[source] hyper::Error),
    /// The same on a stream of HTTP/2.
    #[error("the request body failed")]
    Stream(#[source] h2::Error),
    /// The client reset the stream before its end.
    #[error("the request body was reset")]
    Reset,
    /// The client sent more than it may.
    #[error("the request body is too large")]
    TooLarge,
    /// Another try sends the body now.
    #[error("another try took over")]
    Superseded,
    /// What was written to disk cannot be read.
    #[error("the body cannot be read back")]
    Storage(#[source] io::Error),
    /// The upstream's response broke off. What the upstream called it is no source of this: hyper would tell the client the
    /// same, who would then believe it of us (a refused stream above all).
    #[error("the response body failed")]
    Response,
}

/// Most that is read of a body that nobody wants, so that its connection can go on with the next request.
const DRAIN_OCTETS: usize = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Whether a body of which nothing was read may be read to its end for nothing, as far as it is known how long it is.
pub(crate) fn may_drain(body: &ClientBody) -> bool {
    body.size_hint().lower() <= DRAIN_OCTETS as u64
}

/// Reads and drops what is left of an unwanted body. Beyond the limits the connection, or the stream, ends instead.
pub(crate) async fn drain(mut body: ClientBody) {
    let read = async {
        let mut octets = 0;
        while octets < DRAIN_OCTETS {
            match body.frame().await {
                Some(Ok(frame)) => octets += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(_)) | None => return,
            }
        }
    };
    // Running out of time is one of the limits.
    tokio::time::timeout(DRAIN_TIME, read).await.ok();
}
