//! Pushes that were open when the daemon ended.

use std::{collections::BTreeSet, time::Duration};

use deis_core::{
    Error,
    model::{Actor, AppName, Push, PushOutcome, ReleaseVersion},
    service::{AppHandle, Change, ChangeOutcome},
};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    Pushes, blocking,
    deploy::superseded,
    lines::printable,
    refs::{adopt_head, update_refs},
    session::Heartbeat,
};
use crate::telemetry::chain;

/// How long the end of an interrupted build is waited for.
const REPLAY_LIMIT: Duration = Duration::from_secs(60);

impl Pushes {
    /// Closes what a killed daemon left open. Whoever holds the lock of the data folder knows that every other owner is
    /// dead. A push without a release ends as interrupted, at once, so that the same commit can be pushed again; one with
    /// a release is followed, and its refs move if that becomes live, unless a new push takes its place.
    ///
    /// Pushes of this process stay as they are: it may be called again, with the same `done`, while others come in.
    ///
    /// # Errors
    ///
    /// The first one; pushes that could be closed are, all the same. What is in `done` is not looked at again.
    pub async fn recover(&self, done: &mut BTreeSet<Uuid>) -> Result<(), Error> {
        let mut outcome = Ok(());
        for (name, push) in self.0.platform.open_pushes().await? {
            if push.owner == Some(self.owner()) || done.contains(&push.id) {
                continue;
            }
            let id = push.id;
            match self.recover_one(&name, push).await {
                Ok(()) => drop(done.insert(id)),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    async fn recover_one(&self, name: &AppName, push: Push) -> Result<(), Error> {
        let session = self.0.platform.session(Actor::System { name: push.by.clone() });
        let app = match session.app(name).await {
            Ok(app) => app,
            Err(Error::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(release) = push.release else {
            self.discard_of(&app, &push).await;
            let outcome = PushOutcome::Interrupted { sha: push.sha.clone() };
            match app.push_close(push.id, &outcome).await {
                Ok(()) => {}
                Err(Error::NotFound { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
            // Once, however often closing is tried.
            self.recover_output(&app, &push);
            return Ok(());
        };
        if app.push_assign(push.id, None).await? {
            let own = self.clone();
            tokio::spawn(async move {
                if let Err(error) = own.finish(&app, &push, release).await {
                    tracing::error!(app = %app.name(), error = chain(&error), "a push could not be finished");
                }
            });
        }
        Ok(())
    }

    /// Removes what a push brought that moved no ref.
    async fn discard_of(&self, app: &AppHandle, push: &Push) {
        let id = push.id.to_string();
        let discarded = async {
            let repository = self.repository(app).await?;
            blocking(move || repository.discard_of(&id)).await
        };
        if let Err(error) = discarded.await {
            tracing::warn!(app = %app.name(), error = chain(&error), "an interrupted push left its objects");
        }
    }

    /// Keeps what an interrupted build printed: the task runner has it, while whoever recorded it is gone.
    fn recover_output(&self, app: &AppHandle, push: &Push) {
        let Some(attempt) = push.build_run else { return };
        let (own, app) = (self.clone(), app.clone());
        let recorder = own.0.outputs.record(app.app().uid, attempt);
        tokio::spawn(async move {
            let (sender, mut output) = mpsc::channel(256);
            let reference = app.app().reference();
            let replay = async {
                let replayed = own.0.pipeline.replay(&reference, attempt, &sender);
                let replayed = tokio::time::timeout(REPLAY_LIMIT, replayed).await;
                drop(sender);
                replayed
            };
            let record = async {
                while let Some(line) = output.recv().await {
                    recorder.line(&printable(&line));
                }
            };
            if let Ok(Err(error)) = tokio::join!(replay, record).0 {
                tracing::warn!(app = %app.name(), error = chain(&error), "the output of an interrupted build is lost");
            }
            recorder.line(" !     the build was interrupted");
            own.keep_output(recorder, &app, attempt).await;
        });
    }

    async fn finish(&self, app: &AppHandle, push: &Push, release: ReleaseVersion) -> Result<(), Error> {
        let sha = push.sha.clone();
        let change = Change { release: Some(release), generation: None };
        let outcome = match app.wait(&change).await? {
            // Another push has taken its place, and its refs are that one's business.
            ChangeOutcome::Done if !app.push_assign(push.id, Some(self.owner())).await? => return Ok(()),
            ChangeOutcome::Done => {
                let _alive = Heartbeat::of(app, push.id, self.owner());
                let unmoved = self.move_late(app, push).await.unwrap_or_else(|error| {
                    tracing::error!(app = %app.name(), error = chain(&error), "refs could not be moved after a restart");
                    Some("the repository cannot be written".to_owned())
                });
                PushOutcome::Deployed { sha, release, unmoved }
            }
            ChangeOutcome::Superseded { by } => PushOutcome::Failed { sha, reason: superseded(release, by) },
            ChangeOutcome::Failed(cause) => PushOutcome::Failed { sha, reason: cause.to_string() },
        };
        if matches!(outcome, PushOutcome::Failed { .. })
            && app.push_assign(push.id, Some(self.owner())).await?
        {
            self.discard_of(app, push).await;
        }
        app.push_close(push.id, &outcome).await
    }

    /// Moves the refs of a push whose client is gone; returns why one did not move.
    async fn move_late(&self, app: &AppHandle, push: &Push) -> Result<Option<String>, Error> {
        let repository = self.repository(app).await?;
        let (own, id) = (repository.clone(), push.id.to_string());
        blocking(move || own.keep_of(&id)).await?;
        // What a record names moves as it is made, all or none.
        let refused = update_refs(&repository, push.updates.clone(), true).await?;
        if let Some(first) = refused.first() {
            return Ok(Some(format!("{} did not move: {}", first.name, first.reason)));
        }
        let built = push.updates.iter().rev().find(|u| u.new.is_some() && u.name.starts_with("refs/heads/"));
        if let Some(update) = built
            && let Err(error) = adopt_head(&repository, &update.name).await
        {
            tracing::warn!(app = %app.name(), error = chain(&error), "HEAD could not be set");
        }
        Ok(None)
    }
}
