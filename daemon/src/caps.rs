//! How many of something there may be at a time, for each of those who want it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts by key, none above a cap. Clones share the counts.
#[derive(Clone, Debug)]
pub(crate) struct Caps<K> {
    most: usize,
    taken: Arc<Mutex<BTreeMap<K, usize>>>,
}

/// One of those that a key may have, as long as this value lives.
#[derive(Debug)]
pub(crate) struct Place<K: Ord> {
    key: K,
    taken: Arc<Mutex<BTreeMap<K, usize>>>,
}

impl<K: Ord + Clone> Caps<K> {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// One more for `key`; `None` if it has as many as it may.
    pub(crate) fn enter(&self, key: K) -> Option<Place<K>> {
        let mut taken = lock(&self.taken);
        let count = taken.entry(key.clone()).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Place { key, taken: Arc::clone(&self.taken) })
    }
}

impl<K: Ord> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(count) = taken.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

fn lock<K>(taken: &Mutex<BTreeMap<K, usize>>) -> MutexGuard<'_, BTreeMap<K, usize>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_places_and_gives_them_back() {
        let caps = Caps::new(2);
        let (first, _second) = (caps.enter("a").unwrap(), caps.enter("a").unwrap());
        assert!(caps.enter("a").is_none());
        let other = caps.enter("b").unwrap();
        drop((first, other));
        assert!(caps.enter("a").is_some());
        assert_eq!(lock(&caps.taken).len(), 1, "nothing is kept of who has nothing");
    }
}
