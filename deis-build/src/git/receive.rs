//! The receiving side of a push, up to the point where the pack is durable and no ref has moved.

use std::{io::Read, sync::atomic::AtomicBool};

use gix::hash::ObjectId;

use super::{
    connectivity,
    error::{DISK_FULL, GitError, ReceiveError, Result, is_disk_full},
    limits::Limits,
    packet::Framing,
    policy,
    quarantine::Quarantine,
    received::{Command, Received},
    repo::Repository,
    request::Request,
};

impl Repository {
    /// Reads a push: commands, then the pack into quarantine, where it is completed, verified and checked; then, if
    /// anything is accepted, moves it among the objects. `None` if the client had nothing to say (smart HTTP asks
    /// so before a large push).
    ///
    /// Setting `cancel` ends it at the next object; nothing is left behind then, as after any error.
    ///
    /// # Errors
    ///
    /// Those of a client whose commands cannot be read, and of a repository that cannot be opened. What goes wrong
    /// later refuses the commands, for then the client expects a report.
    pub fn receive(
        &self,
        input: impl Read,
        limits: &Limits,
        cancel: &AtomicBool,
    ) -> std::result::Result<Option<Received>, ReceiveError> {
        let mut framing = Framing::Lines;
        let read = self.gix().and_then(|repo| Ok((Request::read(input, limits, &mut framing)?, repo)));
        let (request, input, repo) = match read {
            Ok((Some((request, input)), repo)) => (request, input, repo),
            Ok((None, _)) => return Ok(None),
            Err(error) => return Err(ReceiveError { error, framing }),
        };
        let mut received = Received {
            atomic: request.has("atomic"),
            sideband: request.has("side-band-64k"),
            wants_report: request.has("report-status") || request.has("report-status-v2"),
            commands: request.updates.into_iter().map(|update| Command { update, refused: None }).collect(),
            unpack_error: None,
        };
        let shallow = request.shallow;
        if let Err(error) = self.take_pack(&repo, &shallow, input, limits, cancel, &mut received) {
            tracing::warn!(path = %self.path().display(), ?error, "a push could not be stored");
            received.unpack_error = Some(if is_disk_full(&error) {
                DISK_FULL.to_owned()
            } else {
                "the push could not be stored".to_owned()
            });
            received.refuse_all("unpacker error");
        }
        Ok(Some(received))
    }

    fn take_pack(
        &self,
        repo: &gix::Repository,
        shallow: &[ObjectId],
        input: impl Read,
        limits: &Limits,
        cancel: &AtomicBool,
        received: &mut Received,
    ) -> Result<()> {
        let quarantine = Quarantine::new(&self.path().join("objects"))?;
        let mut pack = None;
        if received.commands.iter().any(|c| c.update.new.is_some()) {
            match quarantine.ingest(repo, input, limits, cancel) {
                Ok(outcome) => pack = Some(outcome),
                Err(reason) => received.unpack_error = Some(reason),
            }
        }
        let view = quarantine.view(repo)?;
        let mut roots = Vec::new();
        if let Some(outcome) = &pack {
            match connectivity::check(&view, outcome, shallow, limits) {
                Ok(cut) => roots = cut,
                Err(reason) => received.unpack_error = Some(reason),
            }
        }
        if received.unpack_error.is_some() {
            received.refuse_all("unpacker error");
            return Ok(());
        }
        policy::check(&view, &mut received.commands, limits)?;
        received.keep_atomic();
        if received.accepted().is_empty() {
            return Ok(());
        }
        if let Some(outcome) = &pack {
            quarantine.migrate(outcome)?;
        }
        if !roots.is_empty() {
            extend_shallow(repo, &roots)?;
        }
        Ok(())
    }
}

fn extend_shallow(repo: &gix::Repository, roots: &[ObjectId]) -> Result<()> {
    let file = repo.shallow_file().map_err(GitError::repository)?;
    let lock = gix::lock::File::acquire_to_update_resource(
        &file,
        gix::lock::acquire::Fail::AfterDurationWithBackoff(std::time::Duration::from_secs(5)),
        None,
        0,
    )
    .map_err(GitError::repository)?;
    let present = gix_shallow::read(&file).map_err(GitError::repository)?;
    let updates: Vec<_> = roots.iter().map(|id| gix_shallow::Update::Shallow(*id)).collect();
    gix_shallow::write(lock, present, &updates).map_err(GitError::repository)
}
