//! A push as it was read: what is wanted, and what of it is refused.

use std::sync::Arc;

use deis_core::model::RefUpdate;

use super::{kept_pack::KeptPack, oid::Oid};

/// One wanted change of a ref, and whether it is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The change.
    pub update: RefUpdate,
    /// Why it is refused, in git's words.
    pub refused: Option<String>,
}

/// A push whose pack, if any command is accepted, is in quarantine; refs have not moved.
#[derive(Clone, Debug)]
pub struct Received {
    /// The commands, in the client's order.
    pub commands: Vec<Command>,
    /// Why the pack itself was refused.
    pub unpack_error: Option<String>,
    pub(super) atomic: bool,
    pub(super) sideband: bool,
    pub(super) wants_report: bool,
    /// What it brought, until that is stored. Goes with the last of those who know it.
    pub(super) pack: Option<Arc<KeptPack>>,
}

impl Received {
    /// The changes that are not refused.
    pub fn accepted(&self) -> Vec<RefUpdate> {
        self.commands.iter().filter(|c| c.refused.is_none()).map(|c| c.update.clone()).collect()
    }

    /// The branch that deploys: the last one that is updated. Tags and deletions never do.
    pub fn deploys(&self) -> Option<(&RefUpdate, Oid)> {
        let branch = |c: &&Command| c.refused.is_none() && c.update.name.starts_with("refs/heads/");
        let command = self.commands.iter().rev().filter(branch).find(|c| c.update.new.is_some())?;
        let id = command.update.new.as_deref().and_then(Oid::new)?;
        Some((&command.update, id))
    }

    /// Refuses one ref; in an atomic push that refuses all.
    pub fn refuse(&mut self, name: &str, reason: &str) {
        for command in self.commands.iter_mut().filter(|c| c.update.name == name) {
            command.refused.get_or_insert_with(|| reason.to_owned());
        }
        self.keep_atomic();
    }

    /// Refuses everything that is not refused yet.
    pub fn refuse_all(&mut self, reason: &str) {
        for command in &mut self.commands {
            command.refused.get_or_insert_with(|| reason.to_owned());
        }
    }

    /// Whether the client asked for all or none.
    pub fn is_atomic(&self) -> bool {
        self.atomic
    }

    /// Whether lines can be sent to the person while the push is worked on.
    pub fn has_progress(&self) -> bool {
        self.sideband
    }

    pub(super) fn keep_atomic(&mut self) {
        if self.atomic && self.commands.iter().any(|c| c.refused.is_some()) {
            self.refuse_all("atomic push failed");
        }
    }
}
