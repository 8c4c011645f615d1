//! Cuts a stream of bytes into lines of text, of bounded length whatever the stream holds.

use std::time::Duration;

/// Longest line, in bytes; what follows up to the line's end is dropped.
pub const MAX_LINE: usize = 64 * 1024;

/// The beginning of a line is shown after so long a silence: a prompt has no line end.
pub const LINE_SILENCE: Duration = Duration::from_secs(1);

/// Makes lines of one stream, for logs and for people. What must arrive as it is goes as chunks.
///
/// ```
/// use deis_core::port::LineSplitter;
///
/// let (mut splitter, mut lines) = (LineSplitter::default(), Vec::new());
/// splitter.feed(b"one\ntw", |line| lines.push(line.to_vec()));
/// splitter.finish(|line| lines.push(line.to_vec()));
/// assert_eq!(lines, [b"one".to_vec(), b"tw".to_vec()]);
/// ```
#[derive(Debug, Default)]
pub struct LineSplitter {
    rest: Vec<u8>,
    /// Whether the present line is too long already and its rest is dropped.
    cut: bool,
    /// Whether the beginning of the present line was shown already.
    begun: bool,
}

impl LineSplitter {
    /// Takes the next bytes and hands on each line that they end.
    pub fn feed(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.keep(&bytes[..end]);
            self.end(&mut line);
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
        if self.cut && !self.rest.is_empty() {
            // Shown at once: its end may never come.
            line(&self.rest);
            self.rest = Vec::new();
        }
    }

    /// Whether the beginning of a line waits for its end.
    pub fn is_waiting(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Hands on the beginning of a line whose end does not come. What follows is shown as a line of its own.
    pub fn show(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.rest.is_empty() {
            line(&self.rest);
            self.rest.clear();
            self.begun = true;
        }
    }

    /// Hands on what is left when the stream has ended.
    pub fn finish(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.rest.is_empty() {
            self.end(&mut line);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.cut {
            return;
        }
        let room = MAX_LINE - self.rest.len();
        self.rest.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.cut = bytes.len() > room;
    }

    fn end(&mut self, line: &mut impl FnMut(&[u8])) {
        let shown = (self.cut || self.begun) && self.rest.is_empty();
        if !shown {
            line(self.rest.strip_suffix(b"\r").unwrap_or(&self.rest));
        }
        self.rest.clear();
        (self.cut, self.begun) = (false, false);
    }
}

/// A line as text. What is no UTF-8 is replaced by something longer, so it is cut only then.
pub fn line_text(line: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(line).into_owned();
    truncate(&mut text, MAX_LINE);
    text
}

/// Cuts a text to at most so many bytes, between two characters.
pub(crate) fn truncate(text: &mut String, most: usize) {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(parts: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut found) = (LineSplitter::default(), Vec::new());
        for part in parts {
            lines.feed(part, |l| found.push(String::from_utf8_lossy(l).into_owned()));
        }
        lines.finish(|l| found.push(String::from_utf8_lossy(l).into_owned()));
        found
    }

    #[test]
    fn lines_span_reads() {
        assert_eq!(cut(&[b"one\ntw", b"o\r\n\nthree"]), ["one", "two", "", "three"]);
    }

    #[test]
    fn an_endless_line_is_shown_once_and_cut() {
        let long = vec![b'x'; MAX_LINE];
        let found = cut(&[&long, &long, b"yy\nnext\n"]);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].len(), MAX_LINE);
        assert_eq!(found[1], "next");
    }

    #[test]
    fn a_line_that_is_no_text_stays_as_short_as_others() {
        let text = line_text(&vec![0xff; MAX_LINE]);
        assert!(text.len() <= MAX_LINE && text.ends_with('\u{fffd}'), "{}", text.len());
    }

    #[test]
    fn a_prompt_is_shown_and_its_line_end_is_no_line() {
        let (mut lines, mut found) = (LineSplitter::default(), Vec::new());
        let mut add = |l: &[u8]| found.push(String::from_utf8_lossy(l).into_owned());
        lines.feed(b"one\nname? ", &mut add);
        assert!(lines.is_waiting());
        lines.show(&mut add);
        assert!(!lines.is_waiting());
        lines.feed(b"\nnext\nage? ", &mut add);
        lines.show(&mut add);
        lines.feed(b"3\n\n", &mut add);
        assert_eq!(found, ["one", "name? ", "next", "age? ", "3", ""]);
    }
}
