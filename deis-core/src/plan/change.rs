//! What a change would do, in words: the answer of a dry run.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{ConfigData, Difference, Formation, Plan, PlanStep, ProcessGroup, ProcessType};

/// Steps and differences between what is held and what a change would make of it.
///
/// Takes the very groups that the change itself would lower, so that the answer cannot differ from the deed.
pub fn describe(
    release: Option<(String, String)>,
    before: &BTreeMap<ProcessType, ProcessGroup>,
    after: &BTreeMap<ProcessType, ProcessGroup>,
    has_command: bool,
) -> Vec<PlanStep> {
    let mut steps = Vec::new();
    let mut step = |action: &str, detail: String| steps.push(PlanStep { action: action.to_owned(), detail });
    if let Some((version, summary)) = release {
        step("release", format!("{version}: {summary}"));
        if has_command && !after.is_empty() {
            step("run", "the release command, before anything is replaced".to_owned());
        }
    }
    let types: BTreeSet<&ProcessType> = before.keys().chain(after.keys()).collect();
    for process in types {
        match (before.get(process), after.get(process)) {
            (Some(old), Some(new)) if old.id != new.id && old.scale > 0 && new.scale > 0 => {
                step(
                    "replace",
                    format!(
                        "{process}: {} one by one, each new one ready before an old one leaves",
                        new.scale
                    ),
                );
            }
            (Some(old), Some(new)) if new.scale > old.scale => {
                step(
                    "start",
                    format!("{process}: {} more ({} to {})", new.scale - old.scale, old.scale, new.scale),
                );
            }
            (Some(old), Some(new)) if new.scale < old.scale => {
                let detail = format!(
                    "{process}: {} after draining ({} to {})",
                    old.scale - new.scale,
                    old.scale,
                    new.scale
                );
                step("stop", detail);
            }
            (None, Some(new)) if new.scale > 0 => step("start", format!("{process}: {}", new.scale)),
            (Some(old), None) if old.scale > 0 => {
                step("stop", format!("{process}: all {} after draining", old.scale));
            }
            _ => {}
        }
    }
    steps
}

/// What differs between two configs. Values of variables are secrets and are not repeated.
pub fn config_difference(old: &ConfigData, new: &ConfigData) -> Vec<Difference> {
    let keys: BTreeSet<_> = old.values.keys().chain(new.values.keys()).collect();
    keys.into_iter()
        .filter(|key| old.values.get(*key) != new.values.get(*key))
        .map(|key| Difference {
            path: format!("config.{key}"),
            before: old.values.get(key).map(|_| "(set)".to_owned()),
            after: new.values.get(key).map(|_| "(set anew)".to_owned()),
        })
        .collect()
}

/// What differs between two formations.
pub fn scale_difference(old: &Formation, new: &Formation) -> Vec<Difference> {
    let types: BTreeSet<_> = old.scales.keys().chain(new.scales.keys()).collect();
    types
        .into_iter()
        .filter(|process| old.scales.get(*process) != new.scales.get(*process))
        .map(|process| Difference {
            path: format!("scale.{process}"),
            before: old.scales.get(process).map(u32::to_string),
            after: new.scales.get(process).map(u32::to_string),
        })
        .collect()
}

/// A plan of these steps and differences.
pub fn plan(steps: Vec<PlanStep>, diff: Vec<Difference>) -> Plan {
    Plan { steps, diff }
}
