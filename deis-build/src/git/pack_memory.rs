//! How much memory all packs that are being unpacked may take together.
//!
//! What arrives is written to a file first, so a slow client holds none of it; what it takes to unpack the file is known
//! by then, and waits here for its turn.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Memory for unpacking received packs, shared by all pushes that have the same one. Clones share it.
#[derive(Clone, Debug)]
pub struct PackMemory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    total: u64,
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Debug)]
struct QueueState {
    free: u64,
    /// The number that the next one who waits gets, and whose turn it is: a large pack is not overtaken for ever.
    next: u64,
    turn: u64,
}

/// Memory that one pack may take, given back when this value goes.
#[derive(Debug)]
pub(super) struct PackMemoryPermit {
    memory: PackMemory,
    bytes: u64,
}

impl PackMemory {
    /// So many bytes for all packs together, and the most that a single one may take.
    pub fn new(bytes: u64) -> Self {
        let state = Mutex::new(QueueState { free: bytes, next: 0, turn: 0 });
        Self(Arc::new(Inner { total: bytes, state, changed: Condvar::new() }))
    }

    /// Bytes for all packs together.
    pub fn total(&self) -> u64 {
        self.0.total
    }

    /// Waits until so much is free, on a thread that may block. `None` if it never will be.
    pub(super) fn take(&self, bytes: u64) -> Option<PackMemoryPermit> {
        if bytes > self.0.total {
            return None;
        }
        let mut state = self.state();
        let mine = state.next;
        state.next += 1;
        while state.turn != mine || state.free < bytes {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.turn += 1;
        state.free -= bytes;
        drop(state);
        self.0.changed.notify_all();
        Some(PackMemoryPermit { memory: self.clone(), bytes })
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PackMemoryPermit {
    fn drop(&mut self) {
        self.memory.state().free += self.bytes;
        self.memory.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::*;

    #[test]
    fn packs_take_turns_and_the_large_one_is_not_overtaken() {
        let memory = PackMemory::new(100);
        assert!(memory.take(101).is_none());
        let held = memory.take(60).unwrap();
        let (sender, order) = mpsc::channel();
        let mut threads = Vec::new();
        for (name, bytes) in [("large", 90), ("small", 10)] {
            let (own, sender) = (memory.clone(), sender.clone());
            let waiting = memory.state().next;
            threads.push(thread::spawn(move || {
                let permit = own.take(bytes).unwrap();
                sender.send(name).unwrap();
                drop(permit);
            }));
            while memory.state().next == waiting {
                thread::yield_now();
            }
        }
        assert!(order.recv_timeout(Duration::from_millis(50)).is_err(), "nobody has what it needs, in turn");
        drop(held);
        assert_eq!(order.iter().take(2).collect::<Vec<_>>().len(), 2);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(memory.state().free, 100);
    }
}
