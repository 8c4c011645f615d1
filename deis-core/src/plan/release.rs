//! Which release comes next: what it is called, and which rollbacks are possible.

use std::collections::BTreeMap;

use crate::model::{BuildId, BuildKind, BuildSpec, ConfigData, Outcome, Release, ReleaseVersion, Username};

/// Summaries of a release: as made, and once it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What changed.
    pub text: String,
    /// What it is called after a failure.
    pub failed: String,
}

/// Summary of an app's first release.
pub fn initial(owner: &Username) -> Summary {
    let text = format!("{owner} created initial release");
    Summary { failed: text.clone(), text }
}

/// Summary of a deployed build.
pub fn deployed(owner: &Username, build: BuildId, spec: &BuildSpec) -> Summary {
    let what = match (&spec.sha, spec.kind) {
        (Some(sha), _) => sha.chars().take(7).collect(),
        (None, BuildKind::Image) => spec.image.clone(),
        (None, _) => spec.artifact.digest().short().chars().take(7).collect(),
    };
    let id: String = build.to_string().chars().take(7).collect();
    Summary {
        text: format!("{owner} deployed {what}"),
        failed: format!("{owner} deployed {id} which failed"),
    }
}

/// Summary of a rollback.
pub fn rolled_back(user: &Username, to: ReleaseVersion, owner_before: &Username) -> Summary {
    Summary {
        text: format!("{user} rolled back to {to}"),
        failed: format!("{owner_before} performed roll back to a release that failed"),
    }
}

/// Summary of a changed config.
pub fn configured(user: &Username, old: &ConfigData, new: &ConfigData) -> Summary {
    let mut parts = Vec::new();
    let env = difference(&old.values, &new.values);
    let words = [("added", &env.added), ("changed", &env.changed), ("deleted", &env.deleted)];
    let text: Vec<String> = words
        .iter()
        .filter(|(_, keys)| !keys.is_empty())
        .map(|(verb, keys)| format!("{verb} {}", keys.join(", ")))
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
    let mut maps = |old, new, noun: &str| {
        let found = difference(old, new);
        for (verb, keys) in [("added", found.added), ("changed", found.changed), ("deleted", found.deleted)] {
            if !keys.is_empty() {
                parts.push(format!("{verb} {noun} {}", keys.join(", ")));
            }
        }
    };
    maps(&old.lifecycle_post_start, &new.lifecycle_post_start, "lifecycle_post_start");
    maps(&old.lifecycle_pre_stop, &new.lifecycle_pre_stop, "lifecycle_pre_stop");
    if old.termination_grace_period != new.termination_grace_period {
        parts.push("changed timeouts for termination_grace_period".to_owned());
    }
    let mut maps = |old, new, noun: &str| {
        let found = difference(old, new);
        for (verb, keys) in [("added", found.added), ("changed", found.changed), ("deleted", found.deleted)] {
            if !keys.is_empty() {
                parts.push(format!("{verb} {noun} {}", keys.join(", ")));
            }
        }
    };
    maps(&old.tags, &new.tags, "tag");
    maps(&old.registry, &new.registry, "registry info");
    let health = difference(&old.healthcheck, &new.healthcheck);
    for (verb, keys) in [("added", health.added), ("changed", health.changed), ("deleted", health.deleted)] {
        if !keys.is_empty() {
            parts.push(format!("{verb} healthcheck info for proc type {}", keys.join(", ")));
        }
    }
    let text = format!("{user} {}", parts.join(" and "));
    Summary { text, failed: format!("{user} deployed a config that failed") }
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
    #[error("Cannot roll back to initial release.")]
    Initial,
    /// It never became live.
    #[error("Cannot roll back to failed release.")]
    Failed,
    /// There is no such number.
    #[error("version cannot be below 0")]
    BelowZero,
    /// There is no such release.
    #[error("there is no release {0}; see `deis releases`")]
    Unknown(ReleaseVersion),
    /// It has nothing to run.
    #[error("release {0} has no build, so there is nothing to run")]
    NoBuild(ReleaseVersion),
}

/// Which version a rollback means: the one asked for or found good; without either the one before the present, which
/// then says why it is no good.
pub fn rollback_target(
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
pub fn check_rollback(target: &Release, outcome: Option<&Outcome>) -> Result<(), RollbackError> {
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
    use crate::model::EnvKey;

    fn config(pairs: &[(&str, &str)]) -> ConfigData {
        let values = pairs.iter().map(|(k, v)| (EnvKey::new(*k).unwrap(), (*v).to_owned())).collect();
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
    fn rollbacks_have_bounds() {
        let v = ReleaseVersion;
        assert_eq!(rollback_target(None, v(5)), Ok(v(4)));
        assert_eq!(rollback_target(None, v(2)), Err(RollbackError::Initial));
        assert_eq!(rollback_target(Some(v(0)), v(2)), Err(RollbackError::BelowZero));
    }
}
