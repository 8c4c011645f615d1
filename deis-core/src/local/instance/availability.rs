//! Whether an instance has been ready for long enough, and whether it ever will be.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::local::options::Timing;

/// The readiness of one run of an instance over time.
///
/// A new instance takes requests as soon as it is ready, but it counts as available, so that an old one may leave, only
/// when it has stayed ready for the minimum ready time. One that keeps losing its readiness before that is no
/// replacement for anything.
#[derive(Debug, Default)]
pub(in crate::local) struct Availability {
    ready_since: Option<Instant>,
    /// When it lost its readiness, while it has not got it back.
    lost_since: Option<Instant>,
    /// When it lost its readiness within the last while, before it was available for the first time.
    losses: VecDeque<Instant>,
    available: bool,
    /// Whether it has been available at all: from then on losing its readiness says nothing about its version.
    was_available: bool,
}

impl Availability {
    /// It passes its check, after it had not.
    pub(in crate::local) fn gained(&mut self, now: Instant) {
        self.ready_since = Some(now);
        self.lost_since = None;
    }

    /// It does not pass its check any more.
    pub(in crate::local) fn lost(&mut self, now: Instant, timing: &Timing) {
        (self.ready_since, self.available) = (None, false);
        self.lost_since = Some(now);
        if !self.was_available {
            self.losses.push_back(now);
            while self.losses.front().is_some_and(|at| now.duration_since(*at) > timing.readiness_window) {
                self.losses.pop_front();
            }
        }
    }

    /// Counts on. Returns whether it has become available by that.
    pub(in crate::local) fn elapse(&mut self, now: Instant, min_ready: Duration) -> bool {
        let long_enough = self.ready_since.is_some_and(|since| now.duration_since(since) >= min_ready);
        if !long_enough || self.available {
            return false;
        }
        (self.available, self.was_available) = (true, true);
        self.losses.clear();
        true
    }

    /// Whether it is ready and was for the minimum ready time.
    pub(in crate::local) fn is_available(&self) -> bool {
        self.available
    }

    /// Whether it has been available at some time.
    pub(in crate::local) fn was_available(&self) -> bool {
        self.was_available
    }

    /// When it lost its readiness, if it has not got it back.
    pub(in crate::local) fn lost_since(&self) -> Option<Instant> {
        self.lost_since
    }

    /// Whether it comes and goes, so that it must stay ready for the minimum ready time before it takes requests again.
    pub(in crate::local) fn is_unsteady(&self, timing: &Timing) -> bool {
        self.losses.len() >= timing.readiness_losses
    }

    /// Whether its readiness is evidence against its version: it came and went too often, or has been away for too long,
    /// and was never available.
    pub(in crate::local) fn is_failing(&self, now: Instant, timing: &Timing) -> bool {
        let away = self.lost_since.is_some_and(|at| now.duration_since(at) >= timing.readiness_regain);
        !self.was_available && (self.is_unsteady(timing) || away)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN_READY: Duration = Duration::from_secs(1);

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn one_that_stays_ready_becomes_available_once() {
        let (mut it, start) = (Availability::default(), Instant::now());
        assert!(!it.elapse(at(start, 5_000), MIN_READY), "it is not ready");
        it.gained(start);
        assert!(!it.elapse(at(start, 999), MIN_READY));
        assert!(it.elapse(at(start, 1_000), MIN_READY) && it.is_available());
        assert!(!it.elapse(at(start, 1_001), MIN_READY), "that is no news");
    }

    #[test]
    fn three_losses_within_a_minute_are_too_many() {
        let (mut it, timing, start) = (Availability::default(), Timing::default(), Instant::now());
        for round in 0..3 {
            assert!(!it.is_failing(at(start, round * 800), &timing), "{round}");
            it.gained(at(start, round * 800));
            assert!(!it.elapse(at(start, round * 800 + 399), MIN_READY));
            it.lost(at(start, round * 800 + 400), &timing);
        }
        assert!(it.is_failing(at(start, 2_000), &timing) && it.is_unsteady(&timing));
        it.gained(at(start, 2_400));
        assert!(it.is_unsteady(&timing), "it has yet to show that it stays");
        assert!(it.elapse(at(start, 3_400), MIN_READY) && !it.is_failing(at(start, 3_400), &timing));
    }

    #[test]
    fn losses_far_apart_are_forgiven() {
        let (mut it, timing, start) = (Availability::default(), Timing::default(), Instant::now());
        for ms in [0, 31_000, 62_000] {
            it.gained(at(start, ms));
            it.lost(at(start, ms + 400), &timing);
        }
        assert!(!it.is_unsteady(&timing));
    }

    #[test]
    fn readiness_that_does_not_come_back_is_evidence_unless_it_was_available() {
        let (mut it, timing, start) = (Availability::default(), Timing::default(), Instant::now());
        it.gained(start);
        it.lost(at(start, 500), &timing);
        assert!(!it.is_failing(at(start, 10_499), &timing));
        assert!(it.is_failing(at(start, 10_500), &timing));
        it.gained(at(start, 11_000));
        assert!(!it.is_failing(at(start, 11_000), &timing), "it came back");
        assert!(it.elapse(at(start, 12_000), MIN_READY));
        for round in 0..4 {
            it.lost(at(start, 13_000 + round * 2_000), &timing);
            it.gained(at(start, 14_000 + round * 2_000));
        }
        it.lost(at(start, 22_000), &timing);
        assert!(!it.is_failing(at(start, 60_000), &timing), "its version has shown that it works");
        assert!(!it.is_available());
    }
}
