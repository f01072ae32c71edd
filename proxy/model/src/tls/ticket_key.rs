//! A key that replicas share to seal session tickets.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// The octets of `ssl-session-ticket-key`. `Debug` and `Serialize` never show them.
#[derive(Clone, Eq, PartialEq)]
pub struct TicketKey(Arc<[u8]>);

/// Why octets are not a ticket key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a ticket key has 48 or 80 octets")]
pub struct InvalidTicketKey;

impl TicketKey {
    /// Takes 48 or 80 octets (nginx: `ssl_session_ticket_key`), which should be random.
    ///
    /// # Errors
    ///
    /// For any other number of octets.
    pub fn new(octets: &[u8]) -> Result<Self, InvalidTicketKey> {
        if matches!(octets.len(), 48 | 80) { Ok(Self(octets.into())) } else { Err(InvalidTicketKey) }
    }

    /// The octets, to derive keys from.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("TicketKey(hidden)")
    }
}

impl Serialize for TicketKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("hidden")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_key_has_48_or_80_octets_and_is_never_shown() {
        for (length, valid) in [(0, false), (47, false), (48, true), (49, false), (79, false), (80, true), (81, false)]
        {
            assert_eq!(TicketKey::new(&vec![b'k'; length]).is_ok(), valid, "{length}");
        }
        let key = TicketKey::new(&[b'k'; 48]).unwrap();
        let shown = format!("{key:?} {}", serde_json::to_string(&key).unwrap());
        assert!(!shown.contains("kk") && !shown.contains("107"), "{shown}");
    }
}
