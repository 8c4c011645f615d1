//! Random schedules: up to six actions, each at a random moment of those before it, with deaths, failing calls and
//! forgetful back ends at random places. Each can be repeated by its seed.

use deis_core::{
    Platform,
    conformance::faults::{Fault, Fuse},
    service::Progress,
};

use super::{
    actions::{Action, TestBuild},
    bugs::Bug,
    harness::{Answer, Attempted, Harness, app},
    oracle::{self, Way},
    scenarios::LIVE,
    sweep::Outage,
    watch::Watch,
};

const MAX_ACTIONS: u64 = 6;
const MAX_STEPS: u64 = 25;
const MAX_CALLS: u64 = 250;
/// Steps of the last process before what is still on its way arrives.
const LATE_STEPS: usize = 30;

/// How many schedules a test runs; `DEIS_SCHEDULES` asks for more.
fn schedules(usual: u64) -> u64 {
    std::env::var("DEIS_SCHEDULES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Where to begin: `DEIS_FIRST_SCHEDULE` goes to the one that failed.
fn first_seed() -> u64 {
    std::env::var("DEIS_FIRST_SCHEDULE").ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn schedules_of_one_process() {
    run(1, schedules(2000)).await;
}

#[tokio::test(start_paused = true)]
async fn schedules_of_two_processes() {
    run(2, schedules(1500)).await;
}

async fn run(processes: usize, count: u64) {
    play_all(processes, count, Bug::None).await.unwrap();
    println!("kill sweep: {count} schedules of {processes} processes, all converge");
}

/// Plays so many schedules, and stops at the first that does not converge.
async fn play_all(processes: usize, count: u64, bug: Bug) -> Result<(), String> {
    let base = Harness::prepare(&LIVE, bug).await?;
    for seed in first_seed()..count {
        let mut schedule = Schedule::new(&base, processes, seed);
        if let Err(error) = schedule.play().await {
            let line = |a: &Attempted| format!("\n  {:?}: {:?}", a.action, a.answer);
            let history: String = schedule.harness.history.iter().map(line).collect();
            return Err(format!("schedule {seed} of {processes} processes: {error}{history}"));
        }
    }
    Ok(())
}

/// A platform process and what will happen to it.
#[derive(Clone)]
struct Process {
    platform: Platform,
    fuse: Fuse,
}

struct Schedule {
    harness: Harness,
    watch: Watch,
    dice: Dice,
    processes: Vec<Process>,
    /// Dead processes whose last call is still on its way.
    late: Vec<Fuse>,
    actions: u32,
}

impl Schedule {
    fn new(base: &Harness, processes: usize, seed: u64) -> Self {
        let harness = base.fork();
        let watch = Watch::new(&harness, 1);
        let dice = Dice::new(seed);
        let mut schedule = Self { harness, watch, dice, processes: Vec::new(), late: Vec::new(), actions: 0 };
        for _ in 0..processes {
            let process = schedule.process();
            schedule.processes.push(process);
        }
        schedule
    }

    async fn play(&mut self) -> Result<(), String> {
        for _ in 0..=self.dice.below(MAX_ACTIONS) {
            let action = self.action();
            self.attempt(action).await?;
            for _ in 0..self.dice.below(MAX_STEPS) {
                self.step().await?;
            }
        }
        // The processes end in the middle of whatever they do.
        self.processes.clear();
        let last = self.process_that_lasts();
        self.harness.steps(&last, LATE_STEPS, || self.watch.look()).await?;
        for fuse in std::mem::take(&mut self.late) {
            fuse.deliver().await;
            self.watch.look()?;
        }
        self.harness.drive(&last, || self.watch.look()).await?;
        oracle::judge(&self.harness, Way { died: true, rested: false }).await
    }

    /// One process does an action while the others drive on.
    async fn attempt(&mut self, action: Action) -> Result<(), String> {
        let who = self.anyone();
        let process = self.processes[who].clone();
        let others: Vec<_> = (0..self.processes.len()).filter(|other| *other != who).collect();
        let others = others.into_iter().map(|other| pass(self.processes[other].clone()));
        let others = futures_util::future::join_all(others.collect::<Vec<_>>());
        let work = async {
            tokio::select! {
                () = self.harness.attempt(&process.platform, action) => {}
                () = process.fuse.wait_for_death() => {}
            }
        };
        tokio::join!(work, others);
        let may_be_refused = matches!(action, Action::Rollback(_) | Action::Scale("worker", _));
        match self.harness.history.last().map(|attempted| &attempted.answer) {
            Some(Answer::Refused(reason)) if !may_be_refused => {
                return Err(format!("{action:?} is refused: {reason}"));
            }
            _ => {}
        }
        self.bury();
        self.watch.look()
    }

    /// One process or all of them at once do a step, or time goes by.
    async fn step(&mut self) -> Result<(), String> {
        if self.dice.one_in(8)
            && let Some(fuse) = self.late.pop()
        {
            fuse.deliver().await;
            self.watch.look()?;
        }
        let who = self.anyone();
        let all = self.dice.one_in(2);
        let drive = if all { self.processes.clone() } else { vec![self.processes[who].clone()] };
        let progress = futures_util::future::join_all(drive.into_iter().map(pass)).await;
        self.bury();
        self.watch.look()?;
        if !progress.contains(&Progress::Advanced) || self.dice.one_in(4) {
            tokio::time::advance(self.harness.world.tick_length()).await;
            self.harness.world.tick();
            self.watch.look()?;
        }
        Ok(())
    }

    /// New processes take the places of dead ones. Back ends forget only with the one process that has them.
    fn bury(&mut self) {
        for place in 0..self.processes.len() {
            if !self.processes[place].fuse.is_dead() {
                continue;
            }
            self.late.push(self.processes[place].fuse.clone());
            if self.processes.len() == 1 && self.dice.one_in(2) {
                self.harness.world.forget();
                // What it had under way went with the machine.
                self.late.clear();
            }
            self.processes[place] = self.process();
        }
    }

    fn process(&mut self) -> Process {
        let faults = [
            Fault::DieBefore,
            Fault::DieAfter,
            Fault::DieLate,
            Fault::FailBefore,
            Fault::FailAfter,
            Fault::Between,
        ];
        let outages = [Outage::None, Outage::None, Outage::Loses, Outage::Reboots, Outage::Stalls];
        let (fault, outage) = (*self.dice.pick(&faults), *self.dice.pick(&outages));
        let call = usize::try_from(self.dice.below(MAX_CALLS)).unwrap();
        let harm = outage.harm(&self.harness, fault, Vec::new());
        let fuse = Fuse::at(call, fault).with_harm(harm).taking_turns(self.dice.next());
        let lag = self.lag();
        Process { platform: self.harness.process(&fuse, lag), fuse }
    }

    fn process_that_lasts(&mut self) -> Platform {
        let lag = self.lag();
        self.harness.process(&Fuse::never(), lag)
    }

    fn lag(&mut self) -> usize {
        usize::try_from(self.dice.below(4)).unwrap()
    }

    fn anyone(&mut self) -> usize {
        let count = u64::try_from(self.processes.len()).unwrap();
        usize::try_from(self.dice.below(count)).unwrap()
    }

    fn action(&mut self) -> Action {
        self.actions += 1;
        let number = self.actions;
        let builds = [
            TestBuild::Good,
            TestBuild::Better,
            TestBuild::Crashes,
            TestBuild::OnlyWeb,
            TestBuild::Release,
            TestBuild::ReleaseFails,
        ];
        match self.dice.below(12) {
            0..=4 => Action::Deploy(*self.dice.pick(&builds)),
            5 => Action::Config(number),
            6 | 7 => Action::Scale("web", *self.dice.pick(&[1, 2, 3])),
            8 => Action::Scale("worker", *self.dice.pick(&[0, 1])),
            9 => Action::Rollback(*self.dice.pick(&[2, 3, 4])),
            10 => *self.dice.pick(&[Action::Restart, Action::RestartOne]),
            _ => Action::Domain(number),
        }
    }
}

/// One pass, or none if the process dies in it.
async fn pass(process: Process) -> Progress {
    let name = app();
    tokio::select! {
        progress = process.platform.pass(&name) => progress.unwrap_or(Progress::BackendUnavailable),
        () = process.fuse.wait_for_death() => Progress::BackendUnavailable,
    }
}

/// Random numbers that are the same for the same seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 33) % limit
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let count = u64::try_from(all.len()).unwrap();
        &all[usize::try_from(self.below(count)).unwrap()]
    }
}
