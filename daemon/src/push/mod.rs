//! A push on its way from a received pack to a live release and a moved ref, and fetches, by whichever transport they
//! came.

mod conversations;
mod deploy;
mod fetch;
mod lines;
mod recover;
mod refs;
#[allow(clippy::disallowed_methods, reason = "git is synchronous and runs on threads that may block")]
mod repos;
mod session;

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use deis_build::{
    BuildOutputs, OutputRecorder, Pipeline,
    git::{GitError, Limits, Repository},
};
use deis_core::{
    AppHandle, Error, Platform, Username,
    model::{AppUid, Attempt},
    service::BUILD_RUNS_KEPT,
};
use tokio::sync::mpsc;
use uuid::Uuid;

pub use conversations::{Conversation, Crowded};
use conversations::{Conversations, on_thread};
use fetch::never_spoke;
pub use repos::Repos;

use crate::telemetry::chain;

/// Takes pushes and serves fetches. Clones share one.
#[derive(Clone, Debug)]
pub struct Pushes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    platform: Platform,
    pipeline: Pipeline,
    repos: Repos,
    outputs: BuildOutputs,
    limits: Limits,
    /// How people reach an app: `{app}` stands for its name.
    url: String,
    conversations: Conversations,
    /// Identity of this process as the owner of pushes.
    owner: Uuid,
}

/// Where the bytes of an answer go. A client that went away is no reason to stop.
pub type Output = mpsc::Sender<Bytes>;

/// What became of a conversation: what an SSH client gets as exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConversationEnd {
    /// As it should.
    Well,
    /// Something was refused; the client has been told.
    Refused,
}

const ONGOING: &str = "Another git push is ongoing";

impl Pushes {
    /// Pushes to the repositories of `repos`, built by `pipeline`.
    pub fn new(
        platform: Platform,
        pipeline: Pipeline,
        repos: Repos,
        outputs: BuildOutputs,
        limits: Limits,
        url: String,
    ) -> Self {
        let (conversations, owner) = (Conversations::new(), Uuid::new_v4());
        Self(Arc::new(Inner { platform, pipeline, repos, outputs, limits, url, conversations, owner }))
    }

    /// The right of a user to one more conversation.
    ///
    /// # Errors
    ///
    /// Where the user, or all together, have as many as they may.
    pub fn converse(&self, user: &Username) -> Result<Conversation, Crowded> {
        self.0.conversations.enter(user)
    }

    /// The apps of which a repository, a build cache, the output of a build or a slug is kept.
    ///
    /// # Errors
    /// One of the folders, or the object store, cannot be read.
    pub async fn kept(&self) -> std::io::Result<BTreeSet<AppUid>> {
        let own = self.clone();
        let list = move || {
            let kept = own.0.repos.apps()?.into_iter().chain(own.0.pipeline.cached()?);
            Ok::<BTreeSet<_>, std::io::Error>(kept.collect())
        };
        let mut kept = tokio::task::spawn_blocking(list).await.map_err(std::io::Error::other)??;
        kept.extend(self.0.outputs.apps().await.map_err(std::io::Error::other)?);
        kept.extend(self.0.pipeline.users_of_slugs().await.map_err(std::io::Error::other)?);
        Ok(kept)
    }

    /// Removes repositories, build caches, outputs and slugs of apps that are gone; a slug only with the last app that
    /// used it.
    ///
    /// # Errors
    /// What the file system or the object store says of what stays.
    pub async fn forget(&self, gone: BTreeSet<AppUid>) -> std::io::Result<()> {
        for app in &gone {
            self.0.outputs.forget(*app).await.map_err(std::io::Error::other)?;
            self.0.pipeline.forget_slugs(*app).await.map_err(std::io::Error::other)?;
        }
        let own = self.clone();
        let remove = move || {
            gone.into_iter().try_for_each(|app| {
                own.0.repos.forget(app)?;
                own.0.pipeline.forget(app)
            })
        };
        tokio::task::spawn_blocking(remove).await.map_err(std::io::Error::other)?
    }

    /// Keeps what a build printed, and no longer that of the builds which are too old now.
    async fn keep_output(&self, recorder: OutputRecorder, app: &AppHandle, attempt: Attempt) {
        let kept = recorder.finish().await;
        let oldest = Attempt(attempt.0.saturating_sub(BUILD_RUNS_KEPT));
        if let Err(error) = kept.and(self.0.outputs.remove_through(app.app().uid, oldest).await) {
            tracing::warn!(app = %app.name(), error = chain(&error), "the output of a build is not kept");
        }
    }

    fn owner(&self) -> Uuid {
        self.0.owner
    }

    async fn repository(&self, app: &AppHandle) -> Result<Repository, Error> {
        let (repos, app) = (self.0.repos.clone(), app.app().reference());
        blocking(move || repos.open(&app)).await
    }
}

/// Runs git work that waits for nobody on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GitError> + Send + 'static,
) -> Result<T, Error> {
    let joined = tokio::task::spawn_blocking(work).await.map_err(|e| Error::Internal(Box::new(e)))?;
    joined.map_err(|e| Error::Internal(Box::new(e)))
}
