//! The output of a task on disk: records in segments of about 1 MiB, named by the position of their first byte.
//!
//! A position counts bytes of output, so it is a cursor by itself, and a gap between two records is exactly what was
//! lost there. A record is `<stream: 1 byte> <length: 2> <position: 8> <milliseconds: 8> <bytes>`, big-endian.
//! One process writes, any number read: a record that is not whole yet does not exist for a reader.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::format::OUTPUT_PREFIX;
use crate::{
    model::{Timestamp, WhenFull},
    port::{Cursor, MAX_CHUNK, MAX_TASK_OUTPUT, OutputChunk, OutputItem, OutputStream, Positioned},
};

const HEADER: usize = 19;
/// A segment ends with the record that reaches this size.
const SEGMENT: u64 = 1 << 20;

/// Writes a task's output.
#[derive(Debug)]
pub(crate) struct TaskLogWriter {
    folder: PathBuf,
    when_full: WhenFull,
    segments: VecDeque<Segment>,
    file: Option<File>,
    /// Position behind all output, lost or not.
    position: u64,
    /// Everything before this was taken by a reader.
    acknowledged: u64,
    broken: Option<String>,
}

#[derive(Debug)]
struct Segment {
    start: u64,
    end: u64,
    /// Bytes on disk: headers cost room too.
    size: u64,
}

impl TaskLogWriter {
    pub(crate) fn new(folder: &Path, when_full: WhenFull) -> Self {
        Self {
            folder: folder.to_owned(),
            when_full,
            segments: VecDeque::new(),
            file: None,
            position: 0,
            acknowledged: 0,
            broken: None,
        }
    }

    /// Position behind all output so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Why the output ends too early, if it does.
    pub(crate) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// Whether more output can be taken in without losing what no reader has.
    pub(crate) fn has_room(&self) -> bool {
        self.when_full == WhenFull::Drop || self.unread() < MAX_TASK_OUTPUT
    }

    fn unread(&self) -> u64 {
        self.segments.iter().filter(|s| s.end > self.acknowledged).map(|s| s.size).sum()
    }

    /// A reader has everything before this position.
    pub(crate) fn acknowledge(&mut self, position: u64) {
        self.acknowledged = position.clamp(self.acknowledged, self.position);
        self.drop_oldest();
    }

    /// Adds output, at most [`MAX_CHUNK`] bytes. A disk that takes no more costs output where it may be dropped, and
    /// breaks it off where it may not; either is told to the readers.
    pub(crate) fn append(&mut self, stream: OutputStream, at: Timestamp, bytes: &[u8]) {
        if bytes.is_empty() || self.broken.is_some() {
            return;
        }
        if let Err(error) = self.write(stream, at, bytes)
            && self.when_full == WhenFull::Hold
        {
            self.broken = Some(error.to_string());
            return;
        }
        self.position += as_u64(bytes.len());
        if let Some(segment) = self.segments.back_mut() {
            segment.end = self.position;
        }
        self.drop_oldest();
    }

    fn write(&mut self, stream: OutputStream, at: Timestamp, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() || self.segments.back().is_none_or(|s| s.size >= SEGMENT) {
            let path = self.folder.join(format!("{OUTPUT_PREFIX}{}", self.position));
            self.file = Some(File::options().create(true).truncate(true).write(true).mode(0o600).open(path)?);
            self.segments.push_back(Segment { start: self.position, end: self.position, size: 0 });
        }
        let (Some(file), Some(segment)) = (&mut self.file, self.segments.back_mut()) else { return Ok(()) };
        let mut record = Vec::with_capacity(HEADER + bytes.len());
        record.push(if stream == OutputStream::Stdout { 1 } else { 2 });
        record.extend(u16::try_from(bytes.len()).map_err(io::Error::other)?.to_be_bytes());
        record.extend(self.position.to_be_bytes());
        record.extend(at.0.to_be_bytes());
        record.extend(bytes);
        if let Err(error) = file.write_all(&record) {
            // Half a record would hide all that follow; cutting a file needs no room.
            file.set_len(segment.size)?;
            io::Seek::seek(file, io::SeekFrom::Start(segment.size))?;
            return Err(error);
        }
        segment.size += as_u64(record.len());
        Ok(())
    }

    fn drop_oldest(&mut self) {
        let mut size: u64 = self.segments.iter().map(|s| s.size).sum();
        while size > MAX_TASK_OUTPUT && self.segments.len() > 1 {
            let Some(oldest) = self.segments.front() else { return };
            // What a reader has not taken must not be dropped: the process is not read from until there is room.
            if self.when_full == WhenFull::Hold && oldest.end > self.acknowledged {
                return;
            }
            size -= oldest.size;
            let _ = fs::remove_file(self.folder.join(format!("{OUTPUT_PREFIX}{}", oldest.start)));
            self.segments.pop_front();
        }
    }
}

/// Reads a task's output; it may be written at the same time.
#[derive(Debug)]
pub(crate) struct TaskLogReader {
    folder: PathBuf,
    position: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    start: u64,
    file: File,
    offset: u64,
    /// It was at its end when a later segment was there already: nothing more comes.
    complete: bool,
}

impl TaskLogReader {
    pub(crate) fn new(folder: &Path, from: Cursor) -> Self {
        Self { folder: folder.to_owned(), position: from.into_raw(), open: None }
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The next items, up to about so many bytes; none if nothing more is written yet.
    pub(crate) fn read(&mut self, most: usize) -> io::Result<Vec<Positioned>> {
        let mut items = Vec::new();
        let mut read = 0;
        while read < most {
            if self.open.is_none() && !self.open_segment()? {
                break;
            }
            let Some(open) = &mut self.open else { break };
            let mut buffer = vec![0; 4 * (HEADER + MAX_CHUNK)];
            let n = open.file.read_at(&mut buffer, open.offset)?;
            let before = items.len();
            let used = self.take(&Bytes::from(buffer).slice(..n), &mut items);
            // What lies before the position does not count: no item means that nothing more is written yet, and the
            // caller waits then.
            if items.len() > before {
                read += used;
            }
            if used == 0 && !self.next_segment()? {
                break;
            }
        }
        Ok(items)
    }

    /// What is left between here and the end of the output, as one item.
    pub(crate) fn missing(&mut self, end: u64) -> Option<Positioned> {
        let bytes = end.checked_sub(self.position).filter(|n| *n > 0)?;
        self.position = end;
        Some(Positioned { cursor: Cursor::from_raw(end), item: OutputItem::Lost { bytes } })
    }

    /// Takes all whole records; returns how many bytes those are.
    fn take(&mut self, buffer: &Bytes, items: &mut Vec<Positioned>) -> usize {
        let mut used = 0;
        while let Some(record) = OutputRecord::parse(buffer, used) {
            used += HEADER + record.bytes.len();
            let end = record.position + as_u64(record.bytes.len());
            if end <= self.position {
                continue;
            }
            items.extend(self.missing(record.position));
            let seen = usize::try_from(self.position - record.position).unwrap_or(0);
            self.position = end;
            let chunk =
                OutputChunk { stream: record.stream, at: record.at, bytes: record.bytes.slice(seen..) };
            items.push(Positioned { cursor: Cursor::from_raw(end), item: OutputItem::Output(chunk) });
        }
        if let Some(open) = &mut self.open {
            open.offset += as_u64(used);
        }
        used
    }

    /// Opens the segment that holds the position, or the oldest after it.
    fn open_segment(&mut self) -> io::Result<bool> {
        let starts = segments(&self.folder)?;
        let at = starts.iter().rev().find(|start| **start <= self.position).or(starts.first());
        let Some(start) = at.copied() else { return Ok(false) };
        self.open_at(start)
    }

    fn open_at(&mut self, start: u64) -> io::Result<bool> {
        match File::open(self.folder.join(format!("{OUTPUT_PREFIX}{start}"))) {
            Ok(file) => {
                self.open = Some(Open { start, file, offset: 0, complete: false });
                Ok(true)
            }
            // It was dropped this moment; a later one is there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.open = None;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Goes on with a later segment once the present one can grow no more.
    fn next_segment(&mut self) -> io::Result<bool> {
        let Some(open) = &mut self.open else { return Ok(false) };
        let start = open.start;
        if !open.complete {
            // Written before the later segment was begun: one more look at this one finds all of it.
            open.complete = segments(&self.folder)?.iter().any(|other| *other > start);
            return Ok(open.complete);
        }
        match segments(&self.folder)?.into_iter().find(|other| *other > start) {
            Some(next) => self.open_at(next),
            None => Ok(false),
        }
    }
}

struct OutputRecord {
    stream: OutputStream,
    position: u64,
    at: Timestamp,
    bytes: Bytes,
}

impl OutputRecord {
    fn parse(buffer: &Bytes, at: usize) -> Option<Self> {
        let head = buffer.get(at..at + HEADER)?;
        let length = usize::from(u16::from_be_bytes(head[1..3].try_into().ok()?));
        let body = at + HEADER;
        buffer.get(body..body + length)?;
        Some(Self {
            stream: if head[0] == 1 { OutputStream::Stdout } else { OutputStream::Stderr },
            position: u64::from_be_bytes(head[3..11].try_into().ok()?),
            at: Timestamp(i64::from_be_bytes(head[11..19].try_into().ok()?)),
            bytes: buffer.slice(body..body + length),
        })
    }
}

/// First positions of all segments, in order.
fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        found.extend(
            name.to_str().and_then(|n| n.strip_prefix(OUTPUT_PREFIX)).and_then(|n| n.parse::<u64>().ok()),
        );
    }
    found.sort_unstable();
    Ok(found)
}

/// Bytes on disk of a task's output.
pub(crate) fn size(folder: &Path) -> u64 {
    let starts = segments(folder).unwrap_or_default();
    let sizes = starts.iter().map(|start| fs::metadata(folder.join(format!("{OUTPUT_PREFIX}{start}"))));
    sizes.filter_map(|meta| Some(meta.ok()?.len())).sum()
}

/// The last bytes of the output, at least so many if there are.
pub(crate) fn tail(folder: &Path, most: u64) -> Vec<OutputChunk> {
    let starts = segments(folder).unwrap_or_default();
    let Some(last) = starts.last() else { return Vec::new() };
    // Two segments hold more than anybody asks for; of them the last part is kept.
    let from = starts.len().checked_sub(2).map_or(*last, |n| starts[n]);
    let mut reader = TaskLogReader::new(folder, Cursor::from_raw(from));
    let items = reader.read(usize::MAX).unwrap_or_default();
    let mut chunks: VecDeque<OutputChunk> = items
        .into_iter()
        .filter_map(|item| if let OutputItem::Output(chunk) = item.item { Some(chunk) } else { None })
        .collect();
    let size = |chunk: &OutputChunk| as_u64(chunk.bytes.len());
    let mut total: u64 = chunks.iter().map(size).sum();
    while chunks.front().is_some_and(|first| total - size(first) >= most) {
        total -= chunks.pop_front().map_or(0, |first| size(&first));
    }
    chunks.into()
}

fn as_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
