//! The receiving side of a push, up to the point where the pack is durable and no ref has moved.

use std::{
    io::{self, BufReader, Read},
    sync::atomic::AtomicBool,
};

use deis_core::RefUpdate;
use gix::{bstr::ByteSlice as _, hash::ObjectId, refs::FullName};
use gix_packetline::{PacketLineRef, blocking_io::StreamingPeekableIter};

use super::{
    connectivity,
    error::{GitError, Result},
    limits::Limits,
    oid::Oid,
    quarantine::Quarantine,
    repo::Repository,
};

/// One wanted change of a ref, and whether it is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The change.
    pub update: RefUpdate,
    /// Why it is refused, in git's words.
    pub refused: Option<String>,
}

/// A push whose pack, if any command is accepted, is durable among the objects; refs have not moved.
#[derive(Clone, Debug)]
pub struct Received {
    /// The commands, in the client's order.
    pub commands: Vec<Command>,
    /// Why the pack itself was refused.
    pub unpack_error: Option<String>,
    pub(super) atomic: bool,
    pub(super) sideband: bool,
    pub(super) wants_report: bool,
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

    fn keep_atomic(&mut self) {
        if self.atomic && self.commands.iter().any(|c| c.refused.is_some()) {
            self.refuse_all("atomic push failed");
        }
    }
}

impl Repository {
    /// Reads a push: commands, then the pack into quarantine, where it is completed, verified and checked; then, if
    /// anything is accepted, moves it among the objects. `None` if the client had nothing to say (smart HTTP asks
    /// so before a large push).
    ///
    /// Setting `cancel` ends it at the next object; nothing is left behind then, as after any error.
    pub fn receive(
        &self,
        input: impl Read,
        limits: &Limits,
        cancel: &AtomicBool,
    ) -> Result<Option<Received>> {
        let repo = self.gix()?;
        let mut lines = StreamingPeekableIter::new(
            BufReader::with_capacity(64 * 1024, input),
            &[PacketLineRef::Flush],
            false,
        );
        let Some(request) = read_request(&mut lines, limits)? else { return Ok(None) };
        let has = |name: &str| request.capabilities.iter().any(|c| c == name);
        let mut received = Received {
            commands: request.updates.into_iter().map(|update| Command { update, refused: None }).collect(),
            unpack_error: None,
            atomic: has("atomic"),
            sideband: has("side-band-64k"),
            wants_report: has("report-status") || has("report-status-v2"),
        };
        let quarantine = Quarantine::new(&self.path().join("objects"))?;
        let mut pack = None;
        if received.commands.iter().any(|c| c.update.new.is_some()) {
            match quarantine.ingest(&repo, lines.into_inner(), limits, cancel) {
                Ok(outcome) => pack = outcome,
                Err(reason) => received.unpack_error = Some(reason),
            }
        }
        let view = quarantine.view(&repo)?;
        if let (Some(outcome), None) = (&pack, &received.unpack_error) {
            received.unpack_error = connectivity::check(&view, outcome, &request.shallow).err();
        }
        if received.unpack_error.is_some() {
            received.refuse_all("unpacker error");
            return Ok(Some(received));
        }
        for command in &mut received.commands {
            command.refused = Self::check(&view, &command.update, limits)?;
        }
        received.keep_atomic();
        if received.accepted().is_empty() {
            return Ok(Some(received));
        }
        if let Some(outcome) = &pack {
            quarantine.migrate(outcome)?;
        }
        if !request.shallow.is_empty() {
            extend_shallow(&repo, &request.shallow)?;
        }
        Ok(Some(received))
    }

    fn check(view: &gix::Repository, update: &RefUpdate, limits: &Limits) -> Result<Option<String>> {
        let refused = |reason: &str| Ok(Some(reason.to_owned()));
        let valid = FullName::try_from(update.name.as_bytes().as_bstr()).is_ok();
        if !valid || !update.name.starts_with("refs/") {
            return refused("funny refname");
        }
        let present = resolve_direct(view, &update.name);
        let Some(new) = update.new.as_deref().and_then(Oid::new) else {
            // Deleting what is not there is fine, as git has it.
            let moved = present.is_some() && present.as_ref().map(Oid::as_str) != update.old.as_deref();
            return if moved { refused("fetch first") } else { Ok(None) };
        };
        if present.as_ref().map(Oid::as_str) != update.old.as_deref() {
            return refused("fetch first");
        }
        let new = new.to_gix();
        let Ok(header) = view.find_header(new) else { return refused("missing necessary objects") };
        if update.name.starts_with("refs/heads/") && header.kind() != gix::objs::Kind::Commit {
            return refused("a branch must point to a commit");
        }
        if limits.only_fast_forward
            && let Some(old) = update.old.as_deref().and_then(Oid::new).map(|o| o.to_gix())
        {
            let base = view.merge_base(old, new).ok().flatten();
            if old != new && base.is_none_or(|base| base.detach() != old) {
                return refused("non-fast-forward");
            }
        }
        Ok(None)
    }
}

/// Where a ref itself points, a tag object included.
fn resolve_direct(view: &gix::Repository, name: &str) -> Option<Oid> {
    let found = view.try_find_reference(name).ok().flatten()?;
    found.try_id().map(|id| Oid::from(id.detach()))
}

struct Request {
    updates: Vec<RefUpdate>,
    shallow: Vec<ObjectId>,
    capabilities: Vec<String>,
}

fn read_request<R: Read>(
    lines: &mut StreamingPeekableIter<BufReader<R>>,
    limits: &Limits,
) -> Result<Option<Request>> {
    let mut request = Request { updates: Vec::new(), shallow: Vec::new(), capabilities: Vec::new() };
    let broken = |what: &str| GitError::Protocol(what.to_owned());
    while let Some(line) = lines.read_line() {
        let line = match line {
            Ok(line) => line.map_err(|_| broken("a packet line is malformed"))?,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error.into()),
        };
        let Some(data) = line.as_slice() else { break };
        let data = data.strip_suffix(b"\n").unwrap_or(data);
        if let Some(hex) = data.strip_prefix(b"shallow ") {
            request.shallow.push(ObjectId::from_hex(hex).map_err(|_| broken("a shallow line is malformed"))?);
            continue;
        }
        let (command, capabilities) = match data.find_byte(0) {
            Some(place) => (&data[..place], Some(&data[place + 1..])),
            None => (data, None),
        };
        if let Some(text) = capabilities {
            request.capabilities = text.to_str_lossy().split_whitespace().map(str::to_owned).collect();
        }
        request.updates.push(parse_command(command).ok_or_else(|| broken("a command is malformed"))?);
        if request.updates.len() > limits.commands {
            return Err(GitError::Protocol(format!("a push may move at most {} refs", limits.commands)));
        }
    }
    if request.updates.is_empty() {
        return Ok(None);
    }
    if request.capabilities.iter().any(|c| c == "push-options") {
        lines.reset();
        while let Some(line) = lines.read_line() {
            line?.map_err(|_| broken("a push option is malformed"))?;
        }
    }
    Ok(Some(request))
}

fn parse_command(line: &[u8]) -> Option<RefUpdate> {
    let text = std::str::from_utf8(line).ok()?;
    let (old, rest) = text.split_once(' ')?;
    let (new, name) = rest.split_once(' ')?;
    let id = |hex: &str| {
        let oid = Oid::new(hex)?;
        Some((!oid.to_gix().is_null()).then(|| oid.to_string()))
    };
    Some(RefUpdate { name: name.to_owned(), old: id(old)?, new: id(new)? })
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
