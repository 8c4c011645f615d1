//! Records in memory, as the newest commit left them: most calls read a few records that were read or written just
//! before, and need neither a thread nor the database.
//!
//! A commit of one connection makes the others forget their pages, so SQLite's own caches do not help readers beside a
//! busy writer.

use std::{
    collections::HashMap,
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;

use crate::port::{AnswerSize, Edit, Found, Key, Read, Reading, Record, Revision, Write};

/// Most bytes, keys included, of each of the two halves.
const MAX_BYTES: usize = 4 << 20;
/// Largest record that is held, in bytes.
const MAX_RECORD: usize = 64 << 10;
/// What a record costs beside its bytes.
const OVERHEAD: usize = 128;
/// Longest wait for a writer that has committed and not yet said so.
const PATIENCE: Duration = Duration::from_secs(1);

/// A record as it is held; `None` is known not to be there.
type CachedRecord = Option<(Revision, Bytes)>;

/// The records that were read or written last.
pub(super) struct RecordCache {
    state: Mutex<CacheState>,
    advanced: Condvar,
}

/// Two halves: when the young one is full it becomes the old one, and what is used in the old one moves. So what is
/// used stays, and no list of uses has to be kept.
struct CacheState {
    /// All that is held is as this commit left it.
    at: Revision,
    young: HashMap<Key, CachedRecord>,
    old: HashMap<Key, CachedRecord>,
    bytes: usize,
}

impl RecordCache {
    /// An empty one over a database whose newest commit is `at`.
    pub(super) fn new(at: Revision) -> Self {
        let state = CacheState { at, young: HashMap::new(), old: HashMap::new(), bytes: 0 };
        Self { state: Mutex::new(state), advanced: Condvar::new() }
    }

    /// The answer to a call, if every record that it asks for is held.
    pub(super) fn read(&self, reads: &[Read]) -> Option<Reading> {
        if !reads.iter().all(|read| matches!(read, Read::Get(_))) {
            return None;
        }
        let mut state = self.lock();
        let mut size = AnswerSize::default();
        let mut found = Vec::with_capacity(reads.len());
        for read in reads {
            let Read::Get(key) = read else { return None };
            let record = state.get(key)?.map(|(revision, data)| Record { key: key.clone(), revision, data });
            // Who asks for too much is told so by the database's reader.
            record.iter().try_for_each(|record| size.add(record)).ok()?;
            found.push(Found::Records(record.into_iter().collect()));
        }
        Some(Reading { at: state.at, found })
    }

    /// Holds what the database answered, as long as nothing was committed since.
    ///
    /// An answer that is newer than what is held waits for its writer: else its caller could see an older state at the
    /// next call.
    pub(super) fn fill(&self, reads: &[Read], reading: &Reading) {
        let state = self.lock();
        let behind = |state: &mut CacheState| state.at < reading.at;
        let (mut state, waited) =
            self.advanced.wait_timeout_while(state, PATIENCE, behind).unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            // The writer has ended in between, so nothing that is held is certain.
            state.forget(reading.at);
        }
        if state.at != reading.at {
            return;
        }
        for (read, found) in reads.iter().zip(&reading.found) {
            if let (Read::Get(key), Found::Records(records)) = (read, found) {
                let held = records.first().map(|record| (record.revision, record.data.clone()));
                state.put(key, held);
            }
        }
    }

    /// Applies what was committed up to `newest`, all of it at once.
    pub(super) fn committed<'a>(&self, newest: Revision, edits: impl Iterator<Item = (Revision, &'a Edit)>) {
        let mut state = self.lock();
        state.at = state.at.max(newest);
        for (revision, edit) in edits {
            match &edit.write {
                Write::Keep => {}
                Write::Put(data) => state.put(&edit.key, Some((revision, data.clone()))),
                Write::Delete => state.put(&edit.key, None),
            }
        }
        drop(state);
        self.advanced.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, CacheState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheState {
    /// What is held of a key; `None` if nothing is known of it.
    fn get(&mut self, key: &Key) -> Option<CachedRecord> {
        if let Some(held) = self.young.get(key) {
            return Some(held.clone());
        }
        let held = self.old.remove(key)?;
        self.put(key, held.clone());
        Some(held)
    }

    fn put(&mut self, key: &Key, held: CachedRecord) {
        let cost = |held: &CachedRecord| {
            OVERHEAD + key.as_str().len() + held.as_ref().map_or(0, |(_, data)| data.len())
        };
        self.old.remove(key);
        let bytes = cost(&held);
        let before = if bytes > MAX_RECORD {
            self.young.remove(key)
        } else {
            self.bytes += bytes;
            self.young.insert(key.clone(), held)
        };
        self.bytes -= before.as_ref().map_or(0, cost);
        if self.bytes > MAX_BYTES {
            self.old = mem::take(&mut self.young);
            self.bytes = 0;
        }
    }

    fn forget(&mut self, at: Revision) {
        *self = Self { at, young: HashMap::new(), old: HashMap::new(), bytes: 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Expect;

    fn put(key: &str, data: Vec<u8>) -> Edit {
        Edit { key: Key::new(key), expect: Expect::Present, write: Write::Put(data.into()) }
    }

    fn gets(keys: &[&str]) -> Vec<Read> {
        keys.iter().map(|key| Read::Get(Key::new(*key))).collect()
    }

    fn data(reading: &Reading) -> Vec<Option<Vec<u8>>> {
        let one = |found: &Found| match found {
            Found::Records(records) => records.first().map(|record| record.data.to_vec()),
            Found::Count(_) => panic!("a count"),
        };
        reading.found.iter().map(one).collect()
    }

    #[test]
    fn a_call_is_answered_only_where_every_record_is_known() {
        let cache = RecordCache::new(Revision(7));
        cache.committed(Revision(8), [(Revision(8), &put("a", vec![1]))].into_iter());
        assert_eq!(cache.read(&gets(&["a", "b"])), None);
        let answer = Reading { at: Revision(8), found: vec![Found::Records(Vec::new())] };
        cache.fill(&gets(&["b"]), &answer);
        let reading = cache.read(&gets(&["a", "b", "a"])).unwrap();
        assert_eq!(reading.at, Revision(8));
        assert_eq!(data(&reading), [Some(vec![1]), None, Some(vec![1])]);
        let gone = Edit { write: Write::Delete, ..put("a", Vec::new()) };
        cache.committed(Revision(9), [(Revision(9), &put("b", vec![2])), (Revision(9), &gone)].into_iter());
        assert_eq!(data(&cache.read(&gets(&["a", "b"])).unwrap()), [None, Some(vec![2])]);
        assert_eq!(cache.read(&[Read::count("a")]), None);
    }

    #[test]
    fn what_was_read_before_a_commit_is_not_held_after_it() {
        let cache = RecordCache::new(Revision(7));
        let old = Record { key: Key::new("a"), revision: Revision(3), data: vec![1].into() };
        let answer = Reading { at: Revision(7), found: vec![Found::Records(vec![old])] };
        cache.committed(Revision(8), [(Revision(8), &put("b", vec![2]))].into_iter());
        cache.fill(&gets(&["a"]), &answer);
        assert_eq!(cache.read(&gets(&["a"])), None);
        // An answer from behind the newest commit that is known, whose writer never tells of it.
        let newer = Reading { at: Revision(9), ..answer };
        cache.fill(&gets(&["a"]), &newer);
        assert_eq!(cache.read(&gets(&["a"])).unwrap().at, Revision(9));
        assert_eq!(cache.read(&gets(&["b"])), None);
    }

    #[test]
    fn what_is_used_stays_and_the_memory_is_bounded() {
        let cache = RecordCache::new(Revision(0));
        cache.committed(Revision(1), [(Revision(1), &put("used", vec![1]))].into_iter());
        cache.committed(Revision(2), [(Revision(2), &put("large", vec![1; MAX_RECORD]))].into_iter());
        assert_eq!(cache.read(&gets(&["large"])), None);
        for n in 0..4096 {
            let key = format!("n/{n}");
            cache.committed(Revision(3 + n), [(Revision(3 + n), &put(&key, vec![0; 4096]))].into_iter());
            assert!(cache.read(&gets(&["used"])).is_some());
        }
        assert_eq!(cache.read(&gets(&["n/0"])), None);
        let state = cache.lock();
        let held = state.young.values().chain(state.old.values()).flatten();
        assert!(held.map(|(_, data)| data.len()).sum::<usize>() <= 2 * MAX_BYTES);
    }
}
