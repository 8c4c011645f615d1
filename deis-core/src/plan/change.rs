//! What a change would do, in words: the answer of a dry run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};

use crate::model::{ConfigData, Difference, Plan, PlanStep, ProcessGroup, ProcessType};

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

/// What differs between two configs. Values of variables and of a registry are secrets and are not repeated, and
/// hooks and health checks are too long to be.
pub fn config_difference(old: &ConfigData, new: &ConfigData) -> Vec<Difference> {
    let mut found = hidden("config", &old.values, &new.values);
    for (member, old, new) in [
        ("memory", &old.memory, &new.memory),
        ("cpu", &old.cpu, &new.cpu),
        ("tags", &old.tags, &new.tags),
        ("termination_grace_period", &old.termination_grace_period, &new.termination_grace_period),
    ] {
        found.extend(differences(member, old, new, Clone::clone, Clone::clone));
    }
    found.extend(hidden("registry", &old.registry, &new.registry));
    for (member, old, new) in [
        ("lifecycle_post_start", &old.lifecycle_post_start, &new.lifecycle_post_start),
        ("lifecycle_pre_stop", &old.lifecycle_pre_stop, &new.lifecycle_pre_stop),
    ] {
        found.extend(hidden(member, old, new));
    }
    found.extend(hidden("healthcheck", &old.healthcheck, &new.healthcheck));
    found
}

fn hidden<K: Ord + Display, V: PartialEq>(
    member: &str,
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
) -> Vec<Difference> {
    differences(member, old, new, |_| "(set)".to_owned(), |_| "(set anew)".to_owned())
}

fn differences<K: Ord + Display, V: PartialEq>(
    member: &str,
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    before: impl Fn(&V) -> String,
    after: impl Fn(&V) -> String,
) -> Vec<Difference> {
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    keys.into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|key| Difference {
            path: format!("{member}.{key}"),
            before: old.get(key).map(&before),
            after: new.get(key).map(&after),
        })
        .collect()
}

/// What differs between two structures.
pub fn scale_difference(
    old: &BTreeMap<ProcessType, u32>,
    new: &BTreeMap<ProcessType, u32>,
) -> Vec<Difference> {
    differences("scale", old, new, u32::to_string, u32::to_string)
}

/// A plan of these steps and differences.
pub fn plan(steps: Vec<PlanStep>, diff: Vec<Difference>) -> Plan {
    Plan { steps, diff }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EnvKey, HealthChecks, Secret};

    #[test]
    fn every_member_of_a_config_has_its_differences_and_secrets_stay_secret() {
        let text =
            |key: &str, value: &str| -> BTreeMap<String, String> { [(key.into(), value.into())].into() };
        let new = ConfigData {
            values: [(EnvKey::new("A").unwrap(), Secret::new("secret"))].into(),
            memory: text("web", "1G"),
            cpu: text("web", "2"),
            tags: text("zone", "west"),
            registry: [("password".to_owned(), Secret::new("secret"))].into(),
            lifecycle_post_start: text("web", "x"),
            lifecycle_pre_stop: text("web", "x"),
            termination_grace_period: text("web", "5"),
            healthcheck: [("web".to_owned(), HealthChecks::default())].into(),
        };
        let found = config_difference(&ConfigData::default(), &new);
        let paths: Vec<&str> = found.iter().map(|d| d.path.as_str()).collect();
        let expected = [
            "config.A",
            "memory.web",
            "cpu.web",
            "tags.zone",
            "termination_grace_period.web",
            "registry.password",
            "lifecycle_post_start.web",
            "lifecycle_pre_stop.web",
            "healthcheck.web",
        ];
        assert_eq!(paths, expected);
        assert_eq!((&found[1].before, found[1].after.as_deref()), (&None, Some("1G")));
        assert!(!format!("{found:?}").contains("secret"));
    }
}
