//! What a change would do: the answer of a dry run.

use serde::{Deserialize, Serialize};

/// Steps and differences that a change would bring, without bringing them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What would be done, in order.
    pub steps: Vec<PlanStep>,
    /// What would differ afterwards.
    pub diff: Vec<Difference>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStep {
    /// The step's name (`release`, `start`, `stop`, `route`, `run`).
    pub action: String,
    /// What it does, for people.
    pub detail: String,
}

/// One value that would differ. Values of environment variables are not repeated here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What differs (`config.FOO`, `scale.web`).
    pub path: String,
    /// Its present value; `None` if it does not exist.
    pub before: Option<String>,
    /// Its value afterwards; `None` if it goes.
    pub after: Option<String>,
}
