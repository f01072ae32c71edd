//! How large the head of a response is.

use http::response::Parts;

use crate::error::ProxyError;

/// Refuses a response whose head has more than `most` octets, as HTTP/1.1 writes them (nginx: `proxy_buffer_size`).
///
/// # Errors
///
/// [`ProxyError::UpstreamHeadTooLarge`].
pub(super) fn check(head: &Parts, most: u64) -> Result<(), ProxyError> {
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    let own = head.extensions.get::<hyper::ext::ReasonPhrase>().map(|phrase| phrase.as_bytes().len());
    let phrase = own.or_else(|| head.status.canonical_reason().map(str::len)).unwrap_or_default();
    let octets = "HTTP/1.1 200 \r\n\r\n".len() + phrase + fields.sum::<usize>();
    if octets as u64 > most { Err(ProxyError::UpstreamHeadTooLarge) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_of_a_head_counts() {
        let head = "HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\nX-A: b\r\n\r\n";
        let (response, ()) = http::Response::builder()
            .status(404)
            .header("content-length", "10")
            .header("x-a", "b")
            .body(())
            .unwrap()
            .into_parts();
        assert!(check(&response, head.len() as u64).is_ok());
        assert!(check(&response, head.len() as u64 - 1).is_err());
    }
}
