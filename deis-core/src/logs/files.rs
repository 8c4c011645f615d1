//! Log lines on disk: what instances print lies in the segments that their shims write, beside it a file with
//! the lines of the platform and of tasks.
//!
//! An app's instance has at most 2 MiB, the platform's lines too. Output of ended instances is kept for the ten
//! that ended last, for a day at most; `forget` removes everything of an app that no longer runs.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use tokio::sync::watch;

use super::follow::{Follower, Readers, Tailing, blocking};
use crate::{
    local::folder,
    model::{AppRef, LogLine, LogQuery},
    port::{LogError, LogStore, LogStream},
};

/// Largest file of platform lines; there are two.
const MOST_FILE: u64 = 1024 * 1024;

/// Reads the output that the shims of a [`LocalScheduler`](crate::local::LocalScheduler) with the same run folder
/// write, and keeps further lines beside it.
#[derive(Debug)]
pub struct FileLogs {
    run_dir: PathBuf,
    /// One writer at a time.
    writing: Arc<Mutex<()>>,
    /// Those of an app end when its sender goes.
    readers: Readers,
}

impl FileLogs {
    /// Logs below the run folder of the local scheduler.
    pub fn new(run_dir: impl Into<PathBuf>) -> Self {
        Self { run_dir: run_dir.into(), writing: Arc::default(), readers: Readers::default() }
    }

    fn folder(&self, app: &AppRef) -> PathBuf {
        folder::of_app(&self.run_dir, app.uid)
    }
}

#[async_trait]
impl LogStore for FileLogs {
    async fn append(&self, app: &AppRef, lines: Vec<LogLine>) -> Result<(), LogError> {
        let (folder, writing) = (self.folder(app), Arc::clone(&self.writing));
        blocking(move || {
            let _turn = writing.lock().unwrap_or_else(PoisonError::into_inner);
            write(&folder, &lines)
        })
        .await
    }

    async fn tail(&self, app: &AppRef, query: &LogQuery) -> Result<LogStream, LogError> {
        let folder = self.folder(app);
        let forgotten = query.follow.then(|| {
            let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
            readers.entry(app.uid).or_insert_with(|| watch::Sender::new(())).subscribe()
        });
        let (query, follow) = (query.clone(), query.follow);
        let (follower, newest) = blocking(move || {
            let mut follower = Follower::new(folder, query.process, query.lines);
            if follow {
                follower.watch()?;
            }
            let mut found = follower.read()?;
            let surplus = found.len().saturating_sub(query.lines);
            found.drain(..surplus);
            Ok((follower, found))
        })
        .await?;
        let known = stream::iter(newest.into_iter().map(Ok));
        match forgotten {
            None => Ok(known.boxed()),
            Some(forgotten) => Ok(known
                .chain(Tailing::new(follower, forgotten, Arc::clone(&self.readers))?.stream())
                .boxed()),
        }
    }

    async fn forget(&self, app: &AppRef) -> Result<(), LogError> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).remove(&app.uid);
        let (folder, writing) = (self.folder(app), Arc::clone(&self.writing));
        blocking(move || {
            let _turn = writing.lock().unwrap_or_else(PoisonError::into_inner);
            folder::forget(&folder)?;
            for name in ["log.1", "log.0"] {
                match fs::remove_file(folder.join(name)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            // Stays while an instance lives in it.
            let _ = fs::remove_dir(&folder);
            Ok(())
        })
        .await
    }
}

fn write(folder: &Path, lines: &[LogLine]) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut bytes = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut bytes, line)?;
        bytes.push(b'\n');
    }
    let path = folder.join("log.0");
    if fs::metadata(&path).is_ok_and(|m| m.len() + u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MOST_FILE)
    {
        fs::rename(&path, folder.join("log.1"))?;
    }
    File::options().create(true).append(true).mode(0o600).open(path)?.write_all(&bytes)
}
