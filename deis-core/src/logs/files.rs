//! Log lines on disk: what instances print lies in the segments that their shims write, beside it a file with
//! the lines of the platform and of tasks.
//!
//! An app's instance has at most 2 MiB, the platform's lines too. Of ended instances the newest output is kept, 8 MiB
//! an app and for a day at most; `forget` removes everything of an app that no longer runs.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use tokio::sync::watch;

use super::{
    follow::{Follower, Readers, Tailing, blocking},
    known_ids::KnownIds,
};
use crate::{
    local::run_dir::{
        cleanup,
        format::{self, MAX_LINES_FILE, PLATFORM_LINES},
    },
    model::{AppRef, LineId, LogLine, LogQuery},
    port::{LogError, LogStore, LogStream, MAX_LINE, truncate},
};

/// Reads the output that the shims of a [`LocalScheduler`](crate::local::LocalScheduler) with the same run folder
/// write, and keeps further lines beside it.
#[derive(Debug)]
pub struct FileLogs {
    run_dir: PathBuf,
    /// One writer at a time.
    writing: Arc<Mutex<KnownIds>>,
    /// Those of an app end when its sender goes.
    readers: Readers,
}

impl FileLogs {
    /// Logs below the run folder of the local scheduler.
    pub fn new(run_dir: impl Into<PathBuf>) -> Self {
        Self { run_dir: run_dir.into(), writing: Arc::default(), readers: Readers::default() }
    }

    fn folder(&self, app: &AppRef) -> PathBuf {
        format::of_app(&self.run_dir, app.uid)
    }
}

#[async_trait]
impl LogStore for FileLogs {
    async fn append(&self, app: &AppRef, lines: Vec<LogLine>) -> Result<(), LogError> {
        let (folder, uid, writing) = (self.folder(app), app.uid, Arc::clone(&self.writing));
        blocking(move || {
            let mut known = writing.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = known.fresh(uid, &folder, lines)?;
            let ids: Vec<LineId> = fresh.iter().filter_map(|line| line.id).collect();
            // What was written before it failed is found in the files the next time.
            write(&folder, fresh).inspect_err(|_| known.forget(uid))?;
            known.add(uid, ids);
            Ok(())
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
            let mut follower = Follower::new(folder, query.process);
            if follow {
                follower.watch()?;
            }
            let newest = follower.tail(query.lines)?;
            Ok((follower, newest))
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
        let (folder, uid, writing) = (self.folder(app), app.uid, Arc::clone(&self.writing));
        blocking(move || {
            let mut known = writing.lock().unwrap_or_else(PoisonError::into_inner);
            known.forget(uid);
            cleanup::forget(&folder)?;
            for name in PLATFORM_LINES.into_iter().rev() {
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

fn write(folder: &Path, lines: Vec<LogLine>) -> io::Result<()> {
    let path = folder.join(PLATFORM_LINES[0]);
    let mut bytes = Vec::new();
    let (mut file, mut size) = match open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            open(&path)?
        }
        opened => opened?,
    };
    for mut line in lines {
        truncate(&mut line.text, MAX_LINE);
        let mut json = serde_json::to_vec(&line)?;
        json.push(b'\n');
        let more = u64::try_from(json.len()).unwrap_or(u64::MAX);
        if size + more > MAX_LINES_FILE {
            file.write_all(&std::mem::take(&mut bytes))?;
            fs::rename(&path, folder.join(PLATFORM_LINES[1]))?;
            (file, size) = open(&path)?;
        }
        size += more;
        bytes.append(&mut json);
    }
    file.write_all(&bytes)
}

/// The file, at the beginning of a line, and its size.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut file = File::options().create(true).read(true).append(true).mode(0o600).open(path)?;
    let mut size = file.metadata()?.len();
    let mut last = [b'\n'];
    if size > 0 {
        file.read_exact_at(&mut last, size - 1)?;
    }
    if last != *b"\n" {
        // A line that was torn must not swallow the next one.
        file.write_all(b"\n")?;
        size += 1;
    }
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AppName, AppUid, LogLevel, LogSource, Timestamp};

    fn line(n: i64, text: &str) -> LogLine {
        LogLine::new(Timestamp(n), LogSource::Platform { level: LogLevel::Info }, text)
    }

    fn app() -> AppRef {
        AppRef { name: AppName::new("blog").unwrap(), uid: AppUid(uuid::Uuid::new_v4()) }
    }

    async fn texts(logs: &FileLogs, app: &AppRef) -> Vec<String> {
        let query = LogQuery { lines: usize::MAX, ..LogQuery::default() };
        logs.tail(app, &query).await.unwrap().map(|line| line.unwrap().text).collect().await
    }

    #[tokio::test]
    async fn no_append_makes_a_file_too_large() {
        let (dir, app) = (tempfile::tempdir().unwrap(), app());
        let logs = FileLogs::new(dir.path());
        let many = (0..40).map(|n| line(n, &"\u{1}".repeat(100_000))).collect();
        logs.append(&app, many).await.unwrap();
        logs.append(&app, vec![line(40, "last")]).await.unwrap();
        for name in PLATFORM_LINES {
            assert!(fs::metadata(logs.folder(&app).join(name)).unwrap().len() <= MAX_LINES_FILE);
        }
        let texts = texts(&logs, &app).await;
        assert!(texts.iter().all(|text| text.len() <= MAX_LINE));
        assert_eq!(texts.last().unwrap(), "last");
    }

    #[tokio::test]
    async fn another_process_repeats_what_is_missing_alone() {
        let (dir, app) = (tempfile::tempdir().unwrap(), app());
        let event = uuid::Uuid::new_v4();
        let told =
            |n: u32| LogLine { id: Some(LineId { event, line: n }), ..line(i64::from(n), &n.to_string()) };
        let first = FileLogs::new(dir.path());
        first.append(&app, vec![told(0), told(1)]).await.unwrap();
        let path = first.folder(&app).join(PLATFORM_LINES[0]);
        let half = serde_json::to_string(&told(2)).unwrap();
        File::options()
            .append(true)
            .open(path)
            .unwrap()
            .write_all(&half.as_bytes()[..half.len() / 2])
            .unwrap();
        let second = FileLogs::new(dir.path());
        second.append(&app, (0..4).map(told).collect()).await.unwrap();
        assert_eq!(texts(&second, &app).await, ["0", "1", "2", "3"]);
    }

    #[tokio::test]
    async fn a_torn_line_costs_itself_alone() {
        let (dir, app) = (tempfile::tempdir().unwrap(), app());
        let logs = FileLogs::new(dir.path());
        logs.append(&app, vec![line(1, "one")]).await.unwrap();
        let path = logs.folder(&app).join(PLATFORM_LINES[0]);
        File::options().append(true).open(path).unwrap().write_all(b"{\"at\":2,\"so").unwrap();
        logs.append(&app, vec![line(3, "three")]).await.unwrap();
        assert_eq!(texts(&logs, &app).await, ["one", "three"]);
    }
}
