//! A ring of lines per app, in memory.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::{
    model::{AppRef, AppUid, LogLine, LogQuery, LogSource, ProcessType},
    port::{IDS_KEPT, LogError, LogStore, LogStream},
};

/// Lines that wait for a reader before it misses some.
const PENDING: usize = 1024;

/// Keeps the newest lines of each app; they end with this process.
#[derive(Debug)]
pub struct RingLogs {
    lines: usize,
    apps: Mutex<BTreeMap<AppUid, Ring>>,
}

#[derive(Debug)]
struct Ring {
    lines: VecDeque<LogLine>,
    readers: broadcast::Sender<Arc<LogLine>>,
}

impl RingLogs {
    /// Keeps at most `lines` per app.
    pub fn new(lines: usize) -> Self {
        Self { lines, apps: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AppUid, Ring>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for RingLogs {
    fn default() -> Self {
        Self::new(1000)
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self { lines: VecDeque::new(), readers: broadcast::Sender::new(PENDING) }
    }
}

#[async_trait]
impl LogStore for RingLogs {
    async fn append(&self, app: &AppRef, lines: Vec<LogLine>) -> Result<(), LogError> {
        let mut apps = self.lock();
        let ring = apps.entry(app.uid).or_default();
        for line in lines {
            if line.id.is_some() && ring.lines.iter().rev().take(IDS_KEPT).any(|known| known.id == line.id) {
                continue;
            }
            // An error says that nobody reads.
            let _ = ring.readers.send(Arc::new(line.clone()));
            ring.lines.push_back(line);
        }
        let surplus = ring.lines.len().saturating_sub(self.lines);
        ring.lines.drain(..surplus);
        Ok(())
    }

    async fn tail(&self, app: &AppRef, query: &LogQuery) -> Result<LogStream, LogError> {
        let mut apps = self.lock();
        let ring = if query.follow { Some(apps.entry(app.uid).or_default()) } else { apps.get_mut(&app.uid) };
        let Some(ring) = ring else { return Ok(stream::empty().boxed()) };
        let wanted = ring.lines.iter().filter(|line| selects(query.process.as_ref(), line));
        let mut newest: Vec<LogLine> = wanted.rev().take(query.lines).cloned().collect();
        newest.reverse();
        let known = stream::iter(newest.into_iter().map(Ok));
        if !query.follow {
            return Ok(known.boxed());
        }
        let process = query.process.clone();
        let later = stream::unfold(ring.readers.subscribe(), move |mut reader| {
            let process = process.clone();
            async move {
                loop {
                    match reader.recv().await {
                        Ok(line) if selects(process.as_ref(), &line) => {
                            return Some((Ok((*line).clone()), reader));
                        }
                        // A reader that stalled goes on with what there is.
                        Ok(_) | Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => return None,
                    }
                }
            }
        });
        Ok(known.chain(later).boxed())
    }

    async fn forget(&self, app: &AppRef) -> Result<(), LogError> {
        self.lock().remove(&app.uid);
        Ok(())
    }
}

/// Whether a query for this process type wants the line; platform lines belong to no type.
pub(super) fn selects(process: Option<&ProcessType>, line: &LogLine) -> bool {
    match (process, &line.source) {
        (None, _) => true,
        (Some(wanted), LogSource::Process { process, .. }) => wanted == process,
        (Some(_), LogSource::Platform { .. }) => false,
    }
}
