//! The answer to a push: what became of each ref.

use std::io::Write as _;

use gix_packetline::blocking_io::encode;

use super::{packet::Data, received::Received};

impl Received {
    /// The report as the client wants it, with the end of the conversation.
    pub fn report(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.wants_report {
            if self.sideband {
                encode::flush_to_write(&mut out).expect("memory takes every byte");
            }
            return out;
        }
        let mut lines = Vec::new();
        let unpack =
            self.unpack_error.as_ref().map_or_else(|| "unpack ok".to_owned(), |e| format!("unpack {e}"));
        encode::text_to_write(unpack.as_bytes(), &mut lines).expect("memory takes every byte");
        for command in &self.commands {
            let name = &command.update.name;
            let line = match &command.refused {
                None => format!("ok {name}"),
                Some(reason) => format!("ng {name} {}", one_line(reason)),
            };
            encode::text_to_write(line.as_bytes(), &mut lines).expect("memory takes every byte");
        }
        encode::flush_to_write(&mut lines).expect("memory takes every byte");
        Data::new(&mut out, self.sideband).write_all(&lines).expect("memory takes every byte");
        if self.sideband {
            encode::flush_to_write(&mut out).expect("memory takes every byte");
        }
        out
    }
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(300).collect()
}
