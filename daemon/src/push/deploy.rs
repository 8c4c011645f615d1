//! The middle of a push: record, build, release, rollout, refs.

use std::collections::BTreeMap;

use deis_build::{
    BuildError, BuildRequest,
    git::{Oid, Received, Repository},
};
use deis_core::{
    AppHandle, BuildSource, BuildSpec, Change, Error, GitSource, RefUpdate, ReleaseVersion, Settled,
};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::{Lines, Pushes};

impl Pushes {
    pub(super) async fn deploy(
        &self,
        app: &AppHandle,
        repository: &Repository,
        received: &mut Received,
        (update, commit): (RefUpdate, Oid),
        id: uuid::Uuid,
        lines: &Lines,
    ) -> String {
        let others = received.accepted().iter().filter(|u| u.name != update.name).count();
        if others > 0 {
            lines.say(&format!("Deploying {} only; other refs are stored, not built", update.name)).await;
        }
        let version = match self.build_and_release(app, repository, &update, &commit, id, lines).await {
            Ok(version) => version,
            Err(reason) => {
                received.refuse_all(&reason);
                return format!("the push of {} by {} failed: {reason}", commit.short(), app.actor().name());
            }
        };
        let mut text = format!("{} pushed {}", app.actor().name(), describe(&commit, &version));
        if let Some(reason) = self.move_refs(app, repository, received).await {
            lines.say(&format!(" !     {version} is live, but not every ref has moved: {reason}")).await;
            text = format!("{text}, but not every ref has moved: {reason}; push again");
        } else if let Err(error) = repository.adopt_head(&update.name) {
            tracing::warn!(app = %app.name(), %error, "HEAD could not be set");
        }
        lines.say("").await;
        lines.say(&format!("Use 'deis open' to view this application, or go to {}", self.app_url(app))).await;
        text
    }

    async fn build_and_release(
        &self,
        app: &AppHandle,
        repository: &Repository,
        update: &RefUpdate,
        commit: &Oid,
        push: uuid::Uuid,
        lines: &Lines,
    ) -> Result<String, String> {
        lines.say("Starting build... but first, coffee!").await;
        let config = app.config().await.map_err(|e| e.to_string())?;
        let config: BTreeMap<String, String> =
            config.data.values.into_iter().map(|(k, value)| (k.to_string(), value.into_exposed())).collect();
        let request = BuildRequest {
            app: app.app().reference(),
            repository: repository.clone(),
            commit: commit.clone(),
            config,
        };
        let spec = match self.build(&request, lines).await {
            Ok(spec) => from_branch(spec, &update.name),
            Err(error) => return Err(build_failed(&error, lines).await),
        };
        lines.say("Build complete.").await;
        lines.say("Launching App...").await;
        let change = match app.deploy_push(push, spec).await {
            Ok(change) => change,
            Err(error) => {
                lines.say(&format!(" !     {error}")).await;
                return Err(error.to_string());
            }
        };
        let version = change.release.map(|v| v.to_string()).unwrap_or_default();
        match self.follow(app, &change, lines).await.map_err(|e| e.to_string())? {
            Settled::Done => {
                lines.say(&format!("Done, {}:{version} deployed to Workflow", app.name())).await;
                Ok(version)
            }
            Settled::Superseded { by } => {
                let reason = superseded(&version, by);
                lines.say(&format!(" !     {reason}")).await;
                Err(reason)
            }
            Settled::Failed(cause) => {
                lines.say("The controller returned an error when publishing the release:").await;
                for line in cause.to_string().lines() {
                    lines.say(&format!(" !     {line}")).await;
                }
                lines.say(&format!(" !     {}", cause.hint())).await;
                let live = app.info().await.ok().filter(|i| !i.processes.is_empty()).and_then(|i| i.live);
                if let Some(live) = live {
                    lines.say(&format!("{live} goes on serving.")).await;
                }
                let cause = cause.to_string();
                let first = cause.lines().next().unwrap_or_default();
                Err(format!("{version} failed: {}", first.trim_end_matches("; its last lines:")))
            }
        }
    }

    async fn build(&self, request: &BuildRequest, lines: &Lines) -> Result<BuildSpec, BuildError> {
        let (sender, mut output) = mpsc::channel(256);
        let build = async {
            let built = self.0.pipeline.build(request, &sender).await;
            drop(sender);
            built
        };
        let show = async {
            while let Some(line) = output.recv().await {
                lines.say(&line).await;
            }
        };
        tokio::join!(build, show).0
    }

    /// Waits for a change and says how it gets on.
    async fn follow(&self, app: &AppHandle, change: &Change, lines: &Lines) -> Result<Settled, Error> {
        let mut progress = app.progress(change);
        let wait = app.wait(change);
        tokio::pin!(wait);
        loop {
            tokio::select! {
                settled = &mut wait => return settled,
                Some(text) = progress.next() => lines.say(&format!("       {text}")).await,
            }
        }
    }

    fn app_url(&self, app: &AppHandle) -> String {
        self.0.url.replace("{app}", app.name().as_str())
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

/// Tells the person, in the words that scripts look for, and returns the reason for git.
async fn build_failed(error: &BuildError, lines: &Lines) -> String {
    lines.say(&format!(" !     {error}")).await;
    for cause in crate::telemetry::causes(error) {
        lines.say(&format!(" !     {cause}")).await;
    }
    if let Some(hint) = error.hint() {
        lines.say(&format!(" !     {hint}")).await;
    }
    lines.say(&format!("Build pod exited with code {}, stopping build", error.exit_code())).await;
    "the build failed".to_owned()
}

/// Why the refs of a push stay where they are although its build is good.
pub(super) fn superseded(version: &str, by: ReleaseVersion) -> String {
    format!("{version} was superseded by {by}, which runs another build")
}

fn describe(commit: &Oid, version: &str) -> String {
    format!("{} as {version}", commit.short())
}
