//! The rollout state machine: what is stored and what is seen decide the next step. The first matching row wins.

use std::time::Duration;

use super::{
    constants::{OUTAGE_LIMIT, PREPARE_LIMIT, PULL_LIMIT, REVERT_DEADLINE, START_GRACE},
    convergence::{broken, is_settled_on_fallback, is_settled_on_target, min_ready_time, overdue},
    lower::Workloads,
    routes::routed_type,
};
use crate::model::{
    Attempt, Cause, Exit, Generation, Observation, Phase, ReleaseCommand, Rollout, RouteFence, Stall,
    TaskObservation, TaskState, Workload,
};

/// What a pass has loaded and seen of one app.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RolloutInputs<'a> {
    /// The newest rollout.
    pub(crate) rollout: &'a Rollout,
    /// Its workloads.
    pub(crate) workloads: &'a Workloads,
    /// The workload held when the first of the unfinished rollouts began; `None` if nothing was live.
    pub(crate) live: Option<&'a Workload>,
    /// `head.routes`.
    pub(crate) routes: u64,
    /// What the scheduler sees; `None` if it is not available.
    pub(crate) scheduler: Option<&'a Observation>,
    /// What the router has; `None` if it is not available.
    #[expect(clippy::option_option, reason = "no answer is not the answer that there is nothing")]
    pub(crate) router: Option<Option<RouteFence>>,
    /// What the runner knows of the release command; `None` if it is not available, or need not be asked.
    pub(crate) task: Option<&'a TaskObservation>,
    /// Whether the artifact is where the scheduler gets it from.
    pub(crate) artifact: ArtifactState<'a>,
    /// Which platform process asks.
    pub(crate) process: uuid::Uuid,
    /// Active time spent of the present [`Budget`].
    pub(crate) spent: Duration,
    /// Time for which the clock of this rollout has stood still because of a [`Stall`].
    pub(crate) stalled: Duration,
    /// Longest run of a release command.
    pub(crate) command_limit: Duration,
    /// Generation that the scheduler has just refused for good: asking again at once is no use.
    pub(crate) refused: Option<Generation>,
}

/// What the clock of a rollout counts for: it starts at 0 with each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Budget {
    /// Making the artifact ready.
    #[default]
    Preparing,
    /// The release command.
    Command,
    /// New instances and routes.
    Rolling,
    /// Going back.
    Reverting,
    /// Nothing: the rollout has ended.
    Ended,
}

impl Budget {
    /// Whose turn it is.
    pub(crate) fn of(rollout: &Rollout) -> Self {
        match (&rollout.phase, rollout.command) {
            (Phase::Staging, ReleaseCommand::Started { .. }) => Self::Command,
            (Phase::Staging, _) => Self::Preparing,
            (Phase::Rolling | Phase::Routing, _) => Self::Rolling,
            (Phase::Reverting { .. }, _) => Self::Reverting,
            (Phase::Succeeded | Phase::Failed { .. }, _) => Self::Ended,
        }
    }
}

/// Whether an artifact is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArtifactState<'a> {
    /// Not that this process knew.
    Unknown,
    /// It is.
    Ready,
    /// It will never be.
    Failed(&'a str),
}

/// The one thing to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing now; time is spent.
    Wait,
    /// Nothing now, and the clock stands still: a back end is away.
    BackendUnavailable,
    /// Nothing to do at all.
    Idle,
    /// A back end is ahead of what was loaded: read again, and renumber if that is really all there is.
    ReloadOrRenumber,
    /// Give the scheduler this one of the workloads.
    Apply(WorkloadRole),
    /// Give the router the routes to this one.
    Publish(WorkloadRole),
    /// End release commands below this attempt.
    StopTasks(Attempt),
    /// Make the artifact ready.
    Prepare,
    /// Record that the release command starts, then start it.
    RecordStart,
    /// Start the release command that is recorded as started by this process.
    StartCommand,
    /// Record a phase.
    Enter(Phase),
}

/// One of the workloads that a rollout knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkloadRole {
    /// The one held before.
    Live,
    /// `g`.
    Target,
    /// `g + 1`.
    TargetOnly,
    /// `g + 2`.
    Fallback,
}

impl WorkloadRole {
    /// The workload held once the rollout ended.
    pub(crate) fn held(rollout: &Rollout) -> Self {
        match rollout.phase {
            Phase::Succeeded if rollout.retires => Self::TargetOnly,
            Phase::Failed { .. } => Self::Fallback,
            _ => Self::Target,
        }
    }

    /// Its generation.
    pub(crate) fn generation(self, rollout: &Rollout) -> Generation {
        match self {
            Self::Live => rollout.live_generation,
            Self::Target => rollout.generation,
            Self::TargetOnly => rollout.generation.plus(1),
            Self::Fallback => rollout.generation.plus(2),
        }
    }
}

/// Why the clock of a rollout stands still, if it does. While it does, deadlines are not reached; every other row of the
/// table goes on. A stall that has lasted too long in one rollout is no excuse any more.
pub(crate) fn stall_of(rollout: &Rollout, seen: &Observation, stalled: Duration) -> Option<Stall> {
    let has_deadline = matches!(Budget::of(rollout), Budget::Rolling | Budget::Reverting);
    seen.stalled.filter(|stall| has_deadline && stalled < stall_limit(*stall))
}

/// How long a stall is an excuse, in one rollout.
fn stall_limit(stall: Stall) -> Duration {
    match stall {
        Stall::Outage => OUTAGE_LIMIT,
        Stall::Pulling => PULL_LIMIT,
    }
}

/// Decides the next step. Pure and total.
pub(crate) fn next_step(inputs: &RolloutInputs<'_>) -> Step {
    let (Some(seen), Some(published)) = (inputs.scheduler, inputs.router) else {
        return Step::BackendUnavailable;
    };
    let rollout = inputs.rollout;
    let last = rollout.generation.plus(2);
    let fence = |generation| RouteFence { routes: inputs.routes, generation };
    if seen.generation > last || published.is_some_and(|f| f > fence(last)) {
        return Step::ReloadOrRenumber;
    }
    let behind = |role: WorkloadRole| published.is_none_or(|f| f < fence(role.generation(rollout)));
    let lacks = |role: WorkloadRole| {
        let generation = role.generation(rollout);
        seen.generation < generation && inputs.refused != Some(generation)
    };
    match &rollout.phase {
        Phase::Staging | Phase::Rolling if behind(WorkloadRole::Live) => Step::Publish(WorkloadRole::Live),
        // The scheduler forgot. One that refuses what was live must not stop what shall take its place.
        Phase::Staging if inputs.live.is_some() && lacks(WorkloadRole::Live) => {
            Step::Apply(WorkloadRole::Live)
        }
        Phase::Staging => staging(inputs),
        Phase::Rolling => rolling(inputs, seen, behind(WorkloadRole::Target)),
        Phase::Routing => routing(inputs, seen, behind(WorkloadRole::Target)),
        Phase::Reverting { cause } => reverting(inputs, seen, cause, behind(WorkloadRole::Fallback)),
        Phase::Succeeded | Phase::Failed { .. } => {
            let held = WorkloadRole::held(rollout);
            // After a success the routes keep the target's generation, also when types have retired since.
            let routed = if rollout.phase == Phase::Succeeded { WorkloadRole::Target } else { held };
            if lacks(held) {
                Step::Apply(held)
            } else if behind(routed) {
                Step::Publish(routed)
            } else {
                Step::Idle
            }
        }
    }
}

fn staging(inputs: &RolloutInputs<'_>) -> Step {
    let rollout = inputs.rollout;
    let Some(task) = inputs.task else { return Step::BackendUnavailable };
    if task.fence < rollout.attempt {
        return Step::StopTasks(rollout.attempt);
    }
    if task.older_running {
        return Step::Wait;
    }
    // A command that was started had its build: what became of it comes before fetching that once more.
    match rollout.command {
        ReleaseCommand::Started { by } => release_command(inputs, task, by),
        ReleaseCommand::Declared => prepare(inputs, PREPARE_LIMIT, Step::RecordStart),
        ReleaseCommand::None => prepare(inputs, PREPARE_LIMIT, Step::Enter(Phase::Rolling)),
    }
}

/// Makes the artifact ready, then does `next`.
fn prepare(inputs: &RolloutInputs<'_>, limit: Duration, next: Step) -> Step {
    match inputs.artifact {
        ArtifactState::Ready => next,
        ArtifactState::Failed(reason) => revert(Cause::Artifact { reason: reason.to_owned() }),
        ArtifactState::Unknown if inputs.spent >= limit => {
            revert(timeout("fetching the build", PREPARE_LIMIT))
        }
        ArtifactState::Unknown => Step::Prepare,
    }
}

fn release_command(inputs: &RolloutInputs<'_>, task: &TaskObservation, by: uuid::Uuid) -> Step {
    // The runner keeps the limit, and may need time to fetch the build before; this is for one that does not end.
    let limit = inputs.command_limit.saturating_add(PREPARE_LIMIT);
    let overdue = inputs.spent >= limit;
    let beyond = Attempt(inputs.rollout.attempt.0.saturating_add(1));
    let given_up = task.fence >= beyond;
    let failed = |exit, last_lines| revert(Cause::ReleaseCommand { exit, last_lines });
    match &task.state {
        TaskState::Starting | TaskState::Running if overdue && !given_up => Step::StopTasks(beyond),
        TaskState::Starting | TaskState::Running => Step::Wait,
        TaskState::Ended { exit: Exit::Code(0), .. } => {
            prepare(inputs, limit.saturating_add(PREPARE_LIMIT), Step::Enter(Phase::Rolling))
        }
        TaskState::Ended { last_lines, .. } if overdue && given_up => {
            failed(Some(Exit::TimedOut), last_lines.clone())
        }
        TaskState::Ended { exit: Exit::Lost, last_lines } => failed(None, last_lines.clone()),
        // Another process stopped it because the runner did not know it yet: it was interrupted.
        TaskState::Ended { exit: Exit::Signal(_), last_lines } if given_up => {
            failed(None, last_lines.clone())
        }
        TaskState::Ended { exit, last_lines } => failed(Some(*exit), last_lines.clone()),
        TaskState::Unknown if given_up && overdue => failed(Some(Exit::TimedOut), Vec::new()),
        // Stopped before it was started: it will never run.
        TaskState::Unknown if given_up => failed(None, Vec::new()),
        TaskState::Unknown if by == inputs.process => Step::StartCommand,
        // Whoever recorded it is alive perhaps, and about to start it.
        TaskState::Unknown if inputs.spent < START_GRACE => Step::Wait,
        // Another process started it and nobody knows how it went: it is never run twice.
        TaskState::Unknown => Step::StopTasks(beyond),
    }
}

fn rolling(inputs: &RolloutInputs<'_>, seen: &Observation, behind: bool) -> Step {
    let rollout = inputs.rollout;
    let target = &inputs.workloads.target_only;
    if seen.generation < rollout.generation {
        return Step::Apply(WorkloadRole::Target);
    }
    if behind && serves_nobody(inputs.live) && serves_somebody(target, seen) {
        return Step::Publish(WorkloadRole::Target);
    }
    if is_settled_on_target(target, seen) {
        return Step::Enter(Phase::Routing);
    }
    let stall = stall_of(rollout, seen, inputs.stalled);
    // After an outage, what is seen of instances may be as old as the outage.
    let evidence = || if stall == Some(Stall::Outage) { None } else { broken(target, seen) };
    if let Some(cause) = evidence() {
        return revert(cause);
    }
    if stall.is_none() && inputs.spent >= deadline(rollout) {
        return revert(overdue(target, seen, "rolling", deadline(rollout).as_secs()));
    }
    Step::Wait
}

/// Whether the routes to what was live before name no process type, so that no request can be answered.
fn serves_nobody(live: Option<&Workload>) -> bool {
    live.and_then(routed_type).is_none()
}

/// Whether an instance of the target's routed type is ready.
fn serves_somebody(target: &Workload, seen: &Observation) -> bool {
    let Some(process) = routed_type(target) else { return false };
    let Some(group) = target.groups.get(&process) else { return false };
    seen.instances.iter().any(|i| i.process == process && i.template == group.id && i.is_ready())
}

fn routing(inputs: &RolloutInputs<'_>, seen: &Observation, behind: bool) -> Step {
    let rollout = inputs.rollout;
    if seen.generation < rollout.generation || !is_settled_on_target(&inputs.workloads.target_only, seen) {
        return Step::Enter(Phase::Rolling);
    }
    if !behind {
        return Step::Enter(Phase::Succeeded);
    }
    if stall_of(rollout, seen, inputs.stalled).is_none() && inputs.spent >= deadline(rollout) {
        return revert(timeout("routing", deadline(rollout)));
    }
    Step::Publish(WorkloadRole::Target)
}

fn reverting(inputs: &RolloutInputs<'_>, seen: &Observation, cause: &Cause, behind: bool) -> Step {
    let failed = |fallback_unhealthy| Step::Enter(Phase::Failed { cause: cause.clone(), fallback_unhealthy });
    // Routes first: the types that the fallback names still run, for retiring groups are held until g + 1.
    if behind {
        return Step::Publish(WorkloadRole::Fallback);
    }
    if seen.generation < WorkloadRole::Fallback.generation(inputs.rollout) {
        return Step::Apply(WorkloadRole::Fallback);
    }
    if is_settled_on_fallback(&inputs.workloads.fallback, seen) {
        return failed(false);
    }
    let deadline = REVERT_DEADLINE + min_ready_time(&inputs.workloads.fallback);
    let stall = stall_of(inputs.rollout, seen, inputs.stalled);
    if stall.is_none() && inputs.spent >= deadline { failed(true) } else { Step::Wait }
}

fn revert(cause: Cause) -> Step {
    Step::Enter(Phase::Reverting { cause })
}

fn deadline(rollout: &Rollout) -> Duration {
    Duration::from_millis(rollout.deadline_ms)
}

fn timeout(step: &str, limit: Duration) -> Cause {
    Cause::Timeout { step: step.to_owned(), seconds: limit.as_secs(), detail: String::new() }
}

#[cfg(test)]
mod tests;
