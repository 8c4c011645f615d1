//! A push on its way from a received pack to a live release and a moved ref, by whichever transport it came.

mod deploy;
mod recover;
#[allow(clippy::disallowed_methods, reason = "git is synchronous and runs on threads that may block")]
mod repos;

use std::{
    io::Read,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use bytes::Bytes;
use deis_build::{
    Pipeline,
    git::{KEEP_ALIVE, Limits, Received, Repository, Service, progress, refusal},
};
use deis_core::{AppHandle, Platform, Push};
use tokio::sync::mpsc;
use uuid::Uuid;

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

/// How long a silent line stays silent.
const SILENCE: Duration = Duration::from_secs(5);
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
            && let Some(open) = app.open_push().await?
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
        let served = blocking(move || {
            let mut writer = std::io::BufWriter::with_capacity(64 * 1024, ChannelWriter(output));
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
        match received.deploys().map(|(update, id)| (update.clone(), id)) {
            Some((update, id)) => self.deploy(&app, &repository, &mut received, &update, &id, &lines).await,
            None => self.store_only(&repository, &mut received, &lines).await,
        }
        beat.abort();
        let _ = beat.await;
        let refused =
            received.unpack_error.is_some() || received.commands.iter().any(|c| c.refused.is_some());
        let _ = output.send(received.report().into()).await;
        if refused { Ended::Refused } else { Ended::Well }
    }

    /// Tags and deletions: stored, never built.
    async fn store_only(&self, repository: &Repository, received: &mut Received, lines: &Lines) {
        let accepted = received.accepted();
        if accepted.is_empty() {
            return;
        }
        self.move_refs(repository, received).await;
        let tags = accepted.iter().any(|u| u.new.is_some());
        lines
            .say(if tags {
                "Stored. Tags are never built: push a branch to deploy."
            } else {
                "Deleted. Nothing was deployed."
            })
            .await;
    }

    async fn move_refs(&self, repository: &Repository, received: &mut Received) {
        let (updates, atomic, own) = (received.accepted(), received.is_atomic(), repository.clone());
        match blocking(move || own.update_refs(&updates, atomic)).await {
            Ok(refused) => refused.iter().for_each(|r| received.refuse(&r.name, &r.reason)),
            Err(_) => received.refuse_all("failed to update ref"),
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
        let live = self.live_sha(app).await;
        for name in deletions {
            let tip = repository.resolve(&name).ok().flatten();
            if live.is_some() && tip.map(|t| t.to_string()) == live {
                received.refuse(&name, "it is the branch of the live release");
            }
        }
    }

    async fn live_sha(&self, app: &AppHandle) -> Option<String> {
        let live = app.info().await.ok()?.live?;
        let build = app.release(live).await.ok()?.release.build?;
        app.build(build).await.ok()?.spec.sha
    }

    /// Removes repositories of apps that are not alive.
    pub async fn prune(&self, alive: std::collections::BTreeSet<deis_core::AppUid>) -> std::io::Result<()> {
        let repos = self.0.repos.clone();
        tokio::task::spawn_blocking(move || repos.prune(&alive)).await.map_err(std::io::Error::other)?
    }

    async fn repository(&self, app: &AppHandle) -> Result<Repository, deis_core::Error> {
        let (repos, app) = (self.0.repos.clone(), app.app().reference());
        blocking(move || repos.open(&app)).await
    }

    fn new_push(app: &AppHandle, received: &Received, sha: String) -> Push {
        Push {
            id: Uuid::new_v4(),
            updates: received.accepted(),
            sha,
            by: app.actor().name().clone(),
            since: crate::clock::now(),
            release: None,
        }
    }
}

/// What the second of two pushes is told.
fn busy(open: &Push) -> String {
    let sha: String = open.sha.chars().take(7).collect();
    format!("{ONGOING}\n{sha} by {}, since {}", open.by, open.since.to_rfc3339())
}

/// Runs git work on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, deis_build::git::GitError> + Send + 'static,
) -> Result<T, deis_core::Error> {
    let joined =
        tokio::task::spawn_blocking(work).await.map_err(|e| deis_core::Error::Internal(Box::new(e)))?;
    joined.map_err(|e| deis_core::Error::Internal(Box::new(e)))
}

/// Lines for the person who pushes.
struct Lines {
    output: Output,
    wanted: bool,
}

impl Lines {
    fn new(output: Output, wanted: bool) -> Self {
        Self { output, wanted }
    }

    async fn say(&self, text: &str) {
        if self.wanted {
            let _ = self.output.send(progress(&format!("{text}\n")).into()).await;
        }
    }
}

/// Keeps git, and whatever stands between, from taking a long build for a dead line.
async fn keep_alive(output: Output, wanted: bool) {
    if !wanted {
        return;
    }
    loop {
        tokio::time::sleep(SILENCE).await;
        if output.send(Bytes::from_static(KEEP_ALIVE)).await.is_err() {
            return;
        }
    }
}

/// A writer for blocking code into a channel.
struct ChannelWriter(Output);

impl std::io::Write for ChannelWriter {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let gone = |_| std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        self.0.blocking_send(Bytes::copy_from_slice(data)).map(|()| data.len()).map_err(gone)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
