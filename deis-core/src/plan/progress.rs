//! What a rollout does right now, in words.

use super::convergence::missing;
use crate::model::{Observation, Phase, Rollout, Workload};

/// A line for people who wait, from nothing but the record and what the scheduler sees, so that any process can say
/// it. `target` is the target alone. `None` where there is nothing to say, or it cannot be seen.
pub(crate) fn progress(rollout: &Rollout, target: &Workload, seen: Option<&Observation>) -> Option<String> {
    match &rollout.phase {
        Phase::Staging => Some("preparing".to_owned()),
        Phase::Rolling => {
            let count = missing(target, seen?);
            let nothing = "starting nothing: all process types are scaled to 0";
            Some(if count.is_empty() { nothing.to_owned() } else { count })
        }
        Phase::Reverting { cause } => Some(format!("going back: {cause}")),
        Phase::Routing | Phase::Succeeded | Phase::Failed { .. } => None,
    }
}
