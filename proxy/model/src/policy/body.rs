//! How large bodies may be, and how much of them is held back.

use serde::Serialize;

/// `proxy-body-size` and the keys that say what is buffered. Sizes are in octets.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct BodyPolicy {
    /// `proxy-body-size`, default 1 MiB: the largest request body; a larger one answers 413. None for no limit (`0`).
    pub largest: Option<u64>,
    /// `proxy-request-buffering`, default on: a request body is received whole before an upstream is asked.
    pub buffer_request: bool,
    /// `client-body-buffer-size`, default 8 KiB: what of a buffered request body is kept in memory; the rest goes to disk. The
    /// proxy takes at least [`BodyPolicy::LEAST_MEMORY`].
    pub request_memory: u64,
    /// `proxy-buffering`, default off: a response is received as fast as the upstream sends it. `X-Accel-Buffering` of the
    /// response decides otherwise.
    pub buffer_response: bool,
    /// `proxy-buffers-number`, default 4: how many buffers of `proxy-buffer-size` a buffered response may take in memory. The
    /// proxy takes at least [`BodyPolicy::LEAST_MEMORY`].
    pub buffers: u32,
    /// `proxy-buffer-size`, default 4 KiB: the size of a buffer, and of the largest response head; a larger one answers 502.
    pub buffer_size: u64,
    /// `proxy-max-temp-file-size`, default 1 GiB: what of a buffered response goes to disk beyond the buffers.
    pub response_disk: u64,
}

impl BodyPolicy {
    /// Memory that a buffered body may take whatever the keys say: less would send bodies of a few network packets to disk.
    pub const LEAST_MEMORY: u64 = 64 * 1024;

    /// Whether a body that says to have `length` octets is too large.
    #[must_use]
    pub fn refuses(&self, length: u64) -> bool {
        self.largest.is_some_and(|largest| length > largest)
    }

    /// What of a buffered response is kept in memory: all buffers.
    #[must_use]
    pub fn response_memory(&self) -> u64 {
        self.buffer_size.saturating_mul(u64::from(self.buffers))
    }
}

impl Default for BodyPolicy {
    fn default() -> Self {
        Self {
            largest: Some(1 << 20),
            buffer_request: true,
            request_memory: 8 << 10,
            buffer_response: false,
            buffers: 4,
            buffer_size: 4 << 10,
            response_disk: 1 << 30,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_exactly_the_limit_passes() {
        let limited = BodyPolicy { largest: Some(10), ..BodyPolicy::default() };
        assert_eq!([9, 10, 11].map(|length| limited.refuses(length)), [false, false, true]);
        assert!(!BodyPolicy { largest: None, ..limited }.refuses(u64::MAX));
        assert!(BodyPolicy::default().refuses((1 << 20) + 1));
    }
}
