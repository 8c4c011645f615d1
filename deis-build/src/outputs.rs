//! What builds printed: kept beside the slugs, and followed while a build runs.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use deis_core::model::{AppUid, Attempt};
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{ObjectStore, ObjectStoreExt as _, path::Path as ObjectPath};
use tokio::sync::watch;

use crate::artifacts::StoreFailed;

/// Bytes from the beginning that are kept.
const HEAD: usize = 1 << 20;
/// Bytes from the end that are kept.
const TAIL: usize = 3 << 20;

/// The output of each build run: its first 1 MiB and its last 3 MiB. Clones share one.
#[derive(Clone, Debug)]
pub struct BuildOutputs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn ObjectStore>,
    running: Mutex<HashMap<(AppUid, Attempt), Arc<Running>>>,
}

/// The output of a build that runs in this process.
#[derive(Debug)]
struct Running {
    kept: Mutex<Kept>,
    /// How many bytes there are, and whether more may come.
    length: watch::Sender<(u64, bool)>,
}

#[derive(Debug, Default)]
struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
}

/// Where the output of one build goes. It is kept when [`OutputRecorder::finish`] is called; dropping it keeps nothing.
#[derive(Debug)]
pub struct OutputRecorder {
    outputs: BuildOutputs,
    key: (AppUid, Attempt),
    running: Arc<Running>,
}

/// Output as it comes.
pub type BuildOutputStream = BoxStream<'static, Result<Bytes, StoreFailed>>;

impl BuildOutputs {
    /// Outputs in `store`, which may be that of the slugs.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self(Arc::new(Inner { store, running: Mutex::default() }))
    }

    /// Begins to record a build.
    pub fn record(&self, app: AppUid, attempt: Attempt) -> OutputRecorder {
        let running = Arc::new(Running { kept: Mutex::default(), length: watch::Sender::new((0, true)) });
        self.running().insert((app, attempt), Arc::clone(&running));
        OutputRecorder { outputs: self.clone(), key: (app, attempt), running }
    }

    /// What a build printed so far; with `follow` also what it prints from now on, to its end. `None` if nothing is
    /// kept of it. A follower that is slower than the build is told how much it missed.
    ///
    /// # Errors
    /// The object store cannot be reached.
    pub async fn read(
        &self,
        app: AppUid,
        attempt: Attempt,
        follow: bool,
    ) -> Result<Option<BuildOutputStream>, StoreFailed> {
        let running = self.running().get(&(app, attempt)).cloned();
        if let Some(running) = running {
            return Ok(Some(running.stream(follow)));
        }
        match self.0.store.get(&path(app, attempt)).await {
            Ok(found) => Ok(Some(found.into_stream().map_err(failed).boxed())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Removes the outputs of a build and of all older ones of its app; none are fine. Older ones too, since whoever
    /// should have removed them when their time came may have been killed.
    ///
    /// # Errors
    /// The object store cannot be reached.
    pub async fn remove_through(&self, app: AppUid, attempt: Attempt) -> Result<(), StoreFailed> {
        let newest = path(app, attempt);
        self.remove_if(app, |path| *path <= newest).await
    }

    /// The apps of which output is kept.
    ///
    /// # Errors
    /// The object store cannot be reached.
    pub async fn apps(&self) -> Result<Vec<AppUid>, StoreFailed> {
        let found =
            self.0.store.list_with_delimiter(Some(&ObjectPath::from(FOLDER))).await.map_err(failed)?;
        let names = found.common_prefixes.iter().filter_map(ObjectPath::filename);
        Ok(names.filter_map(|name| uuid::Uuid::parse_str(name).ok()).map(AppUid).collect())
    }

    /// Removes the outputs of an app that is gone; none are fine.
    ///
    /// # Errors
    /// The object store cannot be reached.
    pub async fn forget(&self, app: AppUid) -> Result<(), StoreFailed> {
        self.remove_if(app, |_| true).await
    }

    async fn remove_if(
        &self,
        app: AppUid,
        is_old: impl Fn(&ObjectPath) -> bool + Send + Sync,
    ) -> Result<(), StoreFailed> {
        let all = self.0.store.list(Some(&ObjectPath::from(format!("{FOLDER}/{app}"))));
        let paths: Vec<_> = all.map_ok(|meta| meta.location).try_collect().await.map_err(failed)?;
        for path in paths {
            if !is_old(&path) {
                continue;
            }
            match self.0.store.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    fn running(&self) -> MutexGuard<'_, HashMap<(AppUid, Attempt), Arc<Running>>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OutputRecorder {
    /// Adds a line.
    pub fn line(&self, text: &str) {
        let total = {
            let mut kept = self.running.kept();
            kept.push(text.as_bytes());
            kept.push(b"\n");
            kept.total
        };
        self.running.length.send_replace((total, true));
    }

    /// Keeps what was recorded.
    ///
    /// # Errors
    /// The object store cannot be reached; followers have had everything all the same.
    pub async fn finish(self) -> Result<(), StoreFailed> {
        let bytes = self.running.kept().whole();
        let (app, attempt) = self.key;
        self.outputs.0.store.put(&path(app, attempt), bytes.into()).await.map(drop).map_err(failed)
    }
}

impl Drop for OutputRecorder {
    fn drop(&mut self) {
        self.outputs.running().remove(&self.key);
        self.running.length.send_modify(|(_, more)| *more = false);
    }
}

impl Running {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stream(self: Arc<Self>, follow: bool) -> BuildOutputStream {
        let changes = self.length.subscribe();
        let state = (self, changes, 0, false);
        let next = move |(running, mut changes, position, ended): (
            Arc<Self>,
            watch::Receiver<(u64, bool)>,
            u64,
            bool,
        )| async move {
            let mut position = position;
            if ended {
                return None;
            }
            loop {
                let (_, more) = *changes.borrow_and_update();
                let (bytes, end) = running.kept().after(position);
                let last = !follow || !more;
                if !bytes.is_empty() || last {
                    position = end;
                    return Some((Ok(bytes), (running, changes, position, last)));
                }
                let _ = changes.changed().await.is_ok();
            }
        };
        futures_util::stream::unfold(state, next).boxed()
    }
}

impl Kept {
    fn push(&mut self, bytes: &[u8]) {
        let (head, tail) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(tail);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        self.total += bytes.len() as u64;
    }

    /// Bytes between head and tail that are gone.
    fn left_out(&self) -> u64 {
        self.total - (self.head.len() + self.tail.len()) as u64
    }

    fn whole(&self) -> Bytes {
        self.after(0).0
    }

    /// What there is from a position on, with a note where something is missing; and where that ends.
    fn after(&self, position: u64) -> (Bytes, u64) {
        let mut bytes = Vec::new();
        let head = usize::try_from(position).unwrap_or(usize::MAX).min(self.head.len());
        bytes.extend_from_slice(&self.head[head..]);
        let begin = self.head.len() as u64 + self.left_out();
        let missing = begin.saturating_sub(position.max(self.head.len() as u64));
        if missing > 0 {
            bytes.extend_from_slice(format!("\n… {missing} bytes left out …\n").as_bytes());
        }
        let skip = usize::try_from(position.saturating_sub(begin)).unwrap_or(usize::MAX).min(self.tail.len());
        bytes.extend(self.tail.iter().skip(skip));
        (bytes.into(), self.total)
    }
}

/// Below it: all outputs.
const FOLDER: &str = "build-output";

fn path(app: AppUid, attempt: Attempt) -> ObjectPath {
    ObjectPath::from(format!("{FOLDER}/{app}/{:020}.txt", attempt.0))
}

fn failed(error: object_store::Error) -> StoreFailed {
    StoreFailed::Unavailable(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(stream: BuildOutputStream) -> String {
        let parts: Vec<Bytes> = stream.try_collect().await.unwrap();
        String::from_utf8(parts.concat()).unwrap()
    }

    #[tokio::test]
    async fn beginning_and_end_are_kept_and_followers_miss_nothing() {
        let store = Arc::new(object_store::memory::InMemory::new());
        let outputs = BuildOutputs::new(Arc::clone(&store) as _);
        let (app, attempt) = (AppUid(uuid::Uuid::new_v4()), Attempt(7));
        assert!(outputs.read(app, attempt, true).await.unwrap().is_none());
        let recorder = outputs.record(app, attempt);
        recorder.line("first");
        let mut live = outputs.read(app, attempt, true).await.unwrap().unwrap();
        assert_eq!(live.next().await.unwrap().unwrap(), "first\n");
        let far = tokio::spawn(text(live));
        tokio::task::yield_now().await;
        recorder.line("second");
        let snapshot = outputs.read(app, attempt, false).await.unwrap().unwrap();
        assert_eq!(text(snapshot).await, "first\nsecond\n");
        let long = "x".repeat(1 << 20);
        for _ in 0..8 {
            recorder.line(&long);
        }
        recorder.line("last");
        recorder.finish().await.unwrap();
        let followed = far.await.unwrap();
        assert!(followed.starts_with("second\nxxx") && followed.ends_with("x\nlast\n"), "{}", followed.len());
        // Another process reads the same.
        let kept = BuildOutputs::new(store).read(app, attempt, true).await.unwrap().unwrap();
        let kept = text(kept).await;
        assert!(kept.starts_with("first\nsecond\nxxx") && kept.ends_with("x\nlast\n"));
        assert!(kept.contains("bytes left out …"), "{}", kept.len());
        assert!((HEAD + TAIL..HEAD + TAIL + 100).contains(&kept.len()), "{}", kept.len());
        assert_eq!(outputs.apps().await.unwrap(), [app]);
        outputs.forget(app).await.unwrap();
        assert!(outputs.read(app, attempt, false).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn old_outputs_go_although_a_turn_was_missed() {
        let outputs = BuildOutputs::new(Arc::new(object_store::memory::InMemory::new()));
        let (app, other) = (AppUid(uuid::Uuid::new_v4()), AppUid(uuid::Uuid::new_v4()));
        for app in [app, other] {
            for attempt in [1, 2, 9, 10, 100] {
                outputs.record(app, Attempt(attempt)).finish().await.unwrap();
            }
        }
        outputs.remove_through(app, Attempt(10)).await.unwrap();
        for (app, left) in [(app, &[100][..]), (other, &[1, 2, 9, 10, 100])] {
            let mut found = Vec::new();
            for attempt in 0..=100 {
                if outputs.read(app, Attempt(attempt), false).await.unwrap().is_some() {
                    found.push(attempt);
                }
            }
            assert_eq!(found, left);
        }
    }
}
