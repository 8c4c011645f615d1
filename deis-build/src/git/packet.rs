//! Packet lines and the side band on which a push or a fetch is answered.

use std::io::{self, BufReader, Read, Write};

use gix::hash::ObjectId;
use gix_packetline::{
    Channel, PacketLineRef,
    blocking_io::{StreamingPeekableIter, encode},
};

use super::error::{GitError, Result};

/// Most bytes of one side-band packet.
const MAX_BAND: usize = 65_515;

/// Lines that git shows as `remote: …` at once.
pub fn progress(text: &str) -> Vec<u8> {
    let mut packets = Vec::new();
    for chunk in text.as_bytes().chunks(MAX_BAND) {
        encode::band_to_write(Channel::Progress, chunk, &mut packets).expect("memory takes every byte");
    }
    packets
}

/// A packet without contents, so that neither git nor a proxy between takes a silent build for a dead line.
pub const KEEP_ALIVE: &[u8] = b"0005\x01";

/// Ends a conversation with a message that git shows as `fatal: remote error: …`.
pub fn error_packet(text: &str) -> Vec<u8> {
    let mut packet = Vec::new();
    encode::error_to_write(text.as_bytes(), &mut packet).expect("memory takes every byte");
    packet
}

/// In which form a client can be told of an error at this point of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Packet lines are expected: an `ERR` line.
    Lines,
    /// A side band is open: its error channel.
    SideBand,
    /// The bytes of a pack without a side band, among which no message has a place.
    RawPack,
}

impl Framing {
    /// Tells the client of an error. That it went away meanwhile changes nothing.
    pub(super) fn write_error(self, text: &str, out: &mut dyn Write) {
        let written = match self {
            Self::Lines => encode::error_to_write(text.as_bytes(), &mut *out),
            Self::SideBand => {
                let text = format!("{text}\n");
                encode::band_to_write(Channel::Error, &text.as_bytes()[..text.len().min(MAX_BAND)], &mut *out)
            }
            Self::RawPack => Ok(0),
        };
        if written.is_ok() {
            let _ = out.flush();
        }
    }
}

/// Writes to the data band, or plainly for a client without side bands.
pub(super) struct Data<W> {
    out: W,
    banded: bool,
}

impl<W: Write> Data<W> {
    pub(super) fn new(out: W, banded: bool) -> Self {
        Self { out, banded }
    }
}

impl<W: Write> Write for Data<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.banded {
            for chunk in data.chunks(MAX_BAND) {
                encode::band_to_write(Channel::Data, chunk, &mut self.out)?;
            }
        } else {
            self.out.write_all(data)?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What a fetching client sends: lines in sections, each ended by a flush.
pub(super) struct Sections<R: Read>(StreamingPeekableIter<BufReader<R>>);

impl<R: Read> Sections<R> {
    pub(super) fn new(input: R) -> Self {
        Self(StreamingPeekableIter::new(BufReader::new(input), &[PacketLineRef::Flush], false))
    }

    /// Goes on behind the last flush.
    pub(super) fn next_section(&mut self) {
        self.0.reset();
    }

    /// The next line without its line break; `None` at a flush, and at the end of the input.
    pub(super) fn line(&mut self) -> Result<Option<Vec<u8>>> {
        let line = match self.0.read_line() {
            None => return Ok(None),
            Some(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(line)) => {
                line.map_err(|_| GitError::Protocol("a packet line is malformed".to_owned()))?
            }
        };
        Ok(line.as_slice().map(|data| data.strip_suffix(b"\n").unwrap_or(data).to_vec()))
    }
}

/// The object id at the start of `text`.
pub(super) fn parse_id(text: &[u8]) -> Result<ObjectId> {
    let hex = text.get(..40).unwrap_or_default();
    ObjectId::from_hex(hex).map_err(|_| GitError::Protocol("an object id is malformed".to_owned()))
}
