//! The lines of one instance, or of the platform, in two files: what was read of them, and what is new.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::SystemTime,
};

use super::ring::selects;
use crate::{
    local::run_dir::{
        format::{LINES, PLATFORM_LINES, parse_line},
        record::InstanceIdentity,
    },
    model::{LogLevel, LogLine, LogSource, ProcessType},
};

/// Files that hold lines, the newer one under the first of two names: when it is full it gets the second name.
#[derive(Debug)]
pub(super) struct LineSource {
    /// `None` for the platform's files, whose lines name their source themselves.
    identity: Option<InstanceIdentity>,
    /// How far which file was read.
    position: Option<Position>,
    /// The beginning of a line whose end is not written yet.
    rest: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    file: FileId,
    offset: u64,
}

/// A number is given to another file when its file is gone, so the time of its making belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    number: u64,
    made: Option<SystemTime>,
}

impl FileId {
    fn of(metadata: &fs::Metadata) -> Self {
        Self { device: metadata.dev(), number: metadata.ino(), made: metadata.created().ok() }
    }
}

impl LineSource {
    /// One of which nothing was read.
    pub(super) fn new(identity: Option<InstanceIdentity>) -> Self {
        Self { identity, position: None, rest: Vec::new() }
    }

    fn names(&self) -> [&'static str; 2] {
        if self.identity.is_some() { LINES } else { PLATFORM_LINES }
    }

    /// At most so many of the newest lines, of this process type if one is given: files of the platform hold lines of
    /// several. What is read on later follows them.
    pub(super) fn tail(
        &mut self,
        folder: &Path,
        lines: usize,
        process: Option<&ProcessType>,
    ) -> io::Result<Vec<LogLine>> {
        let [newer, older] = self.names().map(|name| folder.join(name));
        let (newer, older) = open_both(&newer, &older)?;
        let mut found = Vec::new();
        // In a rotation there is no newer one for a moment: what is read on later follows the older one then.
        for mut file in newer.into_iter().chain(older) {
            if self.position.is_some() && found.len() >= lines {
                break;
            }
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            if self.position.is_none() {
                let file = FileId::of(&file.metadata()?);
                self.position = Some(Position { file, offset: bytes.len() as u64 });
                self.rest = bytes.split_off(end_of_lines(&bytes));
            }
            let mut before = self.last_lines(&bytes, lines - found.len(), process);
            before.append(&mut found);
            found = before;
        }
        Ok(found)
    }

    /// The lines since the last call, as far as `room` bytes go, which become less; whether there may be more already.
    pub(super) fn read_on(
        &mut self,
        folder: &Path,
        room: &mut u64,
        found: &mut Vec<LogLine>,
    ) -> io::Result<bool> {
        let [newer, older] = self.names().map(|name| folder.join(name));
        if self.is_read(&newer) {
            return Ok(false);
        }
        if *room == 0 {
            return Ok(true);
        }
        let (newer, older) = open_both(&newer, &older)?;
        let id = |file: &Option<File>| {
            file.as_ref().map(File::metadata).transpose().map(|m| m.map(|m| FileId::of(&m)))
        };
        let (newer_id, older_id) = (id(&newer)?, id(&older)?);
        let at = |id: Option<FileId>, position: Option<Position>| {
            position.filter(|position| Some(position.file) == id).map(|position| position.offset)
        };
        if at(newer_id, self.position).is_none()
            && let (Some(mut file), Some(file_id)) = (older, older_id)
        {
            // The one that was read last, or else all of it came since then.
            let offset = at(older_id, self.position).unwrap_or_else(|| {
                self.rest.clear();
                0
            });
            if !self.read_from(&mut file, Position { file: file_id, offset }, room, found)? {
                return Ok(true);
            }
            if newer.is_some() {
                // A line without its end gets none any more.
                self.rest.clear();
            }
        }
        let (Some(mut file), Some(file_id)) = (newer, newer_id) else { return Ok(false) };
        let offset = at(newer_id, self.position).unwrap_or_else(|| {
            self.rest.clear();
            0
        });
        Ok(!self.read_from(&mut file, Position { file: file_id, offset }, room, found)?)
    }

    /// Whether nothing was written since the last read; most files are asked nothing but this.
    fn is_read(&self, newer: &Path) -> bool {
        let Ok(now) = fs::metadata(newer) else { return false };
        self.position.is_some_and(|read| read.file == FileId::of(&now) && read.offset == now.len())
    }

    /// Reads on from there; whether that was all.
    fn read_from(
        &mut self,
        file: &mut File,
        from: Position,
        room: &mut u64,
        found: &mut Vec<LogLine>,
    ) -> io::Result<bool> {
        file.seek(SeekFrom::Start(from.offset))?;
        let read = file.take(*room).read_to_end(&mut self.rest)? as u64;
        *room -= read;
        self.position = Some(Position { offset: from.offset + read, ..from });
        let end = end_of_lines(&self.rest);
        let rest = self.rest.split_off(end);
        let whole = std::mem::replace(&mut self.rest, rest);
        found.extend(whole.split(|b| *b == b'\n').filter_map(|line| self.parse(line)));
        Ok(*room > 0)
    }

    /// The last lines of these bytes, the older ones not even looked at.
    fn last_lines(&self, bytes: &[u8], lines: usize, process: Option<&ProcessType>) -> Vec<LogLine> {
        let newest = bytes.rsplit(|b| *b == b'\n').filter_map(|line| self.parse(line));
        let newest = newest.filter(|line| selects(process, line));
        let mut found: Vec<LogLine> = newest.take(lines).collect();
        found.reverse();
        found
    }

    fn parse(&self, line: &[u8]) -> Option<LogLine> {
        let Some(identity) = &self.identity else { return serde_json::from_slice(line).ok() };
        let raw = parse_line(line)?;
        let source = if raw.stream.is_none() {
            LogSource::Platform { level: LogLevel::Warning }
        } else {
            LogSource::Process {
                process: identity.process.clone(),
                release: identity.release,
                instance: identity.instance.clone(),
            }
        };
        Some(LogLine::new(raw.at, source, raw.text))
    }
}

/// Where the last whole line ends.
fn end_of_lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1)
}

/// The newer file and the one before it, not one file twice that becomes the older one meanwhile.
fn open_both(newer: &Path, older: &Path) -> io::Result<(Option<File>, Option<File>)> {
    loop {
        let before = open(older)?;
        let file = open(newer)?;
        let opened = before.as_ref().map(File::metadata).transpose()?.map(|m| FileId::of(&m));
        if fs::metadata(older).ok().map(|m| FileId::of(&m)) == opened {
            return Ok((file, before));
        }
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => file.map(Some),
    }
}
