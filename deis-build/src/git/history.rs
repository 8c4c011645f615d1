//! Which commits a fetch sends: all that the client lacks, or no more than so many of each history.

use std::collections::{HashMap, HashSet, VecDeque};

use gix::{hash::ObjectId, objs::Kind as ObjectKind};
use gix_pack::data::output::count::objects::ObjectExpansion;

use super::error::{GitError, Result};

/// What is wanted, by kind.
pub(super) struct Tips {
    pub(super) commits: Vec<ObjectId>,
    /// Tag objects, and what is no commit.
    others: Vec<ObjectId>,
}

impl Tips {
    /// Follows tags to what they name.
    pub(super) fn of(repo: &gix::Repository, wants: &[ObjectId]) -> Result<Self> {
        let mut tips = Self { commits: Vec::new(), others: Vec::new() };
        for want in wants {
            let mut object = repo.find_object(*want).map_err(GitError::repository)?;
            while object.kind == ObjectKind::Tag {
                tips.others.push(object.id);
                let target = object.into_tag().target_id().map_err(GitError::repository)?.detach();
                object = repo.find_object(target).map_err(GitError::repository)?;
            }
            if object.kind == ObjectKind::Commit {
                tips.commits.push(object.id);
            } else {
                tips.others.push(object.id);
            }
        }
        Ok(tips)
    }
}

/// A history of limited depth.
pub(super) struct Bounds {
    /// Its commits.
    commits: Vec<ObjectId>,
    /// Those at which it ends although there is more, unless the client knows.
    pub(super) cut: Vec<ObjectId>,
    /// Those at which the client's history ended and this one does not.
    pub(super) joined: Vec<ObjectId>,
}

impl Bounds {
    /// The commits at most `depth` steps from a tip, itself the first.
    pub(super) fn at(
        repo: &gix::Repository,
        tips: &[ObjectId],
        depth: usize,
        known: &HashSet<ObjectId>,
    ) -> Result<Self> {
        // Where the server's own history ends, so does the client's.
        let own = own_ends(repo)?;
        let mut depths: HashMap<ObjectId, usize> = tips.iter().map(|id| (*id, 1)).collect();
        let mut next: VecDeque<ObjectId> = depths.keys().copied().collect();
        let mut bounds = Self { commits: Vec::new(), cut: Vec::new(), joined: Vec::new() };
        while let Some(id) = next.pop_front() {
            let here = depths.get(&id).copied().unwrap_or(depth);
            bounds.commits.push(id);
            let parents = parents(repo, id)?;
            let ends = own.contains(&id) || here >= depth && !parents.is_empty();
            match (ends, known.contains(&id)) {
                (true, false) => bounds.cut.push(id),
                (false, true) => bounds.joined.push(id),
                _ => {}
            }
            if ends {
                continue;
            }
            for parent in parents {
                // Breadth first: the first way to a commit is the shortest.
                depths.entry(parent).or_insert_with(|| {
                    next.push_back(parent);
                    here + 1
                });
            }
        }
        Ok(bounds)
    }
}

/// What goes into a pack.
pub(super) struct Chosen {
    /// Objects to send, with what they name.
    pub(super) ids: Vec<ObjectId>,
    /// Commits that the client has.
    pub(super) had: HashSet<ObjectId>,
    /// How much of what they name.
    pub(super) expansion: ObjectExpansion,
}

impl Chosen {
    /// Everything that the tips reach and the common commits do not.
    pub(super) fn whole(repo: &gix::Repository, tips: Tips, common: &[ObjectId]) -> Result<Self> {
        let mut ids = tips.others;
        let hidden: Vec<ObjectId> = common.iter().copied().filter(|id| is_commit(repo, *id)).collect();
        let walk = repo.rev_walk(tips.commits).with_hidden(hidden.clone());
        for commit in walk.all().map_err(GitError::repository)? {
            ids.push(commit.map_err(GitError::repository)?.id);
        }
        let expansion = if hidden.is_empty() {
            ObjectExpansion::TreeContents
        } else {
            ObjectExpansion::TreeAdditionsComparedToAncestor
        };
        Ok(Self { ids, had: hidden.into_iter().collect(), expansion })
    }

    /// What a client with, or of, a history of limited depth lacks. `ends` is where its own ends.
    ///
    /// Whole trees are sent: what it has of their predecessors is not worth a wrong guess.
    pub(super) fn shallow(
        repo: &gix::Repository,
        tips: Tips,
        common: &[ObjectId],
        ends: &HashSet<ObjectId>,
        bounds: Option<&Bounds>,
    ) -> Result<Self> {
        let common = common.iter().copied().filter(|id| is_commit(repo, *id)).collect();
        let had = reached(repo, common, ends)?;
        let commits = match bounds {
            Some(bounds) => bounds.commits.clone(),
            None => reached(repo, tips.commits, ends)?.into_iter().collect(),
        };
        let mut ids = tips.others;
        ids.extend(commits.into_iter().filter(|id| !had.contains(id)));
        Ok(Self { ids, had, expansion: ObjectExpansion::TreeContents })
    }
}

/// The commits that `from` reaches without going beyond `ends`.
fn reached(
    repo: &gix::Repository,
    from: Vec<ObjectId>,
    ends: &HashSet<ObjectId>,
) -> Result<HashSet<ObjectId>> {
    let own = own_ends(repo)?;
    let mut found: HashSet<ObjectId> = from.iter().copied().collect();
    let mut next = from;
    while let Some(id) = next.pop() {
        if ends.contains(&id) || own.contains(&id) {
            continue;
        }
        for parent in parents(repo, id)? {
            if found.insert(parent) {
                next.push(parent);
            }
        }
    }
    Ok(found)
}

fn own_ends(repo: &gix::Repository) -> Result<HashSet<ObjectId>> {
    let ends = repo.shallow_commits().map_err(GitError::repository)?;
    Ok(ends.iter().flat_map(|all| all.iter().copied()).collect())
}

fn parents(repo: &gix::Repository, id: ObjectId) -> Result<Vec<ObjectId>> {
    let commit = repo.find_commit(id).map_err(GitError::repository)?;
    Ok(commit.parent_ids().map(gix::Id::detach).collect())
}

/// Whether an object is there and a commit.
pub(super) fn is_commit(repo: &gix::Repository, id: ObjectId) -> bool {
    repo.find_header(id).is_ok_and(|header| header.kind() == ObjectKind::Commit)
}
