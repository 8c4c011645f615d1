//! A config.

use std::collections::BTreeMap;

use deis_core::{AppName, EnvKey, model::Config};
use serde::Serialize;

use super::HealthChecksDto;

type Map = BTreeMap<String, String>;

/// A config.
#[derive(Debug, Serialize)]
pub(crate) struct ConfigDto {
    uuid: String,
    app: String,
    owner: String,
    values: BTreeMap<EnvKey, String>,
    memory: Map,
    lifecycle_post_start: Map,
    lifecycle_pre_stop: Map,
    cpu: Map,
    tags: Map,
    registry: Map,
    healthcheck: BTreeMap<String, HealthChecksDto>,
    termination_grace_period: Map,
    created: String,
    updated: String,
}

impl ConfigDto {
    pub(crate) fn new(app: &AppName, config: Config) -> Self {
        let data = config.data;
        Self {
            uuid: config.id.to_string(),
            app: app.to_string(),
            owner: config.owner.to_string(),
            values: data.values.into_iter().map(|(key, value)| (key, value.into_exposed())).collect(),
            memory: data.memory,
            lifecycle_post_start: data.lifecycle_post_start,
            lifecycle_pre_stop: data.lifecycle_pre_stop,
            cpu: data.cpu,
            tags: data.tags,
            registry: data.registry.into_iter().map(|(key, value)| (key, value.into_exposed())).collect(),
            healthcheck: data.healthcheck.into_iter().map(|(key, checks)| (key, checks.into())).collect(),
            termination_grace_period: data.termination_grace_period,
            created: config.created.to_rfc3339(),
            updated: config.created.to_rfc3339(),
        }
    }
}
