//! The sweep must be able to fail: it finds each planted fault.

use deis_core::Bug;

use super::{bench::Sweep, scenarios};

type Make = fn() -> super::bench::Scenario;

#[tokio::test(start_paused = true)]
async fn every_planted_bug_is_found() {
    let all: [(&str, Make); 6] = [
        ("redeploy", scenarios::redeploy),
        ("failed_redeploy", scenarios::failed_redeploy),
        ("config_change", scenarios::config_change),
        ("type_retires", scenarios::type_retires),
        ("first_deploy", scenarios::first_deploy),
        ("rollback", scenarios::rollback),
    ];
    for bug in [Bug::CommitFirst, Bug::NoFence, Bug::LiveIsNewest] {
        let mut found = None;
        for (name, scenario) in all {
            if let Err(error) = Sweep::with_bug(scenario(), bug).run().await {
                found = Some(format!("{name}: {error}"));
                break;
            }
        }
        match found {
            Some(how) => println!("kill sweep: {bug:?} is found by {how}"),
            None => panic!("the sweep does not find {bug:?}"),
        }
    }
}
