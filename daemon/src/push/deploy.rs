//! The middle of a push: build, release, rollout.

use std::collections::BTreeMap;

use deis_build::{BuildError, BuildRequest, OutputRecorder, git::Oid};
use deis_core::{
    Error,
    model::{
        Attempt, BuildRunState, BuildSource, BuildSpec, GitSource, ProcessType, PushOutcome, RefUpdate,
        ReleaseVersion, probably_meant,
    },
    service::{Change, ChangeOutcome},
};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::{lines::printable, refs::adopt_head, session::PushSession};
use crate::telemetry::{causes, chain};

impl PushSession {
    /// Builds and releases a commit, and moves the refs of the push once that is live.
    pub(super) async fn deploy(&mut self, update: &RefUpdate, commit: &Oid) -> PushOutcome {
        let sha = commit.to_string();
        let others = self.received.accepted().iter().filter(|u| u.name != update.name).count();
        if others > 0 {
            let text = format!("Deploying {} only; other refs are stored, not built", update.name);
            self.lines.print(&text).await;
        }
        let release = match self.build_and_release(update, commit).await {
            Ok(release) => release,
            Err(reason) => {
                self.received.refuse_all(&reason);
                return PushOutcome::Failed { sha, reason };
            }
        };
        let unmoved = self.move_refs().await;
        if let Some(reason) = &unmoved {
            let text = format!(" !     {release} is live, but not every ref has moved: {reason}");
            self.lines.print(&text).await;
        } else if let Err(error) = adopt_head(&self.repository, &update.name).await {
            tracing::warn!(app = %self.app.name(), error = chain(&error), "HEAD could not be set");
        }
        self.lines.print("").await;
        let text = format!("Use 'deis open' to view this application, or go to {}", self.app_url());
        self.lines.print(&text).await;
        PushOutcome::Deployed { sha, release, unmoved }
    }

    async fn build_and_release(&self, update: &RefUpdate, commit: &Oid) -> Result<ReleaseVersion, String> {
        let (app, lines) = (&self.app, &self.lines);
        lines.print("Starting build... but first, coffee!").await;
        let attempt = self.build_run.ok_or("this push builds nothing")?;
        let spec = from_branch(self.build(attempt, commit).await?, &update.name);
        lines.print("Build complete.").await;
        for text in self.lost_types(&spec).await {
            lines.print(&format!(" !     {text}")).await;
        }
        lines.print("Launching App...").await;
        let change = match app.deploy_push(self.id, spec).await {
            Ok(change) => change,
            Err(error) => {
                lines.print(&format!(" !     {error}")).await;
                // It ends with the push at the latest; one that was cancelled meanwhile stays so.
                let _ = app.build_run_failed(attempt, &chain(&error)).await;
                return Err(error.to_string());
            }
        };
        let version = change.release.unwrap_or_default();
        match self.follow(&change).await.map_err(|e| e.to_string())? {
            ChangeOutcome::Done => {
                lines.print(&format!("Done, {}:{version} deployed to Workflow", app.name())).await;
                Ok(version)
            }
            ChangeOutcome::Superseded { by } => {
                let reason = superseded(version, by);
                lines.print(&format!(" !     {reason}")).await;
                Err(reason)
            }
            ChangeOutcome::Failed(cause) => {
                lines.print("The controller returned an error when publishing the release:").await;
                for line in cause.to_string().lines() {
                    lines.print(&format!(" !     {line}")).await;
                }
                lines.print(&format!(" !     {}", cause.hint())).await;
                let live = app.info().await.ok().filter(|i| !i.processes.is_empty()).and_then(|i| i.live);
                if let Some(live) = live {
                    lines.print(&format!("{live} goes on serving.")).await;
                }
                let cause = cause.to_string();
                let first = cause.lines().next().unwrap_or_default();
                Err(format!("{version} failed: {}", first.trim_end_matches("; its last lines:")))
            }
        }
    }

    /// What is said of process types that run now and that a build lacks. `web` has a check of its own, which refuses.
    async fn lost_types(&self, spec: &BuildSpec) -> Vec<String> {
        let Ok(info) = self.app.info().await else { return Vec::new() };
        let is_lost = |process: &ProcessType| {
            info.processes.contains_key(process)
                && !spec.processes.contains_key(process)
                && !process.is_routable()
        };
        let lost = info.structure.iter().filter(|(process, scale)| **scale > 0 && is_lost(process));
        lost.map(|(process, scale)| {
            let fresh = spec.processes.keys().filter(|new| !info.processes.contains_key(*new));
            let meant = match probably_meant(process.as_str(), fresh) {
                Some(meant) => format!("; is \"{meant}\" in its Procfile meant to be \"{process}\"?"),
                None => String::new(),
            };
            format!("{process}={scale} runs now, and this build has no process type {process}{meant}")
        })
        .collect()
    }

    /// Builds, and keeps what that prints.
    async fn build(&self, attempt: Attempt, commit: &Oid) -> Result<BuildSpec, String> {
        let config = self.app.config().await.map_err(|e| e.to_string())?;
        let config: BTreeMap<String, String> =
            config.data.values.into_iter().map(|(k, value)| (k.to_string(), value.into_exposed())).collect();
        let request = BuildRequest {
            app: self.app.app().reference(),
            attempt,
            repository: self.repository.clone(),
            commit: commit.clone(),
            config,
        };
        let recorder = self.pushes.0.outputs.record(request.app.uid, attempt);
        let (sender, mut output) = mpsc::channel(256);
        let build = async {
            let built = self.pushes.0.pipeline.build(&request, &sender).await;
            drop(sender);
            built
        };
        let show = async {
            while let Some(line) = output.recv().await {
                recorder.line(&printable(&line));
                self.lines.print(&line).await;
            }
        };
        let result = match tokio::join!(build, show).0 {
            Ok(spec) => Ok(spec),
            Err(error) => Err(self.build_failed(attempt, &error, &recorder).await),
        };
        self.pushes.keep_output(recorder, &self.app, attempt).await;
        result
    }

    /// Waits for a change and says how it gets on.
    async fn follow(&self, change: &Change) -> Result<ChangeOutcome, Error> {
        let mut progress = self.app.progress(change);
        let wait = self.app.wait(change);
        tokio::pin!(wait);
        loop {
            tokio::select! {
                settled = &mut wait => return settled,
                Some(text) = progress.next() => self.lines.print(&format!("       {text}")).await,
            }
        }
    }

    /// Records why there is no build, tells the person in the words that scripts look for, and returns the reason for
    /// git.
    async fn build_failed(&self, attempt: Attempt, error: &BuildError, recorder: &OutputRecorder) -> String {
        let mut said = match self.app.build_run_failed(attempt, &chain(error)).await {
            Ok(run) if run.state == BuildRunState::Cancelled => {
                let reason = run.reason();
                let text = format!(" !     {reason}");
                recorder.line(&text);
                self.lines.print(&text).await;
                return reason;
            }
            Ok(_) => Vec::new(),
            // It ends with the push at the latest.
            Err(unrecorded) => vec![format!(" !     {unrecorded}")],
        };
        said.push(format!(" !     {error}"));
        said.extend(causes(error).into_iter().map(|cause| format!(" !     {cause}")));
        said.extend(error.hint().map(|hint| format!(" !     {hint}")));
        for line in &said {
            recorder.line(line);
            self.lines.print(line).await;
        }
        let text = format!("Build pod exited with code {}, stopping build", error.exit_code());
        self.lines.print(&text).await;
        "the build failed".to_owned()
    }

    fn app_url(&self) -> String {
        self.pushes.0.url.replace("{app}", self.app.name().as_str())
    }
}

/// The build, with the ref by which its source came.
fn from_branch(spec: BuildSpec, name: &str) -> BuildSpec {
    let named = |git| GitSource { branch: Some(name.to_owned()), ..git };
    let source = match spec.source {
        BuildSource::Buildpack(git) => BuildSource::Buildpack(named(git)),
        BuildSource::Dockerfile(git) => BuildSource::Dockerfile(named(git)),
        other @ BuildSource::Image { .. } => other,
    };
    BuildSpec { source, ..spec }
}

/// Why the refs of a push stay where they are although its build is good.
pub(super) fn superseded(version: ReleaseVersion, by: ReleaseVersion) -> String {
    format!("{version} was superseded by {by}, which runs another build")
}
