//! What is held back of bodies: requests until they are there as a whole, responses while their clients are slow.

use std::rc::Rc;

use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis_model::Settings;
use portcullis_model::policy::BodyPolicy;

use super::decide::Forward;
use super::exchange::Exchange;
use crate::body::{BodySource, ClientBody, Collecting};
use crate::error::ProxyError;
use crate::table::CompiledRoute;
use crate::upstream::Delivery;

/// What holds for the bodies of a request that is sent on, and of its response.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bodies {
    pub(super) policy: BodyPolicy,
    /// Both sides talk at the same time: nothing is held back.
    streams: bool,
    /// `grpc-buffer-size-kb`, which limits heads then.
    largest_grpc_head: u64,
}

impl Bodies {
    pub(super) fn new(route: Option<&CompiledRoute>, forward: &Forward, settings: &Settings) -> Self {
        let policy = route.map_or(settings.body, |route| route.route.policy.body);
        let largest_grpc_head = settings.upstream.grpc_head as u64;
        Self { policy, streams: forward.protocol.streams_requests(), largest_grpc_head }
    }

    /// Octets that the head of a response may have.
    pub(super) fn largest_head(&self) -> u32 {
        let octets = if self.streams { self.largest_grpc_head } else { self.policy.buffer_size };
        u32::try_from(octets).unwrap_or(u32::MAX)
    }
}

/// The body of a request, of which nothing was read yet, with its trailers or without.
pub(super) fn source(incoming: ClientBody, trailers: bool, exchange: &Exchange) -> Rc<BodySource> {
    let connection = exchange.connection();
    let (meter, storage) = (Rc::clone(connection.meter()), connection.worker().storage());
    let source = BodySource::new(incoming, meter, exchange.bodies.policy.largest, storage);
    Rc::new(source.with_trailers(trailers).of_stream(connection.is_http2()))
}

/// Receives the whole request body, where that is wanted before an upstream is asked.
///
/// # Errors
///
/// What the client did wrong, or that the body cannot be kept.
pub(super) async fn receive(delivery: &mut Delivery, exchange: &Exchange) -> Result<(), ProxyError> {
    let bodies = &exchange.bodies;
    let policy = &bodies.policy;
    // HTTP/1.0 has no chunks, so that the length has to be known, as with nginx.
    let buffers = (policy.buffer_request || delivery.needs_length()) && !bodies.streams;
    let Some(body) = delivery.body.as_ref().filter(|_| buffers) else { return Ok(()) };
    let connection = exchange.connection();
    let memory = policy.request_memory.max(BodyPolicy::LEAST_MEMORY);
    let how = Collecting { memory, storage: connection.worker().storage(), gap: connection.body_gap() };
    body.collect(&how).await?;
    let octets = body.octets();
    delivery.note_length(octets);
    Ok(())
}

/// Whether a response with these fields is received ahead of its client. The upstream has the last word, which is among
/// fields that are dropped: `has_others` where there are any.
pub(super) fn is_ahead(bodies: &Bodies, headers: &HeaderMap, has_others: bool) -> bool {
    match has_others {
        _ if bodies.streams => false,
        true => last_word(bodies, headers),
        false => bodies.policy.buffer_response,
    }
}

#[inline(never)]
fn last_word(bodies: &Bodies, headers: &HeaderMap) -> bool {
    let last = headers.get_all(&X_ACCEL_BUFFERING).iter().next_back().map(HeaderValue::as_bytes);
    match last {
        Some(word) if word.eq_ignore_ascii_case(b"yes") => true,
        Some(word) if word.eq_ignore_ascii_case(b"no") => false,
        Some(_) | None => bodies.policy.buffer_response,
    }
}

static X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upstream_has_the_last_word_on_buffering() {
        for (words, by_default, want) in [
            (&[][..], false, false),
            (&[], true, true),
            (&["no"], true, false),
            (&["YES"], false, true),
            (&["yes", "no"], true, false),
            (&["maybe"], true, true),
            (&[""], false, false),
        ] {
            let mut headers = HeaderMap::new();
            for word in words {
                headers.append("x-accel-buffering", HeaderValue::from_static(word));
            }
            let policy = BodyPolicy { buffer_response: by_default, ..BodyPolicy::default() };
            let bodies = |streams| Bodies { policy, streams, largest_grpc_head: 0 };
            assert_eq!(is_ahead(&bodies(false), &headers, !words.is_empty()), want, "{words:?}");
            assert!(!is_ahead(&bodies(true), &headers, !words.is_empty()), "{words:?}");
        }
    }
}
