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

    use crate::support::{Machine, artifact, flap, serve};

    pub(super) async fn subject(machine: &Machine) -> Subject {
        Subject {
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
    use deis_core::conformance::leases::Subject;

    use crate::support::Machine;

    async fn subject(machine: &Machine) -> Subject {
        let scheduler = super::scheduler::subject(machine).await;
        Subject { scheduler, endpoints: machine.endpoints.clone() }
    }

    deis_core::lease_cases!(cases; leases, subject:);
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

    deis_core::runner_cases!(cases; runner, subject:);
}

mod router {
    use std::sync::Arc;

    use deis_core::{conformance::router::Subject, routing::RouteTable};

    use crate::support::Machine;

    #[expect(clippy::unused_async, reason = "the same form for all suites")]
    async fn subject(_: &Machine) -> Subject {
        Arc::new(RouteTable::new(None))
    }

    deis_core::router_cases!(cases; router, subject:);
}

mod file_logs {
    use std::sync::Arc;

    use deis_core::{conformance::logs::Subject, logs::FileLogs};

    use crate::support::Machine;

    #[expect(clippy::unused_async, reason = "the same form for all suites")]
    async fn subject(machine: &Machine) -> Subject {
        Arc::new(FileLogs::new(machine.run_dir()))
    }

    deis_core::log_cases!(cases; logs, subject:);
}

mod ring_logs {
    use std::sync::Arc;

    use deis_core::{conformance::logs::Subject, logs::RingLogs};

    use crate::support::Machine;

    #[expect(clippy::unused_async, reason = "the same form for all suites")]
    async fn subject(_: &Machine) -> Subject {
        Arc::new(RingLogs::default())
    }

    deis_core::log_cases!(cases; logs, subject:);
}
