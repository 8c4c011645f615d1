//! The output of an instance on disk: two files of at most 1 MiB, the newer one `out.0`.
//!
//! A line is `<milliseconds> <o|e|w> <text>`: standard output, standard error, or a warning of the platform.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::now;
use crate::{
    model::Timestamp,
    port::{MAX_LINE, line_text},
};

/// Largest file.
const MAX_FILE: u64 = 1024 * 1024;

/// Who said a line of an instance's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    Out,
    Err,
    Warning,
}

/// A line as read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamped {
    pub(crate) at: Timestamp,
    pub(crate) warning: bool,
    pub(crate) text: String,
}

/// Writes an instance's log. Errors (a full disk) cost lines, never the app.
#[derive(Debug)]
pub(super) struct Log {
    folder: PathBuf,
    file: Option<File>,
    size: u64,
    batch: Vec<u8>,
}

impl Log {
    pub(super) fn open(folder: &Path) -> Self {
        let mut log = Self { folder: folder.to_owned(), file: None, size: 0, batch: Vec::new() };
        log.reopen();
        log
    }

    /// Adds a line to the batch.
    pub(super) fn add(&mut self, voice: Voice, line: &[u8]) {
        let mark = match voice {
            Voice::Out => 'o',
            Voice::Err => 'e',
            Voice::Warning => 'w',
        };
        let text = line_text(line);
        let _ = writeln!(self.batch, "{} {mark} {text}", now().0);
        if self.batch.len() >= MAX_LINE {
            self.flush();
        }
    }

    /// Writes the batch.
    pub(super) fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let more = u64::try_from(self.batch.len()).unwrap_or(u64::MAX);
        if self.size + more > MAX_FILE {
            let _ = fs::rename(self.folder.join("out.0"), self.folder.join("out.1"));
            self.reopen();
        }
        if let Some(file) = &mut self.file {
            if file.write_all(&self.batch).is_ok() {
                self.size += more;
            } else {
                // A torn line must not swallow the next one's stamp.
                let _ = file.write_all(b"\n");
            }
        }
        self.batch.clear();
    }

    fn reopen(&mut self) {
        let path = self.folder.join("out.0");
        self.file = File::options().create(true).append(true).mode(0o600).open(path).ok();
        self.size = self.file.as_ref().and_then(|f| f.metadata().ok()).map_or(0, |m| m.len());
    }
}

/// Reads one line of a log; `None` if it is torn.
pub(crate) fn parse_line(line: &[u8]) -> Option<Stamped> {
    let line = std::str::from_utf8(line).ok()?;
    let (at, rest) = line.split_once(' ')?;
    let (mark, text) = rest.split_once(' ')?;
    let warning = match mark {
        "o" | "e" => false,
        "w" => true,
        _ => return None,
    };
    Some(Stamped { at: Timestamp(at.parse().ok()?), warning, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_and_files_stay_small() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path());
        for n in 0..40_000 {
            log.add(Voice::Out, format!("line {n} {}", "x".repeat(90)).as_bytes());
        }
        log.add(Voice::Err, &vec![0xff; MAX_LINE]);
        log.add(Voice::Err, b"\xffbad");
        log.flush();
        for name in ["out.0", "out.1"] {
            assert!(fs::metadata(folder.path().join(name)).unwrap().len() <= MAX_FILE);
        }
        let text = fs::read(folder.path().join("out.0")).unwrap();
        let last = text.split(|b| *b == b'\n').rev().nth(1).unwrap();
        assert_eq!(parse_line(last).unwrap().text, "\u{fffd}bad");
        assert!(text.split(|b| *b == b'\n').all(|line| line.len() <= MAX_LINE + 32));
        assert_eq!(parse_line(b"torn"), None);
    }
}
