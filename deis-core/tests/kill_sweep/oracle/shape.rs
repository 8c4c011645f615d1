//! What should run, worked out on paper: a second statement of the rules for scales and restarts.

use std::collections::BTreeMap;

use super::records::Known;
use crate::{
    actions::{Action, TestBuild},
    harness::Attempted,
};

/// Whether an attempt is in force in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is.
    InForce,
    /// It failed and was undone, was refused, or never happened.
    Undone,
    /// Nobody was told, so both are right.
    Either,
}

/// Processes of an app: what is wanted and how often each type was restarted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    build: Option<TestBuild>,
    scales: BTreeMap<&'static str, u32>,
    restarts: BTreeMap<&'static str, u64>,
}

impl Shape {
    pub(super) fn scale(&self, process: &str) -> u32 {
        self.scales.get(process).copied().unwrap_or(0)
    }

    pub(super) fn restarts(&self, process: &str) -> u64 {
        self.restarts.get(process).copied().unwrap_or(0)
    }

    fn after(mut self, action: Action, release: Option<&Known>) -> Self {
        match action {
            Action::Scale(process, count) => {
                self.scales.insert(process, count);
            }
            Action::Restart => {
                let types = self.build.into_iter().flat_map(TestBuild::types);
                let running: Vec<_> = types.map(|t| t.0).filter(|t| self.scale(t) > 0).collect();
                for process in running {
                    *self.restarts.entry(process).or_default() += 1;
                }
            }
            _ => {
                if let Some(build) = release.and_then(|known| known.content.build) {
                    self.take(build);
                }
            }
        }
        self
    }

    /// The first build with a web process starts one, unless somebody scaled a routed type before.
    fn take(&mut self, build: TestBuild) {
        let has = |process: &str| build.types().any(|(name, _)| name == process);
        let asked = self.scales.contains_key("web") || self.scales.contains_key("cmd");
        if has("web") && !asked {
            self.scales.insert("web", 1);
        }
        self.build = Some(build);
    }
}

/// All shapes that are right after these attempts.
pub(super) fn shapes(history: &[Attempted], fates: &[Fate], made: &[Option<&Known>]) -> Vec<Shape> {
    let mut all = vec![Shape::default()];
    for ((attempted, fate), release) in history.iter().zip(fates).zip(made) {
        let then = |shape: &Shape| shape.clone().after(attempted.action, *release);
        all = match fate {
            Fate::Undone => all,
            Fate::InForce => all.iter().map(then).collect(),
            Fate::Either => all.iter().flat_map(|shape| [shape.clone(), then(shape)]).collect(),
        };
        all.dedup();
    }
    all
}
