//! From what people set to what must run: once per change, into immutable workloads.

use std::collections::BTreeMap;

use super::{
    constants::{GRACE_SECONDS, MIN_READY_KEY, MIN_READY_SECONDS, TASK_PORT},
    digest,
    formation::runnable,
    quantity,
};
use crate::model::{
    Amount, AppRef, Artifact, Build, Command, Config, ConfigData, Environment, Formation, Generation,
    HealthChecks, Hooks, Launch, Limits, ProcessGroup, ProcessType, RegistryAuth, Release, Secret, Template,
    Workload,
};

/// Everything that decides how a release runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    /// The app.
    pub(crate) app: &'a AppRef,
    /// The release.
    pub(crate) release: &'a Release,
    /// Its build.
    pub(crate) build: &'a Build,
    /// Its config.
    pub(crate) config: &'a Config,
}

/// The three workloads of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Workloads {
    /// `g`: the target, with the retiring groups held beside it.
    pub(crate) target: Workload,
    /// `g + 1`: the target alone.
    pub(crate) target_only: Workload,
    /// `g + 2`: what live was.
    pub(crate) fallback: Workload,
}

impl Workloads {
    /// Whether live has running types that the target lacks.
    pub(crate) fn retires(&self) -> bool {
        self.target.groups.len() > self.target_only.groups.len()
    }
}

/// The groups of a release: every process type that its build can run, at the formation's scale.
pub(crate) fn groups(source: Source<'_>, formation: &Formation) -> BTreeMap<ProcessType, ProcessGroup> {
    let types = runnable(&source.build.spec);
    let group = |(process, command): (ProcessType, Command)| {
        let template = template(source, formation, &process, command);
        let id = digest::template(&template);
        let scale = formation.scale(&process);
        (process, ProcessGroup { scale, min_ready: min_ready(source.config), id, template })
    };
    types.into_iter().map(group).collect()
}

/// The workloads of a rollout at `g` from the target's groups and what is held of live.
pub(crate) fn workloads(
    app: &AppRef,
    g: Generation,
    target: BTreeMap<ProcessType, ProcessGroup>,
    live: Option<&Workload>,
) -> Workloads {
    let workload = |generation, groups| Workload { app: app.clone(), generation, groups };
    let held = live.map(|w| w.groups.clone()).unwrap_or_default();
    let mut with_retiring = target.clone();
    for (process, group) in &held {
        if group.scale > 0 && !target.contains_key(process) {
            with_retiring.insert(process.clone(), group.clone());
        }
    }
    Workloads {
        target: workload(g, with_retiring),
        target_only: workload(g.plus(1), target),
        fallback: workload(g.plus(2), held),
    }
}

fn template(source: Source<'_>, formation: &Formation, process: &ProcessType, command: Command) -> Template {
    let config = &source.config.data;
    let of_type = |map: &BTreeMap<String, String>| map.get(process.as_str()).cloned();
    Template {
        release: source.release.version,
        process: process.clone(),
        launch: Launch { artifact: source.build.spec.artifact.clone(), command },
        env: environment(source, Purpose::Instance),
        limits: limits(config, process),
        probes: HealthChecks::of(&config.healthcheck, process).cloned().unwrap_or_default(),
        routable: process.is_routable(),
        grace_seconds: grace(source.config, process),
        restarts: formation.restarts(process),
        tags: config.tags.clone(),
        registry: registry(&config.registry),
        hooks: Hooks {
            post_start: of_type(&config.lifecycle_post_start),
            pre_stop: of_type(&config.lifecycle_pre_stop),
        },
    }
}

fn limits(config: &ConfigData, process: &ProcessType) -> Limits {
    let amount = |map: &BTreeMap<String, String>, parse: fn(&str) -> Option<Amount>| {
        map.get(process.as_str()).and_then(|text| parse(text)).unwrap_or_default()
    };
    Limits { memory: amount(&config.memory, quantity::memory), cpu: amount(&config.cpu, quantity::cpu) }
}

/// The credentials of the config; a config may have any keys there, and those that mean nothing to a registry are left out.
fn registry(config: &BTreeMap<String, Secret>) -> Option<RegistryAuth> {
    let get = |key: &str| config.get(key).cloned();
    (!config.is_empty()).then(|| RegistryAuth {
        hostname: get("hostname").map(Secret::into_exposed),
        username: get("username").unwrap_or_default(),
        password: get("password").unwrap_or_default(),
    })
}

/// What an environment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An instance of a process type. Its scheduler gives it the `PORT` that it listens on.
    Instance,
    /// The release command.
    ReleaseCommand,
    /// A one-off command.
    OneOff,
}

/// What a process of the release sees, besides what its back end must add (`HOME`, a missing `PATH`, the `PORT` of an
/// instance). All get the same, so that a command which works in one
/// works in the others:
///
/// * Config values win over the platform's, except `HOME`, which is the folder that a process runs in; only somebody who
///   runs a one-off command may want another.
/// * `PORT` is there for all: programs read it while they load, also where nobody will ask them (consoles, migrations).
pub(crate) fn environment(source: Source<'_>, purpose: Purpose) -> Environment {
    let release = source.release;
    let spec = &source.build.spec;
    let mut env: Environment = [
        ("DEIS_APP", source.app.name.to_string()),
        ("WORKFLOW_RELEASE", release.version.to_string()),
        ("WORKFLOW_RELEASE_SUMMARY", release.summary.clone()),
        ("WORKFLOW_RELEASE_CREATED_AT", release.created.to_rfc3339()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    if let Some(commit) = spec.commit() {
        env.insert("SOURCE_VERSION".to_owned(), commit.to_owned());
    }
    if let Some(port) = port(&spec.artifact, purpose) {
        env.insert("PORT".to_owned(), port.to_string());
    }
    let own = source.config.data.values.iter();
    let own = own.filter(|(key, _)| purpose == Purpose::OneOff || key.as_str() != "HOME");
    env.extend(own.map(|(key, value)| (key.to_string(), value.expose().to_owned())));
    env
}

/// The port where the config names none.
fn port(artifact: &Artifact, purpose: Purpose) -> Option<u16> {
    match (artifact, purpose) {
        (Artifact::Image { port: Some(port), .. }, _) => Some(*port),
        (_, Purpose::Instance) => None,
        (_, Purpose::ReleaseCommand | Purpose::OneOff) => Some(TASK_PORT),
    }
}

/// Seconds for which a new instance must be ready before it counts as available.
fn min_ready(config: &Config) -> u32 {
    config.data.value(MIN_READY_KEY).and_then(|text| text.parse().ok()).unwrap_or(MIN_READY_SECONDS)
}

fn grace(config: &Config, process: &ProcessType) -> u32 {
    let own = config.data.termination_grace_period.get(process.as_str()).map(String::as_str);
    let general = || config.data.value("KUBERNETES_POD_TERMINATION_GRACE_PERIOD_SECONDS");
    own.or_else(general).and_then(|text| text.parse().ok()).unwrap_or(GRACE_SECONDS)
}

#[cfg(test)]
mod tests;
