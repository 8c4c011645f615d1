//! From what people set to what must run: once per change, into immutable workloads.

use std::collections::BTreeMap;

use super::{constants::GRACE_SECONDS, digest, formation::runnable};
use crate::model::{
    AppRef, Build, Config, Formation, Generation, HealthChecks, Launch, Limits, ProcessGroup, ProcessType,
    Release, Template, TemplateId, Workload,
};

/// Everything that decides how a release runs.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The app.
    pub app: &'a AppRef,
    /// The release.
    pub release: &'a Release,
    /// Its build.
    pub build: &'a Build,
    /// Its config.
    pub config: &'a Config,
}

/// The three workloads of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workloads {
    /// `g`: the target, with the retiring groups held beside it.
    pub target: Workload,
    /// `g + 1`: the target alone.
    pub settled: Workload,
    /// `g + 2`: what live was.
    pub fallback: Workload,
}

impl Workloads {
    /// Whether live has running types that the target lacks.
    pub fn retires(&self) -> bool {
        self.target.groups.len() > self.settled.groups.len()
    }
}

/// The groups of a release: every process type that its build can run, at the formation's scale.
pub fn groups(source: Source<'_>, formation: &Formation) -> BTreeMap<ProcessType, ProcessGroup> {
    let types = runnable(&source.build.spec);
    let group = |(process, command): (ProcessType, String)| {
        let template = template(source, formation, &process, command);
        let id = TemplateId(digest::of(&template).hex()[..16].to_owned());
        let scale = formation.scale(&process);
        (process, ProcessGroup { scale, id, template })
    };
    types.into_iter().map(group).collect()
}

/// The workloads of a rollout at `g` from the target's groups and what is held of live.
pub fn workloads(
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
        settled: workload(g.plus(1), target),
        fallback: workload(g.plus(2), held),
    }
}

fn template(source: Source<'_>, formation: &Formation, process: &ProcessType, command: String) -> Template {
    let config = &source.config.data;
    let amount = |map: &BTreeMap<String, String>| map.get(process.as_str()).cloned();
    Template {
        release: source.release.version,
        process: process.clone(),
        launch: Launch { artifact: source.build.spec.artifact.clone(), command },
        env: environment(source),
        limits: Limits { memory: amount(&config.memory), cpu: amount(&config.cpu) },
        probes: HealthChecks::of(&config.healthcheck, process).cloned().unwrap_or_default(),
        routable: process.is_routable(),
        grace_seconds: grace(source.config, process),
        restarts: formation.restarts(process),
    }
}

/// What a process of the release sees, besides what its scheduler adds. Config values win.
pub fn environment(source: Source<'_>) -> BTreeMap<String, String> {
    let release = source.release;
    let mut env: BTreeMap<String, String> = [
        ("DEIS_APP", source.app.name.to_string()),
        ("WORKFLOW_RELEASE", release.version.to_string()),
        ("WORKFLOW_RELEASE_SUMMARY", release.summary.clone()),
        ("WORKFLOW_RELEASE_CREATED_AT", release.created.to_rfc3339()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    if let Some(sha) = &source.build.spec.sha {
        env.insert("SOURCE_VERSION".to_owned(), sha.clone());
    }
    env.extend(source.config.data.values.iter().map(|(key, value)| (key.to_string(), value.clone())));
    env
}

fn grace(config: &Config, process: &ProcessType) -> u32 {
    let own = config.data.termination_grace_period.get(process.as_str());
    let general = || {
        let named =
            |key: &&crate::model::EnvKey| key.as_str() == "KUBERNETES_POD_TERMINATION_GRACE_PERIOD_SECONDS";
        config.data.values.keys().find(named).and_then(|key| config.data.values.get(key))
    };
    own.or_else(general).and_then(|text| text.parse().ok()).unwrap_or(GRACE_SECONDS)
}
