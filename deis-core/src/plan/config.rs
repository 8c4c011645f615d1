//! What a patch makes of a config, and what it must not.

use std::collections::BTreeMap;

mod check;
mod probe;

pub(crate) use check::is_platform_tag;

use super::constants::{MAX_CONFIG, MAX_CONFIG_ENTRIES, MAX_ENV, MAX_ENV_ENTRIES};
use crate::model::{
    ConfigData, ConfigPatch, HealthCheckPatch, HealthChecks, HttpCheck, MapPatch, Probe, Secret,
};

/// A patch that cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigError {
    /// Something is to be unset that is not set.
    #[error("{key} is not set in {member}")]
    NotSet {
        /// The key.
        key: String,
        /// The member of the config.
        member: &'static str,
    },
    /// A value breaks a rule.
    #[error("{member}: {reason}")]
    Invalid {
        /// The member of the config.
        member: &'static str,
        /// The rule.
        reason: String,
    },
    /// A CPU limit cannot be read.
    #[error("cpu: a limit is <limit> or <request>/<limit>, such as 500m, 1 or 0.5/2")]
    Cpu,
    /// A private registry says nothing of the port that its images listen on.
    #[error("PORT must be among the values where there is a private registry")]
    NeedsPort,
    /// The config would be what it is.
    #[error("nothing changes")]
    Unchanged,
}

/// Applies a patch: `None` unsets and must be set, a value sets, what is not named stays.
///
/// # Errors
/// [`ConfigError`] with the first member that is wrong, or that nothing would change.
pub(crate) fn merge(base: &ConfigData, patch: &ConfigPatch) -> Result<ConfigData, ConfigError> {
    check::patch(patch)?;
    let mut data = base.clone();
    merge_map(&mut data.values, &patch.values, "values")?;
    merge_map(&mut data.memory, &patch.memory, "memory")?;
    merge_map(&mut data.cpu, &patch.cpu, "cpu")?;
    merge_map(&mut data.tags, &patch.tags, "tags")?;
    merge_map(&mut data.registry, &lower_keys(&patch.registry), "registry")?;
    merge_map(&mut data.lifecycle_post_start, &patch.lifecycle_post_start, "lifecycle_post_start")?;
    merge_map(&mut data.lifecycle_pre_stop, &patch.lifecycle_pre_stop, "lifecycle_pre_stop")?;
    merge_map(
        &mut data.termination_grace_period,
        &patch.termination_grace_period,
        "termination_grace_period",
    )?;
    merge_health(&mut data.healthcheck, &patch.healthcheck)?;
    lift_legacy_health(&mut data)?;
    if !data.registry.is_empty() && data.value("PORT").is_none() {
        return Err(ConfigError::NeedsPort);
    }
    check_size(&data)?;
    if data == *base { Err(ConfigError::Unchanged) } else { Ok(data) }
}

/// What each member may hold after the change, and all of them together: a config is one record, and goes into each
/// workload.
fn check_size(data: &ConfigData) -> Result<(), ConfigError> {
    let texts =
        |map: &BTreeMap<String, String>| map.iter().map(|(key, text)| key.len() + text.len()).sum::<usize>();
    let env = data.values.iter().map(|(key, value)| variable_cost(key.as_str(), value.expose())).sum();
    let registry = data.registry.iter().map(|(key, value)| key.len() + value.expose().len()).sum();
    let grace = &data.termination_grace_period;
    let members: [(&'static str, usize, usize); 9] = [
        ("values", data.values.len(), env),
        ("memory", data.memory.len(), texts(&data.memory)),
        ("cpu", data.cpu.len(), texts(&data.cpu)),
        ("tags", data.tags.len(), texts(&data.tags)),
        ("registry", data.registry.len(), registry),
        ("lifecycle_post_start", data.lifecycle_post_start.len(), texts(&data.lifecycle_post_start)),
        ("lifecycle_pre_stop", data.lifecycle_pre_stop.len(), texts(&data.lifecycle_pre_stop)),
        ("termination_grace_period", grace.len(), texts(grace)),
        ("healthcheck", data.healthcheck.len(), data.healthcheck.values().map(probe::size).sum()),
    ];
    for (member, count, _) in members {
        let most = if member == "values" { MAX_ENV_ENTRIES } else { MAX_CONFIG_ENTRIES };
        if count > most {
            return Err(invalid(member, format!("there are {count} entries; at most {most} are possible")));
        }
    }
    if env > MAX_ENV {
        let text = format!("the whole environment takes {env} bytes; at most {MAX_ENV} are possible");
        return Err(invalid("values", text));
    }
    let largest = members.iter().skip(1).max_by_key(|member| member.2);
    let all: usize = members.iter().map(|member| member.2).sum();
    if let Some(&(member, ..)) = largest.filter(|_| all > MAX_CONFIG) {
        let text = format!("with it the config takes {all} bytes; at most {MAX_CONFIG} are possible");
        return Err(invalid(member, text));
    }
    Ok(())
}

/// What a variable takes of the room that Linux gives a process for arguments and environment: `NAME=value`, a NUL byte
/// and a pointer.
fn variable_cost(name: &str, value: &str) -> usize {
    name.len() + value.len() + 2 + size_of::<usize>()
}

fn invalid(member: &'static str, reason: impl Into<String>) -> ConfigError {
    ConfigError::Invalid { member, reason: reason.into() }
}

fn merge_map<K: Ord + Clone + ToString, V: Clone>(
    map: &mut BTreeMap<K, V>,
    patch: &MapPatch<K, V>,
    member: &'static str,
) -> Result<(), ConfigError> {
    for (key, value) in patch {
        match value {
            Some(value) => drop(map.insert(key.clone(), value.clone())),
            None if map.remove(key).is_some() => {}
            None => return Err(ConfigError::NotSet { key: key.to_string(), member }),
        }
    }
    Ok(())
}

fn lower_keys(patch: &MapPatch<String, Secret>) -> MapPatch<String, Secret> {
    patch.iter().map(|(key, value)| (key.to_lowercase(), value.clone())).collect()
}

fn merge_health(
    all: &mut BTreeMap<String, HealthChecks>,
    patch: &MapPatch<String, HealthCheckPatch>,
) -> Result<(), ConfigError> {
    for (process, change) in patch {
        let not_set = || ConfigError::NotSet { key: process.clone(), member: "healthcheck" };
        let Some(change) = change else {
            all.remove(process).ok_or_else(not_set)?;
            continue;
        };
        let checks = all.entry(process.clone()).or_default();
        for (slot, wanted) in
            [(&mut checks.liveness, &change.liveness), (&mut checks.readiness, &change.readiness)]
        {
            match wanted {
                Some(None) if slot.is_none() => return Err(not_set()),
                Some(wanted) => slot.clone_from(wanted),
                None => {}
            }
        }
    }
    Ok(())
}

/// `HEALTHCHECK_URL` and its companions become probes of `web/cmd` and leave the environment.
fn lift_legacy_health(data: &mut ConfigData) -> Result<(), ConfigError> {
    let get = |name: &str| data.value(name).map(str::to_owned);
    let Some(path) = get("HEALTHCHECK_URL") else { return Ok(()) };
    let number = |name: &str, default: u32| -> Result<u32, ConfigError> {
        get(name).map_or(Ok(default), |text| {
            text.parse()
                .map_err(|_| invalid("values", format!("{name} must be a number of at most ten digits")))
        })
    };
    let probe = Probe {
        exec: None,
        http_get: Some(HttpCheck {
            path: Some(path),
            port: 0,
            host: None,
            scheme: None,
            http_headers: Vec::new(),
        }),
        tcp_socket: None,
        initial_delay_seconds: number("HEALTHCHECK_INITIAL_DELAY", 50)?,
        timeout_seconds: number("HEALTHCHECK_TIMEOUT", 50)?,
        period_seconds: number("HEALTHCHECK_PERIOD_SECONDS", 10)?,
        success_threshold: number("HEALTHCHECK_SUCCESS_THRESHOLD", 1)?,
        failure_threshold: number("HEALTHCHECK_FAILURE_THRESHOLD", 3)?,
    };
    probe::check_times(&probe)?;
    let mut liveness = probe.clone();
    liveness.success_threshold = 1;
    let checks = HealthChecks { liveness: Some(liveness), readiness: Some(probe) };
    data.healthcheck.insert("web/cmd".to_owned(), checks);
    data.values.retain(|key, _| !key.as_str().starts_with("HEALTHCHECK_"));
    Ok(())
}

#[cfg(test)]
mod tests;
