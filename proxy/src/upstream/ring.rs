//! Consistent hashing: which of several members a key belongs to, such that few keys move when members come or go.

use crc32fast::Hasher;

/// Points on a circle, each of one member; a key belongs to the member of the next point.
///
/// The points are those of lua-resty-balancer's `resty.chash`, so that sessions and hashed keys stay where ingress-nginx had them,
/// and are the same in every process.
#[derive(Debug)]
pub(crate) struct Ring(Box<[Point]>);

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Point {
    hash: u32,
    member: u32,
}

/// Points of a member.
const POINTS: usize = 160;
/// Points of a ring, which bound its memory (8 MiB) and the time it takes to make one; more members have fewer points each.
const MOST_POINTS: usize = 1 << 20;

/// The place of a key on the circle.
pub(crate) fn hash(key: &[u8]) -> u32 {
    crc32fast::hash(key)
}

impl Ring {
    /// A ring of members with these names; a member is found again by its place in the list.
    pub(crate) fn new(names: impl ExactSizeIterator<Item = String>) -> Self {
        let each = (MOST_POINTS / names.len().max(1)).clamp(1, POINTS);
        let mut points = Vec::with_capacity(names.len() * each);
        for (member, name) in (0_u32..).zip(names) {
            let mut named = Hasher::new();
            named.update(name.as_bytes());
            let mut hash = 0_u32;
            for _ in 0..each {
                let mut next = named.clone();
                next.update(&hash.to_le_bytes());
                hash = next.finalize();
                points.push(Point { hash, member });
            }
        }
        points.sort_unstable();
        Self(points.into_boxed_slice())
    }

    /// The members in the order in which a key asks for them: its own, then those that would have it if the ones before were
    /// gone. Members come more than once.
    pub(crate) fn walk(&self, hash: u32) -> impl Iterator<Item = usize> {
        let start = self.0.partition_point(|point| point.hash < hash);
        let (before, after) = self.0.split_at_checked(start).unwrap_or_default();
        after.iter().chain(before).map(|point| point.member as usize)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring(names: &[String]) -> Ring {
        Ring::new(names.iter().cloned())
    }

    fn owner<'n>(names: &'n [String], key: &str) -> &'n str {
        &names[ring(names).walk(hash(key.as_bytes())).next().unwrap()]
    }

    #[test]
    fn keys_belong_to_whom_ingress_nginx_gives_them() {
        // By hand, from the definition: the first point of "a" is crc32("a" 0 0 0 0), the second crc32("a" and the first).
        let first = hash(b"a\0\0\0\0");
        let second = hash(&[&b"a"[..], &first.to_le_bytes()].concat());
        let points: Vec<u32> = Ring::new(["a".to_owned()].into_iter()).0.iter().map(|point| point.hash).collect();
        assert_eq!(points.len(), 160);
        assert!(points.contains(&first) && points.contains(&second));
        assert_eq!(hash(b"123456789"), 0xcbf4_3926, "CRC-32 of ISO 3309");
    }

    #[test]
    fn a_key_on_a_point_belongs_to_it_and_one_behind_the_last_to_the_first() {
        let points = [(10, 0), (20, 1)].map(|(hash, member)| Point { hash, member });
        let ring = Ring(points.into());
        for (hash, want) in [(0, 0), (10, 0), (11, 1), (20, 1), (21, 0), (u32::MAX, 0)] {
            assert_eq!(ring.walk(hash).next(), Some(want), "{hash}");
        }
        assert_eq!(Ring(Box::default()).walk(1).next(), None);
    }

    #[test]
    fn members_share_keys_evenly() {
        let names: Vec<String> = (1..=5).map(|last| format!("10.0.0.{last}:80")).collect();
        let mut counts = [0; 5];
        let ring = ring(&names);
        for key in 0..10_000 {
            counts[ring.walk(hash(format!("/path/{key}").as_bytes())).next().unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (1_000..3_400).contains(count)), "{counts:?}");
    }

    #[test]
    fn very_many_members_have_fewer_points() {
        let names = (0..20_000).map(|number| format!("10.0.{}.{}:80", number / 250, number % 250));
        let names: Vec<String> = names.collect();
        assert!(ring(&names).0.len() <= MOST_POINTS);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_new_member_takes_its_share_and_nothing_moves_between_the_others(count in 1_usize..24, subnet in 0_u8..=255) {
            let old: Vec<String> = (1..=count).map(|last| format!("10.1.{subnet}.{last}:8080")).collect();
            let mut new = old.clone();
            let added = format!("10.1.{subnet}.250:8080");
            new.insert(count / 2, added.clone());
            let (before, after) = (ring(&old), ring(&new));
            let mut moved = 0;
            for key in 0..2_000 {
                let place = hash(format!("key-{key}").as_bytes());
                let from = &old[before.walk(place).next().unwrap()];
                let to = &new[after.walk(place).next().unwrap()];
                if from != to {
                    prop_assert_eq!(to, &added);
                    moved += 1;
                }
            }
            let fair = 2_000 / (count + 1);
            prop_assert!((fair / 3..=fair * 3).contains(&moved), "{} of 2000 moved to one of {}", moved, count + 1);
        }

        #[test]
        fn the_walk_goes_where_keys_go_when_members_are_gone(count in 2_usize..12, key in "[a-z]{1,12}") {
            let names: Vec<String> = (1..=count).map(|last| format!("10.1.0.{last}:80")).collect();
            let first = owner(&names, &key).to_owned();
            let second = ring(&names).walk(hash(key.as_bytes())).map(|member| &names[member]).find(|name| **name != first);
            let without: Vec<String> = names.iter().filter(|name| **name != first).cloned().collect();
            prop_assert_eq!(second.map(String::as_str), Some(owner(&without, &key)));
        }
    }
}
