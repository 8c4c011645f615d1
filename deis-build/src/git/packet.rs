//! Packet lines and the side band on which a push is answered.

use std::io::{self, Write};

use gix_packetline::{Channel, blocking_io::encode};

/// Most bytes of one side-band packet.
const MOST: usize = 65_515;

/// Lines that git shows as `remote: …` at once.
pub fn progress(text: &str) -> Vec<u8> {
    let mut packets = Vec::new();
    for chunk in text.as_bytes().chunks(MOST) {
        encode::band_to_write(Channel::Progress, chunk, &mut packets).expect("memory takes every byte");
    }
    packets
}

/// A packet without contents, so that neither git nor a proxy between takes a silent build for a dead line.
pub const KEEP_ALIVE: &[u8] = b"0005\x01";

/// Ends a conversation with a message that git shows as `fatal: remote error: …`.
pub fn refusal(text: &str) -> Vec<u8> {
    let mut packet = Vec::new();
    encode::error_to_write(text.as_bytes(), &mut packet).expect("memory takes every byte");
    packet
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
            for chunk in data.chunks(MOST) {
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
