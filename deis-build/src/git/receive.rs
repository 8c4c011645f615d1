//! The receiving side of a push, up to the point where the pack is whole, checked and in quarantine.

use std::{
    io::Read,
    sync::{Arc, atomic::AtomicBool},
};

use gix::hash::ObjectId;

use super::{
    connectivity,
    error::{DISK_FULL, GitError, Result, is_disk_full},
    kept_pack::{KeptPack, packs},
    limits::Limits,
    packet::Framing,
    policy,
    quarantine::Quarantine,
    received::{Command, Received},
    repo::Repository,
    request::Request,
};

/// A push that ended before all that it wants was known.
#[derive(Debug, thiserror::Error)]
#[error("a push could not be read")]
pub struct ReceiveError {
    /// Why.
    #[source]
    pub error: GitError,
    framing: Framing,
}

impl ReceiveError {
    /// The packets that tell the client why, in the framing that it expects by then.
    pub fn packets(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.framing.write_error(&self.error.for_client(), &mut out);
        out
    }
}

impl Repository {
    /// Reads a push: commands, then the pack into quarantine, where it is completed, verified and checked, and where it
    /// stays, if anything is accepted, until [`Repository::store`]. `None` if the client had nothing to say (smart HTTP
    /// asks so before a large push).
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
            pack: None,
        };
        if let Err(error) = self.take_pack(&repo, request.shallow, input, limits, cancel, &mut received) {
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
        shallow: Vec<ObjectId>,
        input: impl Read,
        limits: &Limits,
        cancel: &AtomicBool,
        received: &mut Received,
    ) -> Result<()> {
        let beside = packs(&self.path().join("objects"))?;
        let quarantine = Quarantine::new(&self.path().join("objects"))?;
        let wanted = received.commands.iter().any(|c| c.update.new.is_some());
        let ingested = wanted.then(|| quarantine.ingest(repo, input, limits, cancel));
        let view = quarantine.view(repo)?;
        let mut kept = None;
        match ingested {
            // What is looked at beyond here is held in memory again.
            Some(Ok((outcome, _permit))) => {
                let mut pack = KeptPack::new(quarantine, outcome, shallow, beside);
                match connectivity::check(&view, &pack.outcome, &pack.shallow, limits) {
                    Ok(roots) => pack.roots = roots,
                    Err(reason) => received.unpack_error = Some(reason),
                }
                kept = Some(pack);
            }
            Some(Err(reason)) => received.unpack_error = Some(reason),
            None => {}
        }
        if received.unpack_error.is_some() {
            received.refuse_all("unpacker error");
            return Ok(());
        }
        policy::check(&view, &mut received.commands, limits)?;
        received.keep_atomic();
        if !received.accepted().is_empty() {
            received.pack = kept.map(Arc::new);
        }
        Ok(())
    }
}
