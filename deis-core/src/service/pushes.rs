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

    /// Opens a push; [`Error::Busy`] while another one is open.
    pub async fn push_begin(&self, record: Push) -> Result<()> {
        change!(self, |state, edits| {
            if let Some(open) = push(self.platform.store(), self.name()).await? {
                if open.value.id == record.id {
                    return Ok(());
                }
                return Err(Error::Busy { reason: open.value.holder() });
            }
            edits.create(keys::push(self.name()), &record);
            edits.guard(keys::head(self.name()), state.head.revision);
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
