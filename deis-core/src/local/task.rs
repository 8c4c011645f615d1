//! Runs one program to its end, with its output as it comes.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
    process::ChildStdin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::Signal;
use tokio::{io::AsyncReadExt as _, net::unix::pipe::Receiver, sync::watch, task::JoinSet, time::timeout};

use super::{
    copy::remove_tree,
    launch::{make_private, reason},
    options::LocalOptions,
    process::{self, Process},
    shim::{Ended, Lines, Output, Spec, Start},
};
use crate::{
    model::Exit,
    port::{BoxError, OutputLine, OutputSender},
};

/// Lines of output that are kept.
const LAST_LINES: usize = 50;
/// How long the last output is waited for once the task has ended: its reader may have stalled.
const LAST_OUTPUT: Duration = Duration::from_secs(1);
/// What a shim may take beyond the grace period.
const MARGIN: Duration = Duration::from_secs(5);

/// A task that runs.
pub(super) struct Started {
    process: Process,
    /// Kept open: its end is the end of the task.
    lifeline: Option<ChildStdin>,
    stdout: Option<Receiver>,
    stderr: Option<Receiver>,
    folder: PathBuf,
    grace: Duration,
}

/// The newest lines of a task.
#[derive(Clone, Debug, Default)]
pub(super) struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    pub(super) fn push(&self, text: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LAST_LINES {
            lines.pop_front();
        }
        lines.push_back(text);
    }

    pub(super) fn take(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Starts a task in its folder, which is made.
pub(super) async fn start(options: &LocalOptions, spec: Spec) -> Result<Started, BoxError> {
    let shim = options.shim.clone();
    let (folder, grace) = (spec.folder.clone(), Duration::from_millis(spec.grace_ms));
    let started = tokio::task::spawn_blocking(move || {
        make_private(&spec.folder)?;
        process::start_task(&shim, &spec)
    });
    let (mut child, lifeline) = started.await??;
    let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
    let stdout = Some(Receiver::from_owned_fd(OwnedFd::from(child.stdout.take().ok_or_else(missing)?))?);
    let stderr = Some(Receiver::from_owned_fd(OwnedFd::from(child.stderr.take().ok_or_else(missing)?))?);
    Ok(Started { process: Process::started(child)?, lifeline, stdout, stderr, folder, grace })
}

impl Drop for Started {
    /// A task ends with whoever follows it, even where a thread that writes its input still holds its lifeline.
    fn drop(&mut self) {
        self.process.signal(Signal::TERM);
    }
}

impl Started {
    /// Follows the task to its end. Its output goes to `output` line by line; a receiver that stalls or is gone
    /// holds up neither the end nor the time limit.
    pub(super) async fn finish(
        mut self,
        input: Vec<u8>,
        output: OutputSender,
        lines: LastLines,
        stop: watch::Receiver<bool>,
    ) -> Exit {
        let mut readers = JoinSet::new();
        for (pipe, stderr) in [(self.stdout.take(), false), (self.stderr.take(), true)] {
            readers.spawn(forward(pipe, stderr, output.clone(), lines.clone()));
        }
        drop(output);
        let lifeline = feed(self.lifeline.take(), input);
        tokio::select! {
            () = self.process.ended() => {}
            () = stopped(stop) => {
                self.process.signal(Signal::TERM);
                if timeout(self.grace + MARGIN, self.process.ended()).await.is_err() {
                    self.process.signal(Signal::KILL);
                    self.process.ended().await;
                }
            }
        }
        drop(lifeline);
        if timeout(LAST_OUTPUT, async { while readers.join_next().await.is_some() {} }).await.is_err() {
            readers.detach_all();
        }
        Ended::read(&self.folder).map_or(Exit::Lost, |ended| ended.exit)
    }
}

/// Runs a program whose output nobody wants; an error says how it ended. It must end within `limit`.
pub(super) async fn run_quietly(
    options: &LocalOptions,
    folder: PathBuf,
    start: Start,
    env: BTreeMap<String, String>,
    directory: PathBuf,
    limit: Duration,
) -> Result<(), String> {
    let limit_ms = u64::try_from(limit.as_millis()).ok();
    let output = Output::Stream { stdin: 0 };
    let spec = Spec { folder: folder.clone(), start, env, directory, grace_ms: 0, limit_ms, output };
    let started = self::start(options, spec).await.map_err(|error| reason(error.as_ref()))?;
    let (sender, _) = crate::port::output_channel();
    let (_keep, stop) = watch::channel(false);
    let lines = LastLines::default();
    let exit = started.finish(Vec::new(), sender, lines.clone(), stop).await;
    let _ = tokio::task::spawn_blocking(move || remove_tree(&folder)).await;
    match exit {
        Exit::Code(0) => Ok(()),
        exit => Err(lines.take().pop().map_or_else(|| exit.to_string(), |line| format!("{exit}: {line}"))),
    }
}

/// Writes the input on a thread of its own, since the task may never read it. Returns the pipe, still open.
fn feed(lifeline: Option<ChildStdin>, input: Vec<u8>) -> io::Result<Option<ChildStdin>> {
    if let (Some(pipe), false) = (&lifeline, input.is_empty()) {
        let mut pipe = File::from(pipe.as_fd().try_clone_to_owned()?);
        tokio::task::spawn_blocking(move || pipe.write_all(&input));
    }
    Ok(lifeline)
}

async fn forward(pipe: Option<Receiver>, stderr: bool, output: OutputSender, last: LastLines) {
    let Some(mut pipe) = pipe else { return };
    let mut cutter = Lines::default();
    let mut buffer = vec![0; 16 * 1024];
    let mut ended = false;
    while !ended {
        let mut found = Vec::new();
        let mut line = |bytes: &[u8]| found.push(String::from_utf8_lossy(bytes).into_owned());
        match pipe.read(&mut buffer).await {
            Ok(n) if n > 0 => cutter.feed(&buffer[..n], &mut line),
            _ => {
                cutter.finish(&mut line);
                ended = true;
            }
        }
        for text in found {
            last.push(text.clone());
            // Nobody may listen any more; the task goes on all the same.
            let _ = output.send(OutputLine { stderr, text }).await;
        }
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}
