//! What a change would do, in words: the answer of a dry run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};

use crate::model::{ConfigData, Difference, PlanStep, ProcessGroup, ProcessType};

/// Steps and differences between what is held and what a change would make of it.
///
/// Takes the very groups that the change itself would lower, so that the answer cannot differ from the deed.
pub(crate) fn describe(
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
pub(crate) fn config_difference(old: &ConfigData, new: &ConfigData) -> Vec<Difference> {
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
pub(crate) fn scale_difference(
    old: &BTreeMap<ProcessType, u32>,
    new: &BTreeMap<ProcessType, u32>,
) -> Vec<Difference> {
    differences("scale", old, new, u32::to_string, u32::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Artifact, Digest, EnvKey, HealthChecks, Launch, ReleaseVersion, Secret, Template, TemplateId,
    };

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

    type Groups = BTreeMap<ProcessType, ProcessGroup>;

    fn groups(wanted: &[(&str, &str, u32)]) -> Groups {
        let group = |(process, id, scale): &(&str, &str, u32)| {
            let process = ProcessType::new(*process).unwrap();
            let launch =
                Launch { artifact: Artifact::Slug { digest: Digest::of(b"x") }, command: "x".into() };
            let template = Template::new(ReleaseVersion(2), process.clone(), launch);
            (
                process,
                ProcessGroup { scale: *scale, min_ready: 1, id: TemplateId((*id).to_owned()), template },
            )
        };
        wanted.iter().map(group).collect()
    }

    fn steps(before: &Groups, after: &Groups) -> Vec<(String, String)> {
        describe(None, before, after, true).into_iter().map(|step| (step.action, step.detail)).collect()
    }

    #[test]
    fn each_process_type_says_what_becomes_of_its_processes() {
        for (before, after, expected) in [
            (Some(("a", 2)), Some(("b", 3)), Some(("replace", "web: 3 one by one"))),
            (Some(("a", 2)), Some(("a", 5)), Some(("start", "web: 3 more (2 to 5)"))),
            (Some(("a", 5)), Some(("a", 2)), Some(("stop", "web: 3 after draining (5 to 2)"))),
            (Some(("a", 0)), Some(("b", 2)), Some(("start", "web: 2 more (0 to 2)"))),
            (Some(("a", 2)), Some(("b", 0)), Some(("stop", "web: 2 after draining (2 to 0)"))),
            (Some(("a", 2)), Some(("a", 2)), None),
            (Some(("a", 0)), Some(("b", 0)), None),
            (None, Some(("a", 2)), Some(("start", "web: 2"))),
            (None, Some(("a", 0)), None),
            (Some(("a", 2)), None, Some(("stop", "web: all 2 after draining"))),
            (Some(("a", 0)), None, None),
        ] {
            let of = |group: Option<(&str, u32)>| match group {
                Some((id, scale)) => groups(&[("web", id, scale)]),
                None => Groups::new(),
            };
            let found = steps(&of(before), &of(after));
            let found: Vec<_> = found.iter().map(|(action, detail)| (&**action, &**detail)).collect();
            match expected {
                None => assert_eq!(found, [], "{before:?} to {after:?}"),
                Some((action, detail)) => assert!(
                    found.len() == 1 && found[0].0 == action && found[0].1.starts_with(detail),
                    "{before:?} to {after:?}: {found:?}"
                ),
            }
        }
        let (before, after) = (groups(&[("old", "a", 1)]), groups(&[("new", "a", 1)]));
        assert_eq!(steps(&before, &after).len(), 2, "a type that comes and one that goes");
    }

    #[test]
    fn a_release_and_its_command_come_first() {
        let named = || Some(("v2".to_owned(), "ann deployed".to_owned()));
        let actions = |release, after: &Groups, has_command| {
            let steps = describe(release, &Groups::new(), after, has_command);
            steps.into_iter().map(|step| step.action).collect::<Vec<_>>()
        };
        let web = groups(&[("web", "a", 1)]);
        assert_eq!(actions(named(), &web, true), ["release", "run", "start"]);
        assert_eq!(actions(named(), &web, false), ["release", "start"]);
        assert_eq!(actions(named(), &Groups::new(), true), ["release"], "without a build nothing is run");
        assert_eq!(actions(None, &web, true), ["start"]);
    }

    #[test]
    fn numbers_that_differ_are_told_with_both_values() {
        let scales = |web: u32| BTreeMap::from([(ProcessType::web(), web), (ProcessType::cmd(), 1)]);
        let found = scale_difference(&scales(1), &scales(3));
        let expected = Difference {
            path: "scale.web".to_owned(),
            before: Some("1".to_owned()),
            after: Some("3".to_owned()),
        };
        assert_eq!(found, [expected]);
    }
}
