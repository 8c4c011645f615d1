//! A push on its way from a received pack to a live release and a moved ref, by whichever transport it came.

mod deploy;
mod lines;
mod recover;
#[allow(clippy::disallowed_methods, reason = "git is synchronous and runs on threads that may block")]
mod repos;

use std::{
    collections::BTreeSet,
    io::Read,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use bytes::Bytes;
use deis_build::{
    Pipeline,
    git::{Limits, Received, RefRefused, Repository, Service, refusal},
};
use deis_core::{AppHandle, AppUid, BuildSpec, Error, Platform, Push, RefUpdate};
use tokio::{runtime::Handle, sync::mpsc};
use uuid::Uuid;

use lines::{Lines, keep_alive};
pub use repos::Repos;

/// Takes pushes and serves fetches. Clones share one.
#[derive(Clone, Debug)]
pub struct Pushes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    platform: Platform,
    pipeline: Pipeline,
    repos: Repos,
    limits: Limits,
    /// How people reach an app: `{app}` stands for its name.
    url: String,
}

/// Where the bytes of an answer go. A client that went away is no reason to stop.
pub type Output = mpsc::Sender<Bytes>;

/// What became of a conversation: what an SSH client gets as exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As it should.
    Well,
    /// Something was refused; the client has been told.
    Refused,
}

/// How long the last word waits for a client that does not read.
const REPORT: Duration = Duration::from_secs(60);
/// Most names of refs in one line of an app's log.
const MOST_NAMES: usize = 10;
const ONGOING: &str = "Another git push is ongoing";

impl Pushes {
    /// Pushes to the repositories of `repos`, built by `pipeline`.
    pub fn new(platform: Platform, pipeline: Pipeline, repos: Repos, limits: Limits, url: String) -> Self {
        Self(Arc::new(Inner { platform, pipeline, repos, limits, url }))
    }

    /// What a client is told first; for a push while another one is open, who is at it.
    pub async fn advertise(
        &self,
        app: &AppHandle,
        service: Service,
        http: bool,
    ) -> Result<Vec<u8>, deis_core::Error> {
        if service == Service::ReceivePack
            && let Some(open) = app.open_push().await?.filter(|open| !open.orphaned)
        {
            let mut answer = Vec::new();
            if http {
                answer.extend_from_slice(b"001f# service=git-receive-pack\n0000");
            }
            answer.extend(refusal(&busy(&open)));
            return Ok(answer);
        }
        let repository = self.repository(app).await?;
        blocking(move || {
            let mut out = Vec::new();
            repository.advertise(service, http, &mut out).map(|()| out)
        })
        .await
    }

    /// Serves a fetch.
    pub async fn upload(
        &self,
        app: &AppHandle,
        input: impl Read + Send + 'static,
        output: Output,
        stateless: bool,
    ) -> Result<Ended, deis_core::Error> {
        let repository = self.repository(app).await?;
        let runtime = Handle::current();
        let served = blocking(move || {
            let mut writer = std::io::BufWriter::with_capacity(64 * 1024, ChannelWriter { output, runtime });
            Ok(repository.upload(input, &mut writer, stateless))
        })
        .await?;
        match served {
            Ok(()) => Ok(Ended::Well),
            Err(error) => {
                tracing::debug!(app = %app.name(), %error, "a fetch ended early");
                Ok(Ended::Refused)
            }
        }
    }

    /// Takes a push: reads it, builds and releases what it brings, moves its refs and reports.
    ///
    /// A client that goes away while the pack arrives cancels the push. Once the pack is durable, everything goes on
    /// without it.
    pub async fn receive(
        &self,
        app: &AppHandle,
        input: impl Read + Send + 'static,
        output: Output,
    ) -> Result<Ended, deis_core::Error> {
        let repository = self.repository(app).await?;
        let (limits, reader) = (self.0.limits, repository.clone());
        let read = blocking(move || Ok(reader.receive(input, &limits, &AtomicBool::new(false)))).await?;
        let received = match read {
            Ok(Some(received)) => received,
            Ok(None) => return Ok(Ended::Well),
            Err(error) => {
                tracing::debug!(app = %app.name(), %error, "a push ended early");
                let _ = output.send(refusal(&error.to_string()).into()).await;
                return Ok(Ended::Refused);
            }
        };
        // On a task of its own, so that it goes on when the client, and with it this future, is gone.
        let own = self.clone();
        let app = app.clone();
        let work = tokio::spawn(async move { own.carry_out(app, repository, received, output).await });
        work.await.map_err(|e| deis_core::Error::Internal(Box::new(e)))
    }

    async fn carry_out(
        &self,
        app: AppHandle,
        repository: Repository,
        mut received: Received,
        output: Output,
    ) -> Ended {
        let lines = Lines::new(output.clone(), received.has_progress());
        let beat = tokio::spawn(keep_alive(output.clone(), received.has_progress()));
        self.protect_live(&app, &repository, &mut received).await;
        if !received.accepted().is_empty() {
            self.in_turn(&app, &repository, &mut received, &lines).await;
        }
        beat.abort();
        let _ = beat.await;
        let refused =
            received.unpack_error.is_some() || received.commands.iter().any(|c| c.refused.is_some());
        // Nothing is held any more, but a client that never reads must not be waited for without end.
        let _ = tokio::time::timeout(REPORT, output.send(received.report().into())).await;
        if refused { Ended::Refused } else { Ended::Well }
    }

    /// Does what is accepted while the push's record keeps others away, and closes that with what came of it.
    async fn in_turn(
        &self,
        app: &AppHandle,
        repository: &Repository,
        received: &mut Received,
        lines: &Lines,
    ) {
        let push = Self::new_push(app, received);
        let id = push.id;
        match app.push_begin(push).await {
            Ok(()) => {}
            Err(Error::Busy { reason }) => {
                lines.say(&format!("{ONGOING}\n{reason}")).await;
                return received.refuse_all(ONGOING);
            }
            Err(error) => {
                lines.say(&format!(" !     {error}")).await;
                return received.refuse_all("the platform is not available");
            }
        }
        let text = if self.still_allowed(app, repository, received).await {
            match received.deploys().map(|(update, commit)| (update.clone(), commit)) {
                Some(built) => self.deploy(app, repository, received, built, id, lines).await,
                None => self.store_only(app, repository, received, lines).await,
            }
        } else {
            format!("a push by {} was refused: another one was faster", app.actor().name())
        };
        if let Err(error) = app.push_close(id, &text).await {
            tracing::error!(app = %app.name(), %error, "a push could not be closed; the next start closes it");
        }
    }

    /// Checks again what was checked while others could still move refs. The record says what moves, all or none, so
    /// one change that is no longer possible refuses the whole push.
    async fn still_allowed(&self, app: &AppHandle, repository: &Repository, received: &mut Received) -> bool {
        let before = received.accepted().len();
        let (own, limits, mut checked) = (repository.clone(), self.0.limits, received.clone());
        let again = blocking(move || own.check_again(&mut checked, &limits).map(|()| checked)).await;
        match again {
            Ok(checked) => *received = checked,
            Err(error) => {
                tracing::error!(app = %app.name(), %error, "a push could not be checked");
                received.refuse_all("the platform is not available");
            }
        }
        self.protect_live(app, repository, received).await;
        if received.accepted().len() == before {
            return true;
        }
        received.refuse_all("another push was faster: fetch and push again");
        false
    }

    /// Tags and deletions: stored, never built.
    async fn store_only(
        &self,
        app: &AppHandle,
        repository: &Repository,
        received: &mut Received,
        lines: &Lines,
    ) -> String {
        let accepted = received.accepted();
        let failed = self.move_refs(app, repository, received).await;
        if let Some(reason) = failed {
            return format!("a push by {} was not stored: {reason}", app.actor().name());
        }
        let tags = accepted.iter().any(|u| u.new.is_some());
        lines
            .say(if tags {
                "Stored. Tags are never built: push a branch to deploy."
            } else {
                "Deleted. Nothing was deployed."
            })
            .await;
        let names: Vec<&str> = accepted.iter().take(MOST_NAMES).map(|u| u.name.as_str()).collect();
        format!("{} {} {}", app.actor().name(), if tags { "stored" } else { "deleted" }, names.join(", "))
    }

    /// Moves what is accepted; returns why something did not move.
    async fn move_refs(
        &self,
        app: &AppHandle,
        repository: &Repository,
        received: &mut Received,
    ) -> Option<String> {
        match update_refs(repository, received.accepted(), received.is_atomic()).await {
            Ok(refused) => {
                for r in &refused {
                    received.refuse(&r.name, &r.reason);
                }
                refused.first().map(|r| format!("{}: {}", r.name, r.reason))
            }
            Err(error) => {
                tracing::error!(app = %app.name(), %error, "refs could not be moved");
                received.refuse_all("failed to update ref");
                Some("failed to update ref".to_owned())
            }
        }
    }

    /// The branch of the live build must stay: its commit is what runs.
    async fn protect_live(&self, app: &AppHandle, repository: &Repository, received: &mut Received) {
        let deletions: Vec<String> = received
            .accepted()
            .into_iter()
            .filter(|u| u.new.is_none() && u.name.starts_with("refs/heads/"))
            .map(|u| u.name)
            .collect();
        if deletions.is_empty() {
            return;
        }
        let Some(live) = self.live_build(app).await else { return };
        for name in deletions {
            let is_live = if let Some(branch) = live.branch() {
                branch == name
            } else {
                // Builds of older versions do not say where they came from.
                let tip = repository.resolve(&name).ok().flatten();
                tip.is_some_and(|tip| live.commit() == Some(tip.as_str()))
            };
            if is_live {
                received.refuse(&name, "it is the branch of the live release");
            }
        }
    }

    async fn live_build(&self, app: &AppHandle) -> Option<BuildSpec> {
        let live = app.info().await.ok()?.live?;
        let build = app.release(live).await.ok()?.release.build?;
        Some(app.build(build).await.ok()?.spec)
    }

    /// The apps of which a repository or a build cache is kept.
    pub async fn kept(&self) -> std::io::Result<BTreeSet<AppUid>> {
        let own = self.clone();
        let list = move || Ok(own.0.repos.apps()?.into_iter().chain(own.0.pipeline.cached()?).collect());
        tokio::task::spawn_blocking(list).await.map_err(std::io::Error::other)?
    }

    /// Removes repositories and build caches of apps that are gone.
    pub async fn forget(&self, gone: BTreeSet<AppUid>) -> std::io::Result<()> {
        let own = self.clone();
        let remove = move || {
            gone.into_iter().try_for_each(|app| {
                own.0.repos.forget(app)?;
                own.0.pipeline.forget(app)
            })
        };
        tokio::task::spawn_blocking(remove).await.map_err(std::io::Error::other)?
    }

    async fn repository(&self, app: &AppHandle) -> Result<Repository, deis_core::Error> {
        let (repos, app) = (self.0.repos.clone(), app.app().reference());
        blocking(move || repos.open(&app)).await
    }

    fn new_push(app: &AppHandle, received: &Received) -> Push {
        let updates = received.accepted();
        let built = received.deploys().map(|(_, commit)| commit.to_string());
        let first = updates.first().and_then(|u| u.new.clone().or_else(|| u.old.clone()));
        let sha = built.or(first).unwrap_or_default();
        Push {
            id: Uuid::new_v4(),
            updates,
            sha,
            by: app.actor().name().clone(),
            since: crate::clock::now(),
            release: None,
            orphaned: false,
        }
    }
}

/// What the second of two pushes is told.
fn busy(open: &Push) -> String {
    format!("{ONGOING}\n{}", open.holder())
}

/// Moves refs, and returns those that did not move.
async fn update_refs(
    repository: &Repository,
    updates: Vec<RefUpdate>,
    atomic: bool,
) -> Result<Vec<RefRefused>, Error> {
    let own = repository.clone();
    blocking(move || own.update_refs(&updates, atomic)).await
}

/// Runs git work on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, deis_build::git::GitError> + Send + 'static,
) -> Result<T, deis_core::Error> {
    let joined =
        tokio::task::spawn_blocking(work).await.map_err(|e| deis_core::Error::Internal(Box::new(e)))?;
    joined.map_err(|e| deis_core::Error::Internal(Box::new(e)))
}

/// A writer for blocking code into a channel. A client that stops reading is one that went away.
struct ChannelWriter {
    output: Output,
    runtime: Handle,
}

impl std::io::Write for ChannelWriter {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let send = self.output.send_timeout(Bytes::copy_from_slice(data), REPORT);
        let gone = |_| std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        self.runtime.block_on(send).map(|()| data.len()).map_err(gone)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
