//! The endpoints an upstream has at the moment, with what balancing needs to know of them.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use md5::{Digest, Md5};
use portcullis_model::Endpoint;

use super::ewma::{self, Score};
use super::ring::Ring;
use crate::random::Random;

/// One list of endpoints. What only some ways of balancing need is made when it is first asked for, and with the list from then on.
#[derive(Debug, Default)]
pub(crate) struct EndpointSet {
    list: Box<[Endpoint]>,
    ring: OnceLock<Ring>,
    subsets: ArcSwapOption<Subsets>,
    sessions: OnceLock<SessionKeys>,
    scores: OnceLock<Box<[Arc<Score>]>>,
}

/// 32 hexadecimal digits.
pub(crate) type HexDigest = [u8; 32];

/// The endpoints by the keys of sessions that stay on them.
#[derive(Debug)]
struct SessionKeys {
    keys: Box<[HexDigest]>,
    places: HashMap<HexDigest, usize>,
}

/// The numbers of sets of equal size on a circle. The last set is filled up from the first endpoints.
#[derive(Debug)]
struct Subsets {
    size: NonZeroUsize,
    ring: Ring,
}

impl EndpointSet {
    pub(crate) fn new(list: &[Endpoint]) -> Self {
        Self { list: list.into(), ..Self::default() }
    }

    /// The set that takes the place of this one. `upstream` is the name of both.
    ///
    /// Endpoints that stay keep their scores. What requests have asked for is made here, not while the next one waits.
    pub(crate) fn followed_by(&self, list: &[Endpoint], upstream: &str) -> Self {
        let next = Self::new(list);
        if self.ring.get().is_some() {
            next.ring();
        }
        if self.sessions.get().is_some() {
            next.session_keys(upstream);
        }
        if let Some(subsets) = &*self.subsets.load() {
            next.with_subsets(subsets.size, |_| ());
        }
        if let Some(scores) = self.scores.get() {
            let known: HashMap<&Endpoint, &Arc<Score>> = self.list.iter().zip(scores).collect();
            let (mean, now) = (ewma::mean(scores.iter().map(|score| &**score)), ewma::now());
            let fresh = || Arc::new(mean.map_or_else(Score::default, |mean| Score::starting_at(mean, now)));
            let scores =
                next.list.iter().map(|endpoint| known.get(endpoint).map_or_else(fresh, |known| Arc::clone(known)));
            let scores = scores.collect();
            next.scores.get_or_init(|| scores);
        }
        next
    }

    /// Sorted, without duplicates.
    pub(crate) fn list(&self) -> &[Endpoint] {
        &self.list
    }

    /// All endpoints on a circle.
    pub(crate) fn ring(&self) -> &Ring {
        self.ring.get_or_init(|| Ring::new(self.list.iter().map(|endpoint| endpoint.address.to_string())))
    }

    /// A random endpoint of the set of `size` that the hash selects; where none of it is wanted, of the next sets that have one.
    pub(crate) fn of_subset(
        &self,
        size: NonZeroUsize,
        hash: u32,
        wanted: impl Fn(&Endpoint) -> bool,
        random: &Random,
    ) -> Option<Endpoint> {
        self.with_subsets(size, |ring| {
            ring.walk(hash).find_map(|set| {
                let members = || self.members(set, size).filter(|endpoint| wanted(endpoint));
                members().nth(random.below(members().count())).copied()
            })
        })
    }

    fn members(&self, set: usize, size: NonZeroUsize) -> impl Iterator<Item = &Endpoint> {
        let first = set.saturating_mul(size.get());
        let places = (0..size.get().min(self.list.len())).map(move |place| first.saturating_add(place));
        places.filter_map(|place| self.list.get(place.checked_rem(self.list.len())?))
    }

    fn with_subsets<T>(&self, size: NonZeroUsize, look: impl FnOnce(&Ring) -> T) -> T {
        let known = self.subsets.load();
        if let Some(known) = known.as_ref().filter(|known| known.size == size) {
            return look(&known.ring);
        }
        let count = self.list.len().div_ceil(size.get());
        let names: Vec<String> = (1..=count).map(|number| format!("set{number}")).collect();
        let made = Arc::new(Subsets { size, ring: Ring::new(names.into_iter()) });
        self.subsets.store(Some(Arc::clone(&made)));
        look(&made.ring)
    }

    /// The endpoint that a persistent session names.
    pub(crate) fn of_session(&self, key: &HexDigest, upstream: &str) -> Option<Endpoint> {
        let place = *self.session_keys(upstream).places.get(key)?;
        self.list.get(place).copied()
    }

    /// By which key a persistent session names the endpoint at `place`.
    pub(crate) fn session_key(&self, place: usize, upstream: &str) -> Option<HexDigest> {
        self.session_keys(upstream).keys.get(place).copied()
    }

    fn session_keys(&self, upstream: &str) -> &SessionKeys {
        self.sessions.get_or_init(|| {
            let key = |endpoint: &Endpoint| hex_md5(&[upstream.as_bytes(), endpoint.address.to_string().as_bytes()]);
            let keys: Box<[HexDigest]> = self.list.iter().map(key).collect();
            let places = keys.iter().enumerate().map(|(place, key)| (*key, place)).collect();
            SessionKeys { keys, places }
        })
    }

    /// Scores, in the order of the list.
    pub(crate) fn scores(&self) -> &[Arc<Score>] {
        self.scores.get_or_init(|| self.list.iter().map(|_| Arc::default()).collect())
    }
}

/// The MD5 of these parts as one text. A name, not a secret: ingress-nginx has it, and cookies hold it.
pub(crate) fn hex_md5(parts: &[&[u8]]) -> HexDigest {
    let mut digest = Md5::new();
    parts.iter().for_each(|part| digest.update(part));
    let mut text = [0; 32];
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    for (pair, octet) in text.chunks_exact_mut(2).zip(digest.finalize()) {
        if let [high, low] = pair {
            (*high, *low) = (digit(octet >> 4), digit(octet & 15));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(count: u8) -> Vec<Endpoint> {
        let address = |last| std::net::SocketAddr::from(([10, 0, 0, last], 80));
        (1..=count).map(|last| Endpoint { address: address(last) }).collect()
    }

    #[test]
    fn nothing_is_made_that_nobody_asked_for() {
        let next = EndpointSet::new(&list(3)).followed_by(&list(4), "n-s-80");
        assert!(next.ring.get().is_none() && next.sessions.get().is_none() && next.scores.get().is_none());
        assert!(next.subsets.load().is_none());
    }

    #[test]
    fn what_was_asked_for_is_there_in_the_next_list() {
        let set = EndpointSet::new(&list(3));
        set.ring();
        set.session_keys("n-s-80");
        set.scores();
        set.with_subsets(NonZeroUsize::MIN, |_| ());
        let next = set.followed_by(&list(4), "n-s-80");
        assert!(next.ring.get().is_some() && next.sessions.get().is_some());
        assert_eq!(next.scores.get().map(|scores| scores.len()), Some(4));
        assert_eq!(next.subsets.load().as_ref().map(|subsets| subsets.size), Some(NonZeroUsize::MIN));
        assert!(Arc::ptr_eq(&set.scores()[2], &next.scores()[2]), "the endpoint stays, and its score with it");
    }

    #[test]
    fn digests_are_hexadecimal() {
        assert_eq!(&hex_md5(&[b"mess", b"age digest"]), b"f96b697d7cb7938d525a2f31aaf161d0", "RFC 1321 section A.5");
    }
}
