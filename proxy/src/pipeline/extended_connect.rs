//! WebSocket over one stream of an HTTP/2 connection (RFC 8441), translated to the handshake of HTTP/1.1 that upstreams know.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use h2::ext::Protocol;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use portcullis_model::Reason;

use super::answer::Answer;
use crate::random::Random;
use crate::server::OnStream;

/// What an extended CONNECT leaves behind when its request has become a GET.
#[derive(Debug)]
pub(super) struct ExtendedConnect {
    stream: OnStream,
    key: HeaderValue,
}

impl ExtendedConnect {
    /// Turns the head of an extended CONNECT into that of the handshake it stands for, so that all policies see a GET. None
    /// where it is any other request; a CONNECT that asks for a tunnel stays one, and is refused as such.
    ///
    /// # Errors
    ///
    /// The answer to one that asks for another protocol (501, RFC 9220 section 3), or for another version of WebSocket.
    pub(super) fn take(parts: &mut Parts, random: &Random) -> Result<Option<Box<Self>>, Answer> {
        if parts.version != Version::HTTP_2 || parts.method != Method::CONNECT {
            return Ok(None);
        }
        Self::take_connect(parts, random)
    }

    #[cold]
    #[inline(never)]
    fn take_connect(parts: &mut Parts, random: &Random) -> Result<Option<Box<Self>>, Answer> {
        let Some(protocol) = parts.extensions.remove::<Protocol>() else { return Ok(None) };
        if !protocol.as_str().eq_ignore_ascii_case("websocket") {
            return Err(Answer::refusal(StatusCode::NOT_IMPLEMENTED, Reason::MethodNotAllowed));
        }
        let Some(stream) = parts.extensions.remove::<OnStream>() else {
            return Err(Answer::refusal(StatusCode::NOT_IMPLEMENTED, Reason::MethodNotAllowed));
        };
        let mut versions = parts.headers.get_all(&SEC_WEBSOCKET_VERSION).iter();
        if versions.next().is_none_or(|version| version != "13") || versions.next().is_some() {
            return Err(Answer::refusal(StatusCode::BAD_REQUEST, Reason::BadRequest));
        }
        parts.method = Method::GET;
        Ok(Some(Box::new(Self { stream, key: fresh_key(random) })))
    }

    /// Makes `headers` those of a handshake: with a key of ours, and without the length of a body that is none.
    #[cold]
    pub(super) fn complete(&self, headers: &mut HeaderMap) {
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(&SEC_WEBSOCKET_KEY, self.key.clone());
    }

    /// Whether the fields of a 101 show that the upstream has read the key.
    pub(super) fn is_accepted(&self, headers: &HeaderMap) -> bool {
        let mut lines = headers.get_all(header::SEC_WEBSOCKET_ACCEPT).iter();
        let proof = proof(self.key.as_bytes());
        lines.next().is_some_and(|line| line.as_bytes() == proof.as_bytes()) && lines.next().is_none()
    }

    /// The stream, once the client has its 200.
    pub(super) fn into_stream(self) -> OnStream {
        self.stream
    }
}

/// 16 random octets (RFC 6455 section 4.1). They need not be secret: they show that no cache has answered.
fn fresh_key(random: &Random) -> HeaderValue {
    let octets = (u128::from(random.bits()) << 64) | u128::from(random.bits());
    // Base64 is printable.
    HeaderValue::try_from(STANDARD.encode(octets.to_be_bytes())).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// `Sec-WebSocket-Accept` (RFC 6455 section 4.2.2). SHA-1 guards nothing here.
fn proof(key: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
    STANDARD.encode(digest)
}

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

static SEC_WEBSOCKET_KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
static SEC_WEBSOCKET_VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");

#[cfg(test)]
mod tests {
    use super::super::testing::parts;
    use super::*;

    #[test]
    fn the_proof_is_that_of_the_rfc() {
        assert_eq!(proof(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn keys_are_16_octets_and_differ() {
        let random = Random::new();
        let (one, other) = (fresh_key(&random), fresh_key(&random));
        assert_eq!(STANDARD.decode(&one).map(|octets| octets.len()), Ok(16));
        assert_ne!(one, other);
    }

    #[test]
    fn requests_that_are_no_extended_connect_are_left_alone() {
        for line in ["GET https://a.example/ HTTP/2", "CONNECT a.example:443 HTTP/2", "CONNECT a.example:443 HTTP/1.1"]
        {
            let mut parts = parts(line);
            let method = parts.method.clone();
            assert!(matches!(ExtendedConnect::take(&mut parts, &Random::new()), Ok(None)), "{line}");
            assert_eq!(parts.method, method);
        }
    }

    #[test]
    fn other_protocols_than_websocket_are_refused() {
        for protocol in ["connect-udp", "", "websocket2"] {
            let mut parts = parts("CONNECT https://a.example/ HTTP/2\nSec-WebSocket-Version: 13");
            parts.extensions.insert(Protocol::from_static(protocol));
            let answer = ExtendedConnect::take(&mut parts, &Random::new()).unwrap_err();
            assert_eq!(answer.status, 501, "{protocol}");
        }
    }
}
