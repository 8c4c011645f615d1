//! An instance as its shim sees it: output goes into its log line by line, input there is none.

use std::{
    io::{self, Read, Write as _},
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    process::Child,
    time::Instant,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, getpid},
};

use super::channels::{Action, Channels};
use crate::{
    local::run_dir::{
        line_log::LineLog,
        record::{EndRecord, InstanceIdentity, InstanceRecord, ProcessIdentity},
    },
    model::Exit,
    port::{LINE_SILENCE, LineSplitter, OutputStream},
};

/// The log of an instance and the pipes that feed it.
pub(super) struct InstanceChannels {
    folder: PathBuf,
    identity: InstanceIdentity,
    record: Option<InstanceRecord>,
    log: LineLog,
    streams: Vec<Stream>,
}

struct Stream {
    kind: OutputStream,
    pipe: Box<dyn Pipe>,
    lines: LineSplitter,
    /// When the beginning of a line is shown without its end.
    show_at: Option<Instant>,
    open: bool,
}

trait Pipe: Read + AsFd {}
impl<T: Read + AsFd> Pipe for T {}

impl InstanceChannels {
    pub(super) fn new(folder: &Path, identity: &InstanceIdentity, notices: &[String]) -> Self {
        let mut log = LineLog::open(folder);
        for text in notices {
            log.add(None, text.as_bytes());
        }
        // Before the child prints anything, so that its people read it first.
        log.flush();
        let (folder, identity) = (folder.to_owned(), identity.clone());
        Self { folder, identity, record: None, log, streams: Vec::new() }
    }

    fn add(&mut self, kind: OutputStream, pipe: Box<dyn Pipe>) {
        self.streams.push(Stream { kind, pipe, lines: LineSplitter::default(), show_at: None, open: true });
    }

    fn read(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        let mut buffer = [0; 16 * 1024];
        // The pipe is readable, so this does not block, and takes what there is.
        match stream.pipe.read(&mut buffer) {
            Ok(0) => {
                stream.open = false;
                stream.lines.finish(|line| self.log.add(Some(stream.kind), line));
            }
            Ok(n) => stream.lines.feed(&buffer[..n], |line| self.log.add(Some(stream.kind), line)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => stream.open = false,
        }
        stream.show_at = stream.lines.is_waiting().then(|| Instant::now() + LINE_SILENCE);
    }
}

impl Channels for InstanceChannels {
    fn begin(&mut self, child: &mut Child) -> io::Result<()> {
        if let Some(pipe) = child.stdout.take() {
            self.add(OutputStream::Stdout, Box::new(pipe));
        }
        if let Some(pipe) = child.stderr.take() {
            self.add(OutputStream::Stderr, Box::new(pipe));
        }
        let (shim, main) =
            (ProcessIdentity::existing(getpid())?, ProcessIdentity::existing(Pid::from_child(child))?);
        let record = InstanceRecord::new(self.identity.clone(), shim, main);
        // First on disk, then told: if the scheduler is killed in between, the next one finds the instance.
        record.write(&self.folder)?;
        // The one line that the scheduler waits for. It may be gone, which is no reason to stop.
        let _ = writeln!(io::stdout(), "{}", serde_json::to_string(&record)?);
        self.record = Some(record);
        Ok(())
    }

    fn not_started(&mut self, error: &io::Error) {
        self.log
            .add(Some(OutputStream::Stderr), format!("the process cannot be started: {error}").as_bytes());
    }

    fn interest(&self) -> Vec<PollFd<'_>> {
        let open = self.streams.iter().filter(|stream| stream.open);
        open.map(|stream| PollFd::from_borrowed_fd(stream.pipe.as_fd(), PollFlags::IN)).collect()
    }

    fn handle(&mut self, ready: &[PollFlags]) -> Vec<Action> {
        let open: Vec<usize> = (0..self.streams.len()).filter(|i| self.streams[*i].open).collect();
        for (index, flags) in open.into_iter().zip(ready) {
            // A hang-up and an error are told by other flags, and by reading.
            if !flags.is_empty() {
                self.read(index);
            }
        }
        for stream in &mut self.streams {
            if stream.show_at.is_some_and(|at| Instant::now() >= at) {
                stream.show_at = None;
                stream.lines.show(|line| self.log.add(Some(stream.kind), line));
            }
        }
        // In one write for all that was printed meanwhile: a chatty app costs few calls.
        self.log.flush();
        Vec::new()
    }

    fn next_moment(&self) -> Option<Instant> {
        self.streams.iter().filter_map(|stream| stream.show_at).min()
    }

    fn stopping(&mut self) {
        if let Some(record) = &mut self.record {
            record.stopping = true;
            // A platform process that adopts it now must not send it requests. On a full disk it learns that later.
            let _ = record.write(&self.folder);
        }
    }

    fn finish(&mut self, exit: Exit) -> io::Result<()> {
        // A process that left the tree before it was looked at may hold the pipes open for ever, so nothing is waited
        // for: what lies in the pipes is read, and no more.
        for index in 0..self.streams.len() {
            while self.streams[index].open && is_readable(self.streams[index].pipe.as_fd()) {
                self.read(index);
            }
            let stream = &mut self.streams[index];
            stream.lines.finish(|line| self.log.add(Some(stream.kind), line));
        }
        // The lines before the end: whoever sees the end looks for the last lines at once.
        self.log.flush();
        EndRecord::new(exit).write(&self.folder)
    }
}

/// Whether reading gives something at once: bytes, an end or an error.
fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|n| n > 0)
}
