//! One push: from its bytes to the report, with the record that keeps others away meanwhile.

use std::{sync::atomic::AtomicBool, time::Duration};

use deis_build::git::{PendingPack, Received, Repository};
use deis_core::{
    AppHandle, Error,
    model::{Attempt, Push, PushOutcome},
};
use tokio::{runtime::Handle, task::AbortHandle};
use uuid::Uuid;

use super::{
    Conversation, ConversationEnd, ONGOING, Output, Pushes, blocking,
    lines::{Lines, keep_alive},
    never_spoke, on_thread,
};
use crate::{
    git::{GitInput, unavailable},
    telemetry::chain,
};

/// How long the last word waits for a client that does not read.
const REPORT: Duration = Duration::from_secs(60);
/// Pauses between attempts to close a record that could not be closed: the first, and the longest.
const CLOSE_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A push that was read, on its way to a live release and moved refs.
pub(super) struct PushSession {
    pub(super) pushes: Pushes,
    pub(super) app: AppHandle,
    pub(super) repository: Repository,
    pub(super) received: Received,
    pub(super) lines: Lines,
    /// Identity of its record.
    pub(super) id: Uuid,
    /// Its build run, where it builds something.
    pub(super) build_run: Option<Attempt>,
    /// What it brought, as long as no ref names it.
    pub(super) pending: Option<PendingPack>,
}

impl Pushes {
    /// Takes a push: reads it, builds and releases what it brings, moves its refs and reports.
    ///
    /// A client that goes away while the pack arrives cancels the push. Once the pack is durable, everything goes on
    /// without it.
    ///
    /// # Errors
    ///
    /// Those of a repository that cannot be opened. What goes wrong later, the client has been told.
    pub async fn receive(
        &self,
        app: &AppHandle,
        conversation: Conversation,
        mut input: GitInput,
        output: Output,
    ) -> Result<ConversationEnd, Error> {
        let repository = self.repository(app).await?;
        if let Err(error) = input.wait().await {
            return Ok(never_spoke(error, &output));
        }
        let (limits, reader, runtime) = (self.0.limits.clone(), repository.clone(), Handle::current());
        let read = on_thread(move || {
            // What follows waits for no client, so others may have its place.
            let _conversation = conversation;
            reader.receive(input.into_blocking(runtime), &limits, &AtomicBool::new(false))
        })
        .await
        .map_err(|e| Error::Internal(Box::new(e)))?;
        let received = match read {
            Ok(Some(received)) => received,
            Ok(None) => return Ok(ConversationEnd::Well),
            Err(refused) => {
                tracing::debug!(app = %app.name(), error = %refused.error, "a push ended early");
                let _ = tokio::time::timeout(REPORT, output.send(refused.packets().into())).await;
                return Ok(ConversationEnd::Refused);
            }
        };
        let session = PushSession {
            pushes: self.clone(),
            app: app.clone(),
            repository,
            lines: Lines::new(output.clone(), received.has_progress()),
            received,
            id: Uuid::new_v4(),
            build_run: None,
            pending: None,
        };
        // On a task of its own, so that it goes on when the client, and with it this future, is gone.
        let work = tokio::spawn(session.carry_out(output));
        work.await.map_err(|e| Error::Internal(Box::new(e)))
    }
}

impl PushSession {
    async fn carry_out(mut self, output: Output) -> ConversationEnd {
        let beat = tokio::spawn(keep_alive(output.clone(), self.received.has_progress()));
        self.protect_live().await;
        if !self.received.accepted().is_empty() {
            self.in_turn().await;
        }
        beat.abort();
        let _ = beat.await;
        let refused = self.received.unpack_error.is_some()
            || self.received.commands.iter().any(|c| c.refused.is_some());
        // Nothing is held any more, but a client that never reads must not be waited for without end.
        let report = self.received.report();
        forget(self.received);
        let _ = tokio::time::timeout(REPORT, output.send(report.into())).await;
        if refused { ConversationEnd::Refused } else { ConversationEnd::Well }
    }

    /// Does what is accepted while the push's record keeps others away, and closes that with what came of it.
    async fn in_turn(&mut self) {
        let builds = self.received.deploys().is_some();
        match self.app.push_begin(self.record(), builds).await {
            Ok(push) => self.build_run = push.build_run,
            Err(Error::Busy { reason }) => {
                self.lines.print(&format!("{ONGOING}\n{reason}")).await;
                return self.received.refuse_all(ONGOING);
            }
            Err(error) => {
                self.lines.print(&format!(" !     {}", chain(&error))).await;
                self.received.refuse_all("the platform is not available");
                // It may have been opened all the same.
                let outcome = PushOutcome::NotStored { reason: error.to_string() };
                return self.close(outcome).await;
            }
        }
        let alive = Heartbeat::of(&self.app, self.id, self.pushes.owner());
        let outcome = if !self.still_allowed().await {
            PushOutcome::Overtaken
        } else if let Err(reason) = self.store().await {
            PushOutcome::NotStored { reason }
        } else {
            match self.received.deploys().map(|(update, commit)| (update.clone(), commit)) {
                Some((update, commit)) => self.deploy(&update, &commit).await,
                None => self.store_only().await,
            }
        };
        self.discard().await;
        drop(alive);
        self.close(outcome).await;
    }

    /// Moves what the push brought among the objects, for the build to see it.
    async fn store(&mut self) -> Result<(), String> {
        let (own, mut received, id) = (self.repository.clone(), self.received.clone(), self.id.to_string());
        let stored = blocking(move || own.store(&mut received, &id).map(|pack| (pack, received))).await;
        match stored {
            Ok((pack, received)) => {
                self.pending = pack;
                forget(std::mem::replace(&mut self.received, received));
                Ok(())
            }
            Err(error) => {
                tracing::error!(app = %self.app.name(), error = chain(&error), "a push could not be stored");
                let reason = unavailable(&error);
                self.received.refuse_all(&reason);
                // Whatever it left among the objects is found by its mark.
                let (own, id) = (self.repository.clone(), self.id.to_string());
                let _ = blocking(move || own.discard_of(&id)).await;
                Err(reason)
            }
        }
    }

    /// Removes what a push brought that has failed. Only its owner may: another push may rely on it otherwise.
    async fn discard(&mut self) {
        let Some(pack) = self.pending.take() else { return };
        if !self.is_owner().await {
            return;
        }
        let own = self.repository.clone();
        if let Err(error) = blocking(move || own.discard(&pack)).await {
            tracing::warn!(app = %self.app.name(), error = chain(&error), "a failed push left its objects");
        }
    }

    /// Closes the record. Where that fails it is tried again until it works: nobody shall wait for a push that ended.
    async fn close(&self, outcome: PushOutcome) {
        let Err(error) = self.app.push_close(self.id, &outcome).await else { return };
        tracing::error!(app = %self.app.name(), error = chain(&error), "a push could not be closed yet");
        let (app, id) = (self.app.clone(), self.id);
        tokio::spawn(async move {
            let (mut pause, longest) = CLOSE_PAUSES;
            loop {
                tokio::time::sleep(pause).await;
                match app.push_close(id, &outcome).await {
                    Ok(()) | Err(Error::NotFound { .. }) => return,
                    Err(error) => {
                        tracing::debug!(app = %app.name(), error = chain(&error), "a push could not be closed yet");
                    }
                }
                pause = (pause * 2).min(longest);
            }
        });
    }

    /// Checks again what was checked while others could still move refs. The record says what moves, all or none, so
    /// one change that is no longer possible refuses the whole push.
    async fn still_allowed(&mut self) -> bool {
        let before = self.received.accepted().len();
        let (own, limits) = (self.repository.clone(), self.pushes.0.limits.clone());
        let mut checked = self.received.clone();
        let again = blocking(move || own.check_again(&mut checked, &limits).map(|()| checked)).await;
        match again {
            Ok(checked) => self.received = checked,
            Err(error) => {
                tracing::error!(app = %self.app.name(), error = chain(&error), "a push could not be checked");
                self.received.refuse_all("the platform is not available");
            }
        }
        self.protect_live().await;
        if self.received.accepted().len() == before {
            return true;
        }
        self.received.refuse_all("another push was faster: fetch and push again");
        false
    }

    /// Whether the record is still this push's: an owner that was silent too long has lost it, and moves nothing.
    pub(super) async fn is_owner(&self) -> bool {
        match self.app.push_renew(self.id, self.pushes.owner()).await {
            Ok(mine) => mine,
            Err(error) => {
                tracing::error!(app = %self.app.name(), error = chain(&error), "a push could not be renewed");
                false
            }
        }
    }

    fn record(&self) -> Push {
        let updates = self.received.accepted();
        let built = self.received.deploys().map(|(_, commit)| commit.to_string());
        let first = updates.first().and_then(|u| u.new.clone().or_else(|| u.old.clone()));
        let now = crate::clock::now();
        Push {
            id: self.id,
            updates,
            sha: built.or(first).unwrap_or_default(),
            by: self.app.actor().name().clone(),
            since: now,
            owner: Some(self.pushes.owner()),
            renewed: now,
            build_run: None,
            release: None,
        }
    }
}

/// Drops a push where it may block: with its last copy goes what it left in quarantine.
fn forget(received: Received) {
    drop(tokio::task::spawn_blocking(move || drop(received)));
}

/// Says every [`Push::RENEW_EVERY`] that a push is carried out, until it is dropped.
pub(super) struct Heartbeat(AbortHandle);

impl Heartbeat {
    pub(super) fn of(app: &AppHandle, id: Uuid, owner: Uuid) -> Self {
        let app = app.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Push::RENEW_EVERY).await;
                match app.push_renew(id, owner).await {
                    Ok(true) => {}
                    Ok(false) | Err(Error::NotFound { .. }) => return,
                    Err(error) => {
                        tracing::warn!(app = %app.name(), error = chain(&error), "a push could not be renewed");
                    }
                }
            }
        });
        Self(task.abort_handle())
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.abort();
    }
}
