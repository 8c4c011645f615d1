//! Apps, their domains and processes.

use std::collections::BTreeMap;

use deis_core::{
    ProcessType,
    model::{App, Command, Domain, Instance, InstanceState},
};
use serde::Serialize;

/// An app.
#[derive(Debug, Serialize)]
pub(crate) struct AppDto {
    uuid: String,
    id: String,
    owner: String,
    structure: BTreeMap<ProcessType, u32>,
    procfile_structure: BTreeMap<ProcessType, String>,
    created: String,
    updated: String,
}

impl From<App> for AppDto {
    fn from(app: App) -> Self {
        let App { name, uid, owner, created, updated, summary } = app;
        let current = summary.next.unwrap_or(summary.live);
        Self {
            uuid: uid.to_string(),
            id: name.to_string(),
            owner: owner.to_string(),
            structure: summary.structure,
            procfile_structure: commands(current.processes),
            created: created.to_rfc3339(),
            updated: updated.to_rfc3339(),
        }
    }
}

/// Commands as clients read them.
pub(super) fn commands(processes: BTreeMap<ProcessType, Command>) -> BTreeMap<ProcessType, String> {
    processes.into_iter().map(|(process, command)| (process, command.to_string())).collect()
}

/// A domain.
#[derive(Debug, Serialize)]
pub(crate) struct DomainDto {
    owner: String,
    created: String,
    updated: String,
    app: String,
    domain: String,
}

impl From<Domain> for DomainDto {
    fn from(domain: Domain) -> Self {
        Self {
            owner: domain.owner.to_string(),
            created: domain.created.to_rfc3339(),
            updated: domain.created.to_rfc3339(),
            app: domain.app.to_string(),
            domain: domain.name.to_string(),
        }
    }
}

/// A process.
#[derive(Debug, Serialize)]
pub(crate) struct PodDto {
    name: String,
    state: &'static str,
    release: String,
    r#type: String,
    started: String,
}

impl From<Instance> for PodDto {
    fn from(instance: Instance) -> Self {
        let state = match instance.state {
            InstanceState::Starting | InstanceState::Unready => "starting",
            InstanceState::Ready => "up",
            InstanceState::Draining => "terminating",
            InstanceState::Failing { .. } => "error",
        };
        Self {
            name: instance.name.to_string(),
            state,
            release: instance.release.to_string(),
            r#type: instance.process.to_string(),
            started: instance.started.to_rfc3339(),
        }
    }
}
