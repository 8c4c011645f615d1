//! Lines for the person who pushes.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use deis_build::git::{KEEP_ALIVE, progress};
use tokio::sync::mpsc::{OwnedPermit, error::TrySendError};

use super::Output;

/// How long a silent line stays silent.
const SILENCE: Duration = Duration::from_secs(5);
/// How long, in all, a push waits for a client that does not read. The app is held meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a push says what it does. A client that reads slowly, or not at all, loses lines and holds nothing up.
pub(super) struct Lines {
    output: Output,
    wanted: bool,
    /// Milliseconds of patience that are left.
    patience: AtomicU64,
    left_out: AtomicU64,
}

impl Lines {
    pub(super) fn new(output: Output, wanted: bool) -> Self {
        Self::with_patience(output, wanted, PATIENCE)
    }

    fn with_patience(output: Output, wanted: bool, patience: Duration) -> Self {
        Self { output, wanted, patience: AtomicU64::new(millis(patience)), left_out: AtomicU64::new(0) }
    }

    pub(super) async fn print(&self, text: &str) {
        if !self.wanted {
            return;
        }
        let Some(room) = self.room().await else { return };
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        let marker = if left_out > 0 { format!("… {left_out} lines left out\n") } else { String::new() };
        room.send(progress(&format!("{marker}{}\n", printable(text))).into());
    }

    /// Room for one more packet, if there is some before patience ends.
    async fn room(&self) -> Option<OwnedPermit<Bytes>> {
        match self.output.clone().try_reserve_owned() {
            Ok(room) => return Some(room),
            Err(TrySendError::Closed(_)) => return None,
            Err(TrySendError::Full(_)) => {}
        }
        let patience = Duration::from_millis(self.patience.load(Ordering::Relaxed));
        let began = Instant::now();
        let room = tokio::time::timeout(patience, self.output.clone().reserve_owned()).await;
        let left = patience.saturating_sub(began.elapsed());
        self.patience.store(millis(left), Ordering::Relaxed);
        if room.is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        room.ok()?.ok()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Keeps git, and whatever stands between, from taking a long build for a dead line.
pub(super) async fn keep_alive(output: Output, wanted: bool) {
    if !wanted {
        return;
    }
    loop {
        tokio::time::sleep(SILENCE).await;
        // Where there is no room, nothing is silent.
        if let Err(TrySendError::Closed(_)) = output.try_send(Bytes::from_static(KEEP_ALIVE)) {
            return;
        }
    }
}

/// What a terminal may see of foreign output: text, colours, and the way back to a line's start that the contract's
/// own lines begin with. Everything else could set titles, answer questions or hide what was printed.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(sequence) = rest.strip_prefix("\u{1b}[") {
            let end = sequence.find(|c: char| !matches!(c, ' '..='?')).unwrap_or(sequence.len());
            let (parameters, tail) = sequence.split_at(end);
            let last = tail.chars().next();
            let colour = last == Some('m') && parameters.chars().all(|c| c.is_ascii_digit() || c == ';');
            let whole = "\u{1b}[".len() + end + last.map_or(0, char::len_utf8);
            if colour || last == Some('G') && parameters == "1" {
                shown.push_str(&rest[..whole]);
            }
            // What does not end as a sequence is read again: it may begin another one.
            let taken =
                if last.is_some_and(|c| matches!(c, '@'..='~')) { whole } else { "\u{1b}[".len() + end };
            rest = &rest[taken..];
            continue;
        }
        if !c.is_control() || matches!(c, '\n' | '\t') {
            shown.push(c);
        }
        rest = &rest[c.len_utf8()..];
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_stay_and_everything_else_a_terminal_obeys_goes() {
        for (text, shown) in [
            ("plain\tüß", "plain\tüß"),
            ("\u{1b}[1;32mgreen\u{1b}[0m", "\u{1b}[1;32mgreen\u{1b}[0m"),
            ("\u{1b}[1G-----> x", "\u{1b}[1G-----> x"),
            ("\u{1b}[2K\u{1b}[3Ax", "x"),
            ("\u{1b}]0;title\u{7}x", "]0;titlex"),
            ("a\u{9b}31mb\r\u{8}", "a31mb"),
            ("\u{1b}[?25l\u{1b}[\u{1b}[31mx", "\u{1b}[31mx"),
            ("\u{1b}[1;", ""),
            ("\u{1b}", ""),
        ] {
            assert_eq!(printable(text), shown, "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_loses_lines_and_holds_nothing_up() {
        let (output, mut input) = tokio::sync::mpsc::channel(2);
        let lines = Lines::with_patience(output, true, Duration::from_millis(1));
        for i in 0..10 {
            lines.print(&format!("line {i}")).await;
        }
        assert!(input.recv().await.unwrap().ends_with(b"line 0\n"));
        lines.print("at last").await;
        assert!(input.recv().await.unwrap().ends_with(b"line 1\n"));
        let last = input.recv().await.unwrap();
        assert!(last.ends_with("… 8 lines left out\nat last\n".as_bytes()), "{last:?}");
    }
}
