//! Pushes that were open when the daemon ended.

use deis_core::{Actor, AppHandle, Change, Error, Push, Settled};

use super::{Pushes, deploy::superseded, update_refs};

impl Pushes {
    /// Closes what a killed daemon left open. A push without a release ends as interrupted, at once, so that the same
    /// commit can be pushed again; one with a release is followed, and its refs move if that becomes live, unless a new push takes its place.
    pub async fn recover(&self) -> Result<(), Error> {
        for (name, push) in self.0.platform.open_pushes().await? {
            let session = self.0.platform.session(Actor::System { name: push.by.clone() });
            let app = match session.app(&name).await {
                Ok(app) => app,
                Err(Error::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            };
            let Some(release) = push.release else {
                let sha: String = push.sha.chars().take(7).collect();
                let text = format!("the push of {sha} by {} was interrupted; push it again", push.by);
                match app.push_close(push.id, &text).await {
                    Ok(()) | Err(Error::NotFound { .. }) => continue,
                    Err(error) => return Err(error),
                }
            };
            if !app.push_orphan(push.id, true).await? {
                continue;
            }
            let own = self.clone();
            tokio::spawn(async move {
                let change = Change { release: Some(release), generation: None };
                if let Err(error) = own.finish(&app, &push, &change).await {
                    tracing::error!(app = %app.name(), %error, "a push could not be finished");
                }
            });
        }
        Ok(())
    }

    async fn finish(&self, app: &AppHandle, push: &Push, change: &Change) -> Result<(), Error> {
        let text = match app.wait(change).await? {
            // Another push has taken its place, and its refs are that one's business.
            Settled::Done if !app.push_orphan(push.id, false).await? => return Ok(()),
            Settled::Done => match self.move_late(app, push).await {
                Ok(None) => format!("the push by {} was finished after a restart", push.by),
                Ok(Some(reason)) => format!("the push by {} is live, but {reason}; push again", push.by),
                Err(error) => {
                    tracing::error!(app = %app.name(), %error, "refs could not be moved after a restart");
                    format!("the push by {} is live, but its refs did not move; push again", push.by)
                }
            },
            Settled::Superseded { by } => {
                let version = change.release.map(|v| v.to_string()).unwrap_or_default();
                format!("the push by {} failed: {}", push.by, superseded(&version, by))
            }
            Settled::Failed(cause) => format!("the push by {} failed: {cause}", push.by),
        };
        app.push_close(push.id, &text).await
    }

    /// Moves the refs of a push whose client is gone; returns why one did not move.
    async fn move_late(&self, app: &AppHandle, push: &Push) -> Result<Option<String>, Error> {
        let repository = self.repository(app).await?;
        // What a record names moves as it is made, all or none.
        let refused = update_refs(&repository, push.updates.clone(), true).await?;
        if let Some(first) = refused.first() {
            return Ok(Some(format!("{} did not move: {}", first.name, first.reason)));
        }
        let built = push.updates.iter().rev().find(|u| u.new.is_some() && u.name.starts_with("refs/heads/"));
        if let Some(Err(error)) = built.map(|update| repository.adopt_head(&update.name)) {
            tracing::warn!(app = %app.name(), %error, "HEAD could not be set");
        }
        Ok(None)
    }
}
