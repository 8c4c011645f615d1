//! The scenarios of one action.

use super::{
    actions::{
        Action::{self, Config, Deploy, Destroy, Domain, Restart, RestartOne, Rollback, Scale},
        TestBuild,
    },
    bugs::Bug,
    sweep::{Scenario, fault_free, passes},
};

const GOOD: Action = Deploy(TestBuild::Good);
const TWO: Action = Scale("web", 2);
/// Two web processes of a good build.
pub(super) const LIVE: [Action; 2] = [GOOD, TWO];

/// Each scenario is a test of its own and prints how many points it covered.
macro_rules! scenarios {
    ($($(#[$doc:meta])* $name:ident: [$($before:expr),*] => $action:expr, floor $floor:expr;)*) => {
        /// All of them, by name.
        pub(super) fn all() -> Vec<(&'static str, Scenario)> {
            vec![$((
                stringify!($name),
                Scenario { before: vec![$($before),*], first: None, action: $action, floor: $floor },
            )),*]
        }

        $(
            $(#[$doc])*
            #[tokio::test(start_paused = true)]
            async fn $name() {
                let (name, scenario) = all().into_iter().find(|(name, _)| *name == stringify!($name)).unwrap();
                passes(name, &scenario, 50).await;
            }
        )*
    };
}

scenarios! {
    first_deploy: [] => GOOD, floor 0;
    redeploy: [GOOD, TWO] => Deploy(TestBuild::Better), floor 2;
    failed_first_deploy: [] => Deploy(TestBuild::Crashes), floor 0;
    failed_redeploy: [GOOD, TWO] => Deploy(TestBuild::Crashes), floor 2;
    config_change: [GOOD, TWO] => Config(1), floor 2;
    config_before_any_build: [] => Config(1), floor 0;
    scale_up: [GOOD, TWO] => Scale("web", 3), floor 2;
    scale_down: [GOOD, TWO] => Scale("web", 1), floor 1;
    /// A build whose web process crashes is live because web was scaled to 0 when it came; scaling it up fails.
    failing_scale: [GOOD, Scale("web", 0), Deploy(TestBuild::Crashes)] => TWO, floor 0;
    rollback: [GOOD, TWO, Config(1), Deploy(TestBuild::Better)] => Rollback(2), floor 2;
    release_command: [GOOD, TWO] => Deploy(TestBuild::Release), floor 2;
    release_command_of_a_config: [Deploy(TestBuild::Release), TWO] => Config(1), floor 2;
    failed_release_command: [GOOD, TWO] => Deploy(TestBuild::ReleaseFails), floor 2;
    scale_after_a_release_command: [Deploy(TestBuild::Release), TWO] => Scale("web", 3), floor 2;
    restart: [GOOD, TWO] => Restart, floor 2;
    restart_one: [GOOD, TWO] => RestartOne, floor 2;
    domain_change: [GOOD, TWO] => Domain(1), floor 2;
    type_retires: [GOOD, TWO, Scale("worker", 1)] => Deploy(TestBuild::OnlyWeb), floor 2;
    /// Requests lead to `web` before and to `cmd` afterwards.
    routable_type_retires: [Deploy(TestBuild::WebAndCmd), TWO, Scale("cmd", 2)] => Deploy(TestBuild::OnlyCmd), floor 2;
    /// Requests lead to `web`, which the new release lacks, and then to `cmd`, which the old one lacks.
    routed_type_changes: [Deploy(TestBuild::WebAndCmd), TWO, Scale("cmd", 2), Deploy(TestBuild::OnlyWeb)]
        => Deploy(TestBuild::OnlyCmd), floor 2;
    /// What is live must come back by itself although the release command takes long.
    slow_release_command: [GOOD, TWO] => Deploy(TestBuild::ReleaseSlow), floor 2;
    /// An old instance that is lost while there is no room for the new ones is replaced only when it goes back.
    no_room: [GOOD, TWO] => Deploy(TestBuild::NoRoom), floor 1;
    destroy: [GOOD, TWO, Domain(1), Config(1)] => Destroy, floor 0;
}

/// The image takes longer than a rollout may take.
pub(super) fn slow_pull() -> Scenario {
    Scenario { before: LIVE.to_vec(), first: None, action: Deploy(TestBuild::Pulls), floor: 2 }
}

/// It is waited for. No faults are swept here: instances that are lost meanwhile come back only when it has arrived, which
/// is later than the other scenarios promise.
#[tokio::test(start_paused = true)]
async fn a_slow_pull_is_waited_for() {
    assert_eq!(fault_free(&slow_pull(), 0, Bug::None).await, Ok(false));
}

/// More records than one batch removes.
#[tokio::test(start_paused = true)]
async fn destroy_in_chunks() {
    let before = LIVE.into_iter().chain((0..80).map(Config)).collect();
    let scenario = Scenario { before, first: None, action: Destroy, floor: 0 };
    // The second chunk is some hundreds of points away.
    passes("destroy_in_chunks", &scenario, 300).await;
}
