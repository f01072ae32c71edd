//! Cipher suites of TLS 1.2, in the notation of OpenSSL.

use std::fmt;

use serde::Serialize;

/// A suite of TLS 1.2 with forward secrecy and authenticated encryption; others are not offered (RFC 9325 section 4.2).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Tls12Cipher {
    /// ECDHE-ECDSA-AES256-GCM-SHA384.
    EcdsaAes256,
    /// ECDHE-RSA-AES256-GCM-SHA384.
    RsaAes256,
    /// ECDHE-ECDSA-CHACHA20-POLY1305.
    EcdsaChaCha20,
    /// ECDHE-RSA-CHACHA20-POLY1305.
    RsaChaCha20,
    /// ECDHE-ECDSA-AES128-GCM-SHA256.
    EcdsaAes128,
    /// ECDHE-RSA-AES128-GCM-SHA256.
    RsaAes128,
}

use Tls12Cipher::{EcdsaAes128, EcdsaAes256, EcdsaChaCha20, RsaAes128, RsaAes256, RsaChaCha20};

/// In the order in which OpenSSL has them under words such as `ALL`.
const ALL: [Tls12Cipher; 6] = [EcdsaAes256, RsaAes256, EcdsaChaCha20, RsaChaCha20, EcdsaAes128, RsaAes128];

impl Tls12Cipher {
    /// The name that OpenSSL has for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            EcdsaAes256 => "ECDHE-ECDSA-AES256-GCM-SHA384",
            RsaAes256 => "ECDHE-RSA-AES256-GCM-SHA384",
            EcdsaChaCha20 => "ECDHE-ECDSA-CHACHA20-POLY1305",
            RsaChaCha20 => "ECDHE-RSA-CHACHA20-POLY1305",
            EcdsaAes128 => "ECDHE-ECDSA-AES128-GCM-SHA256",
            RsaAes128 => "ECDHE-RSA-AES128-GCM-SHA256",
        }
    }

    fn key_bits(self) -> u16 {
        if matches!(self, EcdsaAes128 | RsaAes128) { 128 } else { 256 }
    }

    /// Whether a word of a cipher string stands for it: its name, or a word for a kind of suites (openssl-ciphers(1)).
    fn is_a(self, word: &str) -> bool {
        match word {
            "ALL" | "DEFAULT" | "HIGH" | "TLSv1.2" | "AEAD" | "ECDHE" | "kECDHE" | "EECDH" | "kEECDH" => true,
            "ECDSA" | "aECDSA" => matches!(self, EcdsaAes256 | EcdsaChaCha20 | EcdsaAes128),
            "aRSA" => matches!(self, RsaAes256 | RsaChaCha20 | RsaAes128),
            "AES" | "AESGCM" | "FIPS" => !self.is_a("CHACHA20"),
            "AES128" => matches!(self, EcdsaAes128 | RsaAes128),
            "AES256" => matches!(self, EcdsaAes256 | RsaAes256),
            "CHACHA20" => matches!(self, EcdsaChaCha20 | RsaChaCha20),
            name => name == self.name(),
        }
    }
}

impl fmt::Display for Tls12Cipher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl Serialize for Tls12Cipher {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Suites in order of preference, at least one, none twice.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct CipherList(Box<[Tls12Cipher]>);

/// The default of `ssl-ciphers`, but for its finite-field suites.
impl Default for CipherList {
    fn default() -> Self {
        Self([EcdsaAes128, RsaAes128, EcdsaAes256, RsaAes256, EcdsaChaCha20, RsaChaCha20].into())
    }
}

impl CipherList {
    /// Reads a cipher string (openssl-ciphers(1)) and gives the words that add nothing here: suites that are not offered, and
    /// words that are not understood. Names of TLS 1.3 suites are passed over, as OpenSSL does.
    ///
    /// None where nothing is left.
    #[must_use]
    pub fn parse(text: &str) -> (Option<Self>, Vec<&str>) {
        let mut selection = Selection::default();
        for word in text.split([':', ',', ';', ' ']).filter(|word| !word.is_empty()) {
            selection.apply(word);
        }
        let Selection { chosen, others, .. } = selection;
        ((!chosen.is_empty()).then(|| Self(chosen.into())), others)
    }

    /// The suites.
    pub fn iter(&self) -> impl Iterator<Item = Tls12Cipher> + '_ {
        self.0.iter().copied()
    }
}

impl fmt::Display for CipherList {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, cipher) in self.iter().enumerate() {
            write!(out, "{}{cipher}", if place == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

/// What the words of a cipher string make.
#[derive(Default)]
struct Selection<'t> {
    chosen: Vec<Tls12Cipher>,
    /// Gone for good.
    barred: Vec<Tls12Cipher>,
    others: Vec<&'t str>,
}

impl<'t> Selection<'t> {
    fn apply(&mut self, word: &'t str) {
        if let Some(kind) = word.strip_prefix('!') {
            self.barred.extend(matching(kind));
            self.chosen.retain(|cipher| !self.barred.contains(cipher));
        } else if let Some(kind) = word.strip_prefix('-') {
            self.chosen.retain(|cipher| !is_matched(*cipher, kind));
        } else if let Some(kind) = word.strip_prefix('+') {
            self.chosen.sort_by_key(|cipher| is_matched(*cipher, kind));
        } else if word == "@STRENGTH" {
            self.chosen.sort_by_key(|cipher| std::cmp::Reverse(cipher.key_bits()));
        } else if !word.starts_with(['@']) {
            self.add(word);
        }
    }

    fn add(&mut self, word: &'t str) {
        for cipher in matching(word) {
            if !self.chosen.contains(&cipher) && !self.barred.contains(&cipher) {
                self.chosen.push(cipher);
            }
        }
        if matching(word).next().is_none() && !word.starts_with("TLS_") {
            self.others.push(word);
        }
    }
}

fn matching(kind: &str) -> impl Iterator<Item = Tls12Cipher> {
    ALL.into_iter().filter(move |cipher| is_matched(*cipher, kind))
}

/// `A+B` stands for what is both.
fn is_matched(cipher: Tls12Cipher, kind: &str) -> bool {
    kind.split('+').all(|word| cipher.is_a(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cipher_strings_choose_as_openssl_does() {
        let modern = "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256";
        for (text, want, others) in [
            (modern, &[RsaAes256, RsaAes128][..], &[][..]),
            ("ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-SHA", &[RsaAes256], &["ECDHE-RSA-AES256-SHA"]),
            ("ECDHE-RSA-AES128-GCM-SHA256, ECDHE-RSA-AES128-GCM-SHA256", &[RsaAes128], &[]),
            ("ALL", &ALL, &[]),
            ("HIGH:!aNULL:!MD5", &ALL, &[]),
            ("ALL:!aRSA", &[EcdsaAes256, EcdsaChaCha20, EcdsaAes128], &[]),
            ("ALL:-CHACHA20:-AES256:CHACHA20", &[EcdsaAes128, RsaAes128, EcdsaChaCha20, RsaChaCha20], &[]),
            ("!AES128:ALL:!ECDSA", &[RsaAes256, RsaChaCha20], &[]),
            ("EECDH+AESGCM+aRSA", &[RsaAes256, RsaAes128], &[]),
            ("aRSA:+AES256", &[RsaChaCha20, RsaAes128, RsaAes256], &[]),
            ("AES128:AES256:@STRENGTH", &[EcdsaAes256, RsaAes256, EcdsaAes128, RsaAes128], &[]),
            ("aRSA+AES128:@SECLEVEL=2", &[RsaAes128], &[]),
            ("TLS_AES_128_GCM_SHA256:aRSA+AES128", &[RsaAes128], &[]),
            ("DES-CBC3-SHA:RC4-SHA", &[], &["DES-CBC3-SHA", "RC4-SHA"]),
            ("ecdhe-rsa-aes128-gcm-sha256", &[], &["ecdhe-rsa-aes128-gcm-sha256"]),
            ("EECDH+3DES", &[], &["EECDH+3DES"]),
            ("ALL:!ALL", &[], &[]),
            ("", &[], &[]),
            (":::", &[], &[]),
        ] {
            let (list, rest) = CipherList::parse(text);
            let got: Vec<_> = list.iter().flat_map(CipherList::iter).collect();
            assert_eq!((got.as_slice(), rest.as_slice(), list.is_some()), (want, others, !want.is_empty()), "{text}");
        }
    }

    #[test]
    fn the_default_list_reads_as_itself() {
        let default = CipherList::default();
        assert_eq!(CipherList::parse(&default.to_string()), (Some(default), Vec::new()));
    }
}
