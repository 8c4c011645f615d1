//! The end of a push: which refs move, and which must stay.

use deis_build::git::{RefRefused, Repository};
use deis_core::{
    BuildSpec, Error,
    model::{PushOutcome, RefUpdate},
};

use super::{blocking, session::PushSession};
use crate::telemetry::chain;

/// Most names of refs in one line of an app's log.
const MAX_NAMES: usize = 10;

impl PushSession {
    /// Tags and deletions: stored, never built.
    pub(super) async fn store_only(&mut self) -> PushOutcome {
        let accepted = self.received.accepted();
        if let Some(reason) = self.move_refs().await {
            return PushOutcome::NotStored { reason };
        }
        let refs = accepted.iter().take(MAX_NAMES).map(|u| u.name.clone()).collect();
        if accepted.iter().any(|u| u.new.is_some()) {
            self.lines.print("Stored. Tags are never built: push a branch to deploy.").await;
            PushOutcome::Stored { refs }
        } else {
            self.lines.print("Deleted. Nothing was deployed.").await;
            PushOutcome::Deleted { refs }
        }
    }

    /// Moves what is accepted; returns why something did not move.
    pub(super) async fn move_refs(&mut self) -> Option<String> {
        if !self.is_owner().await {
            self.received.refuse_all("failed to update ref: another push has taken this one's place");
            return Some("another push has taken this one's place".to_owned());
        }
        if let Some(pack) = self.pending.take() {
            // From here on refs may name it, whatever happens.
            let (own, kept) = (self.repository.clone(), pack.clone());
            if let Err(error) = blocking(move || own.keep(&kept)).await {
                tracing::error!(app = %self.app.name(), error = chain(&error), "a pack could not be kept");
                self.pending = Some(pack);
                self.received.refuse_all("failed to update ref");
                return Some("failed to update ref".to_owned());
            }
        }
        let (updates, atomic) = (self.received.accepted(), self.received.is_atomic());
        match update_refs(&self.repository, updates, atomic).await {
            Ok(refused) => {
                for r in &refused {
                    self.received.refuse(&r.name, &r.reason);
                }
                refused.first().map(|r| format!("{}: {}", r.name, r.reason))
            }
            Err(error) => {
                tracing::error!(app = %self.app.name(), error = chain(&error), "refs could not be moved");
                self.received.refuse_all("failed to update ref");
                Some("failed to update ref".to_owned())
            }
        }
    }

    /// The branch of the live build must stay: its commit is what runs.
    pub(super) async fn protect_live(&mut self) {
        let deletions: Vec<String> = self
            .received
            .accepted()
            .into_iter()
            .filter(|u| u.new.is_none() && u.name.starts_with("refs/heads/"))
            .map(|u| u.name)
            .collect();
        if deletions.is_empty() {
            return;
        }
        let Some(live) = self.live_build().await else { return };
        for name in deletions {
            let is_live = if let Some(branch) = live.branch() {
                branch == name
            } else {
                // A build that did not come from a push says no branch, but maybe a commit.
                let (own, wanted) = (self.repository.clone(), name.clone());
                let tip = blocking(move || own.resolve(&wanted)).await.ok().flatten();
                tip.is_some_and(|tip| live.commit() == Some(tip.as_str()))
            };
            if is_live {
                self.received.refuse(&name, "it is the branch of the live release");
            }
        }
    }

    async fn live_build(&self) -> Option<BuildSpec> {
        let live = self.app.info().await.ok()?.live?;
        let build = self.app.release(live).await.ok()?.release.build?;
        Some(self.app.build(build).await.ok()?.spec)
    }
}

/// Makes a branch the one that clones check out, where there is none yet.
pub(super) async fn adopt_head(repository: &Repository, name: &str) -> Result<(), Error> {
    let (own, name) = (repository.clone(), name.to_owned());
    blocking(move || own.adopt_head(&name)).await
}

/// Moves refs, and returns those that did not move.
pub(super) async fn update_refs(
    repository: &Repository,
    updates: Vec<RefUpdate>,
    atomic: bool,
) -> Result<Vec<RefRefused>, Error> {
    let own = repository.clone();
    blocking(move || own.update_refs(&updates, atomic)).await
}
