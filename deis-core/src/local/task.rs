//! Runs one program to its end, with its output as it comes.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::AsFd as _,
    path::PathBuf,
    process::ChildStdin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::Signal;
use tokio::{io::AsyncReadExt as _, net::unix::pipe::Receiver, sync::watch, task::JoinSet, time::timeout};

use super::{
    copy::remove_tree,
    last_lines::LastLines,
    launch::{make_private, reason},
    options::LocalOptions,
    orphans,
    process::{self, MARGIN, Process, StartedTask},
    shim::{Lines, Output, SILENCE, Spec, Start, text_of},
};
use crate::{
    model::{Environment, Exit},
    port::{BoxError, OutputLine, OutputSender},
};

/// How long the last output is waited for once the task has ended: its reader may have stalled.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// A task that runs.
pub(super) struct Started {
    process: Process,
    /// Kept open: its end is the end of the task.
    lifeline: Option<ChildStdin>,
    /// Both its standard output and its standard error, in the order they were written.
    output: Option<Receiver>,
    folder: PathBuf,
    grace: Duration,
}

/// The newest lines of a task that may still print.
#[derive(Clone, Debug, Default)]
pub(super) struct Printed(Arc<Mutex<LastLines>>);

impl Printed {
    pub(super) fn push(&self, text: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    pub(super) fn last(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().into_vec()
    }
}

/// Starts a task in its folder, which is made.
pub(super) async fn start(options: &LocalOptions, mut spec: Spec) -> Result<Started, BoxError> {
    let shim = options.shim.clone();
    let (folder, grace) = (spec.folder.clone(), Duration::from_millis(spec.grace_ms));
    // By this its processes are known should its shim be killed.
    spec.env.insert(orphans::TASK.to_owned(), folder.display().to_string());
    let started = tokio::task::spawn_blocking(move || {
        make_private(&spec.folder)?;
        process::start_task(&shim, &spec)
    });
    let StartedTask { child, lifeline, output } = started.await??;
    let process = Process::started(child)?;
    let output = Some(Receiver::from_owned_fd(output)?);
    Ok(Started { process, lifeline, output, folder, grace })
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
        lines: Printed,
        stop: watch::Receiver<bool>,
    ) -> Exit {
        let mut readers = JoinSet::new();
        if let Some(pipe) = self.output.take() {
            readers.spawn(forward(pipe, output, lines));
        }
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
        let exit = self.exit().await;
        if timeout(LAST_OUTPUT, readers.join_next()).await.is_err() {
            readers.detach_all();
        }
        exit
    }

    /// How it ended; nothing of it runs any more then.
    async fn exit(&self) -> Exit {
        let folder = self.folder.clone();
        tokio::task::spawn_blocking(move || orphans::end_task(&folder)).await.unwrap_or(Exit::Lost)
    }
}

/// Runs a program whose output nobody wants; an error says how it ended. It must end within `limit`.
pub(super) async fn run_quietly(
    options: &LocalOptions,
    folder: PathBuf,
    start: Start,
    env: Environment,
    directory: PathBuf,
    limit: Duration,
) -> Result<(), String> {
    let limit_ms = u64::try_from(limit.as_millis()).ok();
    let output = Output::Stream { stdin: 0 };
    let open_files = options.open_files;
    let spec =
        Spec { folder: folder.clone(), start, env, directory, grace_ms: 0, limit_ms, open_files, output };
    let started = self::start(options, spec).await.map_err(|error| reason(error.as_ref()))?;
    let (sender, _) = crate::port::output_channel();
    let (_keep, stop) = watch::channel(false);
    let lines = Printed::default();
    let exit = started.finish(Vec::new(), sender, lines.clone(), stop).await;
    let _ = tokio::task::spawn_blocking(move || remove_tree(&folder)).await;
    match exit {
        Exit::Code(0) => Ok(()),
        exit => Err(lines.last().pop().map_or_else(|| exit.to_string(), |line| format!("{exit}: {line}"))),
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

async fn forward(mut pipe: Receiver, output: OutputSender, last: Printed) {
    let mut cutter = Lines::default();
    let mut buffer = vec![0; 16 * 1024];
    let mut ended = false;
    while !ended {
        let mut found = Vec::new();
        let mut line = |bytes: &[u8]| found.push(text_of(bytes));
        let silence = if cutter.is_waiting() { SILENCE } else { Duration::MAX };
        match timeout(silence, pipe.read(&mut buffer)).await {
            Ok(Ok(n)) if n > 0 => cutter.feed(&buffer[..n], &mut line),
            Ok(_) => {
                cutter.finish(&mut line);
                ended = true;
            }
            Err(_) => cutter.show(&mut line),
        }
        for text in found {
            last.push(&text);
            // Nobody may listen any more; the task goes on all the same.
            let _ = output.send(OutputLine { text }).await;
        }
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}
