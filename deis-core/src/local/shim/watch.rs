//! The loop of a shim: output, signals and time limits until the child and all that it started are gone.

use std::{
    io::{self, Read, Write as _},
    os::{fd::AsFd, unix::net::UnixStream},
    path::Path,
    process::{Child, ChildStdin},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, getpid},
};

use super::{
    Ended, Output, Spec, State, Who,
    family::Family,
    inherited,
    lines::{Lines, SILENCE},
    log::{Log, Voice},
    now,
    record::write_main,
    start,
};
use crate::model::Exit;

/// How often one looks for orphans while the child is stopping: not every end of theirs is signalled here.
const LOOK: Duration = Duration::from_millis(100);
/// What a shell answers when it cannot start a command.
const CANNOT_START: i32 = 127;

/// Runs the child to its end and writes down how it ended.
pub(super) fn watch(spec: Spec) -> io::Result<()> {
    let terminate = on_signal(Signal::TERM)?;
    let child_ended = on_signal(Signal::CHILD)?;
    inherited::stop_ignoring()?;
    if let Some(soft) = spec.open_files {
        inherited::limit_files(soft)?;
    }
    let mut child = match start::start(&spec) {
        Ok(child) => child,
        Err(error) => return not_started(&spec, &error),
    };
    let mut shim = Watch::new(&spec, &child, terminate, child_ended);
    if let Err(error) = shim.begin(&spec, &mut child) {
        // What nobody could find again must not run.
        shim.family.kill();
        return not_started(&spec, &error);
    }
    drop(spec);
    let exit = shim.until_end();
    shim.last_output();
    Ended { exit, at: now() }.write(&shim.folder)
}

struct Watch {
    folder: std::path::PathBuf,
    family: Family,
    state: Option<State>,
    log: Log,
    streams: Vec<Stream>,
    terminate: UnixStream,
    child_ended: UnixStream,
    /// Whether the child dies with whoever holds the other end of standard input.
    tied: bool,
    grace: Duration,
    limit: Option<Instant>,
    /// When what still runs is killed.
    stop_by: Option<Instant>,
}

struct Stream {
    voice: Voice,
    pipe: Box<dyn Pipe>,
    lines: Lines,
    /// When the beginning of a line is shown without its end.
    show_at: Option<Instant>,
    open: bool,
}

trait Pipe: Read + AsFd {}
impl<T: Read + AsFd> Pipe for T {}

impl Watch {
    fn new(spec: &Spec, child: &Child, terminate: UnixStream, child_ended: UnixStream) -> Self {
        Self {
            folder: spec.folder.clone(),
            family: Family::new(Pid::from_child(child)),
            state: None,
            log: Log::open(&spec.folder),
            streams: Vec::new(),
            terminate,
            child_ended,
            tied: false,
            grace: Duration::from_millis(spec.grace_ms),
            limit: spec.limit_ms.map(|ms| Instant::now() + Duration::from_millis(ms)),
            stop_by: None,
        }
    }

    /// Takes the child's pipes and writes down who it is.
    fn begin(&mut self, spec: &Spec, child: &mut Child) -> io::Result<()> {
        let who = |pid: Pid| {
            let gone = || io::Error::new(io::ErrorKind::NotFound, "its process is not in /proc");
            Who::of(pid.as_raw_nonzero().get()).ok_or_else(gone)
        };
        let main = who(Pid::from_child(child))?;
        match &spec.output {
            Output::Files { identity, notices } => {
                for text in notices {
                    self.log.add(Voice::Warning, text.as_bytes());
                }
                self.log.flush();
                if let Some(pipe) = child.stdout.take() {
                    self.add(Voice::Out, Box::new(pipe));
                }
                if let Some(pipe) = child.stderr.take() {
                    self.add(Voice::Err, Box::new(pipe));
                }
                let state = State::new((**identity).clone(), who(getpid())?, main);
                state.write(&spec.folder)?;
                // The one line that the scheduler waits for.
                let _ = writeln!(io::stdout(), "{}", serde_json::to_string(&state)?);
                self.state = Some(state);
            }
            Output::Stream { stdin } => {
                write_main(&spec.folder, main)?;
                self.tied = true;
                if let Some(pipe) = child.stdin.take() {
                    feed(pipe, *stdin);
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, voice: Voice, pipe: Box<dyn Pipe>) {
        self.streams.push(Stream { voice, pipe, lines: Lines::default(), show_at: None, open: true });
    }

    fn until_end(&mut self) -> Exit {
        loop {
            let gone = self.family.reap();
            let ended = self.family.exit.is_some() && self.stop_by.is_none();
            if gone || ended || self.stop_by.is_some_and(|by| Instant::now() >= by) {
                return self.family.kill();
            }
            if self.limit.is_some_and(|limit| Instant::now() >= limit) {
                self.family.kill();
                return Exit::TimedOut;
            }
            match self.wait() {
                Seen::Stop => self.stop(),
                Seen::Abandoned => {
                    self.family.kill();
                    return Exit::Lost;
                }
                Seen::Anything => {}
            }
        }
    }

    /// Asks everybody to end, and leaves them the grace period.
    fn stop(&mut self) {
        if self.stop_by.is_some() {
            return;
        }
        self.stop_by = Some(Instant::now() + self.grace);
        if let Some(state) = &mut self.state {
            state.stopping = true;
            let _ = state.write(&self.folder);
        }
        self.family.signal(Signal::TERM);
    }

    /// Waits until something happens, and takes in output.
    fn wait(&mut self) -> Seen {
        let stdin = io::stdin();
        let (stop, ready, abandoned) = {
            let mut polled = vec![
                PollFd::new(&self.terminate, PollFlags::IN),
                PollFd::new(&self.child_ended, PollFlags::IN),
            ];
            if self.tied {
                // No flag but the hang-up, which is always told: the child's input may lie there unread.
                polled.push(PollFd::new(&stdin, PollFlags::empty()));
            }
            let first = polled.len();
            let open: Vec<usize> = (0..self.streams.len()).filter(|i| self.streams[*i].open).collect();
            polled.extend(
                open.iter().map(|i| PollFd::from_borrowed_fd(self.streams[*i].pipe.as_fd(), PollFlags::IN)),
            );
            let timeout = self.timeout();
            if poll(&mut polled, timeout.as_ref()).is_err() {
                return Seen::Anything;
            }
            let told = |i: usize| !polled[i].revents().is_empty();
            let ready: Vec<usize> =
                open.iter().enumerate().filter(|(n, _)| told(first + n)).map(|(_, i)| *i).collect();
            (told(0), ready, self.tied && told(2))
        };
        drain(&self.child_ended);
        for index in ready {
            self.read(index);
        }
        self.show_beginnings();
        self.log.flush();
        if abandoned {
            return Seen::Abandoned;
        }
        if stop {
            drain(&self.terminate);
            return Seen::Stop;
        }
        Seen::Anything
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
        stream.show_at = stream.lines.is_waiting().then(|| Instant::now() + SILENCE);
    }

    fn show_beginnings(&mut self) {
        for stream in &mut self.streams {
            if stream.show_at.is_some_and(|at| Instant::now() >= at) {
                stream.show_at = None;
                stream.lines.show(|line| self.log.add(stream.voice, line));
            }
        }
    }

    /// Takes in what still lies in the pipes; somebody outside may hold them open, so nothing is waited for.
    fn last_output(&mut self) {
        for index in 0..self.streams.len() {
            while self.streams[index].open && is_readable(self.streams[index].pipe.as_fd()) {
                self.read(index);
            }
            let stream = &mut self.streams[index];
            stream.lines.finish(|line| self.log.add(stream.voice, line));
        }
        self.log.flush();
    }

    fn timeout(&self) -> Option<Timespec> {
        let beginnings = self.streams.iter().map(|stream| stream.show_at);
        let next = beginnings.chain([self.limit, self.stop_by]).flatten().min()?;
        let mut left = next.saturating_duration_since(Instant::now());
        if self.stop_by.is_some() {
            left = left.min(LOOK);
        }
        left.try_into().ok()
    }
}

enum Seen {
    Stop,
    Abandoned,
    Anything,
}

/// A stream that becomes readable when the signal comes.
fn on_signal(signal: Signal) -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(signal.as_raw(), write)?;
    Ok(read)
}

fn drain(mut stream: &UnixStream) {
    let mut buffer = [0; 64];
    while matches!(stream.read(&mut buffer), Ok(n) if n > 0) {}
}

fn is_readable(fd: std::os::fd::BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|n| n > 0)
}

/// Hands the child its input beside the loop; a child that does not read it holds up nothing.
fn feed(mut pipe: ChildStdin, bytes: u64) {
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock().take(bytes), &mut pipe);
    });
}

fn not_started(spec: &Spec, error: &io::Error) -> io::Result<()> {
    let text = format!("the process cannot be started: {error}");
    match &spec.output {
        Output::Files { .. } => {
            let mut log = Log::open(&spec.folder);
            log.add(Voice::Err, text.as_bytes());
            log.flush();
        }
        Output::Stream { .. } => eprintln!("{text}"),
    }
    write_end(&spec.folder, Exit::Code(CANNOT_START))
}

fn write_end(folder: &Path, exit: Exit) -> io::Result<()> {
    Ended { exit, at: now() }.write(folder)
}
