//! The pack that a fetch gets: which objects, and in which form.

use std::io::{BufWriter, Write};

use gix::{
    hash::{Kind, ObjectId},
    hashtable::HashSet,
    objs::{Kind as ObjectKind, TreeRefIter, tree::EntryKind},
};
use gix_pack::{
    Find as _,
    data::output::{
        Count, Entry,
        bytes::FromEntriesIter,
        count::PackLocation,
        entry::{Kind as EntryForm, iter_from_counts::Options as EntryOptions},
    },
};

use super::{
    error::{GitError, Result},
    history::{History, Tips},
    packet::Data,
};

/// What goes into a pack.
pub(super) struct Selection {
    /// Objects to send, each once.
    send: Vec<ObjectId>,
    /// Trees and blobs that the client has for certain: what it may be sent deltas against.
    had: HashSet<ObjectId>,
}

impl Selection {
    /// `others` and `commits` with all that they hold, without what the commits of `edge`, which the client has, hold.
    pub(super) fn of(
        history: &History<'_>,
        others: Vec<ObjectId>,
        commits: impl IntoIterator<Item = ObjectId>,
        edge: impl IntoIterator<Item = ObjectId>,
    ) -> Result<Self> {
        let repo = history.repo();
        let mut walk = Walk { repo, seen: HashSet::default(), found: Vec::new() };
        for id in edge {
            walk.tree(tree_of(repo, id)?)?;
        }
        let had = walk.seen.clone();
        walk.found.clear();
        for id in others {
            match repo.find_header(id).map_err(GitError::repository)?.kind() {
                ObjectKind::Tree => walk.tree(id)?,
                ObjectKind::Commit | ObjectKind::Blob | ObjectKind::Tag => walk.take(id),
            }
        }
        for id in commits {
            walk.take(id);
            walk.tree(tree_of(repo, id)?)?;
        }
        Ok(Self { send: walk.found, had })
    }

    /// Adds the tags of what is sent (`include-tag`).
    pub(super) fn add_tags(&mut self, repo: &gix::Repository) -> Result<()> {
        let mut sent: HashSet<ObjectId> = self.send.iter().copied().collect();
        let refs = repo.references().map_err(GitError::repository)?;
        for reference in refs.tags().map_err(GitError::repository)? {
            let reference = reference.map_err(GitError::repository)?;
            let Some(id) = reference.try_id().map(gix::Id::detach) else { continue };
            let tip = Tips::of(repo, &[id])?;
            let is_sent = tip.commits.iter().chain(tip.others.last()).any(|target| sent.contains(target));
            // A light tag is a name only.
            for tag in tip.others.into_iter().filter(|_| is_sent) {
                if sent.insert(tag) {
                    self.send.push(tag);
                }
            }
        }
        Ok(())
    }
}

/// A walk through trees that meets every object once.
struct Walk<'a> {
    repo: &'a gix::Repository,
    seen: HashSet<ObjectId>,
    found: Vec<ObjectId>,
}

impl Walk<'_> {
    fn take(&mut self, id: ObjectId) {
        if self.seen.insert(id) {
            self.found.push(id);
        }
    }

    fn tree(&mut self, root: ObjectId) -> Result<()> {
        let mut next = vec![root];
        while let Some(id) = next.pop() {
            if !self.seen.insert(id) {
                continue;
            }
            self.found.push(id);
            let tree = self.repo.find_object(id).map_err(GitError::repository)?;
            for entry in TreeRefIter::from_bytes(&tree.data, Kind::Sha1) {
                let entry = entry.map_err(GitError::repository)?;
                match entry.mode.kind() {
                    EntryKind::Tree => next.push(entry.oid.to_owned()),
                    // A submodule names a commit of another repository.
                    EntryKind::Commit => {}
                    EntryKind::Blob | EntryKind::BlobExecutable | EntryKind::Link => {
                        self.take(entry.oid.to_owned());
                    }
                }
            }
        }
        Ok(())
    }
}

fn tree_of(repo: &gix::Repository, commit: ObjectId) -> Result<ObjectId> {
    let commit = repo.find_commit(commit).map_err(GitError::repository)?;
    Ok(commit.tree_id().map_err(GitError::repository)?.detach())
}

/// Which forms of deltas a client can read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deltas {
    /// Against objects that are not in the pack (`thin-pack`).
    pub(super) thin: bool,
    /// Against an offset in the pack (`ofs-delta`).
    pub(super) offsets: bool,
}

type Handle = gix::odb::HandleArc;

/// Writes the pack. Deltas are reused from the packs that are here, and only where the client has, or gets, their base.
pub(super) fn write_pack(
    repo: &gix::Repository,
    selection: Selection,
    deltas: Deltas,
    sideband: bool,
    out: &mut dyn Write,
) -> Result<()> {
    let mut handle = repo.objects.clone().into_inner();
    handle.prevent_pack_unload();
    let handle = handle.into_arc()?;
    let number = u32::try_from(selection.send.len()).map_err(GitError::repository)?;
    let counts = selection.send.into_iter();
    let counts = counts.map(|id| Count { id, entry_pack_location: PackLocation::NotLookedUp }).collect();
    let options = EntryOptions {
        allow_thin_pack: deltas.thin,
        thread_limit: Some(1),
        chunk_size: 50,
        ..EntryOptions::default()
    };
    let entries = gix_pack::data::output::entry::iter_from_counts(
        counts,
        handle.clone(),
        Box::new(gix::progress::Discard),
        options,
    )
    .map_err(GitError::repository)?;
    let mut forms = Forms { handle, had: selection.had, deltas, sent: Vec::new(), buffer: Vec::new() };
    let entries = gix::parallel::InOrderIter::from(entries)
        .map(|chunk| chunk?.into_iter().map(|entry| forms.fit(entry)).collect());
    let mut data = BufWriter::with_capacity(65_515, Data::new(&mut *out, sideband));
    let version = gix_pack::data::Version::V2;
    for written in FromEntriesIter::new(entries, &mut data, number, version, Kind::Sha1) {
        written.map_err(GitError::repository)?;
    }
    Ok(data.flush()?)
}

/// Entries in the form that the client can read.
struct Forms {
    handle: Handle,
    had: HashSet<ObjectId>,
    deltas: Deltas,
    /// What was sent, in order.
    sent: Vec<ObjectId>,
    buffer: Vec<u8>,
}

impl Forms {
    fn fit(&mut self, mut entry: Entry) -> std::result::Result<Entry, gix::error::Error> {
        if entry.is_invalid() {
            return Err(missing("an object of the pack"));
        }
        match entry.kind {
            // A pack that was received whole holds deltas against whatever the pusher had.
            EntryForm::DeltaOid { id } if !self.had.contains(&id) => entry = self.whole(entry.id)?,
            EntryForm::DeltaRef { object_index } if !self.deltas.offsets => {
                let base = self.sent.get(object_index).copied();
                let id = base.ok_or_else(|| missing("the base of a delta"))?;
                entry.kind = EntryForm::DeltaOid { id };
            }
            _ => {}
        }
        self.sent.push(entry.id);
        Ok(entry)
    }

    fn whole(&mut self, id: ObjectId) -> std::result::Result<Entry, gix::error::Error> {
        let found = self.handle.try_find(&id, &mut self.buffer)?;
        let (object, _) = found.ok_or_else(|| missing("an object of the pack"))?;
        Entry::from_data(&Count::from_data(id, None), &object, EntryOptions::default().compression)
    }
}

fn missing(what: &'static str) -> gix::error::Error {
    gix::error::message!("{what} is not in the object database").not_found_error()
}
