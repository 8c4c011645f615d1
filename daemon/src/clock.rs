//! The one place of the daemon that asks what time it is.

use std::time::SystemTime;

use deis_core::Timestamp;

/// The present moment.
pub fn now() -> Timestamp {
    SystemTime::now().into()
}
