//! How much of something may be held at a time: by each of those who want it, and by all together.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Amounts by key, with a bound for each key and one for all. Clones share the amounts.
///
/// The amount is in whatever unit costs: connections, requests, bytes.
#[derive(Clone, Debug)]
pub(crate) struct KeyedLimit<K> {
    per_key: usize,
    total: usize,
    held: Arc<Mutex<Amounts<K>>>,
}

#[derive(Debug)]
struct Amounts<K> {
    total: usize,
    by_key: BTreeMap<K, usize>,
}

/// Which bound was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exhausted {
    /// The one for each key.
    Key,
    /// The one for all together.
    Total,
}

/// An amount that a key holds, as long as this value lives.
#[derive(Debug)]
pub(crate) struct KeyedPermit<K: Ord + Clone> {
    limit: KeyedLimit<K>,
    key: K,
    amount: usize,
}

impl<K: Ord + Clone> KeyedLimit<K> {
    /// At most `per_key` for each, whatever all hold together.
    pub(crate) fn new(per_key: usize) -> Self {
        Self::with_total(per_key, usize::MAX)
    }

    /// At most `per_key` for each, and `total` for all together.
    pub(crate) fn with_total(per_key: usize, total: usize) -> Self {
        Self { per_key, total, held: Arc::new(Mutex::new(Amounts { total: 0, by_key: BTreeMap::new() })) }
    }

    /// One more for `key`.
    ///
    /// # Errors
    /// The bound that is reached; nothing is held then.
    pub(crate) fn enter(&self, key: K) -> Result<KeyedPermit<K>, Exhausted> {
        let mut permit = KeyedPermit { limit: self.clone(), key, amount: 0 };
        permit.grow(1)?;
        Ok(permit)
    }

    /// A permit for nothing yet, which can grow.
    pub(crate) fn empty(&self, key: K) -> KeyedPermit<K> {
        KeyedPermit { limit: self.clone(), key, amount: 0 }
    }

    /// How much all hold together.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.lock().total
    }

    fn lock(&self) -> MutexGuard<'_, Amounts<K>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord + Clone> KeyedPermit<K> {
    /// Holds `more` beside what it holds.
    ///
    /// # Errors
    /// The bound that is reached; it holds what it held before.
    pub(crate) fn grow(&mut self, more: usize) -> Result<(), Exhausted> {
        let mut held = self.limit.lock();
        let total = held.total.saturating_add(more);
        let own = held.by_key.get(&self.key).copied().unwrap_or(0).saturating_add(more);
        if own > self.limit.per_key {
            return Err(Exhausted::Key);
        }
        if total > self.limit.total {
            return Err(Exhausted::Total);
        }
        if own > 0 {
            held.by_key.insert(self.key.clone(), own);
        }
        held.total = total;
        drop(held);
        self.amount += more;
        Ok(())
    }
}

impl<K: Ord + Clone> Drop for KeyedPermit<K> {
    fn drop(&mut self) {
        let mut held = self.limit.lock();
        held.total -= self.amount;
        if let Some(own) = held.by_key.get_mut(&self.key) {
            *own -= self.amount;
            if *own == 0 {
                held.by_key.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_bound_and_gives_back_what_it_held() {
        let limit = KeyedLimit::new(2);
        let (first, _second) = (limit.enter("a").unwrap(), limit.enter("a").unwrap());
        assert_eq!(limit.enter("a").unwrap_err(), Exhausted::Key);
        let other = limit.enter("b").unwrap();
        drop((first, other));
        assert!(limit.enter("a").is_ok());
        assert_eq!(limit.lock().by_key.len(), 1, "nothing is kept of who holds nothing");
    }

    #[test]
    fn all_together_have_a_bound_too() {
        let limit = KeyedLimit::with_total(8, 10);
        let mut a = limit.empty("a");
        a.grow(8).unwrap();
        assert_eq!(a.grow(1).unwrap_err(), Exhausted::Key);
        let mut b = limit.empty("b");
        assert_eq!(b.grow(3).unwrap_err(), Exhausted::Total);
        b.grow(2).unwrap();
        drop(a);
        assert_eq!(limit.held(), 2);
        b.grow(6).unwrap();
        drop(b);
        assert_eq!((limit.held(), limit.lock().by_key.len()), (0, 0));
    }
}
