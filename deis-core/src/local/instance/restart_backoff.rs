//! How often an instance has ended, what that says, and how long to wait before it is started again.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::local::options::Timing;

/// The ends of one instance.
#[derive(Debug, Default)]
pub(in crate::local) struct RestartBackoff {
    recent: VecDeque<Instant>,
    in_a_row: u32,
}

impl RestartBackoff {
    /// Adds an end after a run of `ran`. Returns the wait before the next start.
    pub(in crate::local) fn add(&mut self, now: Instant, ran: Duration, timing: &Timing) -> Duration {
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|at| now.duration_since(*at) > timing.crash_window) {
            self.recent.pop_front();
        }
        // A long run says that the version works: what ends it is another fault than the one before.
        self.in_a_row = if ran > timing.crash_window { 1 } else { self.in_a_row.saturating_add(1) };
        let factor = 2_u32.saturating_pow(self.in_a_row - 1);
        timing.backoff_first.saturating_mul(factor).min(timing.backoff_most)
    }

    /// Whether the ends so far are a crash loop.
    pub(in crate::local) fn is_crash_loop(&self, timing: &Timing) -> bool {
        self.recent.len() >= timing.crash_exits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(runs: &[u64]) -> (Vec<u64>, Option<usize>) {
        let (timing, mut backoff, mut now) = (Timing::default(), RestartBackoff::default(), Instant::now());
        let (mut waits, mut found) = (Vec::new(), None);
        for (n, ran) in runs.iter().enumerate() {
            let ran = Duration::from_secs(*ran);
            now += ran;
            let wait = backoff.add(now, ran, &timing);
            now += wait;
            waits.push(wait.as_secs());
            if backoff.is_crash_loop(&timing) {
                found.get_or_insert(n + 1);
            }
        }
        (waits, found)
    }

    #[test]
    fn three_ends_within_a_minute_are_a_loop() {
        assert_eq!(waits(&[0; 8]), (vec![1, 2, 4, 8, 16, 32, 60, 60], Some(3)));
        assert_eq!(waits(&[25, 25, 25]), (vec![1, 2, 4], Some(3)));
        assert_eq!(waits(&[40, 40, 40]), (vec![1, 2, 4], None));
    }

    #[test]
    fn a_long_run_starts_the_count_anew() {
        assert_eq!(waits(&[0, 0, 61, 0]), (vec![1, 2, 1, 2], None));
    }
}
