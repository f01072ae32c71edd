//! The UDP sessions of a worker: a client of a port, and the endpoint that answers it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;

/// Sessions by client, and in the order in which they were used last. What is kept is dropped with its place here.
#[derive(Debug)]
pub(super) struct Sessions<S> {
    most: usize,
    by_client: RefCell<HashMap<Key, Place<S>>>,
    by_use: RefCell<BTreeMap<u64, Key>>,
    uses: Cell<u64>,
}

/// A client of a socket.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Key {
    /// The number of the socket.
    pub(super) socket: u64,
    pub(super) client: SocketAddr,
}

#[derive(Debug)]
struct Place<S> {
    session: Rc<S>,
    used: u64,
}

impl<S> Sessions<S> {
    /// Room for so many.
    pub(super) fn new(most: usize) -> Self {
        Self { most, by_client: RefCell::default(), by_use: RefCell::default(), uses: Cell::new(0) }
    }

    /// The session of a client, which is used now.
    pub(super) fn used(&self, key: Key) -> Option<Rc<S>> {
        let mut by_client = self.by_client.borrow_mut();
        let place = by_client.get_mut(&key)?;
        let mut by_use = self.by_use.borrow_mut();
        by_use.remove(&place.used);
        place.used = self.next_use();
        by_use.insert(place.used, key);
        Some(Rc::clone(&place.session))
    }

    /// Adds a session where there is room for it; the one of that client before is replaced.
    pub(super) fn add(&self, key: Key, session: Rc<S>) -> bool {
        if self.is_full() {
            return false;
        }
        let used = self.next_use();
        let before = self.by_client.borrow_mut().insert(key, Place { session, used });
        let mut by_use = self.by_use.borrow_mut();
        if let Some(before) = &before {
            by_use.remove(&before.used);
        }
        by_use.insert(used, key);
        true
    }

    /// Takes out the session of a client, if it is this one.
    pub(super) fn remove(&self, key: Key, session: &Rc<S>) {
        let mut by_client = self.by_client.borrow_mut();
        if by_client.get(&key).is_some_and(|place| Rc::ptr_eq(&place.session, session))
            && let Some(place) = by_client.remove(&key)
        {
            self.by_use.borrow_mut().remove(&place.used);
        }
    }

    /// Takes out the session that was not used for the longest time.
    pub(super) fn remove_oldest(&self) -> Option<Rc<S>> {
        let (_, key) = self.by_use.borrow_mut().pop_first()?;
        self.by_client.borrow_mut().remove(&key).map(|place| place.session)
    }

    /// Takes out all sessions of a socket.
    pub(super) fn remove_all(&self, socket: u64) -> Vec<Rc<S>> {
        let mut by_client = self.by_client.borrow_mut();
        let of_socket = by_client.extract_if(|key, _| key.socket == socket).map(|(_, place)| place).collect::<Vec<_>>();
        let mut by_use = self.by_use.borrow_mut();
        let taken = of_socket.into_iter().map(|place| {
            by_use.remove(&place.used);
            place.session
        });
        taken.collect()
    }

    /// Whether there is room for no more.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.most
    }

    fn len(&self) -> usize {
        self.by_client.borrow().len()
    }

    fn next_use(&self) -> u64 {
        self.uses.set(self.uses.get() + 1);
        self.uses.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(socket: u64, port: u16) -> Key {
        Key { socket, client: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    #[test]
    fn the_one_that_was_not_used_for_longest_goes_first() {
        let sessions = Sessions::new(3);
        for port in 1..=3 {
            assert!(sessions.add(key(0, port), Rc::new(port)));
        }
        assert!(!sessions.add(key(0, 4), Rc::new(4)), "no room");
        assert_eq!(sessions.used(key(0, 1)).as_deref(), Some(&1));
        assert_eq!(sessions.used(key(1, 1)), None, "of another socket");
        assert_eq!(sessions.remove_oldest().as_deref(), Some(&2));
        assert!(sessions.add(key(0, 4), Rc::new(4)));
        let gone: Vec<u16> = std::iter::from_fn(|| sessions.remove_oldest()).map(|session| *session).collect();
        assert_eq!(gone, [3, 1, 4]);
        assert!(sessions.by_use.borrow().is_empty() && sessions.len() == 0);
    }

    #[test]
    fn a_session_does_not_take_out_the_one_after_it() {
        let sessions = Sessions::new(10);
        let (first, second) = (Rc::new(1), Rc::new(2));
        sessions.add(key(0, 1), Rc::clone(&first));
        sessions.add(key(0, 1), Rc::clone(&second));
        sessions.remove(key(0, 1), &first);
        assert_eq!((sessions.len(), sessions.by_use.borrow().len()), (1, 1));
        sessions.remove(key(0, 1), &second);
        assert_eq!((sessions.len(), sessions.by_use.borrow().len()), (0, 0));
    }

    #[test]
    fn a_socket_takes_its_sessions_with_it() {
        let sessions = Sessions::new(10);
        for (socket, port) in [(0, 1), (1, 1), (0, 2)] {
            sessions.add(key(socket, port), Rc::new((socket, port)));
        }
        let mut gone: Vec<_> = sessions.remove_all(0).iter().map(|session| **session).collect();
        gone.sort_unstable();
        assert_eq!(gone, [(0, 1), (0, 2)]);
        assert_eq!((sessions.len(), sessions.by_use.borrow().len()), (1, 1));
    }
}
