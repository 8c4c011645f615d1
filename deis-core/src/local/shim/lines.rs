//! Cuts a stream of bytes into lines, of bounded length whatever the stream holds.

use super::MOST_LINE;

/// One stream.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    rest: Vec<u8>,
    /// Whether the present line is too long already and its rest is dropped.
    cut: bool,
}

impl Lines {
    /// Takes the next bytes and hands on each line that they end.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
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

    /// Hands on what is left when the stream has ended.
    pub(crate) fn finish(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.rest.is_empty() {
            self.end(&mut line);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.cut {
            return;
        }
        let room = MOST_LINE - self.rest.len();
        self.rest.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.cut = bytes.len() > room;
    }

    fn end(&mut self, line: &mut impl FnMut(&[u8])) {
        let shown = self.cut && self.rest.is_empty();
        if !shown {
            line(self.rest.strip_suffix(b"\r").unwrap_or(&self.rest));
        }
        self.rest.clear();
        self.cut = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(parts: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
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
        let long = vec![b'x'; MOST_LINE];
        let found = cut(&[&long, &long, b"yy\nnext\n"]);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].len(), MOST_LINE);
        assert_eq!(found[1], "next");
    }
}
