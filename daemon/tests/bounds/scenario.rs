//! A daemon in normal use, and what becomes of it when somebody wants more than a share.

use std::{
    fmt::Write as _,
    fs,
    sync::Once,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    others::{Action, Done, Others, PHASES},
    test_platform::{STATIC, TestPlatform, Work},
    usage::{Peak, Usage},
    web::{Answer, ask},
};

/// A daemon with an administrator, ann, whose apps are in use, and an ordinary user, mallory, with an app `idle`.
pub(crate) struct Scenario {
    pub(crate) platform: TestPlatform,
    /// The working tree of `calm`, which serves.
    pub(crate) calm: Work,
    /// mallory's token.
    pub(crate) mallory: String,
}

/// How many descriptors and threads may come and go for reasons of their own: connections of the others, threads that
/// were started for blocking work and have not ended yet.
const NOISE: u64 = 24;

impl Scenario {
    /// With further flags for `deisd serve`.
    pub(crate) fn with(settings: &[&str]) -> Self {
        let platform = TestPlatform::with(settings);
        let calm = platform.app("calm", STATIC);
        calm.git(&["push", "--quiet", "deis", "main"]);
        platform.deis(&["create", "notes", "--no-remote"]);
        let mallory = user(&platform, "mallory");
        let own = Self { platform, calm, mallory };
        let made = own.call("POST", "/v2/apps/", Some(r#"{"id":"idle"}"#));
        assert_eq!(made.status, 201, "{made:?}");
        own
    }

    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// A request of mallory's to the API.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        let token = format!("token {}", self.mallory);
        let headers = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
        ask(self.platform.http, method, path, &headers, body)
    }

    /// Carries out an attack beside normal use and prints a row of the table. What the attack returns is what it holds:
    /// it is let go only after the daemon was looked at.
    ///
    /// Whatever the attack, nobody else fails, and descriptors and threads come back.
    pub(crate) fn attack<H>(&self, what: &str, attack: impl FnOnce() -> H) -> Cost {
        let others = Others::begin(self.platform.http, &self.platform.token());
        sleep(Duration::from_millis(700));
        let before = Usage::of(self.pid());
        let peak = Peak::watch(self.pid());
        others.next_phase();
        let held = attack();
        sleep(Duration::from_millis(300));
        let during = peak.end();
        drop(held);
        others.next_phase();
        let after = self.wait_given_back(before);
        sleep(Duration::from_millis(300));
        let done = others.end();
        let cost = Cost { before, during, after };
        print_row(what, &cost, &done);
        let failures: Vec<&str> = done.iter().filter_map(|d| d.failure.as_deref()).collect();
        assert!(failures.is_empty(), "{what}: others failed: {failures:?}");
        assert!(
            after.descriptors <= before.descriptors + NOISE && after.threads <= before.threads + NOISE,
            "{what}: it was not given back: {cost:?}"
        );
        cost
    }

    /// The daemon, as it wrote into its lock.
    fn pid(&self) -> u32 {
        let lock = fs::read_to_string(self.platform.path("data/lock")).unwrap();
        lock.trim().parse().unwrap()
    }

    fn wait_given_back(&self, before: Usage) -> Usage {
        let began = Instant::now();
        loop {
            let now = Usage::of(self.pid());
            let is_back =
                now.descriptors <= before.descriptors + NOISE && now.threads <= before.threads + NOISE;
            if is_back || began.elapsed() > Duration::from_secs(60) {
                return now;
            }
            sleep(Duration::from_millis(50));
        }
    }
}

/// The token of a user who is registered by the administrator.
fn user(platform: &TestPlatform, name: &str) -> String {
    let login = format!(r#"{{"username":"{name}","password":"secret"}}"#);
    let token = format!("token {}", platform.token());
    let headers = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
    let made = ask(platform.http, "POST", "/v2/auth/register/", &headers, Some(&login));
    assert_eq!(made.status, 201, "{made:?}");
    let answer = ask(platform.http, "POST", "/v2/auth/login/", &headers[1..], Some(&login));
    let answer: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    answer["token"].as_str().unwrap().to_owned()
}

/// What an attack cost the daemon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    before: Usage,
    during: Usage,
    after: Usage,
}

impl Cost {
    /// The attack made the daemon hold no more than this beyond what it held before.
    pub(crate) fn is_at_most(&self, mebibytes: u64, threads: u64, descriptors: u64) {
        let memory = self.during.resident.saturating_sub(self.before.resident) / 1024;
        assert!(memory <= mebibytes, "{memory} MiB more, {mebibytes} at most: {self:?}");
        let more = self.during.threads.saturating_sub(self.before.threads);
        assert!(more <= threads + NOISE, "{more} threads more, {threads} at most: {self:?}");
        let more = self.during.descriptors.saturating_sub(self.before.descriptors);
        assert!(more <= descriptors + NOISE, "{more} descriptors more, {descriptors} at most: {self:?}");
    }
}

fn print_row(what: &str, cost: &Cost, done: &[Done]) {
    static HEAD: Once = Once::new();
    HEAD.call_once(|| {
        println!(
            "\n| | | resident MiB | threads | descriptors | read (ms: median, longest) | request to an app | config \
             change | failed |\n|---|---|---:|---:|---:|---:|---:|---:|---:|"
        );
    });
    let mut text = String::new();
    for (phase, name) in PHASES.iter().enumerate() {
        let held = [cost.before, cost.during, cost.after][phase];
        let what = if phase == 0 { what } else { "" };
        let _ = write!(
            text,
            "\n| {what} | {name} | {} | {} | {} |",
            held.resident / 1024,
            held.threads,
            held.descriptors
        );
        for action in [Action::Read, Action::Request, Action::Change] {
            let _ = write!(text, " {} |", times(done, action, phase));
        }
        let failed = done.iter().filter(|d| d.phase == phase && d.failure.is_some()).count();
        let _ = write!(text, " {failed} |");
    }
    println!("{text}");
}

fn times(done: &[Done], action: Action, phase: usize) -> String {
    let those = done.iter().filter(|d| d.action == action && d.phase == phase);
    let mut took: Vec<f64> = those.map(|d| d.took.as_secs_f64() * 1000.0).collect();
    took.sort_by(f64::total_cmp);
    match took.last() {
        Some(longest) => format!("{:.1}, {longest:.1}", took[took.len() / 2]),
        None => "–".to_owned(),
    }
}
