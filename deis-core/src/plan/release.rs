//! Which release comes next: what it is called, and which rollbacks are possible.

use std::collections::BTreeMap;

use super::constants::MAX_SUMMARY_NAMES;

use crate::model::{BuildId, BuildSource, BuildSpec, ConfigData, Outcome, Release, ReleaseVersion, Username};

/// Summaries of a release: as made, and once it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// What changed.
    pub(crate) text: String,
    /// What it is called after a failure.
    pub(crate) failed: String,
}

/// Summary of an app's first release.
pub(crate) fn initial(owner: &Username) -> Summary {
    let text = format!("{owner} created initial release");
    Summary { failed: text.clone(), text }
}

/// Summary of a deployed build.
pub(crate) fn deployed(owner: &Username, build: BuildId, spec: &BuildSpec) -> Summary {
    let what = match (&spec.source, spec.commit()) {
        (BuildSource::Image { reference }, _) => reference.clone(),
        (_, Some(commit)) => commit.chars().take(7).collect(),
        (_, None) => spec.artifact.digest().short().chars().take(7).collect(),
    };
    let id: String = build.to_string().chars().take(7).collect();
    Summary {
        text: format!("{owner} deployed {what}"),
        failed: format!("{owner} deployed {id} which failed"),
    }
}

/// Summary of a rollback.
pub(crate) fn rolled_back(user: &Username, to: ReleaseVersion, owner_before: &Username) -> Summary {
    Summary {
        text: format!("{user} rolled back to {to}"),
        failed: format!("{owner_before} performed roll back to a release that failed"),
    }
}

/// Summary of a changed config.
pub(crate) fn configured(user: &Username, old: &ConfigData, new: &ConfigData) -> Summary {
    let mut parts = Vec::new();
    let env = difference(&old.values, &new.values);
    let words = [("added", &env.added), ("changed", &env.changed), ("deleted", &env.deleted)];
    let text: Vec<String> = words
        .iter()
        .filter(|(_, keys)| !keys.is_empty())
        .map(|(verb, keys)| format!("{verb} {}", list(keys)))
        .collect();
    if !text.is_empty() {
        parts.push(text.join(", "));
    }
    let limits: Vec<&str> = [("memory", old.memory != new.memory), ("cpu", old.cpu != new.cpu)]
        .iter()
        .filter(|l| l.1)
        .map(|l| l.0)
        .collect();
    if !limits.is_empty() {
        parts.push(format!("changed limits for {}", limits.join(", ")));
    }
    named(&mut parts, "lifecycle_post_start", &old.lifecycle_post_start, &new.lifecycle_post_start);
    named(&mut parts, "lifecycle_pre_stop", &old.lifecycle_pre_stop, &new.lifecycle_pre_stop);
    if old.termination_grace_period != new.termination_grace_period {
        parts.push("changed timeouts for termination_grace_period".to_owned());
    }
    named(&mut parts, "tag", &old.tags, &new.tags);
    named(&mut parts, "registry info", &old.registry, &new.registry);
    named(&mut parts, "healthcheck info for proc type", &old.healthcheck, &new.healthcheck);
    let text = format!("{user} {}", parts.join(" and "));
    Summary { text, failed: format!("{user} deployed a config that failed") }
}

/// Names for people, no more of them than one line can hold: a summary is in each process's environment.
fn list(names: &[String]) -> String {
    let mut shown = 0;
    let mut length = 0;
    while let Some(name) = names.get(shown)
        && length + name.len() <= MAX_SUMMARY_NAMES
    {
        length += name.len() + 2;
        shown += 1;
    }
    let text = names[..shown].join(", ");
    if shown == names.len() { text } else { format!("{text} and {} more", names.len() - shown) }
}

/// Adds which keys of a map came, changed and went.
fn named<V: PartialEq>(
    parts: &mut Vec<String>,
    noun: &str,
    old: &BTreeMap<String, V>,
    new: &BTreeMap<String, V>,
) {
    let found = difference(old, new);
    for (verb, keys) in [("added", found.added), ("changed", found.changed), ("deleted", found.deleted)] {
        if !keys.is_empty() {
            parts.push(format!("{verb} {noun} {}", list(&keys)));
        }
    }
}

struct Changes {
    added: Vec<String>,
    changed: Vec<String>,
    deleted: Vec<String>,
}

fn difference<K: Ord + ToString, V: PartialEq>(old: &BTreeMap<K, V>, new: &BTreeMap<K, V>) -> Changes {
    let names = |keys: Vec<&K>| keys.into_iter().map(ToString::to_string).collect();
    Changes {
        added: names(new.keys().filter(|k| !old.contains_key(k)).collect()),
        changed: names(
            new.iter().filter(|(k, v)| old.get(k).is_some_and(|o| o != *v)).map(|(k, _)| k).collect(),
        ),
        deleted: names(old.keys().filter(|k| !new.contains_key(k)).collect()),
    }
}

/// A rollback that is refused before anything is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RollbackError {
    /// Release 1 has no build.
    #[error("the first release has no build")]
    Initial,
    /// It never became live.
    #[error("it failed")]
    Failed,
    /// There is no such number.
    #[error("releases begin with 1")]
    BelowZero,
    /// There is no such release.
    #[error("there is no release {0}")]
    Unknown(ReleaseVersion),
    /// It has nothing to run.
    #[error("release {0} has no build, so there is nothing to run")]
    NoBuild(ReleaseVersion),
}

/// Which version a rollback means: the one asked for or found good; without either the one before the present, which
/// then says why it is no good.
///
/// # Errors
/// [`RollbackError`] if there is no release to go back to.
pub(crate) fn rollback_target(
    wanted: Option<ReleaseVersion>,
    current: ReleaseVersion,
) -> Result<ReleaseVersion, RollbackError> {
    let target = wanted.unwrap_or(ReleaseVersion(current.0.saturating_sub(1)));
    match target.0 {
        0 => Err(RollbackError::BelowZero),
        1 => Err(RollbackError::Initial),
        _ => Ok(target),
    }
}

/// Whether a release can be gone back to.
///
/// # Errors
/// [`RollbackError`] says why this release cannot be gone back to.
pub(crate) fn check_rollback(target: &Release, outcome: Option<&Outcome>) -> Result<(), RollbackError> {
    if outcome.is_some_and(Outcome::is_failed) {
        return Err(RollbackError::Failed);
    }
    if target.build.is_none() {
        return Err(RollbackError::NoBuild(target.version));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Attempt, Cause, ConfigId, Digest, EnvKey, GitSource, HealthChecks, Secret, Timestamp,
    };

    fn config(pairs: &[(&str, &str)]) -> ConfigData {
        let values = pairs.iter().map(|(k, v)| (EnvKey::new(*k).unwrap(), Secret::new(*v))).collect();
        ConfigData { values, ..ConfigData::default() }
    }

    #[test]
    fn a_config_summary_names_its_changes() {
        let bob = Username::new("bob").unwrap();
        let (old, new) = (config(&[("E", "1"), ("N", "1")]), config(&[("N", "2"), ("NEW2", "y")]));
        assert_eq!(configured(&bob, &old, &new).text, "bob added NEW2, changed N, deleted E");
        let mut limited = new.clone();
        limited.memory.insert("web".into(), "1G".into());
        assert_eq!(configured(&bob, &new, &limited).text, "bob changed limits for memory");
    }

    #[test]
    fn a_summary_is_bounded_whatever_was_set() {
        let bob = Username::new("bob").unwrap();
        let names: Vec<String> = (0..1000).map(|i| format!("{}{i:03}", "K".repeat(253))).collect();
        let pairs: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
        let text = configured(&bob, &ConfigData::default(), &config(&pairs)).text;
        assert!(text.len() < 2100 && text.ends_with(" and 993 more"), "{}", text.len());
    }

    #[test]
    fn rollbacks_have_bounds() {
        let v = ReleaseVersion;
        assert_eq!(rollback_target(None, v(5)), Ok(v(4)));
        assert_eq!(rollback_target(None, v(2)), Err(RollbackError::Initial));
        assert_eq!(rollback_target(Some(v(0)), v(2)), Err(RollbackError::BelowZero));
    }

    #[test]
    fn every_member_of_a_config_has_its_words() {
        let bob = Username::new("bob").unwrap();
        let text = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let old = ConfigData { tags: text("zone", "west"), cpu: text("web", "1"), ..ConfigData::default() };
        let new = ConfigData {
            memory: text("web", "1G"),
            cpu: text("web", "2"),
            tags: text("disk", "fast"),
            registry: [("username".to_owned(), Secret::new("x"))].into(),
            lifecycle_post_start: text("web", "x"),
            lifecycle_pre_stop: text("web", "x"),
            termination_grace_period: text("web", "5"),
            healthcheck: [("web".to_owned(), HealthChecks::default())].into(),
            ..ConfigData::default()
        };
        let expected = "bob changed limits for memory, cpu and added lifecycle_post_start web \
                        and added lifecycle_pre_stop web and changed timeouts for termination_grace_period \
                        and added tag disk and deleted tag zone and added registry info username \
                        and added healthcheck info for proc type web";
        assert_eq!(configured(&bob, &old, &new).text, expected);
        assert_eq!(configured(&bob, &old, &new).failed, "bob deployed a config that failed");
        let changed = ConfigData { tags: text("zone", "east"), ..old.clone() };
        assert_eq!(configured(&bob, &old, &changed).text, "bob changed tag zone");
    }

    #[test]
    fn as_many_names_are_listed_as_there_is_room_for() {
        let names = |lengths: &[usize]| lengths.iter().map(|n| "x".repeat(*n)).collect::<Vec<_>>();
        for (lengths, left_out) in [
            (&[2000][..], 0),
            (&[2001], 1),
            // Two more go to the comma.
            (&[999, 999], 0),
            (&[999, 1000], 1),
            (&[1, 1999, 1], 2),
        ] {
            let text = list(&names(lengths));
            match left_out {
                0 => assert_eq!(text, names(lengths).join(", ")),
                n => assert!(text.ends_with(&format!(" and {n} more")), "{lengths:?}"),
            }
        }
    }

    #[test]
    fn a_release_says_what_it_was_made_of() {
        let (ann, bob) = (Username::new("ann").unwrap(), Username::new("bob").unwrap());
        let first = initial(&ann);
        assert_eq!(
            (&*first.text, &*first.failed),
            ("ann created initial release", "ann created initial release")
        );
        let id = BuildId(uuid::Uuid::from_u128(0xfedc_ba98_7654_3210_0000_0000_0000_0000));
        let slug = BuildSpec::slug(Digest::of(b"x"), [].into());
        let git = GitSource { commit: Some("0123456789".to_owned()), branch: None };
        let pushed = BuildSpec { source: BuildSource::Buildpack(git), ..slug.clone() };
        let image = BuildSource::Image { reference: "r/blog:1".to_owned() };
        let image = BuildSpec { source: image, ..slug.clone() };
        for (spec, what) in
            [(&slug, &Digest::of(b"x").hex()[..7]), (&pushed, "0123456"), (&image, "r/blog:1")]
        {
            let summary = deployed(&ann, id, spec);
            assert_eq!(summary.text, format!("ann deployed {what}"));
            assert_eq!(summary.failed, "ann deployed fedcba9 which failed");
        }
        let back = rolled_back(&bob, ReleaseVersion(2), &ann);
        assert_eq!(back.text, "bob rolled back to v2");
        assert_eq!(back.failed, "ann performed roll back to a release that failed");
    }

    #[test]
    fn only_what_has_a_build_and_did_not_fail_can_be_gone_back_to() {
        let release = |build| Release {
            uuid: uuid::Uuid::nil(),
            version: ReleaseVersion(2),
            owner: Username::new("ann").unwrap(),
            created: Timestamp(0),
            summary: String::new(),
            failed_summary: String::new(),
            build,
            build_seq: None,
            config: ConfigId(uuid::Uuid::nil()),
            digest: Digest::of(b""),
            attempt: Attempt(1),
        };
        let built = release(Some(BuildId(uuid::Uuid::nil())));
        let at = Timestamp(0);
        let failed = Outcome::Failed { cause: Cause::Quota { reason: String::new() }, at };
        assert_eq!(check_rollback(&built, Some(&failed)), Err(RollbackError::Failed));
        for good in
            [None, Some(Outcome::Succeeded { at }), Some(Outcome::Superseded { by: ReleaseVersion(3), at })]
        {
            assert_eq!(check_rollback(&built, good.as_ref()), Ok(()));
        }
        let nothing = Err(RollbackError::NoBuild(ReleaseVersion(2)));
        assert_eq!(check_rollback(&release(None), Some(&Outcome::Succeeded { at })), nothing);
    }
}
