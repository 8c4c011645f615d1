//! An instance as its shim sees it: output goes into its log line by line, input there is none.

use std::{
    io::{self, Read, Write as _},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::Child,
    time::Instant,
};

use rustix::{
    event::{PollFd, PollFlags},
    process::{Pid, getpid},
};

use super::{
    Ended, Identity, State, Who,
    log::{Log, Voice},
    watch::{Ask, Channels, is_readable},
};
use crate::{
    model::Exit,
    port::{LINE_SILENCE, LineSplitter},
};

/// The log of an instance and the pipes that feed it.
pub(super) struct InstanceChannels {
    folder: PathBuf,
    identity: Identity,
    state: Option<State>,
    log: Log,
    streams: Vec<Stream>,
}

struct Stream {
    voice: Voice,
    pipe: Box<dyn Pipe>,
    lines: LineSplitter,
    /// When the beginning of a line is shown without its end.
    show_at: Option<Instant>,
    open: bool,
}

trait Pipe: Read + AsFd {}
impl<T: Read + AsFd> Pipe for T {}

impl InstanceChannels {
    pub(super) fn new(folder: &Path, identity: &Identity, notices: &[String]) -> Self {
        let mut log = Log::open(folder);
        for text in notices {
            log.add(Voice::Warning, text.as_bytes());
        }
        log.flush();
        let (folder, identity) = (folder.to_owned(), identity.clone());
        Self { folder, identity, state: None, log, streams: Vec::new() }
    }

    fn add(&mut self, voice: Voice, pipe: Box<dyn Pipe>) {
        self.streams.push(Stream { voice, pipe, lines: LineSplitter::default(), show_at: None, open: true });
    }

    fn read(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        let mut buffer = [0; 16 * 1024];
        match stream.pipe.read(&mut buffer) {
            Ok(0) => {
                stream.open = false;
                stream.lines.finish(|line| self.log.add(stream.voice, line));
            }
            Ok(n) => stream.lines.feed(&buffer[..n], |line| self.log.add(stream.voice, line)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => stream.open = false,
        }
        stream.show_at = stream.lines.is_waiting().then(|| Instant::now() + LINE_SILENCE);
    }
}

impl Channels for InstanceChannels {
    fn begin(&mut self, child: &mut Child) -> io::Result<()> {
        if let Some(pipe) = child.stdout.take() {
            self.add(Voice::Out, Box::new(pipe));
        }
        if let Some(pipe) = child.stderr.take() {
            self.add(Voice::Err, Box::new(pipe));
        }
        let (shim, main) = (Who::existing(getpid())?, Who::existing(Pid::from_child(child))?);
        let state = State::new(self.identity.clone(), shim, main);
        state.write(&self.folder)?;
        // The one line that the scheduler waits for.
        let _ = writeln!(io::stdout(), "{}", serde_json::to_string(&state)?);
        self.state = Some(state);
        Ok(())
    }

    fn not_started(&mut self, error: &io::Error) {
        self.log.add(Voice::Err, format!("the process cannot be started: {error}").as_bytes());
    }

    fn interest(&self) -> Vec<PollFd<'_>> {
        let open = self.streams.iter().filter(|stream| stream.open);
        open.map(|stream| PollFd::from_borrowed_fd(stream.pipe.as_fd(), PollFlags::IN)).collect()
    }

    fn handle(&mut self, told: &[PollFlags]) -> Vec<Ask> {
        let open: Vec<usize> = (0..self.streams.len()).filter(|i| self.streams[*i].open).collect();
        for (index, flags) in open.into_iter().zip(told) {
            if !flags.is_empty() {
                self.read(index);
            }
        }
        for stream in &mut self.streams {
            if stream.show_at.is_some_and(|at| Instant::now() >= at) {
                stream.show_at = None;
                stream.lines.show(|line| self.log.add(stream.voice, line));
            }
        }
        self.log.flush();
        Vec::new()
    }

    fn next_moment(&self) -> Option<Instant> {
        self.streams.iter().filter_map(|stream| stream.show_at).min()
    }

    fn stopping(&mut self) {
        if let Some(state) = &mut self.state {
            state.stopping = true;
            let _ = state.write(&self.folder);
        }
    }

    fn finish(&mut self, exit: Exit) -> io::Result<()> {
        // Somebody outside may hold the pipes open, so nothing is waited for.
        for index in 0..self.streams.len() {
            while self.streams[index].open && is_readable(self.streams[index].pipe.as_fd()) {
                self.read(index);
            }
            let stream = &mut self.streams[index];
            stream.lines.finish(|line| self.log.add(stream.voice, line));
        }
        self.log.flush();
        Ended::new(exit).write(&self.folder)
    }
}
