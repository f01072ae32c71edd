//! What the webhook has done so far.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use portcullis_translate::{ObjectKey, Review};

/// Most Ingresses that are counted each for itself; further ones are counted together, without a name. Whoever reaches the
/// webhook can make names up.
const MAX_INGRESSES: usize = 1024;

/// Counts by Ingress, and times of the last review.
#[derive(Debug, Default)]
pub struct Counts {
    reviewed: Mutex<Reviewed>,
}

/// The same at one moment.
#[derive(Clone, Debug, Default)]
pub struct Reviewed {
    /// Allowed and denied reviews of Ingresses of ours, by Ingress; the empty key for those that are too many.
    pub by_ingress: BTreeMap<ObjectKey, (u64, u64)>,
    /// How many Ingresses were translated for the last review.
    pub translated: usize,
    /// How long that took.
    pub took: Duration,
    /// Time from the request to its answer.
    pub roundtrip: Duration,
}

impl Counts {
    /// What there is to tell.
    #[must_use]
    pub fn get(&self) -> Reviewed {
        self.reviewed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts one review. Those that nobody had to look at are passed over, as in ingress-nginx.
    pub(super) fn note(&self, key: &ObjectKey, review: &Review, took: Duration, roundtrip: Duration) {
        if review.translated == 0 && review.refusal.is_none() {
            return;
        }
        let mut reviewed = self.reviewed.lock().unwrap_or_else(PoisonError::into_inner);
        let Reviewed { by_ingress, .. } = &mut *reviewed;
        let has_place = by_ingress.len() < MAX_INGRESSES || by_ingress.contains_key(key);
        let key = if has_place { key.clone() } else { ObjectKey::new("", "") };
        let (allowed, denied) = by_ingress.entry(key).or_default();
        let count = if review.refusal.is_some() { denied } else { allowed };
        *count = count.saturating_add(1);
        (reviewed.translated, reviewed.took, reviewed.roundtrip) = (review.translated, took, roundtrip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_somebody_makes_up_are_bounded() {
        let counts = Counts::default();
        let denied = Review { refusal: Some(String::new()), ..Review::default() };
        for number in 0..3000 {
            let key = ObjectKey::new("demo", &number.to_string());
            counts.note(&key, &denied, Duration::ZERO, Duration::ZERO);
        }
        let by_ingress = counts.get().by_ingress;
        assert_eq!(by_ingress.len(), MAX_INGRESSES + 1);
        assert_eq!(by_ingress[&ObjectKey::new("", "")], (0, 3000 - 1024));
        assert_eq!(by_ingress[&ObjectKey::new("demo", "7")], (0, 1));
    }

    #[test]
    fn what_is_none_of_ours_is_not_counted() {
        let counts = Counts::default();
        let key = ObjectKey::new("demo", "a");
        counts.note(&key, &Review::default(), Duration::ZERO, Duration::ZERO);
        assert!(counts.get().by_ingress.is_empty());
        counts.note(&key, &Review { translated: 2, ..Review::default() }, Duration::ZERO, Duration::from_millis(1));
        assert_eq!((counts.get().by_ingress[&key], counts.get().translated), ((1, 0), 2));
    }
}
