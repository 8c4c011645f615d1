//! How often something may happen: for each of those who make it happen.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// A rate for each key: so many at once, and then one for each part of the period (the generic cell rate algorithm).
/// Clones share the state.
///
/// Of each key that was used lately one moment is kept; of so many keys, and no more: then the key goes that has most
/// left.
#[derive(Clone, Debug)]
pub(crate) struct RateLimit<K> {
    burst: u32,
    period: Duration,
    /// When each key has all that it may have again.
    full_at: Arc<Mutex<BTreeMap<K, Instant>>>,
}

/// Keys that are remembered.
const MAX_KEYS: usize = 10_000;

impl<K: Ord + Clone> RateLimit<K> {
    /// At most `burst` (at least one) for each key within `period`.
    pub(crate) fn new(burst: u32, period: Duration) -> Self {
        Self { burst: burst.max(1), period, full_at: Arc::default() }
    }

    /// Takes one of what `key` may have, at this moment.
    ///
    /// # Errors
    /// How long it takes until there is one again; nothing is taken then.
    pub(crate) fn take(&self, key: &K, now: Instant) -> Result<(), Duration> {
        let cost = self.period / self.burst;
        let mut full_at = self.lock();
        let next = full_at.get(key).copied().unwrap_or(now).max(now) + cost;
        let latest = now + self.period;
        if next > latest {
            return Err(next - latest);
        }
        if full_at.len() >= MAX_KEYS && !full_at.contains_key(key) {
            full_at.retain(|_, at| *at > now);
            let first = full_at.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone());
            if let Some(first) = first.filter(|_| full_at.len() >= MAX_KEYS) {
                full_at.remove(&first);
            }
        }
        full_at.insert(key.clone(), next);
        Ok(())
    }

    /// Gives back one that was taken.
    pub(crate) fn give_back(&self, key: &K, now: Instant) {
        let cost = self.period / self.burst;
        let mut full_at = self.lock();
        if let Some(at) = full_at.get_mut(key) {
            match at.checked_sub(cost).filter(|at| *at > now) {
                Some(earlier) => *at = earlier,
                None => drop(full_at.remove(key)),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<K, Instant>> {
        self.full_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_a_burst_and_then_a_pace() {
        let limit = RateLimit::new(3, Duration::from_secs(60));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        (0..3).for_each(|_| limit.take(&"a", start).unwrap());
        assert_eq!(limit.take(&"a", start), Err(Duration::from_secs(20)));
        limit.take(&"b", start).unwrap();
        limit.take(&"a", at(20)).unwrap();
        assert!(limit.take(&"a", at(39)).is_err());
        (0..3).for_each(|_| limit.take(&"a", at(600)).unwrap());
        assert!(limit.take(&"a", at(600)).is_err());
    }

    #[test]
    fn what_is_given_back_was_never_taken() {
        let (limit, now) = (RateLimit::new(2, Duration::from_secs(60)), Instant::now());
        for _ in 0..100 {
            limit.take(&1, now).unwrap();
            limit.give_back(&1, now);
        }
        assert!(limit.lock().is_empty());
        (0..2).for_each(|_| limit.take(&1, now).unwrap());
        limit.give_back(&1, now);
        limit.take(&1, now).unwrap();
        assert!(limit.take(&1, now).is_err());
    }

    #[test]
    fn no_more_keys_are_remembered_than_there_may_be() {
        let (limit, now) = (RateLimit::new(2, Duration::from_secs(60)), Instant::now());
        (0..2).for_each(|_| limit.take(&0, now).unwrap());
        for key in 1..=MAX_KEYS {
            limit.take(&key, now).unwrap();
        }
        assert_eq!(limit.lock().len(), MAX_KEYS);
        assert!(limit.take(&0, now).is_err(), "who has used up all is not forgotten for those who have not");
    }
}
