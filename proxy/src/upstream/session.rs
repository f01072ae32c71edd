//! The endpoint of a session: the one its cookie names, else a new one with a key that leads there again.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_model::{AffinityMode, Endpoint};

use super::balance::on_ring;
use super::endpoints::{EndpointSet, HexDigest};
use super::ring;
use crate::random::Random;

/// The session that a request belongs to, or begins.
#[derive(Debug)]
pub(crate) struct Session {
    held: Held,
    change_on_failure: bool,
    /// The key of the endpoint chosen last, if it is not that of the cookie.
    given: RefCell<Option<String>>,
}

/// What the cookie says.
#[derive(Debug)]
enum Held {
    /// A place on the circle; none without a cookie.
    Balanced(Option<u32>),
    /// The key of an endpoint; none without a cookie, or with one that cannot be such a key.
    Persistent(Option<HexDigest>),
}

/// Keys that are drawn to find one that leads to an endpoint not tried yet (ingress-nginx).
const DRAWS: usize = 20;

impl Session {
    /// The session of a request whose cookie holds this key.
    pub(crate) fn new(mode: AffinityMode, change_on_failure: bool, key: Option<&[u8]>) -> Self {
        let held = match mode {
            AffinityMode::Balanced => Held::Balanced(key.map(ring::hash)),
            AffinityMode::Persistent => Held::Persistent(key.and_then(|key| key.try_into().ok())),
        };
        Self { held, change_on_failure, given: RefCell::default() }
    }

    /// The key that the client's cookie shall hold from now on; none where it already does.
    pub(crate) fn given(&self) -> Option<String> {
        self.given.borrow().clone()
    }

    pub(super) fn pick(
        &self,
        set: &EndpointSet,
        upstream: &str,
        tried: &[SocketAddr],
        random: &Random,
    ) -> Option<Endpoint> {
        let stays = tried.is_empty() || !self.change_on_failure;
        if let Some(held) = self.endpoint(set, upstream).filter(|_| stays) {
            self.given.replace(None);
            return Some(held);
        }
        let (endpoint, key) = match self.held {
            Held::Balanced(_) => draw(set, tried, random)?,
            Held::Persistent(_) => any(set, upstream, tried, random)?,
        };
        self.given.replace(Some(key));
        Some(endpoint)
    }

    fn endpoint(&self, set: &EndpointSet, upstream: &str) -> Option<Endpoint> {
        match &self.held {
            Held::Balanced(place) => place.and_then(|place| on_ring(set, place, |_| true)),
            Held::Persistent(key) => key.and_then(|key| set.of_session(&key, upstream)),
        }
    }
}

/// A new place on the circle, of an endpoint that was not tried if there is any.
fn draw(set: &EndpointSet, tried: &[SocketAddr], random: &Random) -> Option<(Endpoint, String)> {
    let mut drawn = None;
    for _ in 0..DRAWS {
        let key = new_key(random);
        let endpoint = on_ring(set, ring::hash(key.as_bytes()), |_| true)?;
        let untried = !tried.contains(&endpoint.address);
        drawn = Some((endpoint, key));
        if untried {
            break;
        }
    }
    drawn
}

/// `SECONDS.MILLISECONDS.PROCESS.NUMBER`, as ingress-nginx writes them. Says when a session began, and nothing else.
fn new_key(random: &Random) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let number = random.below(1_000_000_000);
    format!("{}.{:03}.{}.{number}", now.as_secs(), now.subsec_millis(), std::process::id())
}

/// A random endpoint that was not tried if there is any, with its key.
fn any(set: &EndpointSet, upstream: &str, tried: &[SocketAddr], random: &Random) -> Option<(Endpoint, String)> {
    let untried = || set.list().iter().enumerate().filter(|(_, endpoint)| !tried.contains(&endpoint.address));
    let count = untried().count();
    let (place, endpoint) = match count {
        0 => set.list().iter().enumerate().nth(random.below(set.list().len())),
        _ => untried().nth(random.below(count)),
    }?;
    let key = set.session_key(place, upstream)?;
    Some((*endpoint, String::from_utf8_lossy(&key).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const NAME: &str = "demo-echo-80";

    fn set(count: u8) -> EndpointSet {
        let endpoints = (1..=count).map(|last| Endpoint { address: SocketAddr::from(([10, 0, 0, last], 80)) });
        EndpointSet::new(&endpoints.collect::<Vec<_>>())
    }

    /// The endpoint of a session with this key, and the key it gets.
    fn pick(
        set: &EndpointSet,
        mode: AffinityMode,
        key: Option<&str>,
        tried: &[SocketAddr],
        change: bool,
    ) -> (SocketAddr, Option<String>) {
        let session = Session::new(mode, change, key.map(str::as_bytes));
        let endpoint = session.pick(set, NAME, tried, &Random::new()).unwrap();
        (endpoint.address, session.given())
    }

    #[test]
    fn the_key_given_leads_back_to_the_endpoint() {
        let set = set(5);
        for mode in [AffinityMode::Balanced, AffinityMode::Persistent] {
            let mut seen = BTreeSet::new();
            for _ in 0..100 {
                let (endpoint, key) = pick(&set, mode, None, &[], false);
                assert_eq!(pick(&set, mode, key.as_deref(), &[], false), (endpoint, None), "{mode:?}");
                seen.insert(endpoint);
            }
            assert_eq!(seen.len(), 5, "{mode:?}: new sessions spread");
        }
    }

    #[test]
    fn a_persistent_session_stays_when_endpoints_come_and_moves_when_its_own_goes() {
        let mode = AffinityMode::Persistent;
        let (before, key) = pick(&set(3), mode, None, &[], false);
        for count in 4..30 {
            assert_eq!(pick(&set(count), mode, key.as_deref(), &[], false), (before, None));
        }
        let rest: Vec<Endpoint> = set(3).list().iter().filter(|one| one.address != before).copied().collect();
        let (after, new_key) = pick(&EndpointSet::new(&rest), mode, key.as_deref(), &[], false);
        assert!(after != before && new_key.is_some() && new_key != key);
    }

    #[test]
    fn keys_are_those_of_ingress_nginx() {
        // md5("demo-echo-80" "10.0.0.1:80")
        let (_, key) = pick(&set(1), AffinityMode::Persistent, None, &[], false);
        assert_eq!(key.as_deref(), Some("1b16d936950e99f89a259d15e0ecb117"));
        let (_, key) = pick(&set(1), AffinityMode::Balanced, None, &[], false);
        let key = key.unwrap();
        let parts: Vec<u64> = key.split('.').map(|part| part.parse().unwrap()).collect();
        assert_eq!((parts.len(), parts[2]), (4, u64::from(std::process::id())));
    }

    #[test]
    fn a_key_of_any_kind_is_a_place_on_the_circle_and_only_a_known_one_names_an_endpoint() {
        let set = set(3);
        for key in ["garbage", "", "0123456789abcdef0123456789abcdef"] {
            assert_eq!(pick(&set, AffinityMode::Balanced, Some(key), &[], false).1, None, "{key}");
            assert!(pick(&set, AffinityMode::Persistent, Some(key), &[], false).1.is_some(), "{key}");
        }
    }

    #[test]
    fn a_failure_moves_a_session_only_if_asked() {
        let set = set(3);
        for mode in [AffinityMode::Balanced, AffinityMode::Persistent] {
            let (first, key) = pick(&set, mode, None, &[], false);
            let key = key.as_deref();
            assert_eq!(pick(&set, mode, key, &[first], false), (first, None), "{mode:?}");
            let (second, new_key) = pick(&set, mode, key, &[first], true);
            assert!(second != first && new_key.is_some(), "{mode:?}");
            let (other, given) = pick(&set, mode, None, &[first], false);
            assert!(other != first && given.is_some(), "{mode:?}: a session that only begins");
            let all: Vec<SocketAddr> = set.list().iter().map(|endpoint| endpoint.address).collect();
            let (last, given) = pick(&set, mode, key, &all, true);
            assert_eq!(pick(&set, mode, given.as_deref(), &[], false).0, last, "{mode:?}: all were tried");
        }
    }

    #[test]
    fn no_endpoint_is_no_session() {
        for mode in [AffinityMode::Balanced, AffinityMode::Persistent] {
            let session = Session::new(mode, true, Some(b"key"));
            assert_eq!(session.pick(&set(0), NAME, &[], &Random::new()), None);
            assert_eq!(session.given(), None);
        }
    }
}
