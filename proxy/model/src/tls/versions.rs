//! Versions of TLS.

use serde::Serialize;

/// Versions that are offered. Older ones are never (RFC 8996).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub enum TlsVersions {
    /// TLS 1.2 and 1.3.
    #[default]
    #[serde(rename = "TLSv1.2 TLSv1.3")]
    Both,
    /// TLS 1.2 alone.
    #[serde(rename = "TLSv1.2")]
    Tls12,
    /// TLS 1.3 alone.
    #[serde(rename = "TLSv1.3")]
    Tls13,
}

impl TlsVersions {
    /// Reads words divided by blanks, as nginx's `ssl_protocols`, and gives those that are not offered here.
    ///
    /// None where nothing is left.
    #[must_use]
    pub fn parse(text: &str) -> (Option<Self>, Vec<&str>) {
        let has = |name| text.split_whitespace().any(|word| word == name);
        let versions = match (has("TLSv1.2"), has("TLSv1.3")) {
            (true, true) => Some(Self::Both),
            (true, false) => Some(Self::Tls12),
            (false, true) => Some(Self::Tls13),
            (false, false) => None,
        };
        let others = text.split_whitespace().filter(|word| !["TLSv1.2", "TLSv1.3"].contains(word)).collect();
        (versions, others)
    }

    /// Whether TLS 1.2 is among them.
    #[must_use]
    pub fn has_tls12(self) -> bool {
        self != Self::Tls13
    }

    /// Whether TLS 1.3 is among them.
    #[must_use]
    pub fn has_tls13(self) -> bool {
        self != Self::Tls12
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_1_2_and_1_3_are_offered() {
        for (text, want, others) in [
            ("TLSv1.2 TLSv1.3", Some(TlsVersions::Both), &[][..]),
            (" TLSv1.3\tTLSv1.2 ", Some(TlsVersions::Both), &[]),
            ("TLSv1.2", Some(TlsVersions::Tls12), &[]),
            ("TLSv1.3", Some(TlsVersions::Tls13), &[]),
            ("TLSv1 TLSv1.1 TLSv1.2", Some(TlsVersions::Tls12), &["TLSv1", "TLSv1.1"]),
            ("SSLv3 TLSv1", None, &["SSLv3", "TLSv1"]),
            ("tlsv1.2 TLSv1.30", None, &["tlsv1.2", "TLSv1.30"]),
            ("", None, &[]),
        ] {
            assert_eq!(TlsVersions::parse(text), (want, others.to_vec()), "{text:?}");
        }
    }
}
