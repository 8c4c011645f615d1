//! What release commands print, on its way into the logs: passes hand it over, the workers write it.

use tokio::{
    sync::{Mutex, mpsc, watch},
    task::JoinSet,
};

use crate::{
    model::{AppRef, InstanceName, LogLine, LogSource, ReleaseVersion, Task},
    port::{OutputLine, OutputSender},
    service::platform::Platform,
};

/// Most lines that are written at once, and that wait.
const LINES: usize = 256;

/// Output of tasks that nobody writes yet.
#[derive(Debug)]
pub(in crate::service) struct Outputs {
    sender: mpsc::UnboundedSender<Output>,
    waiting: Mutex<mpsc::UnboundedReceiver<Output>>,
}

#[derive(Debug)]
struct Output {
    app: AppRef,
    source: LogSource,
    lines: mpsc::Receiver<OutputLine>,
}

impl Default for Outputs {
    fn default() -> Self {
        let (sender, waiting) = mpsc::unbounded_channel();
        Self { sender, waiting: Mutex::new(waiting) }
    }
}

impl Outputs {
    /// Where a task's output goes: into the app's log, as long as workers run.
    pub(super) fn of(&self, task: &Task) -> OutputSender {
        let (sender, lines) = mpsc::channel(LINES);
        let (process, release) = (task.kind.process(), task.release.unwrap_or(ReleaseVersion(0)));
        if let Ok(instance) = InstanceName::new(format!("{}-{}", task.app.name, task.name)) {
            let source = LogSource::Process { process, release, instance };
            // The receiving end lives as long as `self`.
            let _ = self.sender.send(Output { app: task.app.clone(), source, lines });
        }
        sender
    }
}

/// Writes all output as long as the reconciler runs.
pub(super) async fn write_outputs(platform: Platform, mut stopped: watch::Receiver<bool>) {
    let work = async {
        let mut waiting = platform.0.outputs.waiting.lock().await;
        let mut writers = JoinSet::new();
        while let Some(output) = waiting.recv().await {
            while writers.try_join_next().is_some() {}
            writers.spawn(write(platform.clone(), output));
        }
    };
    tokio::select! {
        () = super::stop_signal(&mut stopped) => {}
        () = work => {}
    }
}

async fn write(platform: Platform, mut output: Output) {
    let mut lines = Vec::new();
    while output.lines.recv_many(&mut lines, LINES).await > 0 {
        let source = &output.source;
        let line = |line: OutputLine| LogLine::new(platform.now(), source.clone(), line.text);
        if let Err(error) = platform.0.logs.append(&output.app, lines.drain(..).map(line).collect()).await {
            tracing::warn!(app = %output.app.name, %error, "output of a release command could not be written");
        }
    }
}
