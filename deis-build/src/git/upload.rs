//! Clones and fetches: negotiation, then one pack of what the client lacks.

use std::{
    collections::HashSet,
    io::{self, BufReader, BufWriter, Read, Write},
    sync::atomic::AtomicBool,
};

use gix::{bstr::ByteSlice as _, hash::ObjectId};
use gix_pack::data::output::{
    bytes::FromEntriesIter, count::objects::Options as CountOptions,
    entry::iter_from_counts::Options as EntryOptions,
};
use gix_packetline::{
    PacketLineRef,
    blocking_io::{StreamingPeekableIter, encode},
};

use super::{
    error::{GitError, Result},
    history::{Bounds, Chosen, Tips, is_commit},
    packet::Data,
    repo::Repository,
};

type Lines<R> = StreamingPeekableIter<BufReader<R>>;

impl Repository {
    /// Serves one fetch. `stateless` is how HTTP speaks: one request may end with an acknowledgement only.
    pub fn upload(&self, input: impl Read, out: &mut dyn Write, stateless: bool) -> Result<()> {
        let repo = self.gix()?;
        let mut lines = StreamingPeekableIter::new(BufReader::new(input), &[PacketLineRef::Flush], false);
        let Some(asked) = Asked::read(&mut lines)? else { return Ok(()) };
        if let Some(refusal) = asked.refusal(&repo)? {
            encode::error_to_write(format!("upload-pack: {refusal}").as_bytes(), &mut *out)?;
            out.flush()?;
            return Err(GitError::Missing(refusal));
        }
        let tips = Tips::of(&repo, &asked.wants)?;
        let bounds = match asked.depth {
            Some(depth) => {
                let bounds = Bounds::at(&repo, &tips.commits, depth, &asked.shallow)?;
                for id in &bounds.cut {
                    encode::data_to_write(format!("shallow {id}").as_bytes(), &mut *out)?;
                }
                for id in &bounds.joined {
                    encode::data_to_write(format!("unshallow {id}").as_bytes(), &mut *out)?;
                }
                encode::flush_to_write(&mut *out)?;
                out.flush()?;
                Some(bounds)
            }
            None => None,
        };
        let negotiation = Negotiation {
            repo: &repo,
            wants: &asked.wants,
            detailed: asked.has("multi_ack_detailed"),
            // What reaches back to a common commit is no sign that a longer history is there.
            eager: bounds.is_none(),
        };
        let Some(common) = negotiation.run(&mut lines, out, asked.has("no-done"), stateless)? else {
            return Ok(());
        };
        let chosen = if bounds.is_some() || !asked.shallow.is_empty() {
            Chosen::shallow(&repo, tips, &common, &asked.shallow, bounds.as_ref())?
        } else {
            Chosen::whole(&repo, tips, &common)?
        };
        send_pack(&repo, chosen, asked.has("thin-pack"), asked.has("side-band-64k"), out)
    }
}

/// What a client asks for.
struct Asked {
    wants: Vec<ObjectId>,
    capabilities: Vec<String>,
    /// Where its own history ends.
    shallow: HashSet<ObjectId>,
    /// How many commits of each history it wants.
    depth: Option<usize>,
    unknown: Option<String>,
}

impl Asked {
    fn read<R: Read>(lines: &mut Lines<R>) -> Result<Option<Self>> {
        let mut asked = Self {
            wants: Vec::new(),
            capabilities: Vec::new(),
            shallow: HashSet::new(),
            depth: None,
            unknown: None,
        };
        while let Some(line) = next(lines)? {
            if let Some(rest) = line.strip_prefix(b"want ") {
                asked.wants.push(parse_id(rest)?);
                if asked.capabilities.is_empty() && rest.len() > 40 {
                    let names = rest[40..].to_str_lossy();
                    asked.capabilities = names.split_whitespace().map(str::to_owned).collect();
                }
            } else if let Some(rest) = line.strip_prefix(b"shallow ") {
                asked.shallow.insert(parse_id(rest)?);
            } else if let Some(rest) = line.strip_prefix(b"deepen ") {
                let depth = rest.to_str().ok().and_then(|text| text.trim().parse().ok());
                let depth = depth.ok_or_else(|| GitError::Protocol("a depth is malformed".to_owned()))?;
                asked.depth = (depth > 0).then_some(depth);
            } else {
                asked.unknown =
                    Some(line.to_str_lossy().chars().filter(|c| !c.is_control()).take(60).collect());
            }
            if asked.wants.len() + asked.shallow.len() > MOST_LINES {
                return Err(GitError::Protocol(format!("a fetch may name at most {MOST_LINES} objects")));
            }
        }
        Ok((!asked.wants.is_empty()).then_some(asked))
    }

    fn has(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|c| c == capability)
    }

    /// Why this is not served: only what a ref reaches is, for the rest was pushed and never accepted, or taken back.
    fn refusal(&self, repo: &gix::Repository) -> Result<Option<String>> {
        if let Some(unknown) = &self.unknown {
            return Ok(Some(format!("{unknown:?} is not served here")));
        }
        let mut tips = HashSet::new();
        for reference in
            repo.references().map_err(GitError::repository)?.all().map_err(GitError::repository)?
        {
            let mut reference = reference.map_err(GitError::repository)?;
            tips.extend(reference.try_id().map(gix::Id::detach));
            tips.extend(reference.peel_to_id().ok().map(gix::Id::detach));
        }
        let mut open: HashSet<ObjectId> =
            self.wants.iter().filter(|id| !tips.contains(*id)).copied().collect();
        if open.is_empty() {
            return Ok(None);
        }
        let commits: Vec<ObjectId> = tips.into_iter().filter(|id| is_commit(repo, *id)).collect();
        for commit in repo.rev_walk(commits).all().map_err(GitError::repository)? {
            open.remove(&commit.map_err(GitError::repository)?.id);
            if open.is_empty() {
                return Ok(None);
            }
        }
        Ok(open.into_iter().next().map(|id| format!("not our ref {id}")))
    }
}

/// Most objects that a client may name before it negotiates.
const MOST_LINES: usize = 10_000;

struct Negotiation<'a> {
    repo: &'a gix::Repository,
    wants: &'a [ObjectId],
    detailed: bool,
    eager: bool,
}

impl Negotiation<'_> {
    /// What client and server both have; `None` if the client goes on in another request, or went away.
    fn run<R: Read>(
        &self,
        lines: &mut Lines<R>,
        out: &mut dyn Write,
        no_done: bool,
        stateless: bool,
    ) -> Result<Option<Vec<ObjectId>>> {
        let (mut common, mut ready) = (Vec::new(), false);
        loop {
            lines.reset();
            let mut spoke = false;
            while let Some(line) = next(lines)? {
                spoke = true;
                if line == b"done" {
                    match common.last() {
                        Some(last) if self.detailed => {
                            encode::text_to_write(format!("ACK {last}").as_bytes(), &mut *out)?;
                        }
                        _ => drop(encode::text_to_write(b"NAK", &mut *out)?),
                    }
                    return Ok(Some(common));
                }
                let Some(rest) = line.strip_prefix(b"have ") else { continue };
                let id = parse_id(rest)?;
                if !self.repo.has_object(id) {
                    continue;
                }
                common.push(id);
                if self.detailed {
                    encode::text_to_write(format!("ACK {id} common").as_bytes(), &mut *out)?;
                    if self.eager && !ready && self.is_enough(&common) {
                        ready = true;
                        encode::text_to_write(format!("ACK {id} ready").as_bytes(), &mut *out)?;
                    }
                }
            }
            if !spoke {
                return Ok(None);
            }
            encode::text_to_write(b"NAK", &mut *out)?;
            if let (true, true, Some(last)) = (ready, no_done, common.last()) {
                encode::text_to_write(format!("ACK {last}").as_bytes(), &mut *out)?;
                return Ok(Some(common));
            }
            out.flush()?;
            if stateless {
                return Ok(None);
            }
        }
    }

    fn is_enough(&self, common: &[ObjectId]) -> bool {
        let reached = |want: &ObjectId| {
            common.contains(want)
                || common.iter().any(|have| matches!(self.repo.merge_base(*want, *have), Ok(Some(_))))
        };
        self.wants.iter().all(reached)
    }
}

fn send_pack(
    repo: &gix::Repository,
    chosen: Chosen,
    thin: bool,
    sideband: bool,
    out: &mut dyn Write,
) -> Result<()> {
    let mut handle = repo.objects.clone().into_inner();
    handle.prevent_pack_unload();
    let handle = handle.into_arc()?;
    let Chosen { ids, had, expansion } = chosen;
    let stop = AtomicBool::new(false);
    let (mut counts, _) = gix_pack::data::output::count::objects(
        handle.clone(),
        Box::new(ids.into_iter().map(Ok)),
        &gix::progress::Discard,
        &stop,
        CountOptions { thread_limit: Some(1), chunk_size: 200, input_object_expansion: expansion },
    )
    .map_err(GitError::repository)?;
    // The comparison adds the ancestors themselves, which the client has.
    counts.retain(|count| !had.contains(&count.id));
    let number = u32::try_from(counts.len()).map_err(GitError::repository)?;
    let options = EntryOptions {
        allow_thin_pack: thin,
        thread_limit: None,
        chunk_size: 200,
        ..EntryOptions::default()
    };
    let entries = gix_pack::data::output::entry::iter_from_counts(
        counts,
        handle,
        Box::new(gix::progress::Discard),
        options,
    )
    .map_err(GitError::repository)?;
    let mut data = BufWriter::with_capacity(65_515, Data::new(&mut *out, sideband));
    let in_order = gix::parallel::InOrderIter::from(entries);
    let version = gix_pack::data::Version::V2;
    for written in FromEntriesIter::new(in_order, &mut data, number, version, gix::hash::Kind::Sha1) {
        written.map_err(GitError::repository)?;
    }
    data.flush()?;
    drop(data);
    if sideband {
        encode::flush_to_write(&mut *out)?;
    }
    Ok(out.flush()?)
}

/// The next line up to a flush; an end of input is one too.
fn next<R: Read>(lines: &mut Lines<R>) -> Result<Option<Vec<u8>>> {
    let line = match lines.read_line() {
        None => return Ok(None),
        Some(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Some(Err(error)) => return Err(error.into()),
        Some(Ok(line)) => line.map_err(|_| GitError::Protocol("a packet line is malformed".to_owned()))?,
    };
    Ok(line.as_slice().map(|data| data.strip_suffix(b"\n").unwrap_or(data).to_vec()))
}

fn parse_id(text: &[u8]) -> Result<ObjectId> {
    let hex = text.get(..40).unwrap_or_default();
    ObjectId::from_hex(hex).map_err(|_| GitError::Protocol("an object id is malformed".to_owned()))
}
