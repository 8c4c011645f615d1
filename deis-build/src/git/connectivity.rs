//! Whether a received pack names only what is there, and nothing that must not be written to a disk.
//!
//! One pass over the pack is enough: nothing enters the main objects unchecked.

use gix::{
    hash::{Kind, ObjectId},
    hashtable::HashSet,
    objs::{CommitRef, Find as _, Kind as ObjectKind, TagRefIter, TreeRefIter},
    odb::HeaderExt as _,
};
use gix_pack::bundle::write::Outcome;

use super::{limits::Limits, path};

/// Checks every object of the pack. The error is the short reason that the client is told.
///
/// Returns the commits at which history ends now: those that the client named as such, came in this pack and have a
/// parent that is not here. What the client lacks of older commits is none of the server's loss.
pub(super) fn check(
    view: &gix::Repository,
    pack: &Outcome,
    shallow: &[ObjectId],
    limits: &Limits,
) -> Result<Vec<ObjectId>, String> {
    let mut cut = Vec::new();
    // A ref to what is there already comes with a pack of nothing.
    if pack.index.num_objects == 0 {
        return Ok(cut);
    }
    let shallow: HashSet<ObjectId> = shallow.iter().copied().collect();
    let mut unpacked = 0_u64;
    let Some(Ok(bundle)) = pack.to_bundle() else { return Err("the pack cannot be read back".to_owned()) };
    let mut known: HashSet<ObjectId> = HashSet::default();
    let mut exists = |id: &gix::oid| {
        let found = bundle.index.lookup(id).is_some()
            || known.contains(id)
            || view.objects.exists_without_refresh(id);
        if found {
            known.insert(id.to_owned());
        }
        found
    };
    let mut buffer = Vec::new();
    for entry in bundle.index.iter() {
        let damaged = || format!("object {} cannot be read", entry.oid);
        let header = view.objects.header(entry.oid).map_err(|_| damaged())?;
        unpacked = unpacked.saturating_add(header.size());
        if unpacked > limits.unpacked_bytes {
            return Err(format!("the push unpacks to more than {} MiB", limits.unpacked_bytes >> 20));
        }
        if header.kind() == ObjectKind::Blob {
            continue;
        }
        let object =
            view.objects.try_find(&entry.oid, &mut buffer).map_err(|_| damaged())?.ok_or_else(damaged)?;
        let missing = |id: &gix::oid| format!("missing necessary objects: {id}, named by {}", entry.oid);
        match object.kind {
            ObjectKind::Commit => {
                let commit = CommitRef::from_bytes(object.data, Kind::Sha1).map_err(|_| damaged())?;
                if !exists(&commit.tree()) {
                    return Err(missing(&commit.tree()));
                }
                if let Some(parent) = commit.parents().find(|parent| !exists(parent)) {
                    if !shallow.contains(&entry.oid) {
                        return Err(missing(&parent));
                    }
                    cut.push(entry.oid);
                }
            }
            ObjectKind::Tree => {
                for child in TreeRefIter::from_bytes(object.data, Kind::Sha1) {
                    let child = child.map_err(|_| damaged())?;
                    path::check(child.filename, child.mode).map_err(|reason| {
                        format!("a tree holds {:?}: {reason}", path::shown(child.filename))
                    })?;
                    // A submodule names a commit of another repository.
                    if !child.mode.is_commit() && !exists(child.oid) {
                        return Err(missing(child.oid));
                    }
                }
            }
            ObjectKind::Tag => {
                let target =
                    TagRefIter::from_bytes(object.data, Kind::Sha1).target_id().map_err(|_| damaged())?;
                if !exists(&target) {
                    return Err(missing(&target));
                }
            }
            ObjectKind::Blob => {}
        }
    }
    Ok(cut)
}
