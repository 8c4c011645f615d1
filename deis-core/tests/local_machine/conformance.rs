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

    use deis_core::conformance::scheduler::SchedulerSubject;

    use crate::support::{Machine, artifact, flap, serve};

    pub(super) async fn subject(machine: &Machine) -> SchedulerSubject {
        SchedulerSubject {
            scheduler: Arc::new(machine.open().await),
            prefix: "blog-".to_owned(),
            artifact: artifact(),
            serves: serve(),
            ends: "echo oh no; exit 3".to_owned(),
            idles: "exec sleep 600".to_owned(),
            flaps: flap(),
            patience: Duration::from_secs(20),
        }
    }

    deis_core::scheduler_cases!(cases; scheduler, subject:);
}

mod leases {
    use deis_core::conformance::leases::LeaseSubject;

    use crate::support::Machine;

    async fn subject(machine: &Machine) -> LeaseSubject {
        let scheduler = super::scheduler::subject(machine).await;
        LeaseSubject { scheduler, endpoints: machine.endpoints.clone() }
    }

    deis_core::lease_cases!(cases; leases, subject:);
}

mod runner {
    use std::{sync::Arc, time::Duration};

    use deis_core::{
        conformance::runner::{COUNTED, RunnerSubject},
        local::LocalRunner,
        model::Program,
        port::TaskRunner,
    };

    use crate::support::{Machine, artifact, python};

    async fn subject(machine: &Machine) -> RunnerSubject {
        let launch = |script: &str| Program::Launch { artifact: artifact(), command: script.into() };
        let options = machine.options();
        let next = options.clone();
        let counts = format!(
            "import sys; p = bytes(range(251)) * 4096; n = {COUNTED}\n\
             while n > 0: n -= sys.stdout.buffer.write(p[:n])"
        );
        RunnerSubject {
            runner: Arc::new(LocalRunner::open(options).await.unwrap()),
            next_process: Arc::new(move || {
                let options = next.clone();
                Box::pin(
                    async move { Arc::new(LocalRunner::open(options).await.unwrap()) as Arc<dyn TaskRunner> },
                )
            }),
            prints: launch("echo out; echo err >&2; exit 3"),
            lasts: launch("exec sleep 600"),
            floods: launch("exec yes"),
            counts: launch(&python(&counts)),
            copies: launch("exec cat"),
            measures: launch(
                "while :; do s=$(stty size); [ \"$s\" = \"$o\" ] || echo \"$s\"; o=$s; \
                 read -t 0.1 -r l; [ $? != 1 ] || exit 0; done",
            ),
            patience: Duration::from_secs(60),
        }
    }

    deis_core::runner_cases!(cases; runner, subject:);
}

mod simulated_runner {
    use std::{sync::Arc, time::Duration};

    use deis_core::{
        conformance::{
            runner::{COUNTED, RunnerSubject},
            sim::World,
        },
        model::Program,
        port::TaskRunner,
    };

    use crate::support::{Machine, artifact};

    #[expect(clippy::unused_async, reason = "the same form for all suites")]
    async fn subject(_: &Machine) -> RunnerSubject {
        let launch = |script: &str| Program::Launch { artifact: artifact(), command: script.into() };
        let world = World::new();
        let (ticking, next) = (world.clone(), world.clone());
        // Goes on until the test's runtime ends.
        tokio::spawn(async move {
            loop {
                ticking.tick();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        RunnerSubject {
            runner: Arc::new(world),
            next_process: Arc::new(move || {
                let world = next.clone();
                Box::pin(async move {
                    world.end_process();
                    Arc::new(world) as Arc<dyn TaskRunner>
                })
            }),
            prints: launch("prints"),
            lasts: launch("lasts"),
            floods: launch("floods"),
            counts: launch(&format!("counts {COUNTED}")),
            copies: launch("copies"),
            measures: launch("measures"),
            patience: Duration::from_secs(60),
        }
    }

    deis_core::runner_cases!(cases; runner, subject:);
}

mod router {
    use std::sync::Arc;

    use deis_core::{conformance::router::RouterSubject, routing::RouteTable};

    use crate::support::Machine;

    #[expect(clippy::unused_async, reason = "the same form for all suites")]
    async fn subject(_: &Machine) -> RouterSubject {
        Arc::new(RouteTable::new(None))
    }

    deis_core::router_cases!(cases; router, subject:);
}

mod file_logs {
    use std::sync::Arc;

    use deis_core::{conformance::logs::LogSubject, logs::FileLogs};

    use crate::support::Machine;

    #[expect(clippy::unused_async, reason = "the same form for all suites")]
    async fn subject(machine: &Machine) -> LogSubject {
        Arc::new(FileLogs::new(machine.run_dir()))
    }

    deis_core::log_cases!(cases; logs, subject:);
}

mod ring_logs {
    use std::sync::Arc;

    use deis_core::{conformance::logs::LogSubject, logs::RingLogs};

    use crate::support::Machine;

    #[expect(clippy::unused_async, reason = "the same form for all suites")]
    async fn subject(_: &Machine) -> LogSubject {
        Arc::new(RingLogs::default())
    }

    deis_core::log_cases!(cases; logs, subject:);
}
