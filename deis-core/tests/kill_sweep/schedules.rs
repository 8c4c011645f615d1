//! Random schedules: up to six deeds, each at a random moment of those before it, with deaths, failing calls and
//! forgetful back ends at random places. Each can be repeated by its seed.

use std::time::Duration;

use deis_core::{
    Bug, Platform, Progress,
    conformance::faults::{Fault, Fuse},
};

use super::{
    bench::{Answer, Attempted, Bench, app},
    deeds::{Deed, Kit},
    oracle::{self, Way},
    scenarios::LIVE,
    watch::Watch,
};

const MOST_DEEDS: u64 = 6;
const MOST_STEPS: u64 = 25;
const MOST_CALLS: u64 = 250;

/// How many schedules a test runs; `DEIS_SCHEDULES` asks for more.
fn schedules(usual: u64) -> u64 {
    std::env::var("DEIS_SCHEDULES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
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
    let base = Bench::prepare(&LIVE, Bug::None).await.unwrap();
    for seed in 0..count {
        let mut schedule = Schedule::new(&base, processes, seed);
        if let Err(error) = schedule.play().await {
            let line = |a: &Attempted| format!("\n  {:?}: {:?}", a.deed, a.answer);
            let history: String = schedule.bench.history.iter().map(line).collect();
            panic!("schedule {seed} of {processes} processes: {error}{history}");
        }
    }
    println!("kill sweep: {count} schedules of {processes} processes, all converge");
}

/// A platform process and what will happen to it.
#[derive(Clone)]
struct Process {
    platform: Platform,
    fuse: Fuse,
}

struct Schedule {
    bench: Bench,
    watch: Watch,
    dice: Dice,
    processes: Vec<Process>,
    deeds: u32,
}

impl Schedule {
    fn new(base: &Bench, processes: usize, seed: u64) -> Self {
        let bench = base.fork();
        let watch = Watch::new(&bench, 1);
        let dice = Dice::new(seed);
        let mut schedule = Self { bench, watch, dice, processes: Vec::new(), deeds: 0 };
        for _ in 0..processes {
            let process = schedule.process();
            schedule.processes.push(process);
        }
        schedule
    }

    async fn play(&mut self) -> Result<(), String> {
        for _ in 0..=self.dice.below(MOST_DEEDS) {
            let deed = self.deed();
            self.attempt(deed).await?;
            for _ in 0..self.dice.below(MOST_STEPS) {
                self.step().await?;
            }
        }
        // The processes end in the middle of whatever they do.
        self.processes.clear();
        let last = self.bench.platform(&Fuse::never());
        self.bench.drive(&last, || self.watch.look()).await?;
        oracle::judge(&self.bench, Way { died: true, rested: false }).await
    }

    /// One process does a deed while the others drive on.
    async fn attempt(&mut self, deed: Deed) -> Result<(), String> {
        let who = self.anyone();
        let process = self.processes[who].clone();
        let others: Vec<_> = (0..self.processes.len()).filter(|other| *other != who).collect();
        let others = others.into_iter().map(|other| pass(self.processes[other].clone()));
        let others = futures_util::future::join_all(others.collect::<Vec<_>>());
        let work = async {
            tokio::select! {
                () = self.bench.attempt(&process.platform, deed) => {}
                () = process.fuse.death() => {}
            }
        };
        tokio::join!(work, others);
        let may_be_refused = matches!(deed, Deed::Rollback(_) | Deed::Scale("worker", _));
        match self.bench.history.last().map(|attempted| &attempted.answer) {
            Some(Answer::Refused(reason)) if !may_be_refused => {
                return Err(format!("{deed:?} is refused: {reason}"));
            }
            _ => {}
        }
        self.bury();
        self.watch.look()
    }

    /// One process or all of them at once do a step, or time goes by.
    async fn step(&mut self) -> Result<(), String> {
        let who = self.anyone();
        let all = self.dice.one_in(2);
        let drive = if all { self.processes.clone() } else { vec![self.processes[who].clone()] };
        let progress = futures_util::future::join_all(drive.into_iter().map(pass)).await;
        self.bury();
        self.watch.look()?;
        if !progress.contains(&Progress::Stepped) || self.dice.one_in(4) {
            tokio::time::advance(Duration::from_secs(1)).await;
            self.bench.world.tick();
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
            if self.processes.len() == 1 && self.dice.one_in(2) {
                self.bench.world.forget();
            }
            self.processes[place] = self.process();
        }
    }

    fn process(&mut self) -> Process {
        let faults = [Fault::DieBefore, Fault::DieAfter, Fault::FailBefore, Fault::FailAfter];
        let fault = *self.dice.pick(&faults);
        let call = usize::try_from(self.dice.below(MOST_CALLS)).unwrap();
        let fuse = Fuse::at(call, fault).taking_turns(self.dice.next());
        Process { platform: self.bench.platform(&fuse), fuse }
    }

    fn anyone(&mut self) -> usize {
        let count = u64::try_from(self.processes.len()).unwrap();
        usize::try_from(self.dice.below(count)).unwrap()
    }

    fn deed(&mut self) -> Deed {
        self.deeds += 1;
        let number = self.deeds;
        let kits = [Kit::Good, Kit::Better, Kit::Crashes, Kit::OnlyWeb, Kit::Release, Kit::ReleaseFails];
        match self.dice.below(12) {
            0..=4 => Deed::Deploy(*self.dice.pick(&kits)),
            5 => Deed::Config(number),
            6 | 7 => Deed::Scale("web", *self.dice.pick(&[1, 2, 3])),
            8 => Deed::Scale("worker", *self.dice.pick(&[0, 1])),
            9 => Deed::Rollback(*self.dice.pick(&[2, 3, 4])),
            10 => *self.dice.pick(&[Deed::Restart, Deed::RestartOne]),
            _ => Deed::Domain(number),
        }
    }
}

/// One pass, or none if the process dies in it.
async fn pass(process: Process) -> Progress {
    let name = app();
    tokio::select! {
        progress = process.platform.pass(&name) => progress.unwrap_or(Progress::Blind),
        () = process.fuse.death() => Progress::Blind,
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
