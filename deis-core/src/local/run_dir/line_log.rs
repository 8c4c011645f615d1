//! The lines of an instance's process on disk: two files of at most 1 MiB.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::{
    format::{LINES, MAX_LINES_FILE, format_line, parse_line},
    last_lines::LastLines,
};
use crate::{
    local::time::now,
    model::Timestamp,
    port::{MAX_LINE, OutputStream},
};

/// Writes an instance's lines. Errors (a full disk) cost lines, never the app.
#[derive(Debug)]
pub(crate) struct LineLog {
    newer: PathBuf,
    older: PathBuf,
    file: Option<File>,
    size: u64,
    batch: Vec<u8>,
}

impl LineLog {
    pub(crate) fn open(folder: &Path) -> Self {
        let [newer, older] = LINES.map(|name| folder.join(name));
        let mut log = Self { newer, older, file: None, size: 0, batch: Vec::new() };
        log.reopen();
        log
    }

    /// Adds a line to the batch: of the process, or without a stream of the platform.
    pub(crate) fn add(&mut self, stream: Option<OutputStream>, line: &[u8]) {
        self.batch.extend(format_line(now(), stream, line).into_bytes());
        if self.batch.len() >= MAX_LINE {
            self.flush();
        }
    }

    /// Writes the batch.
    pub(crate) fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let more = u64::try_from(self.batch.len()).unwrap_or(u64::MAX);
        if self.size + more > MAX_LINES_FILE {
            let _ = fs::rename(&self.newer, &self.older);
            self.reopen();
        }
        if let Some(file) = &mut self.file {
            if file.write_all(&self.batch).is_ok() {
                self.size += more;
            } else {
                // Half a line would take the time and the mark of the next one for its text.
                let _ = file.write_all(b"\n");
            }
        }
        self.batch.clear();
    }

    fn reopen(&mut self) {
        self.file = File::options().create(true).append(true).mode(0o600).open(&self.newer).ok();
        self.size = self.file.as_ref().and_then(|f| f.metadata().ok()).map_or(0, |m| m.len());
    }
}

/// The last lines that the process printed since `since`.
pub(crate) fn last_lines(folder: &Path, since: Timestamp) -> Vec<String> {
    let mut last = LastLines::default();
    for name in LINES.into_iter().rev() {
        let bytes = fs::read(folder.join(name)).unwrap_or_default();
        let lines = bytes.split(|b| *b == b'\n').filter_map(parse_line);
        lines.filter(|l| l.at >= since && l.stream.is_some()).for_each(|l| last.push(&l.text));
    }
    last.into_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_and_files_stay_small() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LineLog::open(folder.path());
        for n in 0..40_000 {
            log.add(Some(OutputStream::Stdout), format!("line {n} {}", "x".repeat(90)).as_bytes());
        }
        log.add(Some(OutputStream::Stderr), &vec![0xff; MAX_LINE]);
        log.add(Some(OutputStream::Stderr), b"\xffbad");
        log.flush();
        for name in LINES {
            assert!(fs::metadata(folder.path().join(name)).unwrap().len() <= MAX_LINES_FILE);
        }
        let text = fs::read(folder.path().join(LINES[0])).unwrap();
        let last = text.split(|b| *b == b'\n').rev().nth(1).unwrap();
        assert_eq!(parse_line(last).unwrap().text, "\u{fffd}bad");
        assert!(text.split(|b| *b == b'\n').all(|line| line.len() <= MAX_LINE + 32));
    }
}
