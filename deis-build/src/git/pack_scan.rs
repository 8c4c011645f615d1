//! A pack on its way into a file, and what it will take to unpack it.
//!
//! Whoever unpacks a pack holds whole objects: half a megabyte of deltas against zeros makes gigabytes. So their sizes
//! are read first, with a few bytes of memory for each, while the pack arrives. This also finds the end of the pack:
//! over SSH nothing else says it.

use std::{
    collections::HashMap,
    io::{self, BufRead, Read as _, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use flate2::{Decompress, FlushDecompress, Status};
use gix::hash::{ObjectId, oid};

use super::limits::Limits;

/// What unpacking takes for each object beside its bytes: its place in trees and lists.
const PER_OBJECT: u64 = 160;
/// What it takes whatever the pack: buffers, caches, stacks of threads.
const FIXED: u64 = 4 << 20;
/// From this size of an object on one thread unpacks: two would hold twice as much.
const LARGE: u64 = 16 << 20;
/// How many buffers as large as the largest object one thread holds: a base, a delta, and what they make.
const BUFFERS: u64 = 3;
/// No base in the pack.
const NONE: u32 = u32::MAX;

/// What it takes to unpack a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PackCost {
    /// Bytes of memory, at most.
    pub(super) memory: u64,
    /// On how many threads.
    pub(super) threads: usize,
}

/// Why a pack is not taken.
#[derive(Debug)]
pub(super) enum ScanError {
    /// There is nothing.
    Missing,
    /// It is no pack, or not to its end.
    Damaged,
    /// It is more than there may be: the reason.
    Refused(String),
    /// It cannot be read or written.
    Io(io::Error),
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Damaged } else { Self::Io(error) }
    }
}

/// Copies one pack from `input` to `output`, no byte beyond its end, and says what it takes to unpack it. Objects of which
/// `is_here` knows may be bases without being in the pack.
pub(super) fn scan(
    input: impl BufRead,
    output: impl Write,
    is_here: impl Fn(&oid) -> bool,
    limits: &Limits,
    cancel: &AtomicBool,
) -> Result<PackCost, ScanError> {
    let mut reader = Tee { input, output, failed: None };
    if reader.fill_buf()?.is_empty() {
        return Err(ScanError::Missing);
    }
    let mut head = [0; 12];
    reader.read_exact(&mut head)?;
    let [b'P', b'A', b'C', b'K', 0, 0, 0, 2 | 3, a, b, c, d] = head else { return Err(ScanError::Damaged) };
    let number = u32::from_be_bytes([a, b, c, d]);
    if number > limits.objects {
        return Err(ScanError::Refused(format!("the pack has more than {} objects", limits.objects)));
    }
    let mut objects = Objects::default();
    let mut place = 12;
    let mut inflate = Inflate { engine: Decompress::new(true), out: vec![0; 16 << 10] };
    for _ in 0..number {
        if cancel.load(Ordering::Relaxed) {
            return Err(ScanError::Damaged);
        }
        place = objects.read(&mut reader, &mut inflate, place, &is_here, limits)?;
    }
    reader.read_exact(&mut [0; 20])?;
    reader.finish()?;
    Ok(objects.cost())
}

/// What is known of the objects of a pack, in their order.
#[derive(Default)]
struct Objects {
    /// Where each begins.
    places: Vec<u64>,
    /// Bytes of each, as it is in the end.
    sizes: Vec<u32>,
    /// The base of each, if that is in the pack and came before it.
    bases: Vec<u32>,
    /// Bases that are not in the pack, by the first object that needs each: their sizes, and how many need them.
    outside: HashMap<ObjectId, (u32, u32)>,
    /// By object: its base that is not in the pack, or is somewhere in it.
    named: HashMap<u32, Named>,
    largest: u64,
    unpacked: u64,
}

/// A base that an object names by its id.
enum Named {
    Outside(ObjectId),
    /// It comes later, or is the result of another delta: where it hangs in the trees of deltas is known to whoever
    /// unpacks them. Its size.
    Inside(u32),
}

impl Objects {
    /// Reads one object, and returns where the next one begins.
    fn read<R: BufRead, W: Write>(
        &mut self,
        reader: &mut Tee<R, W>,
        inflate: &mut Inflate,
        place: u64,
        is_here: impl Fn(&oid) -> bool,
        limits: &Limits,
    ) -> Result<u64, ScanError> {
        let mut length = 0;
        let mut byte = reader.byte(&mut length)?;
        let kind = byte >> 4 & 7;
        let mut size = u64::from(byte & 15);
        let mut shift = 4;
        while byte & 0x80 != 0 {
            byte = reader.byte(&mut length)?;
            size |=
                u64::from(byte & 0x7f).checked_shl(shift).filter(|_| shift < 57).ok_or(ScanError::Damaged)?;
            shift += 7;
        }
        let (mut base, mut id) = (NONE, None);
        match kind {
            1..=4 => {}
            6 => {
                byte = reader.byte(&mut length)?;
                let mut distance = u64::from(byte & 0x7f);
                while byte & 0x80 != 0 {
                    byte = reader.byte(&mut length)?;
                    let more = distance.checked_add(1).filter(|d| *d < 1 << 56).ok_or(ScanError::Damaged)?;
                    distance = more << 7 | u64::from(byte & 0x7f);
                }
                let wanted = place.checked_sub(distance).ok_or(ScanError::Damaged)?;
                let found = self.places.binary_search(&wanted).map_err(|_| ScanError::Damaged)?;
                base = u32::try_from(found).map_err(|_| ScanError::Damaged)?;
            }
            7 => {
                let mut bytes = [0; 20];
                reader.read_exact(&mut bytes)?;
                length += 20;
                id = Some(ObjectId::from_bytes_or_panic(&bytes));
            }
            _ => return Err(ScanError::Damaged),
        }
        let (begin, packed) = inflate.skip(reader, size, |size| bounded(size, limits))?;
        let mut own = bounded(size, limits)?;
        self.largest = self.largest.max(size).max(packed);
        if kind > 4 {
            let mut rest = begin.as_slice();
            let base_size = bounded(delta_size(&mut rest)?, limits)?;
            own = bounded(delta_size(&mut rest)?, limits)?;
            self.largest = self.largest.max(u64::from(base_size)).max(u64::from(own));
            if let Some(id) = id {
                let index = u32::try_from(self.places.len()).map_err(|_| ScanError::Damaged)?;
                let named = if self.outside.contains_key(&id) || is_here(&id) {
                    self.outside.entry(id).or_insert((base_size, 0)).1 += 1;
                    Named::Outside(id)
                } else {
                    Named::Inside(base_size)
                };
                self.named.insert(index, named);
            }
        }
        self.unpacked = self.unpacked.saturating_add(u64::from(own));
        if self.unpacked > limits.unpacked_bytes {
            let most = limits.unpacked_bytes >> 20;
            return Err(ScanError::Refused(format!("the push unpacks to more than {most} MiB")));
        }
        self.places.push(place);
        self.sizes.push(own);
        self.bases.push(base);
        Ok(place + length + packed)
    }

    /// Deltas are resolved depth first. A base stays as long as another delta waits for it: so the bases with several
    /// deltas on the way from a whole object to one of its deltas are held at a time, and no others.
    fn cost(&self) -> PackCost {
        let mut children = vec![0_u32; self.sizes.len()];
        for base in self.bases.iter().filter(|base| **base != NONE) {
            children[*base as usize] += 1;
        }
        // What is held above each object, and the tree that it belongs to: 0, or one that hangs at an unknown place.
        let mut above = vec![(0_u64, 0_u32); self.sizes.len()];
        let mut most: HashMap<u32, u64> = HashMap::new();
        for index in 0..self.sizes.len() {
            let number = u32::try_from(index).unwrap_or(NONE);
            let (held, tree) = match (self.bases[index], self.named.get(&number)) {
                (NONE, None) => (0, 0),
                (NONE, Some(Named::Outside(id))) => match self.outside.get(id) {
                    Some((size, 2..)) => (u64::from(*size), 0),
                    _ => (0, 0),
                },
                (NONE, Some(Named::Inside(size))) => (u64::from(*size), number.saturating_add(1)),
                (base, _) => {
                    let (held, tree) = above[base as usize];
                    let shared = children[base as usize] > 1;
                    (held + if shared { u64::from(self.sizes[base as usize]) } else { 0 }, tree)
                }
            };
            above[index] = (held, tree);
            let largest = most.entry(tree).or_default();
            *largest = held.max(*largest);
        }
        let held = most.values().fold(0_u64, |sum, held| sum.saturating_add(*held));
        let threads: u32 = if self.largest < LARGE && held < LARGE { 2 } else { 1 };
        let each = held.saturating_add(BUFFERS * self.largest);
        let memory = FIXED + PER_OBJECT * self.sizes.len() as u64;
        PackCost { memory: memory.saturating_add(u64::from(threads) * each), threads: threads as usize }
    }
}

fn bounded(size: u64, limits: &Limits) -> Result<u32, ScanError> {
    let small = u32::try_from(size).ok().filter(|size| *size as usize <= limits.object_bytes);
    small.ok_or_else(|| {
        ScanError::Refused(format!("an object is larger than {} MiB", limits.object_bytes >> 20))
    })
}

/// One of the two sizes at the beginning of a delta.
fn delta_size(bytes: &mut &[u8]) -> Result<u64, ScanError> {
    let mut size = 0;
    for shift in (0..57).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(ScanError::Damaged)?;
        *bytes = rest;
        size |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(size);
        }
    }
    Err(ScanError::Damaged)
}

/// Reads over compressed data.
struct Inflate {
    engine: Decompress,
    out: Vec<u8>,
}

impl Inflate {
    /// Returns the first bytes of what is compressed, and the number of compressed bytes. Ends at once with what is
    /// longer than it says, or longer compressed than anybody compresses: that would be held too.
    fn skip(
        &mut self,
        reader: &mut impl BufRead,
        size: u64,
        check: impl Fn(u64) -> Result<u32, ScanError>,
    ) -> Result<(Vec<u8>, u64), ScanError> {
        check(size)?;
        self.engine.reset(true);
        let mut begin = Vec::new();
        loop {
            let (read, made) = (self.engine.total_in(), self.engine.total_out());
            let input = reader.fill_buf()?;
            let is_end = input.is_empty();
            let status = self.engine.decompress(input, &mut self.out, FlushDecompress::None);
            let status = status.map_err(|_| ScanError::Damaged)?;
            let used = usize::try_from(self.engine.total_in() - read).unwrap_or_default();
            let count = usize::try_from(self.engine.total_out() - made).unwrap_or_default();
            reader.consume(used);
            if begin.len() < 20 {
                begin.extend(self.out[..count].iter().take(20 - begin.len()));
            }
            let (packed, unpacked) = (self.engine.total_in(), self.engine.total_out());
            if unpacked > size || packed > 2 * size + (64 << 10) {
                return Err(ScanError::Damaged);
            }
            if status == Status::StreamEnd {
                return if unpacked == size { Ok((begin, packed)) } else { Err(ScanError::Damaged) };
            }
            if used == 0 && count == 0 && (is_end || status == Status::BufError) {
                return Err(ScanError::Damaged);
            }
        }
    }
}

/// Hands on what is read, and keeps what was.
struct Tee<R, W> {
    input: R,
    output: W,
    /// Why the last bytes could not be kept.
    failed: Option<io::Error>,
}

impl<R: BufRead, W: Write> Tee<R, W> {
    fn byte(&mut self, count: &mut u64) -> Result<u8, ScanError> {
        let mut byte = [0];
        self.read_exact(&mut byte)?;
        *count += 1;
        Ok(byte[0])
    }

    fn finish(mut self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)?;
        self.output.flush()
    }
}

impl<R: BufRead, W: Write> io::Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead, W: Write> BufRead for Tee<R, W> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if amount == 0 {
            return;
        }
        // What was read a moment ago is still there.
        let kept = self.input.fill_buf().and_then(|bytes| self.output.write_all(&bytes[..amount]));
        self.failed = self.failed.take().or(kept.err());
        self.input.consume(amount);
    }
}

#[cfg(test)]
mod tests;
