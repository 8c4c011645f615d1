//! The time of this machine: the local back ends compare what several processes wrote down, and have nobody to take it from.

use std::time::{Duration, SystemTime};

use crate::model::Timestamp;

/// The current time.
pub(super) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// How long ago a moment was; one that is still to come, by a clock that was set back, is now.
pub(super) fn since(at: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(now().0.saturating_sub(at.0)).unwrap_or(0))
}
