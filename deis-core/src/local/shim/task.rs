//! A task as its shim sees it: output goes into files, chunk by chunk and byte by byte; input comes from a writer over
//! the socket, or with the specification.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
    process::Child,
    time::Instant,
};

use rustix::{
    event::{PollFd, PollFlags},
    fs::OFlags,
    process::{Pid, Signal},
    termios::{Winsize, tcsetwinsize},
};

use super::{
    TaskSpec,
    channels::{Action, Channels},
    clients::Clients,
    input::Input,
    start::Stdio,
    terminal,
};
use crate::{
    local::{
        run_dir::{
            record::{EndRecord, ProcessIdentity, write_main},
            socket,
            task_output::TaskLogWriter,
            wire::{Reply, Request},
        },
        time::now,
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
        // Before the child: its output may be asked for as soon as it runs.
        let listener = socket::listen(folder)?;
        // A full disk must not keep the end from being known: the room is taken while there is some.
        EndRecord::reserve(folder)?;
        // It follows the specification on this pipe. What is behind it is nothing: the pipe stays open as a sign of life.
        let mut tool_input = Vec::new();
        io::stdin().lock().take(spec.input_bytes).read_to_end(&mut tool_input)?;
        let mut outputs = Vec::new();
        let mut output = |stream, pipe: OwnedFd| {
            // It is read several times in a row, and the child may have no more: that must not stop the loop.
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
        // Nobody else holds the writing ends of the pipes once the child has them: their end is the end of its output.
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

    fn obey(&mut self, request: Request, actions: &mut Vec<Action>) {
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
            Request::Signal(number) => actions.extend(Signal::from_named_raw(number).map(Action::Signal)),
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
        // First on disk, then told: if this process is killed in between, the next platform process ends the child by it.
        write_main(&self.folder, ProcessIdentity::existing(Pid::from_child(child))?)?;
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
        // A pipe that is not read fills up, and the kernel holds the process at its next write: that is the whole of holding.
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

    fn handle(&mut self, ready: &[PollFlags]) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut ready = ready.iter().map(|flags| !flags.is_empty());
        // In the order of `interest`.
        if self.bound && ready.next().unwrap_or(false) {
            return vec![Action::Kill];
        }
        let connects = ready.next().unwrap_or(false);
        let before = self.log.position();
        if self.takes_output() {
            let open: Vec<usize> = (0..self.outputs.len()).filter(|i| self.outputs[*i].open).collect();
            for index in open {
                if ready.next().unwrap_or(false) {
                    self.read(index, CHUNKS_AT_ONCE);
                }
            }
        }
        if self.input.waits_for().is_some() && ready.next().unwrap_or(false) {
            let written = self.input.flush();
            self.clients.reply_to_writer(Reply::Credit(written));
        }
        for request in self.clients.handle(&mut ready, &self.input) {
            self.obey(request, &mut actions);
        }
        // Last: a client that comes now is not among those whose flags were told.
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
            actions.push(Action::HangUp(HANG_UP_GRACE));
        }
        let ends = self.log.broken().is_some() || self.is_forsaken();
        if ends && !self.told_to_stop {
            self.told_to_stop = true;
            actions.push(Action::Stop);
        }
        actions
    }

    fn next_moment(&self) -> Option<Instant> {
        self.unread_since.filter(|_| !self.told_to_stop).map(|since| since + HOLD_LIMIT)
    }

    fn finish(&mut self, exit: Exit) -> io::Result<()> {
        // What lies in the pipes is read even where output is held and full: the process that wrote it cannot wait any
        // more, and it is 64 KiB at most. A process that left the tree may hold the pipes open, so nothing is waited for.
        for index in 0..self.outputs.len() {
            if self.outputs[index].open {
                self.read(index, usize::from(u16::MAX));
            }
        }
        let broken = self.log.broken().map(ToOwned::to_owned);
        EndRecord { output: self.log.position(), broken, ..EndRecord::new(exit) }.write(&self.folder)
    }
}
