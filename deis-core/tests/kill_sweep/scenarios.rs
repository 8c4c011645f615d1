//! The scenarios of one deed.

use super::{
    deeds::{
        Deed::{self, Config, Deploy, Destroy, Domain, Restart, RestartOne, Rollback, Scale},
        Kit,
    },
    sweep::{Scenario, passes},
};

const GOOD: Deed = Deploy(Kit::Good);
const TWO: Deed = Scale("web", 2);
/// Two web processes of a good build.
pub(super) const LIVE: [Deed; 2] = [GOOD, TWO];

/// Each scenario is a test of its own and prints how many points it covered.
macro_rules! scenarios {
    ($($(#[$doc:meta])* $name:ident: [$($before:expr),*] => $deed:expr, floor $floor:expr;)*) => {
        /// All of them, by name.
        pub(super) fn all() -> Vec<(&'static str, Scenario)> {
            vec![$((
                stringify!($name),
                Scenario { before: vec![$($before),*], first: None, deed: $deed, floor: $floor },
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
    redeploy: [GOOD, TWO] => Deploy(Kit::Better), floor 2;
    failed_first_deploy: [] => Deploy(Kit::Crashes), floor 0;
    failed_redeploy: [GOOD, TWO] => Deploy(Kit::Crashes), floor 2;
    config_change: [GOOD, TWO] => Config(1), floor 2;
    config_before_any_build: [] => Config(1), floor 0;
    scale_up: [GOOD, TWO] => Scale("web", 3), floor 2;
    scale_down: [GOOD, TWO] => Scale("web", 1), floor 1;
    /// A build whose web process crashes is live because web was scaled to 0 when it came; scaling it up fails.
    failing_scale: [GOOD, Scale("web", 0), Deploy(Kit::Crashes)] => TWO, floor 0;
    rollback: [GOOD, TWO, Config(1), Deploy(Kit::Better)] => Rollback(2), floor 2;
    release_command: [GOOD, TWO] => Deploy(Kit::Release), floor 2;
    release_command_of_a_config: [Deploy(Kit::Release), TWO] => Config(1), floor 2;
    failed_release_command: [GOOD, TWO] => Deploy(Kit::ReleaseFails), floor 2;
    scale_after_a_release_command: [Deploy(Kit::Release), TWO] => Scale("web", 3), floor 2;
    restart: [GOOD, TWO] => Restart, floor 2;
    restart_one: [GOOD, TWO] => RestartOne, floor 2;
    domain_change: [GOOD, TWO] => Domain(1), floor 2;
    type_retires: [GOOD, TWO, Scale("worker", 1)] => Deploy(Kit::OnlyWeb), floor 2;
    /// Requests lead to `web` before and to `cmd` afterwards.
    routable_type_retires: [Deploy(Kit::WebAndCmd), TWO, Scale("cmd", 1)] => Deploy(Kit::OnlyCmd), floor 1;
    destroy: [GOOD, TWO, Domain(1), Config(1)] => Destroy, floor 0;
}

/// More records than one batch removes.
#[tokio::test(start_paused = true)]
async fn destroy_in_chunks() {
    let before = LIVE.into_iter().chain((0..80).map(Config)).collect();
    let scenario = Scenario { before, first: None, deed: Destroy, floor: 0 };
    // The second chunk is some hundreds of points away.
    passes("destroy_in_chunks", &scenario, 300).await;
}
