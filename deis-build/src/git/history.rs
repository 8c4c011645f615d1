//! Commits: what is reached from where.

use gix::{hash::ObjectId, hashtable::HashSet, objs::Kind as ObjectKind};

use super::error::{GitError, Result};

/// The commits of a repository, as far as it has them: a push from a shallow clone leaves history that ends early.
pub(super) struct History<'a> {
    repo: &'a gix::Repository,
    /// Commits whose parents are not here.
    pub(super) ends: HashSet<ObjectId>,
}

impl<'a> History<'a> {
    pub(super) fn of(repo: &'a gix::Repository) -> Result<Self> {
        let ends = repo.shallow_commits().map_err(GitError::repository)?;
        Ok(Self { repo, ends: ends.iter().flat_map(|all| all.iter().copied()).collect() })
    }

    pub(super) fn repo(&self) -> &'a gix::Repository {
        self.repo
    }

    /// Whether an object is there and a commit.
    pub(super) fn is_commit(&self, id: ObjectId) -> bool {
        self.repo.find_header(id).is_ok_and(|header| header.kind() == ObjectKind::Commit)
    }

    /// Where refs point: objects themselves, and what tags name in the end.
    pub(super) fn ref_tips(&self) -> Result<HashSet<ObjectId>> {
        let mut tips = HashSet::default();
        let refs = self.repo.references().map_err(GitError::repository)?;
        for reference in refs.all().map_err(GitError::repository)? {
            let mut reference = reference.map_err(GitError::repository)?;
            tips.extend(reference.try_id().map(gix::Id::detach));
            tips.extend(reference.peel_to_id().ok().map(gix::Id::detach));
        }
        Ok(tips)
    }

    /// The parents that are here.
    pub(super) fn parents(&self, id: ObjectId) -> Result<Vec<ObjectId>> {
        if self.ends.contains(&id) {
            return Ok(Vec::new());
        }
        let commit = self.repo.find_commit(id).map_err(GitError::repository)?;
        Ok(commit.parent_ids().map(gix::Id::detach).collect())
    }

    /// The commits that `from` reaches without going beyond `ends`, and without `known` and what only that reaches.
    pub(super) fn reached(
        &self,
        from: impl IntoIterator<Item = ObjectId>,
        ends: &HashSet<ObjectId>,
        known: &HashSet<ObjectId>,
    ) -> Result<HashSet<ObjectId>> {
        let mut next: Vec<ObjectId> = from.into_iter().filter(|id| !known.contains(id)).collect();
        let mut found: HashSet<ObjectId> = next.iter().copied().collect();
        while let Some(id) = next.pop() {
            if ends.contains(&id) {
                continue;
            }
            for parent in self.parents(id)? {
                if !known.contains(&parent) && found.insert(parent) {
                    next.push(parent);
                }
            }
        }
        Ok(found)
    }
}

/// What is wanted, by kind.
pub(super) struct Tips {
    pub(super) commits: Vec<ObjectId>,
    /// Tag objects, and what is no commit.
    pub(super) others: Vec<ObjectId>,
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
