//! What release commands print, on its way into the logs: passes say which to follow, the workers follow them.

use tokio::{
    sync::{Mutex, mpsc, watch},
    task::JoinSet,
};

use super::{
    memory::InMemoryState,
    pass::{LoadedRollout, release_task},
    reconciler::Reconciler,
};
use crate::{
    model::{InstanceName, LogLine, LogSource, ReleaseVersion, TaskKind, TaskRef},
    port::{Cursor, LogError, TaskRunnerExt as _},
};

/// Most lines that are written at once, and that wait.
const MAX_LINES: usize = 256;

/// Tasks whose output nobody follows yet.
#[derive(Debug)]
pub(in crate::service) struct TaskOutputs {
    sender: mpsc::UnboundedSender<FollowedTask>,
    waiting: Mutex<mpsc::UnboundedReceiver<FollowedTask>>,
}

#[derive(Debug)]
struct FollowedTask {
    task: TaskRef,
    source: LogSource,
}

impl Default for TaskOutputs {
    fn default() -> Self {
        let (sender, waiting) = mpsc::unbounded_channel();
        Self { sender, waiting: Mutex::new(waiting) }
    }
}

impl TaskOutputs {
    /// From now on the task's output goes into the app's log, as long as workers run.
    fn follow(&self, task: TaskRef, release: ReleaseVersion) {
        if let Ok(instance) = InstanceName::new(format!("{}-{}", task.app.name, task.name)) {
            let source = LogSource::Process { process: task.kind.process(), release, instance };
            // The receiving end lives as long as `self`.
            let _ = self.sender.send(FollowedTask { task, source });
        }
    }
}

impl Reconciler {
    /// Follows the release command of a rollout, once in each process: whoever starts it, or finds it running when the
    /// process that started it has ended. What that one has written already is then written again, for it has told
    /// nobody how far it was: a line twice is better than the one missing that says why the command failed.
    pub(super) fn follow_command(&self, loaded: &LoadedRollout) {
        let rollout = &loaded.rollout.value;
        let task =
            TaskRef { app: loaded.state.reference(), kind: TaskKind::Release, name: release_task(rollout) };
        let is_new = |kept: &mut InMemoryState| kept.follows(&task.name, rollout.attempt);
        if self.memory().with_state(loaded.state.name(), is_new) {
            self.platform.0.outputs.follow(task, rollout.target);
        }
    }

    /// Writes the output of all followed tasks, until it is told to stop.
    pub(super) async fn write_outputs(self, mut stopped: watch::Receiver<bool>) {
        let work = async {
            let mut waiting = self.platform.0.outputs.waiting.lock().await;
            let mut writers = JoinSet::new();
            while let Some(followed) = waiting.recv().await {
                while writers.try_join_next().is_some() {}
                writers.spawn(self.clone().write_output(followed));
            }
        };
        tokio::select! {
            () = super::stop_signal(&mut stopped) => {}
            () = work => {}
        }
    }

    async fn write_output(self, followed: FollowedTask) {
        let FollowedTask { task, source } = followed;
        let (sender, mut lines) = mpsc::channel(MAX_LINES);
        let read = async {
            // Taken by value: the writer ends when the reader has.
            let sender = sender;
            let each = |text: String| {
                let sender = sender.clone();
                async move { drop(sender.send(text).await) }
            };
            // A task that is forgotten meanwhile has nothing more to say.
            let _ = self.parts().runner.follow_lines(&task, Cursor::START, each).await;
        };
        let write = async {
            let mut texts = Vec::new();
            while lines.recv_many(&mut texts, MAX_LINES).await > 0 {
                let line = |text| LogLine::new(self.now(), source.clone(), text);
                let appended = self.parts().logs.append(&task.app, texts.drain(..).map(line).collect()).await;
                appended.unwrap_or_else(|error: LogError| {
                    tracing::warn!(app = %task.app.name, %error, "output of a release command could not be written");
                });
            }
        };
        tokio::join!(read, write);
    }
}
