//! A simulated task: what it does stands in its command, and happens at ticks.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    model::{
        Exit, Program, Task, TaskInfo, TaskInput, TaskLife, TaskState, TaskStreams, Timestamp, WhenFull,
    },
    port::{
        Cursor, HOLD_LIMIT, MAX_CHUNK, MAX_TASK_OUTPUT, OutputChunk, OutputItem, OutputStream, Positioned,
    },
};

/// Bytes of input that wait until the process reads them.
pub(super) const INPUT_WINDOW: usize = 64 * 1024;

/// Ticks that a slow release command takes: more than a rollout that goes well.
const SLOW: u32 = 22;
/// Ticks that a task needs to end when it is stopped.
const STOPS_IN: u32 = 2;

/// What a task does at its ticks.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Script {
    /// Works until the next tick.
    Once,
    /// Works for so many ticks.
    Slow(u32),
    /// Prints `out` and, on standard error, `err`, and ends with 3.
    Prints,
    /// Prints a line and ends with 0.
    Says(String),
    /// Runs until it is stopped.
    Lasts,
    /// Prints without end.
    Floods,
    /// Prints so many bytes, each its position modulo 251, as fast as they are taken, and ends with 0.
    Counts(u64),
    /// Prints its input and ends with it.
    Copies,
    /// Prints the size of its terminal, and again whenever that changes; ends with its input.
    Measures,
}

/// A task of a simulated world.
#[derive(Clone, Debug)]
pub(super) struct SimTask {
    pub(super) task: Task,
    pub(super) state: TaskState,
    /// Rises with each task of the world.
    pub(super) order: u64,
    script: Script,
    begun: Instant,
    output: VecDeque<(u64, OutputStream, Bytes)>,
    /// Bytes in `output`.
    kept: u64,
    position: u64,
    pub(super) acknowledged: u64,
    pub(super) readers: usize,
    unread_since: Option<Instant>,
    pub(super) input: VecDeque<u8>,
    pub(super) input_ended: bool,
    pub(super) has_writer: bool,
    pub(super) size: Option<(u16, u16)>,
    told_size: Option<(u16, u16)>,
    pub(super) signal: Option<i32>,
    /// Ticks until it has stopped, once it was told to.
    stops_in: Option<u32>,
}

impl SimTask {
    pub(super) fn new(task: Task, order: u64) -> Self {
        let (script, input) = match &task.program {
            Program::Tool { input, .. } => (Script::Copies, input.clone()),
            Program::Launch { command, .. } => (script(command.as_shell().unwrap_or_default()), Vec::new()),
        };
        let fails = matches!(&task.program, Program::Launch { command, .. } if command.as_shell() == Some("release-fails"));
        let size = match task.input {
            TaskInput::Terminal(size) => Some((size.columns, size.rows)),
            TaskInput::Closed | TaskInput::Open => None,
        };
        let mut sim = Self {
            state: TaskState::Running,
            order,
            script,
            begun: Instant::now(),
            output: VecDeque::new(),
            kept: 0,
            position: 0,
            acknowledged: 0,
            readers: 0,
            unread_since: None,
            input: input.into(),
            input_ended: task.input == TaskInput::Closed,
            has_writer: false,
            size,
            told_size: None,
            signal: None,
            stops_in: None,
            task,
        };
        if fails {
            sim.print(OutputStream::Stderr, b"no\n");
            sim.end(Exit::Code(1));
        }
        sim
    }

    pub(super) fn info(&self) -> TaskInfo {
        TaskInfo {
            task: self.task.reference(),
            attempt: self.task.attempt,
            life: self.task.life,
            state: match &self.state {
                TaskState::Ended { exit, .. } => TaskState::Ended { exit: *exit, last_lines: Vec::new() },
                other => other.clone(),
            },
            since: Timestamp(0),
        }
    }

    /// Moves it on. Returns whether anything changed.
    pub(super) fn tick(&mut self) -> bool {
        if !self.state.is_active() {
            return false;
        }
        if let Some(left) = self.stops_in {
            self.stops_in = Some(left.saturating_sub(1));
            if left <= 1 {
                self.end(Exit::Signal(15));
            }
            return true;
        }
        if let Some(signal) = self.signal {
            self.end(Exit::Signal(signal));
            return true;
        }
        if self.begun.elapsed() >= self.task.limit {
            self.end(Exit::TimedOut);
            return true;
        }
        if self.is_forsaken() {
            self.end(Exit::Signal(15));
            return true;
        }
        match self.script.clone() {
            Script::Once | Script::Slow(0..=1) => self.end(Exit::Code(0)),
            Script::Slow(left) => self.script = Script::Slow(left - 1),
            Script::Says(text) => {
                self.print(OutputStream::Stdout, format!("{text}\n").as_bytes());
                self.end(Exit::Code(0));
            }
            Script::Lasts => return false,
            Script::Prints => {
                self.print(OutputStream::Stdout, b"out\n");
                self.print(OutputStream::Stderr, b"err\n");
                self.end(Exit::Code(3));
            }
            Script::Floods => {
                let mut changed = false;
                for _ in 0..64 {
                    changed |= self.has_room();
                    if self.has_room() {
                        self.print(OutputStream::Stdout, &[b'y'; MAX_CHUNK]);
                    }
                }
                return changed;
            }
            Script::Counts(total) => return self.count(total),
            Script::Copies => return self.copy(),
            Script::Measures => return self.measure(),
        }
        true
    }

    fn count(&mut self, total: u64) -> bool {
        let mut changed = false;
        for _ in 0..64 {
            let left = total - self.position;
            if left == 0 {
                self.end(Exit::Code(0));
                return true;
            }
            if !self.has_room() {
                break;
            }
            let end = self.position + left.min(MAX_CHUNK as u64);
            let bytes: Vec<u8> = (self.position..end).map(|n| u8::try_from(n % 251).unwrap_or(0)).collect();
            self.print(OutputStream::Stdout, &bytes);
            changed = true;
        }
        changed
    }

    fn copy(&mut self) -> bool {
        let mut changed = false;
        while !self.input.is_empty() && self.has_room() {
            let piece: Vec<u8> = self.input.drain(..self.input.len().min(MAX_CHUNK)).collect();
            self.print(OutputStream::Stdout, &piece);
            changed = true;
        }
        if self.input.is_empty() && self.input_ended {
            self.end(Exit::Code(0));
            changed = true;
        }
        changed
    }

    fn measure(&mut self) -> bool {
        if let Some((columns, rows)) = self.size.filter(|_| self.size != self.told_size) {
            self.told_size = self.size;
            self.print(OutputStream::Stdout, format!("{rows} {columns}\r\n").as_bytes());
            return true;
        }
        self.input.clear();
        if self.input_ended {
            self.end(Exit::Code(0));
        }
        self.input_ended
    }

    /// The platform process that started it ends.
    pub(super) fn starter_ended(&mut self) {
        self.readers = 0;
        self.has_writer = false;
        if self.task.life == TaskLife::Bound && self.state.is_active() {
            self.end(Exit::Lost);
        }
    }

    /// It is told to stop, and needs some ticks for it.
    pub(super) fn stop(&mut self) {
        self.stops_in.get_or_insert(STOPS_IN);
    }

    /// Its writer has gone.
    pub(super) fn hang_up(&mut self) {
        self.has_writer = false;
        if self.task.life == TaskLife::Bound && self.task.input != TaskInput::Closed {
            self.signal = Some(1);
        }
    }

    pub(super) fn end(&mut self, exit: Exit) {
        let mut text = Vec::new();
        self.output.iter().rev().take(4).rev().for_each(|(_, _, bytes)| text.extend_from_slice(bytes));
        let text = String::from_utf8_lossy(&text);
        let last_lines = text.lines().map(|line| line.chars().take(200).collect()).collect();
        self.state = TaskState::Ended { exit, last_lines };
    }

    fn has_room(&self) -> bool {
        let unread = self.position - self.acknowledged;
        self.task.output.when_full == WhenFull::Drop || unread < MAX_TASK_OUTPUT
    }

    fn is_forsaken(&mut self) -> bool {
        if self.has_room() || self.readers > 0 {
            self.unread_since = None;
            return false;
        }
        self.unread_since.get_or_insert_with(Instant::now).elapsed() >= HOLD_LIMIT
    }

    fn print(&mut self, stream: OutputStream, bytes: &[u8]) {
        let merged = self.task.output.streams == TaskStreams::Merged || self.size.is_some();
        let stream = if merged { OutputStream::Stdout } else { stream };
        self.output.push_back((self.position, stream, Bytes::copy_from_slice(bytes)));
        self.position += bytes.len() as u64;
        self.kept += bytes.len() as u64;
        while self.kept > MAX_TASK_OUTPUT {
            let oldest = self.output.front().map_or(0, |(start, _, bytes)| start + bytes.len() as u64);
            if self.task.output.when_full == WhenFull::Hold && oldest > self.acknowledged {
                return;
            }
            self.kept -= self.output.pop_front().map_or(0, |(_, _, bytes)| bytes.len() as u64);
        }
    }

    /// The item at a position; `None` if there is none yet.
    pub(super) fn item_at(&self, from: Cursor) -> Option<Positioned> {
        let position = from.into_raw();
        let at = |position, item| Some(Positioned { cursor: Cursor::from_raw(position), item });
        for (start, stream, bytes) in &self.output {
            let end = start + bytes.len() as u64;
            if *start > position {
                return at(*start, OutputItem::Lost { bytes: start - position });
            }
            if end > position {
                let seen = usize::try_from(position - start).unwrap_or(0);
                let bytes = bytes.slice(seen..);
                return at(end, OutputItem::Output(OutputChunk { stream: *stream, at: Timestamp(0), bytes }));
            }
        }
        match &self.state {
            TaskState::Ended { exit, .. } => at(position, OutputItem::Ended { exit: *exit }),
            _ => None,
        }
    }
}

fn script(command: &str) -> Script {
    match command.split_once(' ') {
        Some(("says", text)) => Script::Says(text.to_owned()),
        Some(("counts", total)) => total.parse().map_or(Script::Once, Script::Counts),
        _ => match command {
            "release-slow" => Script::Slow(SLOW),
            "prints" => Script::Prints,
            "lasts" => Script::Lasts,
            "floods" => Script::Floods,
            "copies" => Script::Copies,
            "measures" => Script::Measures,
            _ => Script::Once,
        },
    }
}
