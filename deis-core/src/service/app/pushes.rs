//! Open pushes: the record that carries a received commit to the moment its ref moves.

use uuid::Uuid;

use super::handle::{AppHandle, change};
use crate::{
    error::{Error, Result},
    model::{EventKind, Push, PushOutcome},
    state::{keys, record::get},
};

impl AppHandle {
    /// The push that is open, if one is. Others need not wait for it unless [`Push::is_held`].
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn open_push(&self) -> Result<Option<Push>> {
        Ok(get::<Push>(self.platform.store(), &keys::push(self.name())).await?.map(|p| p.value))
    }

    /// Opens a push; with `builds` also a build run, whose number the answer has. One whose owner is dead gives way.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] while another one is open and held; those of the store.
    pub async fn push_begin(&self, record: Push, builds: bool) -> Result<Push> {
        change!(self, |state, edits| {
            let open = state.push.clone();
            if let Some(open) = &open {
                if open.value.id == record.id {
                    return Ok(open.value.clone());
                }
                if open.value.is_held(self.platform.now()) {
                    return Err(Error::Busy { reason: open.value.holder() });
                }
                let outcome = PushOutcome::Replaced { sha: open.value.sha.clone() };
                self.run_abandoned(&mut edits, &open.value, &outcome).await?;
                let event = EventKind::Push { outcome };
                state.event(&mut edits, self.platform.now(), Some(&open.value.by), event);
            }
            let mut record = record.clone();
            if builds {
                record.build_run = Some(self.open_run(&mut state, &mut edits, &record).await?);
                edits.replace(keys::head(self.name()), state.head.revision, &state.head.value);
            } else {
                edits.guard(keys::head(self.name()), state.head.revision);
            }
            edits.upsert(keys::push(self.name()), open.map(|o| o.revision), &record);
            record
        })
    }

    /// Says that the process `owner` is alive, whose push this is; answers whether it still is. An owner says so every
    /// [`Push::RENEW_EVERY`], and asks before it moves refs.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn push_renew(&self, id: Uuid, owner: Uuid) -> Result<bool> {
        let mine = |p: &Push| p.id == id && p.owner == Some(owner);
        self.edit_push(mine, |p, now| Push { renewed: now, ..p }).await
    }

    /// Gives an open push to another owner – `None` where the one it had is dead – and answers whether it is open still.
    /// Whoever follows one without an owner takes it before its refs move: from then on nobody takes its place.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn push_assign(&self, id: Uuid, owner: Option<Uuid>) -> Result<bool> {
        self.edit_push(|p| p.id == id, |p, now| Push { owner, renewed: now, ..p }).await
    }

    async fn edit_push(
        &self,
        is_meant: impl Fn(&Push) -> bool,
        edit: impl Fn(Push, crate::model::Timestamp) -> Push,
    ) -> Result<bool> {
        change!(self, |state, edits| {
            let Some(open) = state.push.clone().filter(|p| is_meant(&p.value)) else { return Ok(false) };
            edits.replace(keys::push(self.name()), open.revision, &edit(open.value, self.platform.now()));
            edits.guard(keys::head(self.name()), state.head.revision);
            true
        })
    }

    /// Closes a push and says what became of it; one that is closed already is fine.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn push_close(&self, id: Uuid, outcome: &PushOutcome) -> Result<()> {
        change!(self, |state, edits| {
            let Some(open) = state.push.clone().filter(|p| p.value.id == id) else {
                return Ok(());
            };
            edits.delete(keys::push(self.name()), open.revision);
            self.run_abandoned(&mut edits, &open.value, outcome).await?;
            edits.guard(keys::head(self.name()), state.head.revision);
            let event = EventKind::Push { outcome: outcome.clone() };
            state.event(&mut edits, self.platform.now(), Some(&open.value.by), event);
        })
    }
}
