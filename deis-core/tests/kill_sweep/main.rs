//! The kill sweep: for every scenario the platform dies, or a back end fails once, at every port call – before and
//! after its effect, with back ends that remember and that forget. Afterwards everything must have converged, with
//! exactly what was acknowledged, and never with fewer ready processes than before.

#![allow(clippy::unwrap_used, clippy::future_not_send, reason = "a test that cannot go on shall end")]

mod bench;
mod bugs;
mod drivers;
mod oracle;
mod scenarios;
mod supersede;

use bench::Sweep;

/// Each scenario is a test of its own and prints how many points it covered.
macro_rules! sweeps {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $name() {
                let points = Sweep::new(scenarios::$name()).run().await.unwrap();
                println!("kill sweep: {}: {points} points, all converge", stringify!($name));
                assert!(points > 50, "only {points} points: the sweep does not reach the scenario");
            }
        )*
    };
}

sweeps! {
    first_deploy,
    redeploy,
    failed_first_deploy,
    failed_redeploy,
    config_change,
    scale_up,
    scale_down,
    failing_scale,
    rollback,
    release_command,
    failed_release_command,
    restart,
    restart_one,
    domain_change,
    type_retires,
    destroy,
}
