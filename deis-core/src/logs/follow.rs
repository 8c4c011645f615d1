//! Where one app's lines are, read on from where they were last: new instances, bounds, and waiting for more.

use std::{
    collections::{BTreeMap, VecDeque},
    fs, io,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{Stream, stream};
use rustix::fs::inotify;
use tokio::{io::unix::AsyncFd, sync::watch, time::sleep};

use super::{ring::selects, source::LineSource};
use crate::{
    local::{async_fd::async_fd, run_dir::record::InstanceIdentity},
    model::{AppUid, LogLine, ProcessType},
    port::{BoxError, LogError},
};

/// What is printed in one go is read in one go.
const GATHER: Duration = Duration::from_millis(20);
/// How often one looks where the system has no watch to give.
const LOOK: Duration = Duration::from_millis(200);
/// Memory that the lines of one answer may take, about: of older ones beyond it nothing is told.
const TAIL: usize = 8 << 20;
/// The same for those that a follower begins with: whoever does not read keeps them for long.
const FOLLOWED_TAIL: usize = 1 << 20;
/// Bytes of the files that a follower reads on at once. The rest waits in the files until these lines are taken.
const BATCH: u64 = 128 << 10;

/// All files of one app. None is open between two reads: an app may have hundreds of instances, and as many followers.
#[derive(Debug)]
pub(super) struct Follower {
    folder: PathBuf,
    process: Option<ProcessType>,
    /// By folder: the app's own for the platform's lines, else an instance's.
    sources: BTreeMap<PathBuf, LineSource>,
    /// Which of them is read first: one that never stops printing must not keep the others from being read.
    turn: usize,
    watch: Option<OwnedFd>,
}

/// Lines that were read on.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Oldest first.
    pub(super) lines: Vec<LogLine>,
    /// Whether there may be more already.
    pub(super) more: bool,
}

impl Follower {
    pub(super) fn new(folder: PathBuf, process: Option<ProcessType>) -> Self {
        Self { folder, process, sources: BTreeMap::new(), turn: 0, watch: None }
    }

    /// Asks the system to tell when something is written from now on. Without one left to give, the files are
    /// looked at from time to time.
    pub(super) fn watch(&mut self) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        self.watch = inotify::init(flags).ok();
        self.add_watch(&self.folder.clone());
        Ok(())
    }

    /// The newest lines, oldest first: at most `lines`, and what has room in `memory`. Later reads go on behind them.
    pub(super) fn tail(&mut self, lines: usize) -> io::Result<Vec<LogLine>> {
        let memory = if self.watch.is_some() { FOLLOWED_TAIL } else { TAIL };
        self.find_sources()?;
        let mut newest = Newest { lines, memory, found: Vec::new(), size: 0 };
        for (folder, source) in &mut self.sources {
            newest.add(source.tail(folder, lines, self.process.as_ref())?);
        }
        newest.trim();
        Ok(newest.found)
    }

    /// Lines since the last call.
    pub(super) fn read(&mut self) -> io::Result<Batch> {
        self.find_sources()?;
        let (mut batch, mut room) = (Batch::default(), BATCH);
        let first = std::mem::take(&mut self.turn);
        for later in [false, true] {
            for (index, (folder, source)) in self.sources.iter_mut().enumerate() {
                if (index < first) == later {
                    batch.more |= source.read_on(folder, &mut room, &mut batch.lines)?;
                    if room == 0 && self.turn == 0 {
                        self.turn = index + 1;
                    }
                }
            }
        }
        batch.lines.retain(|line| selects(self.process.as_ref(), line));
        batch.lines.sort_by_key(|line| line.at);
        Ok(batch)
    }

    fn find_sources(&mut self) -> io::Result<()> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        self.sources.entry(self.folder.clone()).or_insert_with(|| LineSource::new(None));
        for entry in entries {
            let path = entry?.path();
            if self.sources.contains_key(&path) {
                continue;
            }
            if let Some(identity) = InstanceIdentity::read(&path) {
                // First watched, then read: nothing falls between.
                self.add_watch(&path);
                self.sources.insert(path, LineSource::new(Some(identity)));
            } else if path.is_dir() {
                self.add_watch(&path);
            }
        }
        self.sources.retain(|path, _| path.exists());
        Ok(())
    }

    fn add_watch(&self, path: &Path) {
        let flags = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::MODIFY;
        if let Some(watch) = &self.watch {
            let _ = inotify::add_watch(watch, path, flags);
        }
    }
}

/// The newest of all lines that are added.
struct Newest {
    lines: usize,
    memory: usize,
    found: Vec<LogLine>,
    size: usize,
}

impl Newest {
    fn add(&mut self, lines: Vec<LogLine>) {
        for line in lines {
            self.size += size(&line);
            self.found.push(line);
        }
        // Not with each: that would sort all of them for every instance.
        if self.found.len() / 2 > self.lines || self.size / 2 > self.memory {
            self.trim();
        }
    }

    fn trim(&mut self) {
        self.found.sort_by_key(|line| line.at);
        let mut surplus = self.found.len().saturating_sub(self.lines);
        self.size = self.found[surplus..].iter().map(size).sum();
        while self.size > self.memory && surplus < self.found.len() {
            self.size -= size(&self.found[surplus]);
            surplus += 1;
        }
        self.found.drain(..surplus);
    }
}

/// The memory that a line takes, about.
fn size(line: &LogLine) -> usize {
    size_of::<LogLine>() + 64 + line.text.len()
}

/// Who follows which app: those of an app end when its sender goes.
pub(super) type Readers = Arc<Mutex<BTreeMap<AppUid, watch::Sender<()>>>>;

/// A follower as a stream.
pub(super) struct Tailing {
    follower: Follower,
    events: Option<AsyncFd<OwnedFd>>,
    forgotten: watch::Receiver<()>,
    /// Who drops the store does not thereby forget the app.
    readers: Readers,
    pending: VecDeque<LogLine>,
    /// The files may hold more than was read.
    more: bool,
}

impl Tailing {
    pub(super) fn new(
        follower: Follower,
        forgotten: watch::Receiver<()>,
        readers: Readers,
    ) -> Result<Self, LogError> {
        let events = match &follower.watch {
            Some(watch) => {
                let own = watch.try_clone().and_then(async_fd);
                Some(own.map_err(|error| LogError::Unavailable(BoxError::from(error)))?)
            }
            None => None,
        };
        Ok(Self { follower, events, forgotten, readers, pending: VecDeque::new(), more: false })
    }

    /// Lines as they come, until the app is forgotten. A reader that stalls misses what is rotated away
    /// meanwhile.
    pub(super) fn stream(self) -> impl Stream<Item = Result<LogLine, LogError>> + Send {
        stream::unfold(Some(self), |tailing| async move {
            let mut tailing = tailing?;
            loop {
                if let Some(line) = tailing.pending.pop_front() {
                    return Some((Ok(line), Some(tailing)));
                }
                tokio::select! {
                    biased;
                    // Nothing is ever sent: it can only be closed.
                    _ = tailing.forgotten.changed() => return None,
                    () = written(tailing.events.as_ref()), if !tailing.more => {}
                    () = std::future::ready(()), if tailing.more => {}
                }
                let Tailing { mut follower, events, forgotten, readers, .. } = tailing;
                match blocking(move || Ok((follower.read()?, follower))).await {
                    Ok((batch, follower)) => {
                        let (pending, more) = (batch.lines.into(), batch.more);
                        tailing = Tailing { follower, events, forgotten, readers, pending, more };
                    }
                    Err(error) => return Some((Err(error), None)),
                }
            }
        })
    }
}

/// Waits until something was written, and a moment longer.
async fn written(events: Option<&AsyncFd<OwnedFd>>) {
    let Some(events) = events else { return sleep(LOOK).await };
    let Ok(mut ready) = events.readable().await else { return sleep(LOOK).await };
    sleep(GATHER).await;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut told = inotify::Reader::new(events.get_ref(), &mut buffer);
    while told.next().is_ok() {}
    ready.clear_ready();
}

/// Reads and writes files off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, LogError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(BoxError::from);
    done.and_then(|result| result.map_err(BoxError::from)).map_err(LogError::Unavailable)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::{
        local::run_dir::format::{LINES, PLATFORM_LINES, format_line},
        model::{AppName, AppRef, InstanceName, LogLevel, LogSource, ReleaseVersion, TemplateId, Timestamp},
        port::OutputStream,
    };

    fn line(n: i64) -> String {
        let source = LogSource::Platform { level: LogLevel::Info };
        serde_json::to_string(&LogLine::new(Timestamp(n), source, n.to_string())).unwrap()
    }

    fn instance(app: &Path, name: &str) -> PathBuf {
        let folder = app.join(name);
        fs::create_dir_all(&folder).unwrap();
        let identity = InstanceIdentity {
            app: AppRef { name: AppName::new("blog").unwrap(), uid: AppUid(uuid::Uuid::nil()) },
            instance: InstanceName::new(format!("blog-web-1-{name}")).unwrap(),
            process: ProcessType::new("web").unwrap(),
            release: ReleaseVersion(1),
            template: TemplateId("t".into()),
            routable: true,
            port: 1,
            grace_seconds: 1,
        };
        identity.write(&folder).unwrap();
        folder
    }

    fn lines(numbers: std::ops::Range<i64>, text: &str) -> String {
        numbers
            .map(|n| format_line(Timestamp(n), Some(OutputStream::Stdout), format!("{n} {text}").as_bytes()))
            .collect()
    }

    fn all(follower: &mut Follower) -> Vec<LogLine> {
        let mut all = Vec::new();
        loop {
            let batch = follower.read().unwrap();
            all.extend(batch.lines);
            if !batch.more {
                return all;
            }
        }
    }

    fn texts(lines: Vec<LogLine>) -> Vec<String> {
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn a_rotation_costs_no_line_but_a_torn_one() {
        let dir = tempfile::tempdir().unwrap();
        let (newer, older) = (dir.path().join(PLATFORM_LINES[0]), dir.path().join(PLATFORM_LINES[1]));
        fs::write(&older, format!("{}\n", line(1))).unwrap();
        let torn = line(3);
        fs::write(&newer, format!("{}\n{}", line(2), &torn[..torn.len() / 2])).unwrap();
        let mut follower = Follower::new(dir.path().to_owned(), None);
        assert_eq!(texts(follower.tail(10).unwrap()), ["1", "2"]);
        fs::rename(&newer, &older).unwrap();
        assert!(all(&mut follower).is_empty());
        fs::write(&newer, format!("{}\n", line(4))).unwrap();
        assert_eq!(texts(all(&mut follower)), ["4"], "what was torn is not glued to it");
        // Both files were replaced since the last look: what is left of what came between is told.
        fs::write(&older, format!("{}\n", line(5))).unwrap();
        fs::write(dir.path().join("new"), format!("{}\n", line(6))).unwrap();
        fs::rename(dir.path().join("new"), &newer).unwrap();
        assert_eq!(texts(all(&mut follower)), ["5", "6"]);
        let mut file = File::options().append(true).open(&newer).unwrap();
        std::io::Write::write_all(&mut file, format!("{}\n", line(7)).as_bytes()).unwrap();
        assert_eq!(texts(all(&mut follower)), ["7"]);
    }

    #[test]
    fn a_tail_is_the_newest_of_all_instances_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        for (name, first) in [("aaaaa", 0), ("bbbbb", 5_000)] {
            let folder = instance(dir.path(), name);
            fs::write(folder.join(LINES[1]), lines(first..first + 10_000, "")).unwrap();
            fs::write(folder.join(LINES[0]), lines(first + 10_000..first + 20_000, "")).unwrap();
        }
        let tail = Follower::new(dir.path().to_owned(), None).tail(12_000).unwrap();
        assert_eq!(tail.len(), 12_000);
        assert_eq!(tail.last().unwrap().at, Timestamp(24_999));
        assert!(tail.is_sorted_by_key(|line| line.at));
        // 5,000 of the newest are of one instance alone, the others of both.
        assert_eq!(tail.first().unwrap().at, Timestamp(16_500));
    }

    #[test]
    fn lines_of_many_instances_take_no_more_memory_than_they_may() {
        let dir = tempfile::tempdir().unwrap();
        let long = "x".repeat(10_000);
        for n in 0..30 {
            let folder = instance(dir.path(), &format!("{n:05}"));
            fs::write(folder.join(LINES[0]), lines(0..100, &long)).unwrap();
        }
        let taken = |lines: &[LogLine]| lines.iter().map(size).sum::<usize>();
        let tail = Follower::new(dir.path().to_owned(), None).tail(10_000).unwrap();
        assert!((TAIL / 2..=TAIL).contains(&taken(&tail)), "{}", taken(&tail));
        assert_eq!(tail.last().unwrap().at, Timestamp(99));
        let mut follower = Follower::new(dir.path().to_owned(), None);
        follower.watch().unwrap();
        assert!(taken(&follower.tail(10_000).unwrap()) <= FOLLOWED_TAIL);

        // Read on in pieces, to the last line.
        for n in 0..30 {
            let folder = dir.path().join(format!("{n:05}"));
            fs::rename(folder.join(LINES[0]), folder.join(LINES[1])).unwrap();
            fs::write(folder.join(LINES[0]), lines(100..200, &long)).unwrap();
        }
        let (mut count, mut largest) = (0, 0);
        loop {
            let batch = follower.read().unwrap();
            count += batch.lines.len();
            largest = largest.max(taken(&batch.lines));
            if !batch.more {
                break;
            }
        }
        assert_eq!(count, 3_000);
        assert!(largest <= 2 * 128 * 1024, "{largest}");
    }

    #[test]
    fn no_file_is_open_between_two_reads() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..40 {
            let folder = instance(dir.path(), &format!("{n:05}"));
            fs::write(folder.join(LINES[0]), lines(0..1, "")).unwrap();
        }
        let mut follower = Follower::new(dir.path().to_owned(), None);
        follower.tail(100).unwrap();
        follower.read().unwrap();
        let open =
            fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
        assert_eq!(open.filter(|path| path.starts_with(dir.path())).count(), 0);
    }
}
