//! Each value of a patch, by itself: what is accepted here a back end will accept too.

use super::{
    ConfigError, invalid,
    probe::{self, Kind},
};
use crate::{
    model::{ConfigPatch, EnvKey, MapPatch, ProcessType, Secret},
    plan::{
        constants::{
            MAX_ENV_VARIABLE, MAX_GRACE_SECONDS, MAX_HOOK, MAX_MIN_READY_SECONDS, MAX_REGISTRY_VALUE,
            MAX_TUNABLE, MIN_MEMORY_LIMIT, MIN_READY_KEY,
        },
        quantity::{self, is_digits},
    },
};

/// Refuses the first value that breaks a rule.
pub(super) fn patch(patch: &ConfigPatch) -> Result<(), ConfigError> {
    set_values(&patch.values).try_for_each(|(key, value)| variable(key, value.expose()))?;
    set_values(&patch.memory).try_for_each(|(process, value)| memory(process, value))?;
    set_values(&patch.cpu).try_for_each(|(process, value)| cpu(process, value))?;
    set_values(&patch.termination_grace_period).try_for_each(|(process, value)| grace(process, value))?;
    for (member, hooks) in [
        ("lifecycle_post_start", &patch.lifecycle_post_start),
        ("lifecycle_pre_stop", &patch.lifecycle_pre_stop),
    ] {
        set_values(hooks).try_for_each(|(process, line)| hook(member, process, line))?;
    }
    set_values(&patch.tags).try_for_each(|(key, value)| tag(key, value))?;
    set_values(&patch.registry).try_for_each(|(key, value)| registry(key, value))?;
    patch.healthcheck.iter().filter_map(|(p, c)| Some((p, c.as_ref()?))).try_for_each(|(process, change)| {
        if process != "web/cmd" {
            process_type("healthcheck", process)?;
        }
        let probes = [(&change.liveness, Kind::Liveness), (&change.readiness, Kind::Readiness)];
        let mut set = probes.into_iter().filter_map(|(found, kind)| Some((found.as_ref()?.as_ref()?, kind)));
        set.try_for_each(|(found, kind)| probe::check(found, kind))
    })
}

fn set_values<K, V>(patch: &MapPatch<K, V>) -> impl Iterator<Item = (&K, &V)> {
    patch.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)))
}

/// Variables that a scheduler reads as numbers, with the numbers that it can use: a wrong one is told when it is set,
/// and not by each rollout.
pub(super) const TUNABLES: [(&str, u32, u32); 5] = [
    ("DEIS_DEPLOY_TIMEOUT", 1, MAX_TUNABLE),
    ("DEIS_DEPLOY_BATCHES", 1, 1000),
    (MIN_READY_KEY, 0, MAX_MIN_READY_SECONDS),
    ("KUBERNETES_DEPLOYMENTS_REVISION_HISTORY_LIMIT", 0, MAX_TUNABLE),
    ("KUBERNETES_POD_TERMINATION_GRACE_PERIOD_SECONDS", 1, MAX_GRACE_SECONDS),
];

fn variable(key: &EnvKey, value: &str) -> Result<(), ConfigError> {
    let name = key.as_str();
    if value.contains('\0') {
        return Err(invalid("values", format!("{name} contains a NUL byte, which no environment can hold")));
    }
    if value.len() + name.len() > MAX_ENV_VARIABLE {
        let text = format!(
            "{name} and its value are longer than {MAX_ENV_VARIABLE} bytes, the most that Linux takes"
        );
        return Err(invalid("values", text));
    }
    if name == "PORT" {
        if !is_digits(value) {
            return Err(invalid("values", "PORT can only be a numeric value"));
        }
        if number(value, 1, 65535).is_none() {
            return Err(invalid("values", "PORT must be between 1 and 65535"));
        }
    } else if name == "HEALTHCHECK_URL" {
        if value.contains(['?', '#']) || value.starts_with("//") || !probe::is_path(value) {
            return Err(invalid("values", "HEALTHCHECK_URL must be a path, such as /healthz"));
        }
    } else if name.starts_with("HEALTHCHECK_") && !is_digits(value) {
        return Err(invalid("values", format!("{name} can only be a numeric value")));
    } else if let Some((_, least, most)) = TUNABLES.iter().find(|(known, ..)| *known == name)
        && number(value, *least, *most).is_none()
    {
        return Err(invalid("values", format!("{name} must be a whole number from {least} to {most}")));
    }
    Ok(())
}

fn number(text: &str, least: u32, most: u32) -> Option<u32> {
    let number = if is_digits(text) { text.parse().ok() } else { None };
    number.filter(|number| (least..=most).contains(number))
}

fn memory(process: &str, value: &str) -> Result<(), ConfigError> {
    process_type("memory", process)?;
    let Some(amount) = quantity::memory(value) else {
        let text = "a memory limit is <limit> or <request>/<limit>, such as 512M, 1G or 256M/1G";
        return Err(invalid("memory", text));
    };
    if amount.limit.is_some_and(|limit| limit < MIN_MEMORY_LIMIT) {
        let text = format!("nothing can run with less than {} MB", MIN_MEMORY_LIMIT >> 20);
        return Err(invalid("memory", text));
    }
    Ok(())
}

fn cpu(process: &str, value: &str) -> Result<(), ConfigError> {
    process_type("cpu", process)?;
    quantity::cpu(value).map(drop).ok_or(ConfigError::Cpu)
}

fn grace(process: &str, value: &str) -> Result<(), ConfigError> {
    process_type("termination_grace_period", process)?;
    let text = format!("a grace period is a number of seconds from 1 to {MAX_GRACE_SECONDS}");
    number(value, 1, MAX_GRACE_SECONDS).map(drop).ok_or_else(|| invalid("termination_grace_period", text))
}

fn hook(member: &'static str, process: &str, line: &str) -> Result<(), ConfigError> {
    process_type(member, process)?;
    if line.trim().is_empty() || line.contains('\0') {
        return Err(invalid(member, "a hook is a command line without NUL bytes"));
    }
    if line.len() > MAX_HOOK {
        return Err(invalid(member, format!("a hook has at most {MAX_HOOK} bytes")));
    }
    Ok(())
}

fn registry(key: &str, value: &Secret) -> Result<(), ConfigError> {
    EnvKey::new(key).map_err(|e| invalid("registry", e.to_string()))?;
    let value = value.expose();
    if value.len() > MAX_REGISTRY_VALUE {
        return Err(invalid("registry", format!("{key} has at most {MAX_REGISTRY_VALUE} bytes")));
    }
    if value.chars().any(char::is_control) {
        return Err(invalid("registry", format!("{key} must not contain control characters")));
    }
    let host = |c: char| c.is_ascii_alphanumeric() || "-.:/[]".contains(c);
    if key.eq_ignore_ascii_case("hostname")
        && (value.is_empty() || value.len() > 255 || !value.chars().all(host))
    {
        return Err(invalid("registry", "hostname is a host, such as registry.example.com:5000"));
    }
    Ok(())
}

fn process_type(member: &'static str, process: &str) -> Result<(), ConfigError> {
    ProcessType::new(process).map(drop).map_err(|e| invalid(member, e.to_string()))
}

/// Whether a tag is one that the cluster itself gives its machines: by such a one an app could ask for a machine that is
/// not meant for apps.
pub(crate) fn is_platform_tag(key: &str) -> bool {
    let Some((prefix, _)) = key.split_once('/') else { return false };
    ["kubernetes.io", "k8s.io"]
        .iter()
        .any(|own| prefix.strip_suffix(own).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// `[prefix/]name` and a value, as labels of machines have them.
fn tag(key: &str, value: &str) -> Result<(), ConfigError> {
    let edges = |text: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        edge(text.chars().next()) && edge(text.chars().last())
    };
    let word = |text: &str| {
        text.len() <= 63
            && edges(text)
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let label = |text: &str| {
        text.len() <= 63
            && edges(text)
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if prefix.is_some_and(|p| p.len() > 253 || !p.split('.').all(label)) || !word(name) {
        let shown: String = key.chars().take(120).collect();
        let text = format!("{shown:?} is no tag: write [prefix/]name of letters, digits, - _ .");
        return Err(invalid("tags", text));
    }
    if value.is_empty() || word(value) {
        return Ok(());
    }
    Err(invalid("tags", format!("the value of {key} must have at most 63 letters, digits, - _ .")))
}
