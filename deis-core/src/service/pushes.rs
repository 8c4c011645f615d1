//! Open pushes: the record that carries a received commit to the moment its ref moves.

use uuid::Uuid;

use super::handle::{AppHandle, change};
use crate::{
    error::{Error, Result},
    model::{EventKind, Push},
    state::{apps::push, keys},
};

impl AppHandle {
    /// The push that is open, if one is.
    pub async fn open_push(&self) -> Result<Option<Push>> {
        Ok(push(self.platform.store(), self.name()).await?.map(|p| p.value))
    }

    /// Opens a push; [`Error::Busy`] while another one is open. One that is orphaned gives way.
    pub async fn push_begin(&self, record: Push) -> Result<()> {
        change!(self, |state, edits| {
            let open = push(self.platform.store(), self.name()).await?;
            if let Some(open) = &open {
                if open.value.id == record.id {
                    return Ok(());
                }
                if !open.value.orphaned {
                    return Err(Error::Busy { reason: open.value.holder() });
                }
                let text = format!("the push of {} gave way to another one", open.value.holder());
                state.event(&mut edits, self.platform.now(), Some(&open.value.by), EventKind::Push { text });
            }
            edits.upsert(keys::push(self.name()), open.map(|o| o.revision), &record);
            edits.guard(keys::head(self.name()), state.head.revision);
        })
    }

    /// Says whether an open push is orphaned; answers whether it is still open. Whoever follows an orphaned one claims
    /// it so before its refs move: from then on nobody takes its place.
    pub async fn push_orphan(&self, id: Uuid, orphaned: bool) -> Result<bool> {
        change!(self, |state, edits| {
            let Some(open) = push(self.platform.store(), self.name()).await?.filter(|p| p.value.id == id)
            else {
                return Ok(false);
            };
            edits.replace(keys::push(self.name()), open.revision, &Push { orphaned, ..open.value });
            edits.guard(keys::head(self.name()), state.head.revision);
            true
        })
    }

    /// Closes a push and says what became of it; one that is closed already is fine.
    pub async fn push_close(&self, id: Uuid, text: &str) -> Result<()> {
        change!(self, |state, edits| {
            let Some(open) = push(self.platform.store(), self.name()).await?.filter(|p| p.value.id == id)
            else {
                return Ok(());
            };
            edits.delete(keys::push(self.name()), open.revision);
            edits.guard(keys::head(self.name()), state.head.revision);
            let event = EventKind::Push { text: text.to_owned() };
            state.event(&mut edits, self.platform.now(), Some(&open.value.by), event);
        })
    }
}
