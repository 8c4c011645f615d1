//! The first section of a fetch: what a client wants, and how much history with it.

use std::io::Read;

use gix::{bstr::ByteSlice as _, hash::ObjectId, hashtable::HashSet};

use super::{
    error::{GitError, Result},
    history::History,
    packet::{Sections, parse_id},
};

/// Most objects that a client may name before it negotiates.
const MAX_NAMED: usize = 10_000;
/// Most refs whose history a client may exclude.
const MAX_EXCLUDED: usize = 100;
/// The depth by which git asks for all there is.
const INFINITE: usize = 0x7fff_ffff;

/// How much history a client wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Deepen {
    /// As much as it has where its own history ends, and all of what is new.
    #[default]
    Unchanged,
    /// Everything.
    Everything,
    /// So many commits of each line of history.
    Depth(usize),
    /// So many more than it has.
    By(usize),
    /// What is not older than a time in seconds, without what some refs reach.
    Since {
        /// The time; `None` is any.
        time: Option<i64>,
        /// Names of refs.
        not: Vec<String>,
    },
}

/// What a client asks for.
#[derive(Debug, Default)]
pub(super) struct FetchRequest {
    pub(super) wants: Vec<ObjectId>,
    /// Commits at which its own history ends.
    pub(super) shallow: HashSet<ObjectId>,
    pub(super) deepen: Deepen,
    capabilities: Vec<String>,
    unknown: Option<String>,
}

impl FetchRequest {
    /// Reads the section; `None` if nothing is wanted.
    pub(super) fn read<R: Read>(lines: &mut Sections<R>) -> Result<Option<Self>> {
        let mut request = Self::default();
        let (mut depth, mut since, mut not) = (None, None, Vec::new());
        while let Some(line) = lines.line()? {
            if let Some(rest) = line.strip_prefix(b"want ") {
                request.wants.push(parse_id(rest)?);
                if request.capabilities.is_empty() && rest.len() > 40 {
                    let names = rest[40..].to_str_lossy();
                    request.capabilities = names.split_whitespace().map(str::to_owned).collect();
                }
            } else if let Some(rest) = line.strip_prefix(b"shallow ") {
                request.shallow.insert(parse_id(rest)?);
            } else if let Some(rest) = line.strip_prefix(b"deepen ") {
                depth = Some(number(rest)?);
            } else if let Some(rest) = line.strip_prefix(b"deepen-since ") {
                since = Some(number(rest)?);
            } else if let Some(rest) = line.strip_prefix(b"deepen-not ") {
                not.push(rest.to_str_lossy().into_owned());
            } else {
                let shown = line.to_str_lossy();
                request.unknown = Some(shown.chars().filter(|c| !c.is_control()).take(60).collect());
            }
            if request.wants.len() + request.shallow.len() > MAX_NAMED || not.len() > MAX_EXCLUDED {
                return Err(GitError::Protocol(format!("a fetch may name at most {MAX_NAMED} objects")));
            }
        }
        let relative = request.has("deepen-relative");
        request.deepen = match depth.and_then(|depth| usize::try_from(depth).ok()).filter(|depth| *depth > 0)
        {
            _ if since.is_some() || !not.is_empty() => Deepen::Since { time: since, not },
            None => Deepen::Unchanged,
            Some(depth) if depth >= INFINITE => Deepen::Everything,
            Some(depth) if relative => Deepen::By(depth),
            Some(depth) => Deepen::Depth(depth),
        };
        Ok((!request.wants.is_empty()).then_some(request))
    }

    /// Whether the client asked for it by name.
    pub(super) fn has(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|c| c == capability)
    }

    /// Refuses what is not served: only what a ref reaches is, for the rest was pushed and never accepted, or taken
    /// back.
    pub(super) fn check(&self, history: &History<'_>) -> Result<()> {
        if let Some(unknown) = &self.unknown {
            return Err(GitError::Refused(format!("{unknown:?} is not served here")));
        }
        let tips = history.ref_tips()?;
        let open: Vec<ObjectId> = self.wants.iter().filter(|id| !tips.contains(*id)).copied().collect();
        if open.is_empty() {
            return Ok(());
        }
        let commits = tips.into_iter().filter(|id| history.is_commit(*id));
        let reached = history.reached(commits, &HashSet::default(), &HashSet::default())?;
        match open.into_iter().find(|id| !reached.contains(id)) {
            None => Ok(()),
            Some(id) => Err(GitError::Refused(format!("not our ref {id}"))),
        }
    }
}

fn number(text: &[u8]) -> Result<i64> {
    let number = text.to_str().ok().and_then(|text| text.trim().parse().ok());
    number.ok_or_else(|| GitError::Protocol("a depth or time is malformed".to_owned()))
}
