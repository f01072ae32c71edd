//! Which endpoint a request is sent to.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::num::NonZeroUsize;

use hashbrown::HashMap;
use portcullis_model::Endpoint;

use super::endpoints::EndpointSet;
use super::{Session, Upstream, ewma};
use crate::random::Random;

/// How the endpoint for one request is chosen.
#[derive(Debug, Default)]
pub(crate) enum Choice {
    /// In turn, from a random start, per worker (nginx: round robin of ingress-nginx).
    #[default]
    RoundRobin,
    /// Of two at random, the one that has been faster.
    Ewma,
    /// By a hash of something the request says.
    Hash {
        /// The place on the circle.
        hash: u32,
        /// The size of the sets of endpoints among which the hash chooses.
        subset: Option<NonZeroUsize>,
    },
    /// By the cookie of a session.
    Session(Box<Session>),
}

/// Whose turn it is, by upstream. One per worker.
#[derive(Debug, Default)]
pub(crate) struct Balancer {
    turns: RefCell<HashMap<u64, usize>>,
}

/// Upstreams whose turn is remembered. Beyond that all start anew at random, which costs evenness and nothing else.
const REMEMBERED: usize = 16_384;

impl Balancer {
    /// An endpoint; one that is not in `tried` if there is any, unless a session is bound to it.
    pub(crate) fn pick(
        &self,
        choice: &Choice,
        upstream: &Upstream,
        tried: &[SocketAddr],
        random: &Random,
    ) -> Option<Endpoint> {
        upstream.with_set(|set| match choice {
            Choice::RoundRobin => self.in_turn(upstream.number(), set.list(), tried, random),
            Choice::Ewma => faster(set, tried, random),
            Choice::Hash { hash, subset } => by_hash(set, *hash, *subset, tried, random),
            Choice::Session(session) => session.pick(set, upstream.name(), tried, random),
        })
    }

    fn in_turn(
        &self,
        upstream: u64,
        endpoints: &[Endpoint],
        tried: &[SocketAddr],
        random: &Random,
    ) -> Option<Endpoint> {
        let first = self.turn(upstream, endpoints.len(), random)?;
        let (later, sooner) = endpoints.split_at_checked(first)?;
        let mut in_turn = sooner.iter().chain(later);
        in_turn.find(|endpoint| !tried.contains(&endpoint.address)).or(sooner.first()).copied()
    }

    fn turn(&self, upstream: u64, endpoints: usize, random: &Random) -> Option<usize> {
        let mut turns = self.turns.borrow_mut();
        if turns.len() >= REMEMBERED && !turns.contains_key(&upstream) {
            turns.clear();
        }
        let turn = turns.entry(upstream).or_insert_with(|| random.below(endpoints));
        let first = turn.checked_rem(endpoints)?;
        *turn = first + 1;
        Some(first)
    }
}

/// Of two endpoints at random, the one with the lower average.
fn faster(set: &EndpointSet, tried: &[SocketAddr], random: &Random) -> Option<Endpoint> {
    let candidates = || set.list().iter().zip(set.scores());
    let open = || candidates().filter(|(endpoint, _)| !tried.contains(&endpoint.address));
    let count = if tried.is_empty() { set.list().len() } else { open().count() };
    let nth = |place: usize| if tried.is_empty() { candidates().nth(place) } else { open().nth(place) };
    match count {
        0 if tried.is_empty() => None,
        0 => faster(set, &[], random),
        1 => nth(0).map(|(endpoint, _)| *endpoint),
        _ => {
            let one = random.below(count);
            let other = random.below(count - 1);
            let other = if other >= one { other + 1 } else { other };
            let now = ewma::now();
            let ((one, one_score), (other, other_score)) = (nth(one)?, nth(other)?);
            Some(if other_score.at(now) < one_score.at(now) { *other } else { *one })
        }
    }
}

/// The endpoint that the hash asks for; where it was tried, the next on the circle.
fn by_hash(
    set: &EndpointSet,
    hash: u32,
    subset: Option<NonZeroUsize>,
    tried: &[SocketAddr],
    random: &Random,
) -> Option<Endpoint> {
    let untried = |endpoint: &Endpoint| !tried.contains(&endpoint.address);
    match subset {
        None => on_ring(set, hash, untried),
        Some(size) => {
            set.of_subset(size, hash, untried, random).or_else(|| set.of_subset(size, hash, |_| true, random))
        }
    }
}

/// The first wanted endpoint on the circle from this place on; the first at all where none is wanted.
pub(super) fn on_ring(set: &EndpointSet, hash: u32, wanted: impl Fn(&Endpoint) -> bool) -> Option<Endpoint> {
    let walk = || set.ring().walk(hash).filter_map(|place| set.list().get(place));
    walk().find(|endpoint| wanted(endpoint)).or_else(|| walk().next()).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use portcullis_model::ClusterId;

    use super::super::{UpstreamRegistry, ring};
    use super::*;

    fn id() -> ClusterId {
        ClusterId { namespace: "n".into(), service: "s".into(), port: "80".into() }
    }

    fn endpoint(address: &str) -> Endpoint {
        Endpoint { address: address.parse().unwrap() }
    }

    fn picks(endpoints: &[&str], tried: &[&str], count: usize) -> Vec<String> {
        picks_by(&Choice::RoundRobin, endpoints, tried, count)
    }

    fn picks_by(choice: &Choice, endpoints: &[&str], tried: &[&str], count: usize) -> Vec<String> {
        let registry = UpstreamRegistry::default();
        let id = id();
        let upstream = registry.upstream(&id);
        let parse = |text: &&str| text.parse::<SocketAddr>().unwrap();
        let list: Vec<_> = endpoints.iter().map(|text| Endpoint { address: parse(text) }).collect();
        registry.set_endpoints(&id, &list);
        let tried: Vec<_> = tried.iter().map(parse).collect();
        let (balancer, random) = (Balancer::default(), Random::new());
        let pick = |_| balancer.pick(choice, &upstream, &tried, &random).map(|endpoint| endpoint.address.to_string());
        (0..count).filter_map(pick).collect()
    }

    #[test]
    fn endpoints_take_turns() {
        let all = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"];
        let picked = picks(&all, &[], 6);
        assert_eq!(picked[..3], picked[3..]);
        for endpoint in all {
            assert_eq!(picked.iter().filter(|picked| *picked == endpoint).count(), 2, "{picked:?}");
        }
    }

    #[test]
    fn an_endpoint_is_tried_again_only_when_all_were() {
        assert_eq!(picks(&["10.0.0.1:80", "10.0.0.2:80"], &["10.0.0.1:80"], 2), ["10.0.0.2:80", "10.0.0.2:80"]);
        assert_eq!(picks(&["10.0.0.1:80"], &["10.0.0.1:80"], 1), ["10.0.0.1:80"]);
        assert_eq!(picks(&[], &[], 1), [""; 0]);
    }

    const SIX: [&str; 6] = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80", "10.0.0.6:80"];

    fn by_key(key: &str, subset: Option<usize>) -> Choice {
        Choice::Hash { hash: ring::hash(key.as_bytes()), subset: subset.and_then(NonZeroUsize::new) }
    }

    #[test]
    fn a_hash_keeps_its_endpoint_and_different_ones_spread() {
        let mut seen = BTreeSet::new();
        for key in 0..60 {
            let picked = picks_by(&by_key(&format!("/p{key}"), None), &SIX, &[], 4);
            assert!(picked.iter().all(|one| *one == picked[0]), "{picked:?}");
            seen.insert(picked[0].clone());
        }
        assert_eq!(seen.len(), 6);
    }

    #[test]
    fn a_hash_goes_on_to_another_endpoint_where_its_own_was_tried() {
        let key = by_key("/a", None);
        let first = picks_by(&key, &SIX, &[], 1).remove(0);
        let second = picks_by(&key, &SIX, &[&first], 1).remove(0);
        let third = picks_by(&key, &SIX, &[&first, &second], 1).remove(0);
        assert_eq!(BTreeSet::from([&first, &second, &third]).len(), 3);
        let without: Vec<&str> = SIX.into_iter().filter(|endpoint| *endpoint != first).collect();
        assert_eq!(picks_by(&key, &without, &[], 1), [second], "as if the first were gone");
        assert_eq!(picks_by(&key, &SIX, &SIX, 1), [first], "all were tried");
        assert_eq!(picks_by(&key, &[], &[], 1), [""; 0]);
    }

    #[test]
    fn a_hash_may_select_a_set_and_chance_one_of_it() {
        for (endpoints, size, sets) in [
            (&SIX[..], 2, &[&[0, 1][..], &[2, 3], &[4, 5]][..]),
            (&SIX[..5], 2, &[&[0, 1], &[2, 3], &[0, 4]]),
            (&SIX[..2], 3, &[&[0, 1]]),
        ] {
            let mut met = BTreeSet::new();
            for key in 0..40 {
                let picked = picks_by(&by_key(&format!("/p{key}"), Some(size)), endpoints, &[], 60);
                let places = picked.iter().map(|one| endpoints.iter().position(|known| known == one).unwrap());
                let set: BTreeSet<usize> = places.collect();
                met.insert(set.into_iter().collect::<Vec<_>>());
            }
            let want: BTreeSet<Vec<usize>> = sets.iter().map(|set| set.to_vec()).collect();
            assert_eq!(met, want, "{} by {size}", endpoints.len());
        }
    }

    #[test]
    fn a_set_is_left_when_all_of_it_was_tried() {
        let key = by_key("/a", Some(2));
        let set: BTreeSet<String> = picks_by(&key, &SIX, &[], 60).into_iter().collect();
        let tried: Vec<&str> = set.iter().map(String::as_str).collect();
        assert_eq!(tried.len(), 2);
        let other: BTreeSet<String> = picks_by(&key, &SIX, &tried[..1], 20).into_iter().collect();
        assert_eq!(other.iter().collect::<Vec<_>>(), [tried[1]]);
        assert!(picks_by(&key, &SIX, &tried, 20).iter().all(|one| !set.contains(one)));
        assert_eq!(picks_by(&key, &SIX, &SIX, 20).len(), 20);
    }

    #[test]
    fn the_faster_of_two_gets_the_request() {
        let (registry, id) = (UpstreamRegistry::default(), id());
        let upstream = registry.upstream(&id);
        let (fast, slow) = (endpoint("10.0.0.1:80"), endpoint("10.0.0.2:80"));
        registry.set_endpoints(&id, &[fast, slow]);
        upstream.note_time(fast.address, Duration::from_millis(10));
        upstream.note_time(slow.address, Duration::from_millis(500));
        let (balancer, random) = (Balancer::default(), Random::new());
        let pick = |tried: &[SocketAddr]| balancer.pick(&Choice::Ewma, &upstream, tried, &random);
        for _ in 0..20 {
            assert_eq!(pick(&[]), Some(fast));
            assert_eq!(pick(&[fast.address]), Some(slow));
        }
        assert!(pick(&[fast.address, slow.address]).is_some());
        let fresh = endpoint("10.0.0.3:80");
        registry.set_endpoints(&id, &[fast, fresh]);
        for _ in 0..20 {
            assert_eq!(pick(&[]), Some(fast), "the new one starts at the mean, the old one keeps its score");
        }
        registry.set_endpoints(&id, &[]);
        assert_eq!(pick(&[]), None);
    }

    #[test]
    fn endpoints_of_which_nothing_is_known_share_requests() {
        let picked: BTreeSet<String> = picks_by(&Choice::Ewma, &SIX, &[], 200).into_iter().collect();
        assert_eq!(picked.len(), 6);
    }
}
