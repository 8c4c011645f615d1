//! Faults that show in what is on record.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use deis_core::{
    port::{Batch, Edit, Expect, Key, Read, Reading, Revision, Store, StoreError, StoreExt as _, Write},
    store::MemoryStore,
};
use serde_json::Value;

use super::Bug;

/// A store that changes batches on their way, or keeps them back.
#[derive(Debug)]
pub(super) struct PlantedStore {
    bug: Bug,
    memory: Arc<MemoryStore>,
    kept_back: Mutex<KeptBack>,
}

/// A batch that was acknowledged and is not written. A process that dies takes it with it.
#[derive(Debug, Default)]
struct KeptBack {
    batch: Option<Batch>,
    /// The store as it would be with the batch.
    pretended: Option<Arc<MemoryStore>>,
    /// Whether the next call writes it.
    due: bool,
}

impl PlantedStore {
    pub(super) fn new(bug: Bug, memory: Arc<MemoryStore>) -> Self {
        Self { bug, memory, kept_back: Mutex::default() }
    }

    /// Lets the next call write what is kept back.
    pub(super) fn release_later(&self) {
        self.kept_back.lock().unwrap_or_else(PoisonError::into_inner).due = true;
    }

    /// Whom a call is for: the store, or what it pretends to be. Writes what is due before that.
    async fn current(&self) -> Arc<MemoryStore> {
        let (batch, pretended) = {
            let mut kept = self.kept_back.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.due { (std::mem::take(&mut *kept).batch, None) } else { (None, kept.pretended.clone()) }
        };
        if let Some(batch) = batch {
            let _ = self.memory.commit(batch).await;
        }
        pretended.unwrap_or_else(|| Arc::clone(&self.memory))
    }

    async fn stored(&self, key: &Key) -> Option<Value> {
        let record = self.memory.get(key).await.ok()??;
        serde_json::from_slice(&record.data).ok()
    }

    /// Changes the head in a batch that also writes a rollout, as `change` says: given the rollout on record, the one
    /// in the batch, the head on record and the one in the batch.
    async fn change_head(
        &self,
        batch: &mut Batch,
        change: impl Fn(Option<&Value>, &Value, Option<&Value>, &mut Value),
    ) {
        let Some((key, rollout)) = put_below(batch, "rollout/") else { return };
        let Some((head_key, mut head)) = put_below(batch, "head/") else { return };
        let (before, head_before) = (self.stored(&key).await, self.stored(&head_key).await);
        change(before.as_ref(), &rollout, head_before.as_ref(), &mut head);
        let data = serde_json::to_vec(&head).expect("what was read can be written");
        for edit in &mut batch.edits {
            if edit.key == head_key {
                edit.write = Write::Put(data.clone().into());
            }
        }
    }
}

/// The record of this kind that a batch writes.
fn put_below(batch: &Batch, prefix: &str) -> Option<(Key, Value)> {
    batch.edits.iter().find_map(|edit| match &edit.write {
        Write::Put(data) if edit.key.as_str().starts_with(prefix) => {
            Some((edit.key.clone(), serde_json::from_slice(data).ok()?))
        }
        _ => None,
    })
}

fn phase(rollout: &Value) -> &str {
    rollout["data"]["phase"]["phase"].as_str().unwrap_or_default()
}

fn has_ended(rollout: &Value) -> bool {
    matches!(phase(rollout), "succeeded" | "failed")
}

fn is_started(rollout: &Value) -> bool {
    rollout["data"]["command"]["command"] == "started"
}

#[async_trait]
impl Store for PlantedStore {
    async fn read(&self, reads: &[Read]) -> Result<Reading, StoreError> {
        self.current().await.read(reads).await
    }

    async fn commit(&self, mut batch: Batch) -> Result<Revision, StoreError> {
        self.release_later();
        let store = self.current().await;
        match self.bug {
            Bug::LiveIsNewest => {
                let live_is_newest =
                    |_: Option<&Value>, rollout: &Value, _: Option<&Value>, head: &mut Value| {
                        if has_ended(rollout) {
                            head["data"]["live"] = head["data"]["latest"].clone();
                        }
                    };
                self.change_head(&mut batch, live_is_newest).await;
            }
            Bug::RoutesNotRaised => {
                let not_raised =
                    |before: Option<&Value>, rollout: &Value, known: Option<&Value>, head: &mut Value| {
                        let overtakes =
                            before.is_some_and(|before| !has_ended(before)) && phase(rollout) == "staging";
                        if let Some(known) = known.filter(|_| overtakes) {
                            head["data"]["routes"] = known["data"]["routes"].clone();
                        }
                    };
                self.change_head(&mut batch, not_raised).await;
            }
            Bug::StoreDropsFence => {
                let at = |edit: &&mut Edit| matches!(edit.expect, Expect::At(_));
                batch.edits.iter_mut().filter(at).for_each(|edit| edit.expect = Expect::Present);
            }
            Bug::StartedRecordedLate => {
                let rollout = put_below(&batch, "rollout/").filter(|(_, rollout)| is_started(rollout));
                let known = match &rollout {
                    Some((key, _)) => self.stored(key).await.is_some_and(|known| is_started(&known)),
                    None => true,
                };
                if !known {
                    let pretended = Arc::new(self.memory.fork());
                    let revision = pretended.commit(batch.clone()).await?;
                    let kept = KeptBack { batch: Some(batch), pretended: Some(pretended), due: false };
                    *self.kept_back.lock().unwrap_or_else(PoisonError::into_inner) = kept;
                    return Ok(revision);
                }
            }
            _ => {}
        }
        store.commit(batch).await
    }
}
