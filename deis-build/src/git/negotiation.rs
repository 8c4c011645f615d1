//! Finding out what client and server both have.

use std::io::{Read, Write};

use gix::{
    hash::ObjectId,
    hashtable::{HashMap, HashSet},
};
use gix_packetline::blocking_io::encode;

use super::{
    error::{GitError, Result},
    fetch_request::FetchRequest,
    history::History,
    packet::{Sections, parse_id},
};

/// Most objects that a client may say it has, in one conversation.
const MAX_HAVES: usize = 100_000;

/// How one client negotiates.
pub(super) struct Negotiation<'a> {
    pub(super) history: &'a History<'a>,
    /// The commits that are wanted.
    pub(super) wants: &'a [ObjectId],
    /// What the client can read: whether each common object is acknowledged (`multi_ack_detailed`), and whether it need
    /// not say that it is done (`no-done`).
    pub(super) request: &'a FetchRequest,
    /// Whether enough is known as soon as every want reaches something common. Not where history is cut: what reaches
    /// back to a common commit is no sign then that a longer history is there.
    pub(super) eager: bool,
    /// Whether the client goes on in another request.
    pub(super) stateless: bool,
}

impl Negotiation<'_> {
    /// What client and server both have; `None` if the client goes on in another request, or went away.
    pub(super) fn run<R: Read>(
        &self,
        lines: &mut Sections<R>,
        out: &mut dyn Write,
    ) -> Result<Option<Vec<ObjectId>>> {
        let (detailed, no_done) = (self.detailed(), self.request.has("no-done"));
        let mut common: Vec<ObjectId> = Vec::new();
        let mut reach = None;
        let mut haves = 0;
        let mut ready = false;
        loop {
            lines.next_section();
            let (mut spoke, mut unknown) = (false, false);
            let before = common.len();
            while let Some(line) = lines.line()? {
                spoke = true;
                if line == b"done" {
                    match common.last() {
                        Some(last) if detailed => ack(*last, "", out)?,
                        // Acknowledged when it was found.
                        Some(_) => {}
                        None => nak(out)?,
                    }
                    return Ok(Some(common));
                }
                let Some(rest) = line.strip_prefix(b"have ") else { continue };
                haves += 1;
                if haves > MAX_HAVES {
                    return Err(GitError::Protocol(format!(
                        "a fetch may negotiate over at most {MAX_HAVES} objects"
                    )));
                }
                let id = parse_id(rest)?;
                if self.history.repo().has_object(id) {
                    common.push(id);
                    if detailed {
                        ack(id, " common", out)?;
                    } else if common.len() == 1 {
                        ack(id, "", out)?;
                    }
                } else {
                    unknown = true;
                    if self.is_enough(&common, &mut reach)? {
                        ready = true;
                        ack(id, " ready", out)?;
                    }
                }
            }
            if !spoke {
                return Ok(None);
            }
            if let Some(last) = common.last().filter(|_| common.len() > before && !unknown)
                && self.is_enough(&common, &mut reach)?
            {
                ready = true;
                ack(*last, " ready", out)?;
            }
            if detailed || common.is_empty() {
                nak(out)?;
            }
            if let (true, true, Some(last)) = (ready, no_done, common.last()) {
                ack(*last, "", out)?;
                return Ok(Some(common));
            }
            out.flush()?;
            if self.stateless {
                return Ok(None);
            }
        }
    }

    fn detailed(&self) -> bool {
        self.request.has("multi_ack_detailed")
    }

    fn is_enough(&self, common: &[ObjectId], reach: &mut Option<Reach>) -> Result<bool> {
        if !self.detailed() || !self.eager || common.is_empty() {
            return Ok(false);
        }
        let reach = match reach {
            Some(reach) => reach,
            None => reach.insert(Reach::of(self.history, self.wants)?),
        };
        reach.add(common);
        Ok(reach.open.is_empty())
    }
}

/// Which wants have something common in their history. One walk through that history, whatever is asked how often.
struct Reach {
    children: HashMap<ObjectId, Vec<ObjectId>>,
    reached: HashSet<ObjectId>,
    /// Wants that reach nothing common yet.
    open: HashSet<ObjectId>,
    /// How many of the common objects were looked at.
    seen: usize,
}

impl Reach {
    fn of(history: &History<'_>, wants: &[ObjectId]) -> Result<Self> {
        let mut children: HashMap<ObjectId, Vec<ObjectId>> = HashMap::default();
        let mut next = wants.to_vec();
        let mut walked = HashSet::default();
        while let Some(id) = next.pop() {
            if !walked.insert(id) {
                continue;
            }
            for parent in history.parents(id)? {
                children.entry(parent).or_default().push(id);
                next.push(parent);
            }
        }
        let open = wants.iter().copied().collect();
        Ok(Self { children, reached: HashSet::default(), open, seen: 0 })
    }

    fn add(&mut self, common: &[ObjectId]) {
        let mut next: Vec<ObjectId> = common[self.seen..].to_vec();
        self.seen = common.len();
        while let Some(id) = next.pop() {
            if self.reached.insert(id) {
                self.open.remove(&id);
                next.extend(self.children.get(&id).into_iter().flatten());
            }
        }
    }
}

fn ack(id: ObjectId, state: &str, out: &mut dyn Write) -> Result<()> {
    encode::text_to_write(format!("ACK {id}{state}").as_bytes(), out)?;
    Ok(())
}

fn nak(out: &mut dyn Write) -> Result<()> {
    encode::text_to_write(b"NAK", out)?;
    Ok(())
}
