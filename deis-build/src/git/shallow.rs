//! What a client's history of limited depth becomes with a fetch.

use gix::{
    hash::ObjectId,
    hashtable::{HashMap, HashSet},
};

use super::{
    error::{GitError, Result},
    fetch_request::{Deepen, FetchRequest},
    history::History,
};

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
        let found = history.repo().try_find_reference(name.as_str()).ok().flatten();
        let id = found.and_then(|mut r| r.peel_to_id().ok().map(gix::Id::detach));
        let id = id.ok_or_else(|| {
            let name: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
            GitError::Refused(format!("git upload-pack: ambiguous deepen-not: deepen-not {name}"))
        })?;
        // Tags may name trees and blobs, which exclude no history.
        if history.is_commit(id) {
            excluded.push(id);
        }
    }
    let mut stops = history.reached(excluded, &HashSet::default(), &HashSet::default())?;
    let is_old = |id: ObjectId| -> Result<bool> {
        let Some(time) = time else { return Ok(false) };
        let commit = history.repo().find_commit(id).map_err(GitError::repository)?;
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
