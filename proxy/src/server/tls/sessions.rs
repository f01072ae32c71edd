//! Sessions kept here, to be resumed by their name (nginx: `ssl_session_cache shared`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, StoresServerSessions};

/// Sessions that can be resumed, all workers and hosts together. Older ones give way.
const SESSIONS: usize = 10_240;

/// The sessions of all configurations of one plan.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    cache: Arc<ServerSessionMemoryCache>,
    lifetime: Duration,
    epoch: Instant,
}

impl Sessions {
    /// Sessions that can be resumed for `lifetime`.
    pub(super) fn new(lifetime: Duration) -> Self {
        Self { cache: ServerSessionMemoryCache::new(SESSIONS), lifetime, epoch: Instant::now() }
    }

    /// Those of one domain; sessions of another one are not found there. Without sessions nothing is kept.
    pub(super) fn storage(sessions: Option<&Self>, domain: &str) -> Arc<dyn StoresServerSessions> {
        match sessions {
            Some(sessions) => Arc::new(Domain { sessions: sessions.clone(), name: domain.into() }),
            None => Arc::new(NoServerSessionStorage {}),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The session, if it is not too old. Its first octets tell when it was made, in milliseconds.
    fn fresh(&self, mut stored: Vec<u8>) -> Option<Vec<u8>> {
        let made = u64::from_be_bytes(*stored.first_chunk()?);
        let age = Duration::from_millis(self.now().checked_sub(made)?);
        stored.drain(..size_of::<u64>());
        (age < self.lifetime).then_some(stored)
    }
}

#[derive(Debug)]
struct Domain {
    sessions: Sessions,
    name: Box<str>,
}

impl Domain {
    fn key(&self, id: &[u8]) -> Vec<u8> {
        [id, self.name.as_bytes()].concat()
    }
}

impl StoresServerSessions for Domain {
    fn put(&self, id: Vec<u8>, session: Vec<u8>) -> bool {
        let stored = [&self.sessions.now().to_be_bytes()[..], &session].concat();
        self.sessions.cache.put(self.key(&id), stored)
    }

    fn get(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.sessions.fresh(self.sessions.cache.get(&self.key(id))?)
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.sessions.fresh(self.sessions.cache.take(&self.key(id))?)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_in_its_domain_until_it_is_too_old() {
        let sessions = Sessions::new(Duration::from_millis(300));
        let (one, other) = (Sessions::storage(Some(&sessions), "one"), Sessions::storage(Some(&sessions), "other"));
        assert!(one.put(vec![1], b"session".to_vec()));
        assert_eq!(one.get(&[1]).as_deref(), Some(&b"session"[..]));
        assert_eq!((one.get(&[2]), other.get(&[1]), other.take(&[1])), (None, None, None));
        std::thread::sleep(Duration::from_millis(320));
        assert_eq!((one.get(&[1]), one.take(&[1])), (None, None));
        assert!(one.put(vec![3], b"x".to_vec()));
        assert_eq!((one.take(&[3]).as_deref(), one.take(&[3])), (Some(&b"x"[..]), None), "taken once");
    }

    #[test]
    fn without_sessions_nothing_is_kept() {
        let storage = Sessions::storage(None, "one");
        assert!(!storage.can_cache() && !storage.put(vec![1], vec![2]));
        assert_eq!(storage.get(&[1]), None);
    }
}
