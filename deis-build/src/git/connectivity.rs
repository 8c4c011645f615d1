//! Whether a received pack names only what is there, and nothing that must not be written to a disk.
//!
//! One pass over the pack is enough: nothing enters the main objects unchecked.

use gix::{
    hash::{Kind, ObjectId},
    hashtable::HashSet,
    objs::{CommitRef, Find as _, Kind as ObjectKind, TagRefIter, TreeRefIter},
    odb::HeaderExt as _,
    validate::path::component,
};
use gix_pack::bundle::write::Outcome;

/// Checks every object of the pack. The error is the short reason that the client is told.
pub(super) fn check(view: &gix::Repository, pack: &Outcome, shallow: &[ObjectId]) -> Result<(), String> {
    // A ref to what is there already comes with a pack of nothing.
    if pack.index.num_objects == 0 {
        return Ok(());
    }
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
                if shallow.contains(&entry.oid) {
                    continue;
                }
                for parent in commit.parents() {
                    if !exists(&parent) {
                        return Err(missing(&parent));
                    }
                }
            }
            ObjectKind::Tree => {
                for child in TreeRefIter::from_bytes(object.data, Kind::Sha1) {
                    let child = child.map_err(|_| damaged())?;
                    let mode = child.mode.is_link().then_some(component::Mode::Symlink);
                    component(child.filename, mode, component::Options::default()).map_err(|_| {
                        format!("a tree holds the forbidden name {:?}", child.filename.to_string())
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
    Ok(())
}
