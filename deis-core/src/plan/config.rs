//! What a patch makes of a config, and what it must not.

use std::collections::BTreeMap;

use super::{
    constants::{MOST_ENV, MOST_ENV_VALUE},
    quantity::{is_cpu, is_digits, is_memory},
};
use crate::model::{
    ConfigData, ConfigPatch, EnvKey, HealthCheckPatch, HealthChecks, HttpCheck, MapPatch, Probe, ProcessType,
};

/// A patch that cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Something is to be unset that is not set.
    #[error("{key} does not exist under {member}")]
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
    /// A private registry says nothing of the port that its images listen on.
    #[error("PORT needs to be set in the application config when using a private registry")]
    NeedsPort,
    /// The config would be what it is.
    #[error("nothing changes")]
    Unchanged,
}

/// Applies a patch: `None` unsets and must be set, a value sets, what is not named stays.
pub fn merge(base: &ConfigData, patch: &ConfigPatch) -> Result<ConfigData, ConfigError> {
    check(patch)?;
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
    if !data.registry.is_empty() && !data.values.keys().any(|key| key.as_str() == "PORT") {
        return Err(ConfigError::NeedsPort);
    }
    let size: usize = data.values.iter().map(|(key, value)| key.as_str().len() + value.len() + 2).sum();
    if size > MOST_ENV {
        return Err(invalid(
            "values",
            format!("all values together must not be larger than {MOST_ENV} bytes"),
        ));
    }
    if data == *base { Err(ConfigError::Unchanged) } else { Ok(data) }
}

fn invalid(member: &'static str, reason: impl Into<String>) -> ConfigError {
    ConfigError::Invalid { member, reason: reason.into() }
}

fn merge_map<K: Ord + Clone + ToString>(
    map: &mut BTreeMap<K, String>,
    patch: &MapPatch<K, String>,
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

fn lower_keys(patch: &MapPatch<String, String>) -> MapPatch<String, String> {
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
    let get = |name: &str| data.values.iter().find(|(k, _)| k.as_str() == name).map(|(_, v)| v.clone());
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
    check_times(&probe)?;
    let mut liveness = probe.clone();
    liveness.success_threshold = 1;
    let checks = HealthChecks { liveness: Some(liveness), readiness: Some(probe) };
    data.healthcheck.insert("web/cmd".to_owned(), checks);
    data.values.retain(|key, _| !key.as_str().starts_with("HEALTHCHECK_"));
    Ok(())
}

fn check(patch: &ConfigPatch) -> Result<(), ConfigError> {
    for (key, value) in set_values(&patch.values) {
        check_value(key, value)?;
    }
    for (process, value) in set_values(&patch.memory) {
        check_type("memory", process)?;
        if !is_memory(value) {
            let text = "a memory limit is <limit> or <request>/<limit>, such as 512M, 1G or 256M/1G";
            return Err(invalid("memory", text));
        }
    }
    for (process, value) in set_values(&patch.cpu) {
        check_type("cpu", process)?;
        if !is_cpu(value) {
            let text = "CPU limit format: <value> or <value>/<value>, where value must be a numeric";
            return Err(invalid("cpu", text));
        }
    }
    for (process, value) in set_values(&patch.termination_grace_period) {
        check_type("termination_grace_period", process)?;
        if !is_digits(value) || value.parse::<u32>().is_err() {
            return Err(invalid("termination_grace_period", "a grace period is a number of seconds"));
        }
    }
    for (member, hooks) in [
        ("lifecycle_post_start", &patch.lifecycle_post_start),
        ("lifecycle_pre_stop", &patch.lifecycle_pre_stop),
    ] {
        set_values(hooks).try_for_each(|(process, _)| check_type(member, process))?;
    }
    for (key, value) in set_values(&patch.tags) {
        check_tag(key, value)?;
    }
    for (key, _) in set_values(&patch.registry) {
        EnvKey::new(key.as_str()).map_err(|e| invalid("registry", e.to_string()))?;
    }
    patch.healthcheck.iter().filter_map(|(p, c)| Some((p, c.as_ref()?))).try_for_each(|(process, change)| {
        if process != "web/cmd" {
            check_type("healthcheck", process)?;
        }
        let probes = [(&change.liveness, true), (&change.readiness, false)];
        probes.into_iter().filter_map(|(p, l)| Some((p.as_ref()?.as_ref()?, l))).try_for_each(check_probe)
    })
}

fn set_values<K, V>(patch: &MapPatch<K, V>) -> impl Iterator<Item = (&K, &V)> {
    patch.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)))
}

/// Variables that a scheduler reads as numbers, so that a wrong one is told when it is set and not by each rollout.
const TUNABLES: [&str; 3] = [
    "DEIS_DEPLOY_BATCHES",
    "KUBERNETES_DEPLOYMENTS_REVISION_HISTORY_LIMIT",
    "KUBERNETES_POD_TERMINATION_GRACE_PERIOD_SECONDS",
];

fn check_value(key: &EnvKey, value: &str) -> Result<(), ConfigError> {
    if value.contains('\0') {
        return Err(invalid("values", format!("{key} contains a NUL byte, which no environment can hold")));
    }
    if value.len() + key.as_str().len() > MOST_ENV_VALUE {
        return Err(invalid(
            "values",
            format!("{key} is longer than {MOST_ENV_VALUE} bytes, the most that Linux takes"),
        ));
    }
    let name = key.as_str();
    if name == "PORT" {
        if !is_digits(value) {
            return Err(invalid("values", "PORT can only be a numeric value"));
        }
        if !value.parse::<u32>().is_ok_and(|port| (1..=65535).contains(&port)) {
            return Err(invalid("values", "PORT must be between 1 and 65535"));
        }
    } else if name == "HEALTHCHECK_URL" {
        if !value.starts_with('/') || value.contains(['?', '#']) || value.starts_with("//") {
            return Err(invalid("values", "HEALTHCHECK_URL must be a path, such as /healthz"));
        }
    } else if name.starts_with("HEALTHCHECK_") && !is_digits(value) {
        return Err(invalid("values", format!("{name} can only be a numeric value")));
    } else if name == "DEIS_DEPLOY_TIMEOUT" && !value.parse::<u32>().is_ok_and(|n| n > 0) {
        return Err(invalid("values", "DEIS_DEPLOY_TIMEOUT must be a number of seconds above 0"));
    } else if TUNABLES.contains(&name) && (!is_digits(value) || value.parse::<u32>().is_err()) {
        return Err(invalid("values", format!("{name} must be a whole number")));
    }
    Ok(())
}

fn check_type(member: &'static str, process: &str) -> Result<(), ConfigError> {
    ProcessType::new(process).map(drop).map_err(|e| invalid(member, e.to_string()))
}

fn check_tag(key: &str, value: &str) -> Result<(), ConfigError> {
    let word = |text: &str, most: usize| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        text.len() <= most
            && edge(text.chars().next())
            && edge(text.chars().last())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if prefix.is_some_and(|p| !word(p, 253)) || !word(name, 63) {
        return Err(invalid(
            "tags",
            format!("{key:?} is no tag: write [prefix/]name of letters, digits, - _ ."),
        ));
    }
    if value.is_empty() || word(value, 63) {
        return Ok(());
    }
    Err(invalid("tags", format!("the value of {key} must have at most 63 letters, digits, - _ .")))
}

fn check_probe((probe, is_liveness): (&Probe, bool)) -> Result<(), ConfigError> {
    let kinds = [probe.exec.is_some(), probe.http_get.is_some(), probe.tcp_socket.is_some()];
    if kinds.iter().filter(|set| **set).count() != 1 {
        return Err(invalid("healthcheck", "a probe has exactly one of exec, httpGet and tcpSocket"));
    }
    if probe.exec.as_ref().is_some_and(|exec| exec.command.is_empty()) {
        return Err(invalid("healthcheck", "exec needs a command"));
    }
    if is_liveness && probe.success_threshold != 1 {
        return Err(invalid("healthcheck", "livenessProbe successThreshold must be 1"));
    }
    if probe.http_get.as_ref().is_some_and(|http| http.port == 0)
        || probe.tcp_socket.as_ref().is_some_and(|tcp| tcp.port == 0)
    {
        return Err(invalid("healthcheck", "a port is a number from 1 to 65535"));
    }
    check_times(probe)
}

fn check_times(probe: &Probe) -> Result<(), ConfigError> {
    let numbers =
        [probe.period_seconds, probe.timeout_seconds, probe.success_threshold, probe.failure_threshold];
    if numbers.contains(&0) {
        return Err(invalid(
            "healthcheck",
            "periodSeconds, timeoutSeconds, successThreshold and failureThreshold must be above 0",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> EnvKey {
        EnvKey::new(name).unwrap()
    }

    fn set(pairs: &[(&str, &str)]) -> ConfigPatch {
        pairs.iter().fold(ConfigPatch::default(), |patch, (k, v)| patch.set(key(k), *v))
    }

    #[test]
    fn values_are_merged_key_by_key() {
        let base = merge(&ConfigData::default(), &set(&[("A", "1"), ("B", "2")])).unwrap();
        let next = merge(&base, &set(&[("A", "3")]).unset(key("B"))).unwrap();
        assert_eq!(next.values.into_iter().collect::<Vec<_>>(), [(key("A"), "3".to_owned())]);
    }

    #[test]
    fn nothing_new_and_nothing_there_are_told_apart() {
        let base = merge(&ConfigData::default(), &set(&[("A", "1")])).unwrap();
        assert_eq!(merge(&base, &set(&[("A", "1")])), Err(ConfigError::Unchanged));
        assert_eq!(merge(&base, &ConfigPatch::default()), Err(ConfigError::Unchanged));
        let error = merge(&base, &ConfigPatch::default().unset(key("NOPE"))).unwrap_err();
        assert_eq!(error.to_string(), "NOPE does not exist under values");
    }

    #[test]
    fn a_port_is_a_port() {
        for bad in ["dog", "0", "65536", "-1", "1.5", ""] {
            assert!(merge(&ConfigData::default(), &set(&[("PORT", bad)])).is_err(), "{bad}");
        }
        assert!(merge(&ConfigData::default(), &set(&[("PORT", "5000")])).is_ok());
    }

    #[test]
    fn legacy_health_variables_become_probes() {
        let data = merge(
            &ConfigData::default(),
            &set(&[("HEALTHCHECK_URL", "/health"), ("HEALTHCHECK_TIMEOUT", "7")]),
        )
        .unwrap();
        assert!(data.values.is_empty());
        assert_eq!(data.healthcheck["web/cmd"].readiness.as_ref().unwrap().timeout_seconds, 7);
        assert!(merge(&ConfigData::default(), &set(&[("HEALTHCHECK_URL", "http://x/")])).is_err());
        for number in ["PERIOD_SECONDS", "TIMEOUT", "SUCCESS_THRESHOLD", "FAILURE_THRESHOLD"] {
            let zero = (&*format!("HEALTHCHECK_{number}"), "0");
            let patch = set(&[("HEALTHCHECK_URL", "/"), zero]);
            assert!(merge(&ConfigData::default(), &patch).is_err(), "{number}");
        }
    }

    #[test]
    fn probes_have_ports_and_numbers_above_zero() {
        let probe = |text: &str| {
            let probe: Probe = serde_json::from_str(text).unwrap();
            let change = HealthCheckPatch { readiness: Some(Some(probe)), ..HealthCheckPatch::default() };
            let healthcheck = [("web".to_owned(), Some(change))].into();
            merge(&ConfigData::default(), &ConfigPatch { healthcheck, ..ConfigPatch::default() })
        };
        assert!(probe(r#"{"tcpSocket":{"port":80}}"#).is_ok());
        for bad in [
            r#"{"tcpSocket":{"port":0}}"#,
            r#"{"httpGet":{"path":"/"}}"#,
            r#"{"tcpSocket":{"port":80},"successThreshold":0}"#,
            r#"{"tcpSocket":{"port":80},"periodSeconds":0}"#,
        ] {
            assert!(probe(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_private_registry_needs_a_port() {
        let registry = [("username".to_owned(), Some("bob".to_owned()))].into();
        let patch = ConfigPatch { registry, ..ConfigPatch::default() };
        assert_eq!(merge(&ConfigData::default(), &patch), Err(ConfigError::NeedsPort));
        let base = merge(&ConfigData::default(), &set(&[("PORT", "80")])).unwrap();
        let base = merge(&base, &patch).unwrap();
        let unset = ConfigPatch::default().unset(key("PORT"));
        assert_eq!(merge(&base, &unset), Err(ConfigError::NeedsPort));
    }

    #[test]
    fn numbers_and_types_are_checked_when_they_are_set() {
        for name in TUNABLES {
            assert!(merge(&ConfigData::default(), &set(&[(name, "abc")])).is_err(), "{name}");
            assert!(merge(&ConfigData::default(), &set(&[(name, "5")])).is_ok(), "{name}");
        }
        let hooks = |process: &str| [(process.to_owned(), Some("true".to_owned()))].into();
        let post = |process| ConfigPatch { lifecycle_post_start: hooks(process), ..ConfigPatch::default() };
        let pre = |process| ConfigPatch { lifecycle_pre_stop: hooks(process), ..ConfigPatch::default() };
        for patch in [post("Web"), pre("we_b")] {
            assert!(merge(&ConfigData::default(), &patch).is_err(), "{patch:?}");
        }
        assert!(merge(&ConfigData::default(), &post("web")).is_ok());
    }

    #[test]
    fn what_exec_cannot_take_is_refused() {
        assert!(merge(&ConfigData::default(), &set(&[("A", "a\0b")])).is_err());
        assert!(merge(&ConfigData::default(), &set(&[("A", &"x".repeat(200_000))])).is_err());
    }
}
