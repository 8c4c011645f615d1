//! The public suites over the local back ends.

macro_rules! cases {
    ($suite:ident, $subject:ident: $($case:ident)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let machine = Machine::new();
            deis_core::conformance::$suite::$case($subject(&machine).await).await;
        }
    )* };
}

mod scheduler {
    use std::{sync::Arc, time::Duration};

    use deis_core::conformance::scheduler::Subject;

    use crate::support::{Machine, artifact, serve};

    async fn subject(machine: &Machine) -> Subject {
        Subject {
            scheduler: Arc::new(machine.open().await),
            endpoints: machine.endpoints.clone(),
            artifact: artifact(),
            serves: serve(),
            ends: "echo oh no; exit 3".to_owned(),
            idles: "exec sleep 600".to_owned(),
            patience: Duration::from_secs(20),
        }
    }

    cases!(scheduler, subject:
        instances_become_ready generations_fence scaling_touches_nobody_else rolling_leaves_no_gap
        a_broken_template_leaves_the_old_serving silence_is_not_readiness a_missing_type_leaves
        eviction_replaces_first leaving_waits_for_requests removal_is_final an_unknown_app_is_empty
        a_newer_workload_supersedes);
}

mod runner {
    use std::{path::PathBuf, sync::Arc, time::Duration};

    use deis_core::{Program, conformance::runner::Subject, local::LocalRunner};

    use crate::support::Machine;

    async fn subject(machine: &Machine) -> Subject {
        let shell = |script: &str| Program::Exec {
            program: PathBuf::from("/bin/sh"),
            argv0: None,
            args: vec!["-c".to_owned(), script.to_owned()],
            directory: machine.files(),
            stdin: Vec::new(),
        };
        Subject {
            runner: Arc::new(LocalRunner::open(machine.options()).await.unwrap()),
            prints: shell("echo out; echo err >&2; exit 3"),
            lasts: shell("exec sleep 600"),
            floods: shell("exec yes"),
            patience: Duration::from_secs(20),
        }
    }

    cases!(runner, subject:
        output_and_end_are_told the_same_attempt_runs_once attempts_fence stopping_fences
        an_older_attempt_that_runs_is_seen stopping_everything_is_final the_limit_ends_a_task
        a_stalled_receiver_does_not_hold_up_the_limit a_gone_receiver_does_not_fail_the_task
        an_unknown_app_is_idle);
}

mod router {
    use std::sync::Arc;

    use deis_core::{conformance::router::Subject, local::RouteTable};

    use crate::support::Machine;

    #[expect(clippy::unused_async, reason = "the same form for all suites")]
    async fn subject(_: &Machine) -> Subject {
        Arc::new(RouteTable::new(None))
    }

    cases!(router, subject:
        publishing_is_remembered older_routes_are_stale withdrawal_is_final an_unknown_app_can_be_withdrawn
        apps_are_apart);
}

mod file_logs {
    use std::sync::Arc;

    use deis_core::{conformance::logs::Subject, logs::FileLogs};

    use crate::support::Machine;

    #[expect(clippy::unused_async, reason = "the same form for all suites")]
    async fn subject(machine: &Machine) -> Subject {
        Arc::new(FileLogs::new(machine.run_dir()))
    }

    cases!(logs, subject:
        the_newest_lines_come_in_order a_process_type_is_selected following_goes_on following_selects
        an_unknown_app_has_no_lines forgetting_is_complete a_slow_reader_holds_up_nobody
        what_is_kept_is_bounded);
}

mod ring_logs {
    use std::sync::Arc;

    use deis_core::{conformance::logs::Subject, logs::RingLogs};

    use crate::support::Machine;

    #[expect(clippy::unused_async, reason = "the same form for all suites")]
    async fn subject(_: &Machine) -> Subject {
        Arc::new(RingLogs::default())
    }

    cases!(logs, subject:
        the_newest_lines_come_in_order a_process_type_is_selected following_goes_on following_selects
        an_unknown_app_has_no_lines forgetting_is_complete a_slow_reader_holds_up_nobody
        what_is_kept_is_bounded);
}
