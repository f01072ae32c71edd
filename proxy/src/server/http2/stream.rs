//! One stream of an HTTP/2 connection: a request that is handled, then a response that is sent.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use http_body::Body;
use pin_project_lite::pin_project;

use super::super::connection::ClientConnection;
use super::super::stall::Stall;
use super::upgraded::Connect;
use crate::clock;
use crate::hpack;
use crate::pipeline::ResponseBody;

pin_project! {
    /// A stream, or room for one. When it is dropped before its end, the stream is reset.
    #[project = StreamProjection]
    pub(super) enum Stream<F> {
        Vacant,
        Handled {
            #[pin]
            future: F,
            respond: SendResponse<Bytes>,
            connect: Option<Box<Connect>>,
        },
        Sent { response: Sending },
    }
}

impl<F: Future<Output = Result<Response<ResponseBody>, Infallible>>> Stream<F> {
    /// Goes on until something is missing. Ready when nothing more is to be done; what is left of it can be dropped then.
    pub(super) fn poll(mut self: Pin<&mut Self>, connection: &ClientConnection, cx: &mut Context<'_>) -> Poll<()> {
        let (response, respond, connect) = match self.as_mut().project() {
            StreamProjection::Vacant => return Poll::Pending,
            StreamProjection::Sent { response } => return response.poll(connection, cx),
            StreamProjection::Handled { future, respond, connect } => match future.poll(cx) {
                Poll::Ready(Ok(response)) => (response, respond, connect.take()),
                // A client that has reset the stream, or is gone, wants no answer.
                Poll::Pending => return respond.poll_reset(cx).map(drop),
            },
        };
        let Some(mut response) = Sending::begin(response, respond, connect, connection) else { return Poll::Ready(()) };
        if response.poll(connection, cx).is_ready() {
            return Poll::Ready(());
        }
        self.set(Self::Sent { response });
        Poll::Pending
    }
}

/// A response whose head is on its way.
#[derive(Debug)]
pub(super) struct Sending {
    body: ResponseBody,
    stream: SendStream<Bytes>,
    /// What the client's windows have no room for.
    waiting: Option<Piece>,
    stall: Stall,
}

#[derive(Debug)]
struct Piece {
    data: Bytes,
    is_last: bool,
}

impl Sending {
    /// Sends the head; none where there is nothing to follow.
    fn begin(
        response: Response<ResponseBody>,
        respond: &mut SendResponse<Bytes>,
        connect: Option<Box<Connect>>,
        connection: &ClientConnection,
    ) -> Option<Self> {
        let (mut head, body) = response.into_parts();
        remove_connection_fields(&mut head.headers);
        if !head.headers.contains_key(header::DATE) {
            let date = connection.worker().http_date().value(clock::now());
            head.headers.insert(header::DATE, date);
        }
        // Above all the date: the table of a connection would fill with those of its seconds, each of which is looked at first.
        hpack::keep_out_of_table(&mut head.headers);
        if let Some(connect) = connect.filter(|_| head.status.is_success()) {
            connect.complete(Response::from_parts(head, ()), respond);
            return None;
        }
        let ends = body.is_end_stream();
        if !ends
            && let Some(length) = body.size_hint().exact()
            && !head.headers.contains_key(header::CONTENT_LENGTH)
        {
            head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        match respond.send_response(Response::from_parts(head, ()), ends) {
            Ok(stream) => (!ends).then(|| Self { body, stream, waiting: None, stall: Stall::default() }),
            Err(error) => {
                tracing::debug!(%error, "response not sent");
                respond.send_reset(Reason::INTERNAL_ERROR);
                None
            }
        }
    }

    fn poll(&mut self, connection: &ClientConnection, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.waiting.is_some() {
                match self.poll_room(cx) {
                    Poll::Ready(true) => {}
                    Poll::Ready(false) => return Poll::Ready(()),
                    Poll::Pending => return self.stall.poll(connection, cx),
                }
            }
            if let Some(piece) = self.waiting.take() {
                self.stall.over();
                if !self.send(piece) {
                    return Poll::Ready(());
                }
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        if !self.take(data) {
                            return Poll::Ready(());
                        }
                    }
                    Err(frame) => return self.end(frame.into_trailers().ok()),
                },
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "stream reset");
                    self.stream.send_reset(Reason::INTERNAL_ERROR);
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return self.end(None),
                // Ready where the client has reset the stream, or is gone.
                Poll::Pending => return self.stream.poll_reset(cx).map(drop),
            }
        }
    }

    /// Takes a piece, which goes at once or waits for a share of the client's windows; that is asked for only now, since others
    /// might use it. False where the stream is over.
    fn take(&mut self, data: Bytes) -> bool {
        let piece = Piece { data, is_last: self.body.is_end_stream() };
        let octets = piece.data.len();
        if octets == 0 {
            // It knows no windows, but would wait behind what does, and there might be any number of its kind.
            return !piece.is_last || self.send(piece);
        }
        self.stream.reserve_capacity(octets);
        self.waiting = Some(piece);
        true
    }

    /// Hands over a piece. False where the stream is over.
    fn send(&mut self, Piece { data, is_last }: Piece) -> bool {
        // Fails where the client has reset the stream.
        self.stream.send_data(data, is_last).is_ok() && !is_last
    }

    /// Whether there is room for some of the piece: the rest waits where the frames do. False where the stream is over.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        while self.stream.capacity() == 0 {
            match self.stream.poll_capacity(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(0))) => {}
                Poll::Ready(Some(Ok(_))) => break,
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(false),
            }
        }
        Poll::Ready(true)
    }

    /// Ends the stream. Where that fails, the client has.
    fn end(&mut self, trailers: Option<HeaderMap>) -> Poll<()> {
        let ended = match trailers {
            Some(trailers) => self.stream.send_trailers(trailers),
            None => self.stream.send_data(Bytes::new(), true),
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "response not ended");
        }
        Poll::Ready(())
    }
}

/// Removes what a response of HTTP/2 may not have (RFC 9113 section 8.2.2), and what `Connection` names.
fn remove_connection_fields(headers: &mut HeaderMap) {
    if headers.keys().any(is_of_connection) {
        remove_found(headers);
    }
}

#[inline]
fn is_of_connection(name: &HeaderName) -> bool {
    let name = name.as_str();
    // By length first: of the usual fields hardly one gets past it.
    matches!(name.len(), 2 | 7 | 10 | 16 | 17)
        && matches!(name, "te" | "upgrade" | "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding")
}

#[cold]
fn remove_found(headers: &mut HeaderMap) {
    let mut found: Vec<HeaderName> = headers.keys().filter(|name| is_of_connection(name)).cloned().collect();
    let lines = headers.get_all(header::CONNECTION).iter().filter_map(|line| line.to_str().ok());
    found.extend(lines.flat_map(|line| line.split(',')).filter_map(|name| name.trim().parse::<HeaderName>().ok()));
    for name in found {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_connection_are_removed_with_what_they_name() {
        let connection = [
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("connection", "close, X-Hop"),
            ("connection", "x-other ,,"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("transfer-encoding", "chunked"),
            ("x-hop", "1"),
            ("x-other", "1"),
        ];
        let others = [("x-connection", "1"), ("date", "1"), ("server", "a"), ("trailer", "x"), ("set-cookie", "a=b")];
        let map = |fields: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_static(value));
            }
            headers
        };
        let mut headers = map(&[&connection[..], &others[..]].concat());
        remove_connection_fields(&mut headers);
        assert_eq!(headers, map(&others));
        for field in connection.into_iter().filter(|(name, _)| !name.starts_with("x-")) {
            let mut headers = map(&[&[field][..], &others[..]].concat());
            remove_connection_fields(&mut headers);
            assert_eq!(headers, map(&others), "{field:?}");
        }
    }
}
