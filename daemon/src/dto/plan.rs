//! The answer of a dry run.

use deis_core::model::{Difference, Plan, PlanStep};
use serde::Serialize;

/// What a change would do.
#[derive(Debug, Serialize)]
pub(crate) struct PlanDto {
    steps: Vec<StepDto>,
    diff: Vec<DifferenceDto>,
}

#[derive(Debug, Serialize)]
struct StepDto {
    action: String,
    detail: String,
}

#[derive(Debug, Serialize)]
struct DifferenceDto {
    path: String,
    before: Option<String>,
    after: Option<String>,
}

impl From<Plan> for PlanDto {
    fn from(plan: Plan) -> Self {
        let step = |PlanStep { action, detail }| StepDto { action, detail };
        let difference = |Difference { path, before, after }| DifferenceDto { path, before, after };
        Self {
            steps: plan.steps.into_iter().map(step).collect(),
            diff: plan.diff.into_iter().map(difference).collect(),
        }
    }
}
