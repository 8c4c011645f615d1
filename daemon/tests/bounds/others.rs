//! Users who do what users do, again and again, and how long each thing takes them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::web::ask;

/// What the others do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Read an app over the API.
    Read,
    /// Ask an app.
    Request,
    /// Change a config: a durable write.
    Change,
}

/// When something was done: before, during or after an attack.
pub(crate) const PHASES: [&str; 3] = ["before", "during", "after"];
const ENDED: usize = PHASES.len();

/// One thing that was done.
pub(crate) struct Done {
    pub(crate) action: Action,
    pub(crate) phase: usize,
    pub(crate) took: Duration,
    /// What came instead of what was wanted.
    pub(crate) failure: Option<String>,
}

/// The others at work.
pub(crate) struct Others {
    phase: Arc<AtomicUsize>,
    working: Vec<JoinHandle<Vec<Done>>>,
}

impl Others {
    /// Sets them to work on a daemon that has the apps `calm`, which serves, and `notes`, which has no build.
    pub(crate) fn begin(http: u16, token: &str) -> Self {
        let phase = Arc::new(AtomicUsize::new(0));
        let work = |action: Action, pause: u64| {
            let (phase, token) = (Arc::clone(&phase), format!("token {token}"));
            thread::spawn(move || {
                let mut done = Vec::new();
                loop {
                    let now = phase.load(Ordering::SeqCst);
                    if now == ENDED {
                        return done;
                    }
                    done.push(act(http, &token, action, now, done.len()));
                    thread::sleep(Duration::from_millis(pause));
                }
            })
        };
        let working = vec![work(Action::Read, 20), work(Action::Request, 20), work(Action::Change, 80)];
        Self { phase, working }
    }

    /// The next phase begins.
    pub(crate) fn next_phase(&self) {
        self.phase.fetch_add(1, Ordering::SeqCst);
    }

    /// All that they did.
    pub(crate) fn end(self) -> Vec<Done> {
        self.phase.store(ENDED, Ordering::SeqCst);
        self.working.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    }
}

fn act(http: u16, token: &str, action: Action, phase: usize, number: usize) -> Done {
    let own = [("Authorization", token), ("Content-Type", "application/json")];
    let change = format!(r#"{{"values":{{"N":"{phase}.{number}"}}}}"#);
    let began = Instant::now();
    let (answer, wanted) = match action {
        Action::Read => (ask(http, "GET", "/v2/apps/calm/", &own, None), 200),
        Action::Request => (ask(http, "GET", "/", &[("Host", "calm.localhost")], None), 200),
        Action::Change => (ask(http, "POST", "/v2/apps/notes/config/", &own, Some(&change)), 201),
    };
    let took = began.elapsed();
    let failure = (answer.status != wanted).then(|| format!("{action:?}: {} {}", answer.status, answer.body));
    Done { action, phase, took, failure }
}
