//! The one place of the daemon that asks what time it is.

use std::time::{SystemTime, UNIX_EPOCH};

use deis_core::Timestamp;

/// The present moment.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
