//! Commits: what is reached from where, and what a client's history of limited depth becomes.

use gix::{
    hash::ObjectId,
    hashtable::{HashMap, HashSet},
    objs::Kind as ObjectKind,
};

use super::{
    error::{GitError, Result},
    fetch_request::{Deepen, FetchRequest},
};

/// The commits of a repository, as far as it has them: a push from a shallow clone leaves history that ends early.
pub(super) struct History<'a> {
    repo: &'a gix::Repository,
    /// Commits whose parents are not here.
    ends: HashSet<ObjectId>,
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

/// How the ends of a client's history move with a fetch.
#[derive(Debug, Default)]
pub(super) struct ShallowUpdate {
    /// Commits at which it ends from now on.
    pub(super) shallow: Vec<ObjectId>,
    /// Commits at which it ended until now.
    pub(super) unshallow: Vec<ObjectId>,
}

impl ShallowUpdate {
    /// What follows from a request for more or less history; `None` if it has none.
    pub(super) fn of(
        history: &History<'_>,
        tips: &[ObjectId],
        request: &FetchRequest,
    ) -> Result<Option<Self>> {
        let known = &request.shallow;
        let nothing = HashSet::default();
        let depths = match &request.deepen {
            Deepen::Unchanged => return Ok(None),
            // Also what other branches of the client end at, which this fetch does not name.
            Deepen::Everything if history.ends.is_empty() => {
                let unshallow = known.iter().copied().filter(|id| history.is_commit(*id)).collect();
                return Ok(Some(Self { shallow: Vec::new(), unshallow }));
            }
            Deepen::Everything => within_depth(history, tips.to_vec(), usize::MAX)?,
            Deepen::Depth(depth) => within_depth(history, tips.to_vec(), *depth)?,
            Deepen::By(depth) => {
                // From wherever a ref leads to, as with git: not only from what is wanted.
                let refs = history.ref_tips()?.into_iter().filter(|id| history.is_commit(*id));
                let reached = history.reached(refs, &nothing, &nothing)?;
                let ends = known.iter().copied().filter(|id| reached.contains(id)).collect();
                within_depth(history, ends, depth.saturating_add(1))?
            }
            Deepen::Since { time, not } => since(history, tips, *time, not)?,
        };
        let mut update = Self::default();
        for (id, goes_on) in depths {
            match (goes_on, known.contains(&id)) {
                (false, false) => update.shallow.push(id),
                (true, true) => update.unshallow.push(id),
                _ => {}
            }
        }
        // Their order is of no meaning; the same request gets the same answer.
        update.shallow.sort_unstable();
        update.unshallow.sort_unstable();
        Ok(Some(update))
    }
}

/// The commits at most `depth` steps from one of `from`, itself the first, and whether history goes on behind each.
///
/// The last commit of a line counts as an end where it is `depth` steps away, even if it has no parent: so has git.
fn within_depth(history: &History<'_>, from: Vec<ObjectId>, depth: usize) -> Result<HashMap<ObjectId, bool>> {
    let mut found: HashMap<ObjectId, bool> = HashMap::default();
    let mut level = from;
    let mut distance = 1;
    while !level.is_empty() {
        let mut next = Vec::new();
        for id in level {
            // Level by level: the first way to a commit is the shortest.
            if found.contains_key(&id) {
                continue;
            }
            let goes_on = distance < depth && !history.ends.contains(&id);
            found.insert(id, goes_on);
            if goes_on {
                next.extend(history.parents(id)?);
            }
        }
        level = next;
        distance += 1;
    }
    Ok(found)
}

/// The commits that are not older than `time` and not reached by the refs `not`, and whether history goes on behind
/// each.
fn since(
    history: &History<'_>,
    tips: &[ObjectId],
    time: Option<i64>,
    not: &[String],
) -> Result<HashMap<ObjectId, bool>> {
    let mut excluded = Vec::new();
    for name in not {
        let found = history.repo.try_find_reference(name.as_str()).ok().flatten();
        let id = found.and_then(|mut r| r.peel_to_id().ok().map(gix::Id::detach));
        excluded.push(id.ok_or_else(|| {
            let name: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
            GitError::Refused(format!("deepen-not is not a ref: {name}"))
        })?);
    }
    let mut stops = history.reached(excluded, &HashSet::default(), &HashSet::default())?;
    let is_old = |id: ObjectId| -> Result<bool> {
        let Some(time) = time else { return Ok(false) };
        let commit = history.repo.find_commit(id).map_err(GitError::repository)?;
        Ok(commit.time().map_err(GitError::repository)?.seconds < time)
    };
    let mut next = tips.to_vec();
    let mut chosen = HashSet::default();
    while let Some(id) = next.pop() {
        if chosen.contains(&id) || stops.contains(&id) {
            continue;
        }
        if is_old(id)? {
            stops.insert(id);
            continue;
        }
        chosen.insert(id);
        next.extend(history.parents(id)?);
    }
    if chosen.is_empty() {
        return Err(GitError::Refused("no commits selected for shallow requests".to_owned()));
    }
    let mut found = HashMap::default();
    for id in &chosen {
        let whole = history.parents(*id)?.iter().all(|parent| chosen.contains(parent));
        found.insert(*id, whole && !history.ends.contains(id));
    }
    Ok(found)
}
