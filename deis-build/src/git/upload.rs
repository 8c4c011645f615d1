//! Clones and fetches: negotiation, then one pack of what the client lacks.

use std::{
    collections::HashSet,
    io::{self, BufReader, BufWriter, Read, Write},
    sync::atomic::AtomicBool,
};

use gix::{bstr::ByteSlice as _, hash::ObjectId, objs::Kind as ObjectKind};
use gix_pack::data::output::{
    bytes::FromEntriesIter,
    count::objects::{ObjectExpansion, Options as CountOptions},
    entry::iter_from_counts::Options as EntryOptions,
};
use gix_packetline::{
    PacketLineRef,
    blocking_io::{StreamingPeekableIter, encode},
};

use super::{
    error::{GitError, Result},
    packet::Data,
    repo::Repository,
};

type Lines<R> = StreamingPeekableIter<BufReader<R>>;

impl Repository {
    /// Serves one fetch. `stateless` is how HTTP speaks: one request may end with an acknowledgement only.
    pub fn upload(&self, input: impl Read, out: &mut dyn Write, stateless: bool) -> Result<()> {
        let repo = self.gix()?;
        let mut lines = StreamingPeekableIter::new(BufReader::new(input), &[PacketLineRef::Flush], false);
        let Some((wants, capabilities)) = read_wants(&mut lines, out)? else { return Ok(()) };
        for want in &wants {
            if !repo.has_object(want) {
                encode::error_to_write(format!("upload-pack: not our ref {want}").as_bytes(), &mut *out)?;
                out.flush()?;
                return Err(GitError::Missing(want.to_string()));
            }
        }
        let has = |name: &str| capabilities.iter().any(|c| c == name);
        let negotiation = Negotiation { repo: &repo, wants: &wants, detailed: has("multi_ack_detailed") };
        let Some(common) = negotiation.run(&mut lines, out, has("no-done"), stateless)? else {
            return Ok(());
        };
        send_pack(&repo, &wants, &common, has("thin-pack"), has("side-band-64k"), out)
    }
}

type Wants = (Vec<ObjectId>, Vec<String>);

fn read_wants<R: Read>(lines: &mut Lines<R>, out: &mut dyn Write) -> Result<Option<Wants>> {
    let (mut wants, mut capabilities) = (Vec::new(), Vec::new());
    while let Some(line) = next(lines)? {
        if let Some(rest) = line.strip_prefix(b"want ") {
            wants.push(parse_id(rest)?);
            if capabilities.is_empty() && rest.len() > 40 {
                capabilities = rest[40..].to_str_lossy().split_whitespace().map(str::to_owned).collect();
            }
        } else if line.starts_with(b"deepen") || line.starts_with(b"shallow") {
            encode::error_to_write(
                b"this server serves no shallow fetches; fetch without --depth",
                &mut *out,
            )?;
            out.flush()?;
            return Ok(None);
        }
    }
    Ok((!wants.is_empty()).then_some((wants, capabilities)))
}

struct Negotiation<'a> {
    repo: &'a gix::Repository,
    wants: &'a [ObjectId],
    detailed: bool,
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
                    if !ready && self.is_enough(&common) {
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
    wants: &[ObjectId],
    common: &[ObjectId],
    thin: bool,
    sideband: bool,
    out: &mut dyn Write,
) -> Result<()> {
    let mut handle = repo.objects.clone().into_inner();
    handle.prevent_pack_unload();
    let handle = handle.into_arc()?;
    let (mut ids, mut tips) = (Vec::new(), Vec::new());
    for want in wants {
        let mut object = repo.find_object(*want).map_err(GitError::repository)?;
        while object.kind == ObjectKind::Tag {
            ids.push(object.id);
            let target = object.into_tag().target_id().map_err(GitError::repository)?.detach();
            object = repo.find_object(target).map_err(GitError::repository)?;
        }
        if object.kind == ObjectKind::Commit { tips.push(object.id) } else { ids.push(object.id) }
    }
    let is_commit = |id: &ObjectId| repo.find_header(*id).is_ok_and(|h| h.kind() == ObjectKind::Commit);
    let hidden: Vec<ObjectId> = common.iter().copied().filter(is_commit).collect();
    let walk = repo.rev_walk(tips).with_hidden(hidden.clone()).all().map_err(GitError::repository)?;
    for commit in walk {
        ids.push(commit.map_err(GitError::repository)?.id);
    }
    let stop = AtomicBool::new(false);
    let expansion = if hidden.is_empty() {
        ObjectExpansion::TreeContents
    } else {
        ObjectExpansion::TreeAdditionsComparedToAncestor
    };
    let (mut counts, _) = gix_pack::data::output::count::objects(
        handle.clone(),
        Box::new(ids.into_iter().map(Ok)),
        &gix::progress::Discard,
        &stop,
        CountOptions { thread_limit: Some(1), chunk_size: 200, input_object_expansion: expansion },
    )
    .map_err(GitError::repository)?;
    // The comparison adds the ancestors themselves, which the client has.
    let had: HashSet<ObjectId> = hidden.into_iter().collect();
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
