//! The newest lines of a process's output, as evidence of how it ended.

use std::collections::VecDeque;

use crate::port::truncate;

/// So many lines are kept.
const MAX_LINES: usize = 50;
/// Longest line.
const MAX_LINE: usize = 1024;
/// All lines together, in bytes.
const MAX_BYTES: usize = 16 * 1024;

/// A few lines, short and printable whatever the process printed: they go into records and messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastLines {
    lines: VecDeque<String>,
    bytes: usize,
}

impl LastLines {
    /// So many bytes of output hold all that is kept.
    pub(crate) const MAX_BYTES: u64 = 2 * 16 * 1024;

    pub(crate) fn push(&mut self, text: &str) {
        let mut line = String::new();
        for letter in text.chars() {
            if letter.is_control() && letter != '\t' {
                line.extend(letter.escape_default());
            } else {
                line.push(letter);
            }
            if line.len() > MAX_LINE {
                break;
            }
        }
        truncate(&mut line, MAX_LINE);
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len());
        }
    }

    pub(crate) fn into_vec(self) -> Vec<String> {
        self.lines.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_few_short_and_printable() {
        let mut last = LastLines::default();
        for n in 0..60 {
            last.push(&format!("{n} {}", "\u{1}".repeat(65_000)));
        }
        let lines = last.clone().into_vec();
        assert!(lines.len() > 10 && lines[lines.len() - 1].starts_with("59 \\u{1}"), "{lines:?}");
        assert!(lines.iter().all(|line| line.len() <= MAX_LINE && !line.contains('\u{1}')));
        assert!(lines.iter().map(String::len).sum::<usize>() <= MAX_BYTES);
        for n in 0..60 {
            last.push(&format!("\t{n} ü"));
        }
        let lines = last.into_vec();
        assert_eq!((lines.len(), lines[0].as_str()), (50, "\t10 ü"));
    }
}
