//! Clones and fetches: negotiation, then one pack of what the client lacks.

use std::io::{Read, Write};

use gix::{hash::ObjectId, hashtable::HashSet};
use gix_packetline::blocking_io::encode;

use super::{
    error::Result,
    fetch_request::FetchRequest,
    history::{History, Tips},
    negotiation::Negotiation,
    packet::{Framing, Sections},
    repo::Repository,
    selection::{Deltas, Selection, write_pack},
    shallow::ShallowUpdate,
};

impl Repository {
    /// Serves one fetch. `stateless` is how HTTP speaks: one request may end with an acknowledgement only.
    ///
    /// # Errors
    ///
    /// What ends the conversation early. The client has been told then, in the framing in force.
    pub fn upload(&self, input: impl Read, out: &mut dyn Write, stateless: bool) -> Result<()> {
        let mut framing = Framing::Lines;
        let served = self.serve_fetch(input, out, stateless, &mut framing);
        if let Err(error) = &served {
            framing.write_error(&error.for_client(), out);
        }
        served
    }

    fn serve_fetch(
        &self,
        input: impl Read,
        out: &mut dyn Write,
        stateless: bool,
        framing: &mut Framing,
    ) -> Result<()> {
        let repo = self.gix()?;
        let history = History::of(&repo)?;
        let mut lines = Sections::new(input);
        let Some(request) = FetchRequest::read(&mut lines)? else { return Ok(()) };
        request.check(&history)?;
        let tips = Tips::of(&repo, &request.wants)?;
        let update = ShallowUpdate::of(&history, &tips.commits, &request)?;
        if let Some(update) = &update {
            for id in &update.shallow {
                encode::data_to_write(format!("shallow {id}").as_bytes(), &mut *out)?;
            }
            for id in &update.unshallow {
                encode::data_to_write(format!("unshallow {id}").as_bytes(), &mut *out)?;
            }
            encode::flush_to_write(&mut *out)?;
            out.flush()?;
        }
        let negotiation = Negotiation {
            history: &history,
            wants: &tips.commits,
            request: &request,
            eager: update.is_none(),
            stateless,
        };
        let Some(common) = negotiation.run(&mut lines, out)? else { return Ok(()) };
        let mut selection = select(&history, &request, tips, &update.unwrap_or_default(), common)?;
        if request.has("include-tag") {
            selection.add_tags(&repo)?;
        }
        let deltas = Deltas { thin: request.has("thin-pack"), offsets: request.has("ofs-delta") };
        let sideband = request.has("side-band-64k");
        *framing = if sideband { Framing::SideBand } else { Framing::RawPack };
        write_pack(&repo, selection, deltas, sideband, out)?;
        if sideband {
            encode::flush_to_write(&mut *out)?;
        }
        Ok(out.flush()?)
    }
}

/// What the client lacks. It has what its common commits reach, no further than where its history ends.
fn select(
    history: &History<'_>,
    request: &FetchRequest,
    tips: Tips,
    update: &ShallowUpdate,
    common: Vec<ObjectId>,
) -> Result<Selection> {
    // Where history ended stays an end for what the client has, and goes on from there for what it gets.
    let ends: HashSet<ObjectId> = request.shallow.iter().chain(&update.shallow).copied().collect();
    let common: Vec<ObjectId> = common.into_iter().filter(|id| history.is_commit(*id)).collect();
    let had = history.reached(common.iter().copied(), &ends, &HashSet::default())?;
    let mut from = tips.commits;
    for id in &update.unshallow {
        from.extend(history.parents(*id)?);
    }
    let new = history.reached(from, &ends, &had)?;
    let mut edge: HashSet<ObjectId> = common.into_iter().collect();
    for id in &new {
        edge.extend(history.parents(*id)?.into_iter().filter(|parent| had.contains(parent)));
    }
    Selection::of(history, tips.others, new, edge)
}
