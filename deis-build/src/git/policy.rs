//! Which changes of refs are allowed, against what is there now.

use deis_core::model::RefUpdate;
use gix::{bstr::ByteSlice as _, refs::FullName};

use super::{
    error::{GitError, Result},
    limits::Limits,
    oid::Oid,
    received::{Command, Received},
    repo::Repository,
};

impl Repository {
    /// Checks every accepted change again. Between the end of a pack and the moment when a push has its app for
    /// itself, others may have moved refs; a change that was made for another state must not be carried out.
    ///
    /// # Errors
    /// Those of the disk and of the repository. What is not allowed any more is refused in `received`.
    pub fn check_again(&self, received: &mut Received, limits: &Limits) -> Result<()> {
        let mut view = self.gix()?;
        if let Some(pack) = received.pack.clone() {
            view = pack.quarantine.view(&view)?;
            if let Some(reason) = pack.check_again(&view, limits)? {
                received.unpack_error = Some(reason);
                received.refuse_all("unpacker error");
                return Ok(());
            }
        }
        check(&view, &mut received.commands, limits)?;
        received.keep_atomic();
        Ok(())
    }
}

/// Refuses what must not be, command by command.
pub(super) fn check(view: &gix::Repository, commands: &mut [Command], limits: &Limits) -> Result<()> {
    let all: Vec<RefUpdate> = commands.iter().map(|c| c.update.clone()).collect();
    for command in commands.iter_mut().filter(|c| c.refused.is_none()) {
        command.refused = refused_because(view, &command.update, &all, limits)?;
    }
    refuse_too_many(view, commands, limits)
}

/// Refuses new refs where there are as many as there may be: each is told to every client.
fn refuse_too_many(view: &gix::Repository, commands: &mut [Command], limits: &Limits) -> Result<()> {
    let mut new: Vec<&mut Command> = commands
        .iter_mut()
        .filter(|c| c.refused.is_none() && c.update.old.is_none() && c.update.new.is_some())
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    let refs = view.references().map_err(GitError::repository)?;
    let present = refs.all().map_err(GitError::repository)?.take(limits.refs + 1).count();
    for command in new.iter_mut().skip(limits.refs.saturating_sub(present)) {
        command.refused = Some(format!("a repository may have at most {} refs", limits.refs));
    }
    Ok(())
}

/// Why a change is refused, if it is.
fn refused_because(
    view: &gix::Repository,
    update: &RefUpdate,
    all: &[RefUpdate],
    limits: &Limits,
) -> Result<Option<String>> {
    let refused = |reason: &str| Ok(Some(reason.to_owned()));
    if let Err(reason) = check_name(&update.name) {
        return refused(reason);
    }
    if all.iter().filter(|other| other.name == update.name).count() > 1 {
        return refused("multiple updates for this ref");
    }
    let present = Oid::of_ref(view, &update.name);
    let moved = present.as_ref().map(Oid::as_str) != update.old.as_deref();
    let Some(new) = update.new.as_deref().and_then(Oid::new) else {
        // Deleting what is not there is fine, as git has it.
        return if present.is_some() && moved { refused("stale info") } else { Ok(None) };
    };
    if moved {
        return refused("stale info");
    }
    if update.old.is_none()
        && let Some(other) = in_the_way(view, &update.name, all)?
    {
        return Ok(Some(format!("'{other}' exists; cannot create '{}'", update.name)));
    }
    let new = new.to_gix();
    let Ok(header) = view.find_header(new) else { return refused("missing necessary objects") };
    if update.name.starts_with(HEADS) && header.kind() != gix::objs::Kind::Commit {
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

const HEADS: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";
/// Longest name of a branch or tag: it becomes a file's name, with room for what is put behind it.
const MAX_NAME: usize = 200;

/// Branches and tags with plain names. Git allows more, such as `$(id)` and `--upload-pack=id`, which no tool that
/// meets the name later should have to survive.
fn check_name(name: &str) -> std::result::Result<(), &'static str> {
    let Some(short) = name.strip_prefix(HEADS).or_else(|| name.strip_prefix(TAGS)) else {
        return Err(if name.starts_with("refs/") {
            "only branches and tags are taken here"
        } else {
            "funny refname"
        });
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._/-".contains(&b);
    let valid = short.starts_with(|c: char| c.is_ascii_alphanumeric())
        && short.len() <= MAX_NAME
        && short.bytes().all(plain)
        && FullName::try_from(name.as_bytes().as_bstr()).is_ok();
    if valid { Ok(()) } else { Err("funny refname") }
}

/// A ref that must go before one of this name can be: a name is a file or a folder, not both.
fn in_the_way(view: &gix::Repository, name: &str, all: &[RefUpdate]) -> Result<Option<String>> {
    let above = |other: &str| name.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'));
    let below = |other: &str| other.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
    let mut asked = all.iter().filter(|u| u.new.is_some()).map(|u| u.name.as_str());
    if let Some(other) = asked.find(|other| above(other) || below(other)) {
        return Ok(Some(other.to_owned()));
    }
    for (place, _) in name.match_indices('/') {
        if Oid::of_ref(view, &name[..place]).is_some() {
            return Ok(Some(name[..place].to_owned()));
        }
    }
    let refs = view.references().map_err(GitError::repository)?;
    let prefix = format!("{name}/");
    let mut found = refs.prefixed(prefix.as_bytes().as_bstr()).map_err(GitError::repository)?;
    Ok(found.find_map(std::result::Result::ok).map(|r| r.name().as_bstr().to_string()))
}
