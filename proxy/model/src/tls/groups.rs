//! Groups of the key exchange.

use serde::Serialize;

/// A group of the key exchange (RFC 8446 section 4.2.7; draft-ietf-tls-ecdhe-mlkem).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum TlsGroup {
    /// X25519 with ML-KEM-768; TLS 1.3 only.
    X25519MLKEM768,
    /// X25519.
    X25519,
    /// NIST P-256.
    #[serde(rename = "P-256")]
    P256,
    /// NIST P-384.
    #[serde(rename = "P-384")]
    P384,
}

impl TlsGroup {
    /// By the names that OpenSSL knows, in any case.
    fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "x25519mlkem768" => Some(Self::X25519MLKEM768),
            "x25519" => Some(Self::X25519),
            "prime256v1" | "p-256" | "secp256r1" => Some(Self::P256),
            "secp384r1" | "p-384" => Some(Self::P384),
            _ => None,
        }
    }
}

/// Groups that are accepted, at least one. Of those that a client offers, it gets the one it names first.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct GroupList(Box<[TlsGroup]>);

/// All of them.
impl Default for GroupList {
    fn default() -> Self {
        Self([TlsGroup::X25519, TlsGroup::P256, TlsGroup::P384, TlsGroup::X25519MLKEM768].into())
    }
}

impl GroupList {
    /// Reads `auto`, or names divided by colons as OpenSSL's `SSL_CTX_set1_groups_list` takes them, and gives the names that are
    /// not offered here.
    ///
    /// None where nothing is left.
    #[must_use]
    pub fn parse(text: &str) -> (Option<Self>, Vec<&str>) {
        if text.trim() == "auto" {
            return (Some(Self::default()), Vec::new());
        }
        let mut groups = Vec::new();
        let mut others = Vec::new();
        for name in text.split(':').map(str::trim).filter(|name| !name.is_empty()) {
            match TlsGroup::named(name) {
                Some(group) if groups.contains(&group) => {}
                Some(group) => groups.push(group),
                None => others.push(name),
            }
        }
        ((!groups.is_empty()).then(|| Self(groups.into())), others)
    }

    /// The groups.
    pub fn iter(&self) -> impl Iterator<Item = TlsGroup> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::TlsGroup::{P256, P384, X25519, X25519MLKEM768};
    use super::*;

    #[test]
    fn groups_have_the_names_of_openssl() {
        for (text, want, others) in [
            ("X25519MLKEM768:X25519", Some(&[X25519MLKEM768, X25519][..]), &[][..]),
            ("prime256v1:P-256:secp256r1:secp384r1:P-384", Some(&[P256, P384]), &[]),
            ("x25519 : p-384", Some(&[X25519, P384]), &[]),
            ("X448:secp521r1:X25519", Some(&[X25519]), &["X448", "secp521r1"]),
            ("secp521r1", None, &["secp521r1"]),
            ("X25519,P-256", None, &["X25519,P-256"]),
            ("", None, &[]),
        ] {
            let (groups, rest) = GroupList::parse(text);
            assert_eq!(groups.map(|groups| groups.iter().collect::<Vec<_>>()), want.map(<[_]>::to_vec), "{text}");
            assert_eq!(rest, others, "{text}");
        }
        assert_eq!(GroupList::parse("auto"), (Some(GroupList::default()), Vec::new()));
    }
}
