//! A map with a bound: where it is full, it forgets what was longest not used.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// The map.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    most: usize,
    clock: u64,
    /// Values with the time of their last use.
    values: HashMap<K, (u64, V)>,
    by_use: BTreeMap<u64, K>,
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    /// With so many entries at most; at least one.
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), clock: 0, values: HashMap::new(), by_use: BTreeMap::new() }
    }

    /// The value of a key, which counts as a use of it.
    pub(super) fn get(&mut self, key: &K) -> Option<&mut V> {
        let (used, value) = self.values.get_mut(key)?;
        self.clock += 1;
        self.by_use.remove(used);
        self.by_use.insert(self.clock, key.clone());
        *used = self.clock;
        Some(value)
    }

    /// Sets it.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.clock += 1;
        if let Some((used, _)) = self.values.insert(key.clone(), (self.clock, value)) {
            self.by_use.remove(&used);
        }
        self.by_use.insert(self.clock, key);
        while self.values.len() > self.most
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.values.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_longest_not_used_is_forgotten() {
        let mut recent = Recent::new(3);
        for key in ["a", "b", "c"] {
            recent.insert(key, 0);
        }
        assert_eq!(recent.get(&"a"), Some(&mut 0));
        recent.insert("b", 1);
        recent.insert("d", 0);
        let known: Vec<_> = ["a", "b", "c", "d"].into_iter().map(|key| recent.get(&key).copied()).collect();
        assert_eq!(known, [Some(0), Some(1), None, Some(0)]);
        assert_eq!((recent.values.len(), recent.by_use.len()), (3, 3));
    }

    #[test]
    fn it_never_grows_beyond_its_bound() {
        let mut recent = Recent::new(16);
        for number in 0..1_000_u32 {
            recent.insert(number % 40, number);
            recent.get(&(number % 7));
            assert!(recent.values.len() <= 16 && recent.by_use.len() == recent.values.len());
        }
    }
}
