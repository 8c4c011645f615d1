//! Turns: changes of one thing by one process come one after the other instead of overtaking each other.
//!
//! The store stays the judge: a change of another process still makes ours plan anew. What a turn saves is the race
//! within a process, which a change could lose over and over while many arrive at once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::OwnedMutexGuard;

use crate::port::Key;

/// Who is at it, by the record that changes contend for.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<BTreeMap<Key, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits for the turn, in the order of arrival; it ends with the guard.
    pub(super) async fn take(&self, key: Key) -> OwnedMutexGuard<()> {
        let turn = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(turn) = all.get(&key).and_then(Weak::upgrade) {
                turn
            } else {
                all.retain(|_, turn| turn.strong_count() > 0);
                let turn = Arc::default();
                all.insert(key, Arc::downgrade(&turn));
                turn
            }
        };
        turn.lock_owned().await
    }
}
