//! Runs one task to its end: its files, its shim, its end.

use std::{
    io,
    path::{Path, PathBuf},
    process::ChildStdin,
    time::Duration,
};

use rustix::process::Signal;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    local::{
        options::LocalOptions,
        process::{
            handle::{self, ShimProcess, StartedTask},
            launch::{add_defaults, start_of},
            orphans::{self, MARGIN},
        },
        run_dir::{
            format,
            last_lines::LastLines,
            record::{EndRecord, ProcessIdentity, TaskIdentity},
            task_output::{self, TaskLogWriter},
        },
        shim::{Job, Spec, Start, TaskSpec},
        time::now,
        tree::{copy_tree, make_private, remove_tree},
    },
    model::{
        Environment, Exit, Program, Task, TaskInput, TaskLife, TaskOutput, TaskStreams, TerminalSize,
        WhenFull,
    },
    plan::constants::TASK_START_LIMIT,
    port::{BoxError, LineSplitter, OutputStream, error_chain, line_text},
};

/// How far a task has come. Whoever follows it is woken by each change.
#[derive(Clone, Debug)]
pub(in crate::local) enum Stage {
    Starting,
    Running,
    Ended {
        ended: EndRecord,
        /// Bytes on disk of its output.
        size: u64,
    },
}

impl Stage {
    /// The end of a task whose folder this is. Blocks.
    pub(in crate::local) fn ended(ended: EndRecord, folder: &Path) -> Self {
        Self::Ended { ended, size: task_output::size(folder) }
    }
}

/// A task that runs.
pub(in crate::local) struct Started {
    process: ShimProcess,
    /// Its end is the end of a bound task: also that of one that nobody follows any more.
    lifeline: Option<ChildStdin>,
    folder: PathBuf,
    grace: Duration,
}

/// Makes the files of a task ready and starts it. `None` if it has ended already.
///
/// Nothing is left running if the future is dropped: a bound task ends with its lifeline, and a detached one is found
/// by its folder.
pub(in crate::local) async fn prepare(
    options: &LocalOptions,
    task: Task,
    folder: &Path,
    stop: &mut watch::Receiver<bool>,
) -> Result<Option<Started>, BoxError> {
    let deadline = Instant::now() + TASK_START_LIMIT;
    let ready = async {
        let (spec, input) = make(options, task, folder).await?;
        Ok::<_, BoxError>((spec, input))
    };
    let (spec, input, life) = tokio::select! {
        _ = stop.wait_for(|stop| *stop) => return Ok(None),
        () = sleep_until(deadline) => return Err("what it needs was not there in time".into()),
        ready = ready => {
            let (spec, input) = ready?;
            let life = if let Job::Task(task) = &spec.job { task.life } else { TaskLife::Bound };
            (spec, input, life)
        }
    };
    start(options, spec, input, life).await
}

/// The files of a task, and what its shim is told.
async fn make(options: &LocalOptions, task: Task, folder: &Path) -> Result<(Spec, Vec<u8>), BoxError> {
    let (start, directory, input, env) = match task.program {
        Program::Launch { artifact, command } => {
            let source = (options.unpacker)(artifact).await?;
            let files = format::files(folder);
            let copy = files.clone();
            tokio::task::spawn_blocking(move || copy_tree(&source.path, &copy)).await??;
            let mut env = task.env;
            add_defaults(&mut env, options);
            (start_of(&command), files, Vec::new(), env)
        }
        Program::Tool { tool, input } => {
            let known = options.tools.get(&tool).ok_or("this machine does not have that tool")?;
            let (program, argv0, args) = (known.program.clone(), known.argv0.clone(), known.args.clone());
            let mut env = task.env;
            if let Some(depots) = &options.depots {
                let depot = depots.join(task.app.uid.to_string()).join(task.attempt.to_string());
                env.insert("DEIS_DEPOT".to_owned(), depot.display().to_string());
            }
            // What it leaves there goes with it; its output and its end stay.
            let directory = format::files(folder);
            let own = directory.clone();
            tokio::task::spawn_blocking(move || make_private(&own)).await??;
            (Start::Program { program, argv0, args }, directory, input, env)
        }
    };
    let mut spec = Spec {
        folder: folder.to_owned(),
        start,
        env,
        directory,
        grace_ms: u64::try_from(options.timing.task_grace.as_millis()).unwrap_or(u64::MAX),
        limit_ms: u64::try_from(task.limit.as_millis()).ok(),
        open_files: options.open_files,
        job: Job::Task(Box::new(TaskSpec {
            life: task.life,
            output: task.output,
            input: task.input,
            input_bytes: u64::try_from(input.len())?,
        })),
    };
    let home = spec.directory.display().to_string();
    spec.env.entry("HOME".to_owned()).or_insert(home);
    spec.env.entry("PATH".to_owned()).or_insert_with(|| options.path.clone());
    // By this its processes are known should its shim be killed.
    spec.env.insert(orphans::TASK.to_owned(), folder.display().to_string());
    Ok((spec, input))
}

async fn start(
    options: &LocalOptions,
    spec: Spec,
    input: Vec<u8>,
    life: TaskLife,
) -> Result<Option<Started>, BoxError> {
    let shim = options.shim.clone();
    let (folder, grace) = (spec.folder.clone(), Duration::from_millis(spec.grace_ms));
    let started = tokio::task::spawn_blocking(move || handle::start_task(&shim, &spec, &input, life));
    let Some(StartedTask { child, lifeline }) = started.await?? else { return Ok(None) };
    let process = ShimProcess::started(child)?;
    Ok(Some(Started { process, lifeline, folder, grace }))
}

/// Writes down what a task is and makes its folder, which nothing may be in yet.
pub(in crate::local) fn make_folder(folder: &Path, identity: &TaskIdentity) -> io::Result<()> {
    remove_tree(folder)?;
    make_private(folder)?;
    identity.write(folder)
}

/// Writes down that a task ended before it ran, and why.
pub(in crate::local) fn never_ran(
    folder: &Path,
    output: TaskOutput,
    why: Option<&str>,
) -> io::Result<EndRecord> {
    let mut log = TaskLogWriter::new(folder, output.when_full);
    let text = why.map(|why| format!("the task cannot be started: {why}"));
    if let Some(text) = &text {
        let stream =
            if output.streams == TaskStreams::Apart { OutputStream::Stderr } else { OutputStream::Stdout };
        log.append(stream, now(), format!("{text}\n").as_bytes());
    }
    // A disk that takes no output may still take an end.
    let broken = log.broken().and(text);
    let ended = EndRecord { output: log.position(), broken, ..EndRecord::new(Exit::Lost) };
    ended.write(folder)?;
    Ok(ended)
}

/// The end of a task that could not be started, where not even that can be written down.
pub(in crate::local) fn never_recorded(why: &str) -> EndRecord {
    let broken = Some(format!("the task cannot be started: {why}"));
    EndRecord { broken, ..EndRecord::new(Exit::Lost) }
}

/// Why a task cannot be started, for people.
pub(in crate::local) fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let is_full =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    if causes.any(|error| error.downcast_ref().is_some_and(is_full)) {
        return "the platform's disk is full".to_owned();
    }
    error_chain(error)
}

impl Started {
    /// A task that an earlier process started; `None` if it has ended by now.
    pub(in crate::local) fn adopted(
        folder: PathBuf,
        shim: ProcessIdentity,
        grace: Duration,
    ) -> io::Result<Option<Self>> {
        let process = ShimProcess::adopted(shim)?;
        Ok(process.map(|process| Self { process, lifeline: None, folder, grace }))
    }

    /// Follows the task to its end. Nothing of it runs any more then.
    pub(in crate::local) async fn finish(
        mut self,
        stop: &mut watch::Receiver<bool>,
    ) -> io::Result<EndRecord> {
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
        // Kept until here: to the supervising process its end means that nobody wants the task any more.
        drop(self.lifeline.take());
        let folder = self.folder.clone();
        tokio::task::spawn_blocking(move || orphans::end_task(&folder)).await.map_err(io::Error::other)?
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The last lines that a task printed. Blocks.
pub(in crate::local) fn last_lines(folder: &Path) -> Vec<String> {
    let mut last = LastLines::default();
    let mut streams: [LineSplitter; 2] = Default::default();
    for chunk in task_output::tail(folder, LastLines::MAX_BYTES) {
        let stream = usize::from(chunk.stream == OutputStream::Stderr);
        streams[stream].feed(&chunk.bytes, |line| last.push(&line_text(line)));
    }
    for stream in &mut streams {
        stream.finish(|line| last.push(&line_text(line)));
    }
    last.into_vec()
}

/// Runs a program whose output nobody wants; an error says how it ended. It must end within `limit`.
pub(in crate::local) async fn run_quietly(
    options: &LocalOptions,
    folder: PathBuf,
    start: Start,
    env: Environment,
    directory: PathBuf,
    limit: Duration,
) -> Result<(), String> {
    let limit_ms = u64::try_from(limit.as_millis()).ok();
    let output = TaskOutput { streams: TaskStreams::Merged, when_full: WhenFull::Drop };
    let task = TaskSpec { life: TaskLife::Bound, output, input: TaskInput::Closed, input_bytes: 0 };
    let mut env = env;
    env.insert(orphans::TASK.to_owned(), folder.display().to_string());
    let spec = Spec {
        folder: folder.clone(),
        start,
        env,
        directory,
        grace_ms: 0,
        limit_ms,
        open_files: options.open_files,
        job: Job::Task(Box::new(task)),
    };
    let text = |error: BoxError| error_chain(error.as_ref());
    let made = folder.clone();
    let made = tokio::task::spawn_blocking(move || make_private(&made)).await;
    made.map_err(|error| text(error.into()))?.map_err(|error| text(error.into()))?;
    // Nobody stops it: a probe has its limit, and a dropped future closes the lifeline.
    let (_keep, mut stop) = watch::channel(false);
    let ended = match self::start(options, spec, Vec::new(), TaskLife::Bound).await.map_err(text)? {
        Some(started) => started.finish(&mut stop).await,
        None => EndRecord::read(&folder).ok_or_else(|| io::ErrorKind::NotFound.into()),
    };
    let lines = tokio::task::spawn_blocking(move || {
        let lines = last_lines(&folder);
        let _ = remove_tree(&folder);
        lines
    });
    let lines = lines.await.unwrap_or_default();
    match ended.map_or(Exit::Lost, |ended| ended.exit) {
        Exit::Code(0) => Ok(()),
        exit => Err(lines.last().map_or_else(|| exit.to_string(), |line| format!("{exit}: {line}"))),
    }
}

/// Whether a terminal can be so large.
pub(in crate::local) fn is_terminal_size(size: TerminalSize) -> bool {
    size.columns > 0 && size.rows > 0
}
