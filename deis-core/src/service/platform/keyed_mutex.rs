//! One asynchronous mutex for each key: changes of one thing by one process come one after the other.
//!
//! The store stays the judge: a change of another process still makes ours plan anew. What the mutex saves is the race
//! within a process, which a change could lose over and over while many arrive at once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::OwnedMutexGuard;

use crate::port::Key;

/// The mutexes that are held or waited for, by the record that changes contend for.
#[derive(Debug, Default)]
pub(in crate::service) struct KeyedMutex(Mutex<BTreeMap<Key, Weak<tokio::sync::Mutex<()>>>>);

impl KeyedMutex {
    /// Waits for the mutex of this key, in the order of arrival; it is held as long as the guard lives.
    pub(in crate::service) async fn lock(&self, key: Key) -> OwnedMutexGuard<()> {
        let mutex = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(mutex) = all.get(&key).and_then(Weak::upgrade) {
                mutex
            } else {
                // What nobody holds or waits for goes, so that the map has no more entries than there are changes.
                all.retain(|_, mutex| mutex.strong_count() > 0);
                let mutex = Arc::default();
                all.insert(key, Arc::downgrade(&mutex));
                mutex
            }
        };
        mutex.lock_owned().await
    }
}
