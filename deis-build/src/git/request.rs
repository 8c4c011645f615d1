//! The first part of a push: the commands, up to where the pack begins.

use std::io::{self, BufRead as _, BufReader, Read};

use deis_core::model::RefUpdate;
use gix::{bstr::ByteSlice as _, hash::ObjectId};
use gix_packetline::{PacketLineRef, blocking_io::StreamingPeekableIter};

use super::{
    error::{GitError, Result},
    limits::Limits,
    oid::Oid,
    packet::Framing,
};

/// What a client asks for before it sends its pack.
pub(super) struct Request {
    pub(super) updates: Vec<RefUpdate>,
    /// Commits whose parents the client does not have.
    pub(super) shallow: Vec<ObjectId>,
    capabilities: Vec<String>,
}

impl Request {
    /// Whether the client asked for it by name.
    pub(super) fn has(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|c| c == capability)
    }

    /// Reads the commands and leaves the reader at the pack. `None`: the client has nothing to say.
    ///
    /// Only a flush ends the list. A connection that broke within it is no push at all: half a list is not what
    /// anybody asked for. `framing` becomes the one in which the client expects to be told of an error.
    pub(super) fn read<R: Read>(
        input: R,
        limits: &Limits,
        framing: &mut Framing,
    ) -> Result<Option<(Self, BufReader<R>)>> {
        let mut reader = BufReader::with_capacity(64 * 1024, input);
        if reader.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut lines = StreamingPeekableIter::new(reader, &[PacketLineRef::Flush], false);
        let mut request = Self { updates: Vec::new(), shallow: Vec::new(), capabilities: Vec::new() };
        let mut left = limits.command_bytes;
        while let Some(line) = data(&mut lines)? {
            let taken = request.take(line, limits);
            if request.has("side-band-64k") {
                *framing = Framing::SideBand;
            }
            taken?;
            left = left.checked_sub(line.len()).ok_or_else(|| {
                GitError::Protocol(format!(
                    "the commands of a push may have at most {} bytes",
                    limits.command_bytes
                ))
            })?;
        }
        if request.updates.is_empty() {
            return Ok(None);
        }
        if request.has("push-options") {
            lines.reset();
            let mut options = 0;
            while data(&mut lines)?.is_some() {
                options += 1;
                if options > limits.options {
                    return Err(GitError::Protocol(format!(
                        "a push may have at most {} options",
                        limits.options
                    )));
                }
            }
        }
        Ok(Some((request, lines.into_inner())))
    }

    fn take(&mut self, line: &[u8], limits: &Limits) -> Result<()> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if let Some(hex) = line.strip_prefix(b"shallow ") {
            if self.shallow.len() == limits.shallow {
                return Err(GitError::Protocol(format!("more than {} shallow lines", limits.shallow)));
            }
            self.shallow.push(ObjectId::from_hex(hex).map_err(|_| broken("a shallow line is malformed"))?);
            return Ok(());
        }
        let (command, capabilities) = match line.find_byte(0) {
            Some(place) => (&line[..place], Some(&line[place + 1..])),
            None => (line, None),
        };
        if let Some(text) = capabilities {
            self.capabilities = text.to_str_lossy().split_whitespace().map(str::to_owned).collect();
        }
        self.updates.push(parse_command(command).ok_or_else(|| broken("a command is malformed"))?);
        if self.updates.len() > limits.commands {
            return Err(GitError::Protocol(format!("a push may move at most {} refs", limits.commands)));
        }
        Ok(())
    }
}

/// The next line; `None` at a flush.
fn data<R: Read>(lines: &mut StreamingPeekableIter<R>) -> Result<Option<&[u8]>> {
    match lines.read_line() {
        None => Ok(None),
        Some(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(broken("the request ends before its commands do"))
        }
        Some(Err(error)) => Err(error.into()),
        Some(Ok(line)) => {
            let line = line.map_err(|_| broken("a packet line is malformed"))?;
            line.as_slice().map(Some).ok_or_else(|| broken("a packet line has no place among commands"))
        }
    }
}

fn broken(what: &str) -> GitError {
    GitError::Protocol(what.to_owned())
}

fn parse_command(line: &[u8]) -> Option<RefUpdate> {
    let text = std::str::from_utf8(line).ok()?;
    let (old, rest) = text.split_once(' ')?;
    let (new, name) = rest.split_once(' ')?;
    let id = |hex: &str| {
        let oid = Oid::new(hex)?;
        Some((!oid.to_gix().is_null()).then(|| oid.to_string()))
    };
    Some(RefUpdate { name: name.to_owned(), old: id(old)?, new: id(new)? })
}
