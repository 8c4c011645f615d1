//! What the proxy counts.

use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

use super::Bound;

/// Counters of the proxy.
#[derive(Debug, Default)]
pub struct ProxyMetrics {
    classes: [AtomicU64; 5],
    retries: AtomicU64,
    in_flight: AtomicU64,
    refused: [AtomicU64; Bound::ALL.len()],
}

impl ProxyMetrics {
    /// Answers to apps' requests by class: 1xx to 5xx.
    pub fn answers(&self) -> [u64; 5] {
        std::array::from_fn(|i| self.classes[i].load(Ordering::Relaxed))
    }

    /// Requests that were sent to another instance because the first could not be reached.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Requests that wait for the head of their answer.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How often each bound was reached, and somebody refused or made to give way.
    pub fn refusals(&self) -> impl Iterator<Item = (Bound, u64)> {
        Bound::ALL.into_iter().zip(self.refused.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    pub(super) fn refused(&self, bound: Bound) {
        for (_, count) in Bound::ALL.iter().zip(&self.refused).filter(|(known, _)| **known == bound) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a request for as long as the answer lives, also when nobody waits for it any more.
    pub(super) fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    pub(super) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.classes[class].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }
}

/// A request that waits for the head of its answer.
pub(super) struct InFlight<'a>(&'a ProxyMetrics);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
