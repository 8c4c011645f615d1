//! Superseding: a second action after every step of the first, and a fault at every call after that.

use super::{
    actions::{
        Action::{self, Config, Deploy, Destroy, Domain, Restart, Rollback, Scale},
        TestBuild,
    },
    scenarios::LIVE,
    sweep::{Scenario, passes},
};

const BETTER: Action = Deploy(TestBuild::Better);
const RELEASE: Action = Deploy(TestBuild::Release);
const BROKEN: Action = Deploy(TestBuild::Crashes);

/// Each pair is a test of its own and prints how many points it covered.
macro_rules! pairs {
    ($($(#[$doc:meta])* $name:ident: [$($before:expr),*] $first:expr => $action:expr, floor $floor:expr;)*) => {
        /// All of them, by name.
        pub(super) fn all() -> Vec<(&'static str, Scenario)> {
            vec![$((
                stringify!($name),
                Scenario {
                    before: LIVE.into_iter().chain([$($before),*]).collect(),
                    first: Some($first),
                    action: $action,
                    floor: $floor,
                },
            )),*]
        }

        $(
            $(#[$doc])*
            #[tokio::test(start_paused = true)]
            async fn $name() {
                let (name, scenario) = all().into_iter().find(|(name, _)| *name == stringify!($name)).unwrap();
                passes(name, &scenario, 200).await;
            }
        )*
    };
}

pairs! {
    deploy_overtaken_by_deploy: [] BETTER => Deploy(TestBuild::OnlyWeb), floor 2;
    broken_deploy_overtaken_by_its_mending: [] BROKEN => BETTER, floor 2;
    deploy_overtaken_by_a_broken_one: [] BETTER => BROKEN, floor 2;
    deploy_overtaken_by_config: [] BETTER => Config(1), floor 2;
    deploy_overtaken_by_scale: [] BETTER => Scale("web", 3), floor 2;
    deploy_overtaken_by_restart: [] BETTER => Restart, floor 2;
    deploy_overtaken_by_rollback: [] BETTER => Rollback(2), floor 2;
    deploy_overtaken_by_a_domain: [] BETTER => Domain(1), floor 2;
    deploy_overtaken_by_destroy: [Domain(1)] BETTER => Destroy, floor 0;
    scale_overtaken_by_a_smaller_scale: [] Scale("web", 3) => Scale("web", 1), floor 1;
    scale_down_overtaken_by_scale_up: [] Scale("web", 1) => Scale("web", 3), floor 1;
    scale_overtaken_by_a_broken_deploy: [] Scale("web", 3) => BROKEN, floor 2;
    restart_overtaken_by_deploy: [] Restart => BETTER, floor 2;
    /// Requests lead to `web`, which the first action started, when the second one takes it away.
    newly_routed_type_overtaken_by_its_end:
        [Deploy(TestBuild::WebAndCmd), Scale("cmd", 2), Scale("web", 0)]
        Scale("web", 2) => Deploy(TestBuild::OnlyCmd), floor 2;
    slow_release_command_overtaken_by_deploy: [] Deploy(TestBuild::ReleaseSlow) => RELEASE, floor 2;
    /// The scale fails and goes back, whatever becomes of the config.
    failing_scale_overtaken_by_config: [Scale("web", 0), BROKEN] Scale("web", 2) => Config(1), floor 0;
    /// A release command that has ended well has ended well, whatever comes.
    release_command_overtaken_by_scale: [] RELEASE => Scale("web", 3), floor 2;
    release_command_overtaken_by_restart: [] RELEASE => Restart, floor 2;
    release_command_overtaken_by_config: [] RELEASE => Config(1), floor 2;
}
