//! Session tickets: sessions that clients keep themselves, sealed (RFC 5077; RFC 8446 section 4.6.1).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::rand;
use portcullis_model::SessionTickets;
use rustls::crypto::GetRandomFailed;
use rustls::server::ProducesTickets;
use rustls::ticketer::TicketRotator;

/// How long a key of this process seals tickets. It opens them for as long again, and is then forgotten.
const KEY_TIME: u32 = 12 * 3600;
/// The longest life that a ticket may have (RFC 8446 section 4.6.1).
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// How far the clock of another replica may be ahead.
const SKEW: u64 = 60;

/// What seals the tickets of one domain; tickets of another one do not open there. None where there are no tickets.
///
/// # Errors
///
/// When there are no random numbers.
pub(super) fn ticketer(
    tickets: &SessionTickets,
    lifetime: Duration,
    domain: &str,
) -> Result<Option<Arc<dyn ProducesTickets>>, rustls::Error> {
    let sealer: Box<dyn ProducesTickets> = match tickets {
        SessionTickets::Off => return Ok(None),
        SessionTickets::OwnKeys => Box::new(TicketRotator::new(KEY_TIME, Sealer::random)?),
        SessionTickets::SharedKey(key) => Box::new(Sealer::new(key.secret(), domain)),
    };
    Ok(Some(Arc::new(Dated { sealer, lifetime: lifetime.min(LONGEST) })))
}

/// Tickets that tell when they were made, and are refused when too old.
#[derive(Debug)]
struct Dated {
    sealer: Box<dyn ProducesTickets>,
    lifetime: Duration,
}

impl Dated {
    fn is_fresh(&self, made: u64, now: u64) -> bool {
        made <= now.saturating_add(SKEW) && Duration::from_secs(now.saturating_sub(made)) < self.lifetime
    }
}

impl ProducesTickets for Dated {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(self.lifetime.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.sealer.encrypt(&[&now()?.to_be_bytes()[..], session].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let opened = self.sealer.decrypt(ticket)?;
        let (made, session) = opened.split_first_chunk()?;
        self.is_fresh(u64::from_be_bytes(*made), now()?).then(|| session.to_vec())
    }
}

/// Seconds since 1970.
fn now() -> Option<u64> {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok().map(|time| time.as_secs())
}

/// Seals each ticket with a key of its own, derived from one secret and the random octets that the ticket begins with: so the
/// number of tickets under a secret has no practical limit, however many replicas share it.
struct Sealer {
    secret: Prk,
    domain: Box<[u8]>,
}

/// Random octets at the beginning of a ticket.
const SALT: usize = 32;

impl Sealer {
    fn new(secret: &[u8], domain: &str) -> Self {
        let secret = Salt::new(HKDF_SHA256, b"portcullis session tickets").extract(secret);
        Self { secret, domain: domain.as_bytes().into() }
    }

    fn random() -> Result<Box<dyn ProducesTickets>, GetRandomFailed> {
        let mut secret = [0; 32];
        rand::fill(&mut secret).map_err(|_| GetRandomFailed)?;
        Ok(Box::new(Self::new(&secret, "")))
    }

    /// The key of the ticket with this salt (RFC 5869 section 2.3).
    fn key(&self, salt: &[u8; SALT]) -> Option<LessSafeKey> {
        let info = [&salt[..], &self.domain];
        let key = self.secret.expand(&info, &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(key)))
    }
}

/// A key seals once, so its nonce need not differ.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

impl ProducesTickets for Sealer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        KEY_TIME
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut salt = [0; SALT];
        rand::fill(&mut salt).ok()?;
        let mut sealed = plain.to_vec();
        self.key(&salt)?.seal_in_place_append_tag(nonce(), Aad::empty(), &mut sealed).ok()?;
        Some([&salt[..], &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (salt, sealed) = ticket.split_first_chunk()?;
        let mut opened = sealed.to_vec();
        let length = self.key(salt)?.open_in_place(nonce(), Aad::empty(), &mut opened).ok()?.len();
        opened.truncate(length);
        Some(opened)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Sealer")
    }
}

#[cfg(test)]
mod tests {
    use portcullis_model::TicketKey;

    use super::*;

    const TIME: Duration = Duration::from_secs(600);

    fn shared(octet: u8, domain: &str) -> Arc<dyn ProducesTickets> {
        let key = TicketKey::new(&[octet; 80]).unwrap();
        ticketer(&SessionTickets::SharedKey(key), TIME, domain).unwrap().unwrap()
    }

    #[test]
    fn replicas_with_the_same_key_open_tickets_of_each_other() {
        let ticket = shared(1, "hosts").encrypt(b"session").unwrap();
        assert_eq!(shared(1, "hosts").decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(shared(2, "hosts").decrypt(&ticket), None, "another key");
        assert_eq!(shared(1, "others").decrypt(&ticket), None, "another domain");
        assert!(!ticket.windows(7).any(|window| window == b"session"));
        assert_ne!(shared(1, "hosts").encrypt(b"session").unwrap(), ticket);
    }

    #[test]
    fn keys_of_a_process_are_its_own() {
        let own = || ticketer(&SessionTickets::OwnKeys, TIME, "hosts").unwrap().unwrap();
        let one = own();
        let ticket = one.encrypt(b"session").unwrap();
        assert_eq!(one.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(own().decrypt(&ticket), None);
        assert_eq!(one.lifetime(), 600);
        assert!(ticketer(&SessionTickets::Off, TIME, "hosts").unwrap().is_none());
    }

    #[test]
    fn changed_and_cut_tickets_do_not_open() {
        let sealer = shared(1, "hosts");
        let ticket = sealer.encrypt(b"session").unwrap();
        for place in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[place] ^= 1;
            assert_eq!(sealer.decrypt(&changed), None, "{place}");
            assert_eq!(sealer.decrypt(&ticket[..place]), None, "{place}");
        }
        assert_eq!(sealer.decrypt(&[0; 4096]), None);
    }

    #[test]
    fn tickets_have_an_end() {
        let dated = Dated { sealer: Box::new(Sealer::new(b"x", "")), lifetime: TIME };
        for (made, now, want) in [
            (1000, 1000, true),
            (1000, 1599, true),
            (1000, 1600, false),
            (1000, 9999, false),
            (1060, 1000, true),
            (1061, 1000, false),
            (u64::MAX, 1000, false),
        ] {
            assert_eq!(dated.is_fresh(made, now), want, "{made} {now}");
        }
        let long = ticketer(&SessionTickets::OwnKeys, Duration::from_secs(1 << 40), "").unwrap().unwrap();
        assert_eq!(long.lifetime(), 604_800);
    }
}
