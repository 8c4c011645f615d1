//! A task as its shim sees it: output goes into files, chunk by chunk and byte by byte; input comes from a writer over
//! the socket, or with the specification.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::Child,
    time::Instant,
};

use rustix::{
    event::{PollFd, PollFlags},
    fs::{Mode, OFlags},
    process::{Pid, Signal},
    termios::{Winsize, tcsetwinsize},
};

use super::{
    Ended, TaskSpec, Who,
    clients::Clients,
    input::Input,
    now,
    record::write_main,
    start::Stdio,
    terminal,
    watch::{Ask, Channels},
};
use crate::{
    local::{
        task_log::TaskLogWriter,
        wire::{Reply, Request, SOCKET},
    },
    model::{Exit, TaskInput, TaskLife, TaskStreams},
    plan::constants::HANG_UP_GRACE,
    port::{HOLD_LIMIT, MAX_CHUNK, OutputStream},
};

/// So many chunks are taken from a stream before others have their turn.
const CHUNKS_AT_ONCE: usize = 8;

/// What a task is connected to.
pub(super) struct TaskChannels {
    folder: PathBuf,
    log: TaskLogWriter,
    outputs: Vec<OutputPipe>,
    input: Input,
    /// The terminal, kept for its size; it is an output pipe and the input, too.
    terminal: Option<OwnedFd>,
    listener: UnixListener,
    clients: Clients,
    /// Whether the task dies with whoever holds the other end of standard input.
    bound: bool,
    /// Whether the task is somebody's session, which ends when that person goes.
    is_session: bool,
    /// Since when the output is full without anybody who reads it.
    unread_since: Option<Instant>,
    /// The last moment's end was asked for already.
    told_to_stop: bool,
}

struct OutputPipe {
    stream: OutputStream,
    pipe: File,
    open: bool,
}

impl TaskChannels {
    /// Makes the channels and what the child gets of them.
    pub(super) fn new(folder: &Path, spec: &mut TaskSpec) -> io::Result<(Stdio, Self)> {
        let listener = listen(folder)?;
        // A full disk must not keep the end from being known.
        Ended::reserve(folder)?;
        let mut tool_input = Vec::new();
        io::stdin().lock().take(spec.input_bytes).read_to_end(&mut tool_input)?;
        let mut outputs = Vec::new();
        let mut output = |stream, pipe: OwnedFd| {
            rustix::fs::fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
            outputs.push(OutputPipe { stream, pipe: File::from(pipe), open: true });
            Ok::<(), io::Error>(())
        };
        let (stdio, input, terminal) = if let TaskInput::Terminal(size) = spec.input {
            let (controller, child) = terminal::open(size)?;
            output(OutputStream::Stdout, controller.try_clone()?)?;
            let input = Input::terminal(controller.try_clone()?);
            (Stdio::Terminal(child), input, Some(controller))
        } else {
            let (stdin, input) = match spec.input {
                TaskInput::Closed if tool_input.is_empty() => (None, Input::none()),
                TaskInput::Closed => {
                    let (stdin, pipe) = io::pipe()?;
                    (Some(stdin.into()), Input::given(pipe.into(), tool_input)?)
                }
                _ => {
                    let (stdin, pipe) = io::pipe()?;
                    (Some(stdin.into()), Input::pipe(pipe.into())?)
                }
            };
            let (out, stdout) = io::pipe()?;
            output(OutputStream::Stdout, out.into())?;
            let stderr = match spec.output.streams {
                TaskStreams::Merged => stdout.try_clone()?,
                TaskStreams::Apart => {
                    let (err, stderr) = io::pipe()?;
                    output(OutputStream::Stderr, err.into())?;
                    stderr
                }
            };
            (Stdio::Pipes { stdin, stdout: stdout.into(), stderr: stderr.into() }, input, None)
        };
        let bound = spec.life == TaskLife::Bound;
        let channels = Self {
            folder: folder.to_owned(),
            log: TaskLogWriter::new(folder, spec.output.when_full),
            outputs,
            input,
            terminal,
            listener,
            clients: Clients::default(),
            bound,
            is_session: bound && spec.input != TaskInput::Closed,
            unread_since: None,
            told_to_stop: false,
        };
        Ok((stdio, channels))
    }

    /// Whether output is taken in now. Where it must not be dropped, the process waits for its reader.
    fn takes_output(&self) -> bool {
        self.log.has_room()
    }

    fn read(&mut self, index: usize, most: usize) {
        let output = &mut self.outputs[index];
        let mut buffer = [0; MAX_CHUNK];
        for _ in 0..most {
            match output.pipe.read(&mut buffer) {
                Ok(0) => output.open = false,
                Ok(n) => {
                    self.log.append(output.stream, now(), &buffer[..n]);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // A terminal says so when its last user has closed it.
                Err(_) => output.open = false,
            }
            return;
        }
    }

    fn obey(&mut self, request: Request, asks: &mut Vec<Ask>) {
        match request {
            // The order of readers decides whose word counts; see `Clients::acknowledged`.
            Request::Acknowledge(_) | Request::Claim => {}
            Request::Input(bytes) => {
                let taken = self.input.push(&bytes);
                self.clients.reply_to_writer(Reply::Credit(taken));
            }
            Request::EndOfInput => {
                let taken = self.input.end();
                self.clients.reply_to_writer(Reply::Credit(taken));
            }
            Request::Resize(columns, rows) => {
                if let Some(terminal) = &self.terminal {
                    let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
                    let _ = tcsetwinsize(terminal, size);
                }
            }
            Request::Signal(number) => asks.extend(Signal::from_named_raw(number).map(Ask::Signal)),
        }
    }

    /// Whether the task must be stopped because nobody reads what must not be dropped.
    fn is_forsaken(&mut self) -> bool {
        if self.takes_output() || self.clients.has_reader() {
            self.unread_since = None;
            return false;
        }
        let since = *self.unread_since.get_or_insert_with(Instant::now);
        since.elapsed() >= HOLD_LIMIT
    }
}

impl Channels for TaskChannels {
    fn begin(&mut self, child: &mut Child) -> io::Result<()> {
        write_main(&self.folder, Who::existing(Pid::from_child(child))?)?;
        // The one line that the runner waits for.
        let _ = writeln!(io::stdout(), "running");
        Ok(())
    }

    fn not_started(&mut self, error: &io::Error) {
        let text = format!("the process cannot be started: {error}\n");
        let stream = self.outputs.last().map_or(OutputStream::Stdout, |output| output.stream);
        self.log.append(stream, now(), text.as_bytes());
    }

    fn interest(&self) -> Vec<PollFd<'_>> {
        let mut polled = Vec::new();
        if self.bound {
            // No flag but the hang-up, which is always told.
            polled.push(PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::empty()));
        }
        polled.push(PollFd::new(&self.listener, PollFlags::IN));
        if self.takes_output() {
            let open = self.outputs.iter().filter(|output| output.open);
            polled.extend(open.map(|output| PollFd::new(&output.pipe, PollFlags::IN)));
        }
        if let Some(pipe) = self.input.waits_for() {
            polled.push(PollFd::from_borrowed_fd(pipe, PollFlags::OUT));
        }
        polled.extend(self.clients.interest());
        polled
    }

    fn handle(&mut self, told: &[PollFlags]) -> Vec<Ask> {
        let mut asks = Vec::new();
        let mut told = told.iter().map(|flags| !flags.is_empty());
        // In the order of `interest`.
        if self.bound && told.next().unwrap_or(false) {
            return vec![Ask::Abandon];
        }
        let connects = told.next().unwrap_or(false);
        let before = self.log.position();
        if self.takes_output() {
            let open: Vec<usize> = (0..self.outputs.len()).filter(|i| self.outputs[*i].open).collect();
            for index in open {
                if told.next().unwrap_or(false) {
                    self.read(index, CHUNKS_AT_ONCE);
                }
            }
        }
        if self.input.waits_for().is_some() && told.next().unwrap_or(false) {
            let written = self.input.flush();
            self.clients.reply_to_writer(Reply::Credit(written));
        }
        for request in self.clients.handle(&mut told, &self.input) {
            self.obey(request, &mut asks);
        }
        if connects && let Ok((stream, _)) = self.listener.accept() {
            self.clients.add(stream);
        }
        if let Some(position) = self.clients.acknowledged() {
            self.log.acknowledge(position);
        }
        if self.log.position() != before || self.log.broken().is_some() {
            self.clients.tell_news();
        }
        self.clients.flush();
        if self.clients.lost_writer() && self.is_session {
            asks.push(Ask::HangUp(HANG_UP_GRACE));
        }
        let ends = self.log.broken().is_some() || self.is_forsaken();
        if ends && !self.told_to_stop {
            self.told_to_stop = true;
            asks.push(Ask::Stop);
        }
        asks
    }

    fn next_moment(&self) -> Option<Instant> {
        self.unread_since.filter(|_| !self.told_to_stop).map(|since| since + HOLD_LIMIT)
    }

    fn finish(&mut self, exit: Exit) -> io::Result<()> {
        // At most what a pipe holds, also where output is held: its process cannot wait any more. Somebody outside may
        // hold the pipes open, so nothing is waited for.
        for index in 0..self.outputs.len() {
            if self.outputs[index].open {
                self.read(index, usize::from(u16::MAX));
            }
        }
        let broken = self.log.broken().map(ToOwned::to_owned);
        Ended { output: self.log.position(), broken, ..Ended::new(exit) }.write(&self.folder)
    }
}

/// Listens in the folder, by a path that fits into an address however long the folder's is.
fn listen(folder: &Path) -> io::Result<UnixListener> {
    let folder = rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let path = socket_in(&folder);
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    let only_ours = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, only_ours)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The path of the socket in an open folder.
pub(crate) fn socket_in(folder: &OwnedFd) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_fd().as_raw_fd()))
}

/// A connection without waiting for it.
pub(super) fn nonblocking(stream: UnixStream) -> Option<UnixStream> {
    stream.set_nonblocking(true).ok().map(|()| stream)
}
