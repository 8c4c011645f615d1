//! Reads the files of one app's lines from where it was last: rotation, new instances, torn ends.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File},
    io::{self, Read as _},
    mem::MaybeUninit,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{Stream, stream};
use rustix::fs::inotify;
use tokio::{io::unix::AsyncFd, sync::watch, time::sleep};

use super::ring::selects;
use crate::{
    local::{
        async_fd::async_fd,
        run_dir::{
            format::{LINES, PLATFORM_LINES, parse_line},
            record::InstanceIdentity,
        },
    },
    model::{AppUid, LogLevel, LogLine, LogSource, ProcessType},
    port::{BoxError, LogError},
};

/// What is printed in one go is read in one go.
const GATHER: Duration = Duration::from_millis(20);
/// How often one looks where the system has no watch to give.
const LOOK: Duration = Duration::from_millis(200);

/// All files of one app.
#[derive(Debug)]
pub(super) struct Follower {
    folder: PathBuf,
    process: Option<ProcessType>,
    /// More of the older file than this many lines is not read the first time.
    lines: usize,
    first: bool,
    /// By folder: the app's own for the platform's lines, else an instance's.
    sources: BTreeMap<PathBuf, Source>,
    watch: Option<OwnedFd>,
}

#[derive(Debug)]
struct Source {
    /// `None` for the platform's file, whose lines name their source themselves.
    identity: Option<InstanceIdentity>,
    file: Option<File>,
    /// The beginning of a line whose end is not written yet.
    rest: Vec<u8>,
}

impl Follower {
    pub(super) fn new(folder: PathBuf, process: Option<ProcessType>, lines: usize) -> Self {
        Self { folder, process, lines, first: true, sources: BTreeMap::new(), watch: None }
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

    /// The lines since the last call, oldest first.
    pub(super) fn read(&mut self) -> io::Result<Vec<LogLine>> {
        self.find_sources()?;
        let (first, most) = (std::mem::take(&mut self.first), self.lines);
        let mut found = Vec::new();
        for (folder, source) in &mut self.sources {
            source.read(folder, first.then_some(most), &mut found)?;
        }
        found.retain(|line| selects(self.process.as_ref(), line));
        found.sort_by_key(|line| line.at);
        Ok(found)
    }

    fn find_sources(&mut self) -> io::Result<()> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        self.sources.entry(self.folder.clone()).or_insert(Source {
            identity: None,
            file: None,
            rest: Vec::new(),
        });
        for entry in entries {
            let path = entry?.path();
            if self.sources.contains_key(&path) {
                continue;
            }
            if let Some(identity) = InstanceIdentity::read(&path) {
                // First watched, then read: nothing falls between.
                self.add_watch(&path);
                let source = Source { identity: Some(identity), file: None, rest: Vec::new() };
                self.sources.insert(path, source);
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

impl Source {
    /// Reads on. `first` is given the first time: then the older file is read too, if so many lines need it.
    fn read(&mut self, folder: &Path, first: Option<usize>, found: &mut Vec<LogLine>) -> io::Result<()> {
        let names = if self.identity.is_some() { LINES } else { PLATFORM_LINES };
        let [newer, older] = names.map(|name| folder.join(name));
        let mut before = None;
        if self.file.is_none() {
            (self.file, before) = open_both(&newer, &older)?;
        }
        let mut own = Vec::new();
        self.read_on(&mut own)?;
        if self.is_rotated(&newer) {
            // What was written before the new file was there; a line without its end gets none any more.
            self.read_on(&mut own)?;
            self.rest.clear();
            self.file = open(&newer)?;
            self.read_on(&mut own)?;
        }
        if let Some(file) = before.filter(|_| first.is_some_and(|wanted| own.len() < wanted)) {
            let mut source = Self { identity: self.identity.clone(), file: Some(file), rest: Vec::new() };
            let mut before = Vec::new();
            source.read_on(&mut before)?;
            before.append(&mut own);
            own = before;
        }
        found.append(&mut own);
        Ok(())
    }

    fn read_on(&mut self, found: &mut Vec<LogLine>) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.read_to_end(&mut self.rest)?;
        let Some(end) = self.rest.iter().rposition(|b| *b == b'\n') else { return Ok(()) };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        found.extend(whole.split(|b| *b == b'\n').filter_map(|line| self.parse(line)));
        Ok(())
    }

    fn is_rotated(&self, newer: &Path) -> bool {
        let open = self.file.as_ref().and_then(|file| file.metadata().ok()).map(|m| number(&m));
        open.is_some() && fs::metadata(newer).ok().map(|m| number(&m)).is_some_and(|now| Some(now) != open)
    }

    fn parse(&self, line: &[u8]) -> Option<LogLine> {
        let Some(identity) = &self.identity else { return serde_json::from_slice(line).ok() };
        let raw = parse_line(line)?;
        let source = if raw.stream.is_none() {
            LogSource::Platform { level: LogLevel::Warning }
        } else {
            LogSource::Process {
                process: identity.process.clone(),
                release: identity.release,
                instance: identity.instance.clone(),
            }
        };
        Some(LogLine::new(raw.at, source, raw.text))
    }
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
}

impl Tailing {
    pub(super) fn new(
        mut follower: Follower,
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
        follower.lines = 0;
        Ok(Self { follower, events, forgotten, readers, pending: VecDeque::new() })
    }

    /// Lines as they come, until the app is forgotten. A reader that stalls misses what is rotated away meanwhile.
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
                    () = written(tailing.events.as_ref()) => {}
                }
                let Tailing { mut follower, events, forgotten, readers, .. } = tailing;
                match blocking(move || Ok((follower.read()?, follower))).await {
                    Ok((lines, follower)) => {
                        tailing = Tailing { follower, events, forgotten, readers, pending: lines.into() };
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

/// The newer file and the one before it, not one file twice that becomes the older one meanwhile.
fn open_both(newer: &Path, older: &Path) -> io::Result<(Option<File>, Option<File>)> {
    loop {
        let before = open(older)?;
        let file = open(newer)?;
        let opened = before.as_ref().map(File::metadata).transpose()?.map(|m| number(&m));
        if fs::metadata(older).ok().map(|m| number(&m)) == opened {
            return Ok((file, before));
        }
    }
}

fn number(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => file.map(Some),
    }
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
    use std::io::Write as _;

    use super::*;
    use crate::model::Timestamp;

    fn line(n: i64) -> String {
        let source = LogSource::Platform { level: LogLevel::Info };
        serde_json::to_string(&LogLine::new(Timestamp(n), source, n.to_string())).unwrap()
    }

    fn texts(follower: &mut Follower) -> Vec<String> {
        follower.read().unwrap().into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn a_rotation_costs_no_line_but_a_torn_one() {
        let dir = tempfile::tempdir().unwrap();
        let (newer, older) = (dir.path().join(PLATFORM_LINES[0]), dir.path().join(PLATFORM_LINES[1]));
        fs::write(&older, format!("{}\n", line(1))).unwrap();
        let mut file = File::create(&newer).unwrap();
        let torn = line(3);
        write!(file, "{}\n{}", line(2), &torn[..torn.len() / 2]).unwrap();
        let mut follower = Follower::new(dir.path().to_owned(), None, 10);
        assert_eq!(texts(&mut follower), ["1", "2"]);
        fs::rename(&newer, &older).unwrap();
        fs::write(&newer, format!("{}\n", line(4))).unwrap();
        assert_eq!(texts(&mut follower), ["4"], "what was torn is not glued to it");
    }
}
