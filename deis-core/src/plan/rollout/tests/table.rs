//! The rollout table once more, row by row in the order of the design: what `next_step` is judged by.
//!
//! It speaks of named situations and never of how they are recognised, so it shares nothing with the implementation
//! but the names of the steps.

use super::super::{Step, WorkloadRole};
use crate::model::{Attempt, Cause, Exit, Phase};

/// Which phase it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum In {
    Staging,
    Rolling,
    Routing,
    Reverting,
    Succeeded,
    Failed,
}

/// Generation that the scheduler accepted last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Accepted {
    Nothing,
    BeforeLive,
    Live,
    Target,
    TargetOnly,
    Fallback,
    Beyond,
}

/// What the router has, in the order of fences: the routes counter first, then the generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Published {
    Nothing,
    OlderCounter,
    BeforeLive,
    Live,
    Target,
    TargetOnly,
    Fallback,
    Beyond,
    NewerCounter,
}

/// What the scheduler sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Picture {
    Nothing,
    AllOld,
    Mixed,
    AllNew,
    AllNewOldLeft,
    AllNewOldDraining,
    AllNewSurplusFails,
    NewFails,
    /// Old ones are away, and a new one takes requests and has yet to become available.
    OnlyOneNewAndYoung,
    /// All new ones are ready, one of them not for long enough.
    AllNewOneYoung,
    /// There is no room for one more beside the old ones.
    NoRoom,
    /// There is none yet, but an old one leaves.
    NoRoomYet,
}

/// Why nothing moves, and whether that has been an excuse for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stalled {
    No,
    Outage,
    OutageForTooLong,
    Pulling,
    PullingForTooLong,
}

/// What was live before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,
    Web,
    /// A type that gets no requests.
    Worker,
}

/// What the runner says of the release command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Unknown,
    Running,
    EndedWell,
    EndedBadly,
    Killed,
    Lost,
}

/// Fence of the runner, against the rollout's attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fenced {
    Before,
    Here,
    After,
}

/// What is on record of the release command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    None,
    Declared,
    Mine,
    Anothers,
}

/// Where the artifact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bytes {
    Ready,
    Missing,
    Gone,
}

/// Active time spent of what the phase may take, by the limit that it has reached last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spent {
    Little,
    /// A release command that another process is about to start would be known by now.
    StartGrace,
    Deadline,
    PrepareLimit,
    /// The runner should have ended a release command by itself long ago.
    CommandLimit,
    /// What the release command may take and, after it, fetching the build once more.
    CommandAndPrepareLimit,
}

/// What the runner knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Runner {
    pub(super) fence: Fenced,
    pub(super) older_running: bool,
    pub(super) told: Told,
}

/// Everything that a row may look at; `None` stands for a back end that is away.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    pub(super) phase: In,
    pub(super) scheduler: Option<(Accepted, Picture)>,
    pub(super) router: Option<Published>,
    pub(super) runner: Option<Runner>,
    pub(super) command: Command,
    pub(super) artifact: Bytes,
    pub(super) spent: Spent,
    pub(super) before: Before,
    pub(super) retires: bool,
    /// The scheduler has just refused for good what this phase wants it to hold.
    pub(super) refused: bool,
    pub(super) stalled: Stalled,
}

/// What a row wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Exactly(Step),
    /// Going back for a cause of this kind.
    Reverting(Why),
    /// The end of going back.
    Failed {
        unhealthy: bool,
    },
}

/// Kinds of cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Artifact,
    Timeout,
    Broken,
    /// What blocks its type.
    NoRoom,
    Command(Option<Exit>),
}

impl Expected {
    pub(super) fn is(&self, step: &Step) -> bool {
        match (self, step) {
            (Self::Exactly(wanted), step) => wanted == step,
            (Self::Reverting(why), Step::Enter(Phase::Reverting { cause })) => match (why, cause) {
                (Why::Artifact, Cause::Artifact { .. })
                | (Why::Timeout, Cause::Timeout { .. })
                | (Why::Broken, Cause::CrashLoop { .. })
                | (Why::Broken | Why::NoRoom, Cause::Quota { .. }) => true,
                (Why::Command(wanted), Cause::ReleaseCommand { exit, .. }) => wanted == exit,
                _ => false,
            },
            (Self::Failed { unhealthy }, Step::Enter(Phase::Failed { fallback_unhealthy, .. })) => {
                unhealthy == fallback_unhealthy
            }
            _ => false,
        }
    }
}

impl Situation {
    fn accepted(&self) -> Accepted {
        self.scheduler.map_or(Accepted::Nothing, |(accepted, _)| accepted)
    }

    fn published(&self) -> Published {
        self.router.unwrap_or(Published::Nothing)
    }

    fn picture(&self) -> Picture {
        self.scheduler.map_or(Picture::Nothing, |(_, picture)| picture)
    }

    fn has_live(&self) -> bool {
        self.before != Before::Nothing
    }

    /// Draining instances and surplus ones do not matter.
    fn settled(&self) -> bool {
        matches!(self.picture(), Picture::AllNew | Picture::AllNewOldDraining | Picture::AllNewSurplusFails)
    }

    /// With nothing live the fallback is empty, and so is always reached. Of a worker nothing is ever seen here.
    fn settled_on_fallback(&self) -> bool {
        let web = matches!(self.picture(), Picture::AllOld | Picture::NewFails | Picture::NoRoom);
        !self.has_live() || (self.before == Before::Web && web)
    }

    /// Nobody can be served by what was live, and somebody could be by what comes.
    fn serves_first(&self) -> bool {
        let has_new = !matches!(
            self.picture(),
            Picture::Nothing | Picture::AllOld | Picture::NewFails | Picture::NoRoom | Picture::NoRoomYet
        );
        self.before != Before::Web && has_new
    }

    /// Something of the target is known not to work, or to have no room.
    fn broken(&self) -> bool {
        matches!(self.picture(), Picture::NewFails | Picture::NoRoom)
    }

    /// Time counts, and it is up.
    fn out_of_time(&self) -> bool {
        let excused = matches!(self.stalled, Stalled::Outage | Stalled::Pulling);
        self.spent >= Spent::Deadline && !excused
    }

    /// With nothing live any routes under the present counter will do.
    fn lacks_lives_routes(&self) -> bool {
        let wanted = if self.has_live() { Published::Live } else { Published::BeforeLive };
        self.published() < wanted
    }

    fn started(&self) -> bool {
        matches!(self.command, Command::Mine | Command::Anothers)
    }

    /// It was started, and nobody can start it any more.
    fn given_up(&self) -> bool {
        self.started() && self.fence() == Some(Fenced::After)
    }

    fn started_and(&self, told: Told) -> bool {
        self.started() && self.told() == Some(told)
    }

    /// Nothing is left to do for a release command, or there is none.
    fn past_command(&self) -> bool {
        !self.started() || self.told() == Some(Told::EndedWell)
    }

    /// Fetching the build has a budget of its own; once a release command was started it comes on top of its limit.
    fn prepared_too_long(&self) -> bool {
        let limit = if self.started() { Spent::CommandAndPrepareLimit } else { Spent::PrepareLimit };
        self.spent >= limit
    }

    fn told(&self) -> Option<Told> {
        self.runner.map(|runner| runner.told)
    }

    fn fence(&self) -> Option<Fenced> {
        self.runner.map(|runner| runner.fence)
    }

    fn held(&self) -> (WorkloadRole, Accepted) {
        match (self.phase, self.retires) {
            (In::Failed, _) => (WorkloadRole::Fallback, Accepted::Fallback),
            (_, true) => (WorkloadRole::TargetOnly, Accepted::TargetOnly),
            (_, false) => (WorkloadRole::Target, Accepted::Target),
        }
    }

    /// After a success the routes keep the target's generation.
    fn routed(&self) -> (WorkloadRole, Published) {
        match self.phase {
            In::Failed => (WorkloadRole::Fallback, Published::Fallback),
            _ => (WorkloadRole::Target, Published::Target),
        }
    }
}

/// One row: phases, what is seen, the step.
pub(super) type Row = (&'static [In], fn(&Situation) -> bool, fn(&Situation) -> Expected);

const ANY: &[In] = &[In::Staging, In::Rolling, In::Routing, In::Reverting, In::Succeeded, In::Failed];
const ENDED: &[In] = &[In::Succeeded, In::Failed];

fn exactly(step: Step) -> Expected {
    Expected::Exactly(step)
}

/// All rows; the first one that matches wins. `attempt` of the rollout is [`super::G`].
pub(super) const ROWS: &[Row] = &[
    (ANY, |s| s.scheduler.is_none() || s.router.is_none(), |_| exactly(Step::BackendUnavailable)),
    (
        ANY,
        |s| s.accepted() > Accepted::Fallback || s.published() > Published::Fallback,
        |_| exactly(Step::ReloadOrRenumber),
    ),
    (&[In::Staging, In::Rolling], Situation::lacks_lives_routes, |_| {
        exactly(Step::Publish(WorkloadRole::Live))
    }),
    (
        &[In::Staging],
        |s| s.has_live() && s.accepted() < Accepted::Live && !s.refused,
        |_| exactly(Step::Apply(WorkloadRole::Live)),
    ),
    // The runner is not needed before this.
    (&[In::Staging], |s| s.runner.is_none(), |_| exactly(Step::BackendUnavailable)),
    (&[In::Staging], |s| s.fence() == Some(Fenced::Before), |_| exactly(Step::StopTasks(Attempt(super::G)))),
    (&[In::Staging], |s| s.runner.is_some_and(|r| r.older_running), |_| exactly(Step::Wait)),
    // An endless one is stopped before its release is given up.
    (
        &[In::Staging],
        |s| s.started_and(Told::Running) && s.spent >= Spent::CommandLimit && !s.given_up(),
        |_| exactly(Step::StopTasks(Attempt(super::G + 1))),
    ),
    // Its own limit, and not the deadline of a deploy.
    (&[In::Staging], |s| s.started_and(Told::Running), |_| exactly(Step::Wait)),
    (
        &[In::Staging],
        |s| !s.past_command() && s.given_up() && s.spent >= Spent::CommandLimit,
        |_| Expected::Reverting(Why::Command(Some(Exit::TimedOut))),
    ),
    (
        &[In::Staging],
        |s| s.started_and(Told::EndedBadly),
        |_| Expected::Reverting(Why::Command(Some(Exit::Code(1)))),
    ),
    // A signal is the command's own end, or that of who stopped it before it was known.
    (
        &[In::Staging],
        |s| s.started_and(Told::Killed) && s.given_up(),
        |_| Expected::Reverting(Why::Command(None)),
    ),
    (
        &[In::Staging],
        |s| s.started_and(Told::Killed),
        |_| Expected::Reverting(Why::Command(Some(Exit::Signal(9)))),
    ),
    (&[In::Staging], |s| s.started_and(Told::Lost), |_| Expected::Reverting(Why::Command(None))),
    (
        &[In::Staging],
        |s| s.started_and(Told::Unknown) && s.given_up(),
        |_| Expected::Reverting(Why::Command(None)),
    ),
    (
        &[In::Staging],
        |s| s.started_and(Told::Unknown) && s.command == Command::Mine,
        |_| exactly(Step::StartCommand),
    ),
    // Whoever recorded it may be about to start it.
    (
        &[In::Staging],
        |s| s.started_and(Told::Unknown) && s.spent < Spent::StartGrace,
        |_| exactly(Step::Wait),
    ),
    (&[In::Staging], |s| s.started_and(Told::Unknown), |_| exactly(Step::StopTasks(Attempt(super::G + 1)))),
    (&[In::Staging], |s| s.artifact == Bytes::Gone, |_| Expected::Reverting(Why::Artifact)),
    (
        &[In::Staging],
        |s| s.artifact == Bytes::Missing && s.prepared_too_long(),
        |_| Expected::Reverting(Why::Timeout),
    ),
    (&[In::Staging], |s| s.artifact == Bytes::Missing, |_| exactly(Step::Prepare)),
    (&[In::Staging], |s| s.command == Command::Declared, |_| exactly(Step::RecordStart)),
    (&[In::Staging], |_| true, |_| exactly(Step::Enter(Phase::Rolling))),
    (&[In::Rolling], |s| s.accepted() < Accepted::Target, |_| exactly(Step::Apply(WorkloadRole::Target))),
    (
        &[In::Rolling],
        |s| s.serves_first() && s.published() < Published::Target,
        |_| exactly(Step::Publish(WorkloadRole::Target)),
    ),
    (&[In::Rolling], Situation::settled, |_| exactly(Step::Enter(Phase::Routing))),
    // What is seen after an outage is no evidence.
    (&[In::Rolling], |s| s.broken() && s.stalled != Stalled::Outage, |_| Expected::Reverting(Why::Broken)),
    (
        &[In::Rolling],
        |s| s.out_of_time() && s.picture() == Picture::NoRoomYet,
        |_| Expected::Reverting(Why::NoRoom),
    ),
    (&[In::Rolling], Situation::out_of_time, |_| Expected::Reverting(Why::Timeout)),
    (&[In::Rolling], |_| true, |_| exactly(Step::Wait)),
    (
        &[In::Routing],
        |s| s.accepted() < Accepted::Target || !s.settled(),
        |_| exactly(Step::Enter(Phase::Rolling)),
    ),
    (
        &[In::Routing],
        |s| s.published() < Published::Target && s.out_of_time(),
        |_| Expected::Reverting(Why::Timeout),
    ),
    (&[In::Routing], |s| s.published() < Published::Target, |_| exactly(Step::Publish(WorkloadRole::Target))),
    (&[In::Routing], |_| true, |_| exactly(Step::Enter(Phase::Succeeded))),
    (
        &[In::Reverting],
        |s| s.published() < Published::Fallback,
        |_| exactly(Step::Publish(WorkloadRole::Fallback)),
    ),
    (
        &[In::Reverting],
        |s| s.accepted() < Accepted::Fallback,
        |_| exactly(Step::Apply(WorkloadRole::Fallback)),
    ),
    (&[In::Reverting], Situation::settled_on_fallback, |_| Expected::Failed { unhealthy: false }),
    (&[In::Reverting], Situation::out_of_time, |_| Expected::Failed { unhealthy: true }),
    (&[In::Reverting], |_| true, |_| exactly(Step::Wait)),
    (ENDED, |s| s.accepted() < s.held().1 && !s.refused, |s| exactly(Step::Apply(s.held().0))),
    (ENDED, |s| s.published() < s.routed().1, |s| exactly(Step::Publish(s.routed().0))),
    (ENDED, |_| true, |_| exactly(Step::Idle)),
];
